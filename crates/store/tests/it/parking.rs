//! Stuck work: deaths are counted, and a job that nobody survives is parked.

use filmgate_core::action::ActionKind;
use filmgate_core::job::{Event, Status};
use filmgate_core::request::ProviderName;
use filmgate_store::{AfterCommit, Committed, Places};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_lease_that_runs_out_is_a_strike_and_one_that_is_ended_is_none,
    whatever_comes_of_a_job_wipes_its_strikes,
    a_parked_job_is_nobodys_work_until_its_time_is_over,
    a_parked_job_goes_back_to_work_as_if_nothing_had_happened,
    only_the_holder_of_a_claim_parks,
    a_clients_cancel_ends_the_parking,
    parked_jobs_are_listed_oldest_first_page_by_page,
    a_row_that_cannot_be_read_is_parked_and_its_neighbours_are_not,
];

const REASON: &str = "it kills whoever touches it";

async fn a_lease_that_runs_out_is_a_strike_and_one_that_is_ended_is_none(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut now = START;
    for strikes in 0..3 {
        let claimed = claim(store, "dies", now).await;
        assert_eq!(claimed.strikes, strikes);
        now = now.plus(LEASE);
    }
    let claimed = claim(store, "lives", now).await;
    assert_eq!(claimed.strikes, 3);
    store
        .give_back(claimed.job.admission.id, claimed.job.fence)
        .await
        .unwrap();
    assert_eq!(claim(store, "lives", now).await.strikes, 3);
}

async fn whatever_comes_of_a_job_wipes_its_strikes(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    claim(store, "dies", START).await;
    let now = START.plus(LEASE);
    let mut second = claim(store, "lives", now).await;
    assert_eq!(second.strikes, 1);
    commit(
        store,
        &mut second.job,
        Event::Claimed,
        now,
        AfterCommit::EndLease,
    )
    .await;
    assert_eq!(claim(store, "lives", now).await.strikes, 0);
}

async fn a_parked_job_is_nobodys_work_until_its_time_is_over(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let claimed = claim(store, "a", START).await;
    let (id, fence) = (claimed.job.admission.id, claimed.job.fence);
    let until = START.plus(secs(600));
    assert!(store.park(id, fence, REASON, until, START).await.unwrap());
    let before = until.minus(secs(1));
    assert_eq!(store.claim_due(&intake("a", before, 10)).await.unwrap(), []);
    let next = store.next_due(before, &Places::default()).await;
    assert_eq!(next.unwrap(), Some(until));

    let parked = store.find_parked(id).await.unwrap().unwrap();
    assert_eq!((parked.job, parked.workspace), (id, workspace));
    assert_eq!(parked.account, ProviderName("one".into()));
    assert_eq!((parked.status, parked.created_at), (Status::Queued, START));
    assert_eq!((parked.parked_at, parked.until), (START, until));
    assert_eq!(
        (parked.reason.as_str(), parked.model.as_str()),
        (REASON, "maker/model")
    );

    let mut over = claim(store, "a", until).await;
    assert!(over.parked);
    let written_off = Event::WrittenOff { by: None };
    commit(
        store,
        &mut over.job,
        written_off,
        until,
        AfterCommit::EndLease,
    )
    .await;
    assert_eq!(
        store.find_parked(id).await.unwrap(),
        None,
        "a commit ends it"
    );
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.jobs_not_terminal, audit.holds_open), (0, 0));
}

async fn a_parked_job_goes_back_to_work_as_if_nothing_had_happened(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    claim(store, "dies", START).await;
    let now = START.plus(LEASE);
    let claimed = claim(store, "a", now).await;
    let (id, fence) = (claimed.job.admission.id, claimed.job.fence);
    store
        .park(id, fence, REASON, now.plus(LEASE), now)
        .await
        .unwrap();

    let mut action = deed(workspace).action;
    action.kind = ActionKind::JobUnparked;
    action.object = id.to_string();
    let unparked = store.unpark(id, now, action.clone()).await.unwrap();
    assert_eq!(unparked.map(|parked| parked.job), Some(id));
    let again = claim(store, "a", now).await;
    assert_eq!((again.strikes, again.parked), (0, false));
    assert_eq!(again.job.version, claimed.job.version);
    let log = store.actions(Some(workspace), None, 1).await.unwrap();
    assert_eq!(log.rows, [action.clone()]);

    action.id = deed(workspace).action.id;
    assert_eq!(store.unpark(id, now, action.clone()).await.unwrap(), None);
    let log = store.actions(Some(workspace), None, 1).await.unwrap();
    assert_ne!(log.rows[0].id, action.id, "what was not done is not logged");
}

async fn only_the_holder_of_a_claim_parks(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let first = claim(store, "slow", START).await;
    let now = START.plus(LEASE);
    claim(store, "quick", now).await;
    let id = first.job.admission.id;
    let parked = store.park(id, first.job.fence, REASON, now, now).await;
    assert!(!parked.unwrap());
    assert_eq!(store.find_parked(id).await.unwrap(), None);
}

async fn a_clients_cancel_ends_the_parking(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    let claimed = claim(store, "a", START).await;
    let (id, fence) = (job.admission.id, claimed.job.fence);
    store
        .park(id, fence, REASON, START.plus(secs(600)), START)
        .await
        .unwrap();
    let cancelled = change(store, &mut job, cancel(), START).await;
    assert!(matches!(cancelled, Committed::Committed { .. }));
    assert_eq!(store.find_parked(id).await.unwrap(), None);
    assert_eq!(store.audit().await.unwrap().holds_open, 0);
}

async fn parked_jobs_are_listed_oldest_first_page_by_page(db: Database) {
    let store = db.store.as_ref();
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let mut parked = Vec::new();
    for number in 0..4 {
        let owner = if number == 2 { theirs } else { ours };
        let at = START.plus(secs(number));
        Video::of(owner).at(at).create(store).await;
        let claimed = claim(store, "a", at).await;
        let (id, fence) = (claimed.job.admission.id, claimed.job.fence);
        store
            .park(id, fence, REASON, at.plus(LEASE * 100), at)
            .await
            .unwrap();
        parked.push(id);
    }
    let list = async |workspace, after, limit| {
        let page = store.parked(workspace, after, limit).await.unwrap();
        let ids: Vec<_> = page.rows.iter().map(|row| row.job).collect();
        (ids, page.has_more)
    };
    assert_eq!(list(None, None, 3).await, (parked[..3].to_vec(), true));
    assert_eq!(
        list(None, Some(parked[2]), 3).await,
        (parked[3..].to_vec(), false)
    );
    let of_ours = vec![parked[0], parked[1], parked[3]];
    assert_eq!(list(Some(ours), None, 3).await, (of_ours, false));
}

async fn a_row_that_cannot_be_read_is_parked_and_its_neighbours_are_not(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let broken = Video::of(workspace).create(store).await.admission.id;
    let whole = Video::of(workspace).create(store).await.admission.id;
    db.engine.tamper(&format!(
        "UPDATE jobs SET life = '{{}}' WHERE id = '{broken}'"
    ));
    let claimed = store.claim_due(&intake("a", START, 10)).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|claim| claim.job.admission.id).collect();
    assert_eq!(ids, [whole]);
    let parked = store.find_parked(broken).await.unwrap().unwrap();
    assert!(
        parked.reason.contains("cannot be read"),
        "{}",
        parked.reason
    );
}

//! Claims, leases, fences and the commit.

use std::collections::HashSet;
use std::sync::Arc;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Event, State, Status, apply};
use filmgate_core::provider::NativeId;
use filmgate_store::{AfterCommit, Basis, Committed, Places};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    no_two_workers_claim_the_same_job,
    the_longest_due_is_claimed_first,
    a_job_is_not_claimed_before_it_is_due,
    a_lease_that_ran_out_lets_another_worker_in_and_the_first_has_lost,
    a_lost_worker_leaves_what_it_learnt_on_the_attempt,
    an_attempt_that_never_left_is_not_written_by_a_worker_that_lost,
    what_a_lost_worker_learnt_is_not_written_over,
    a_version_that_moved_brings_the_job_as_it_is,
    a_clients_commit_leaves_the_lease_alone,
    a_lease_that_was_ended_is_not_renewed,
    a_job_given_back_can_be_claimed_at_once,
    the_next_due_instant_counts_leases_in,
    a_failing_create_does_not_undo_its_neighbours,
    whatever_happens_the_store_holds_what_was_committed,
];

async fn no_two_workers_claim_the_same_job(db: Database) {
    let store = &db.store;
    let workspace = workspace(&**store).await;
    for _ in 0..60 {
        Video::of(workspace).create(&**store).await;
    }
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let mut taken = Vec::new();
            // Bounded, so that a store which hands jobs out twice fails instead of going on for ever.
            while taken.len() <= 60 {
                let by = worker(&format!("worker-{number}"));
                let claims = store.claim_due(&intake(&by.0, START, 3)).await.unwrap();
                if claims.is_empty() {
                    break;
                }
                taken.extend(claims.into_iter().map(|claim| claim.job.admission.id));
            }
            taken
        });
    }
    let taken: Vec<VideoId> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 60);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 60);
}

async fn the_longest_due_is_claimed_first(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut expected = Vec::new();
    for seconds in [30, 10, 20] {
        let job = Video::of(workspace)
            .at(START.plus(secs(seconds)))
            .create(store)
            .await;
        expected.push(job.admission.id);
    }
    expected.sort();
    let claims = store
        .claim_due(&intake("a", START.plus(secs(60)), 2))
        .await
        .unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.job.admission.id).collect();
    assert_eq!(claimed, expected[..2]);
}

async fn a_job_is_not_claimed_before_it_is_due(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let later = START.plus(secs(1));
    Video::of(workspace).at(later).create(store).await;
    let early = store.claim_due(&intake("a", START, 10)).await.unwrap();
    assert!(early.is_empty());
    claim(store, "a", later).await;
}

async fn a_lease_that_ran_out_lets_another_worker_in_and_the_first_has_lost(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut first = claim(store, "first", START).await.job;
    let held = START.plus(LEASE - secs(1));
    let none = store.claim_due(&intake("second", held, 10)).await.unwrap();
    assert!(none.is_empty(), "the lease still runs");

    let later = START.plus(LEASE);
    let mut second = claim(store, "second", later).await.job;
    assert!(second.fence > first.fence);
    let lost = commit(
        store,
        &mut first,
        Event::Claimed,
        later,
        AfterCommit::KeepLease,
    )
    .await;
    assert_eq!(lost, Committed::Lost);
    let id = first.admission.id;
    let until = later.plus(LEASE * 10);
    assert!(!store.renew(id, first.fence, until).await.unwrap());
    store.give_back(id, first.fence).await.unwrap();
    let none = store.claim_due(&intake("third", later, 10)).await.unwrap();
    assert!(none.is_empty(), "only its holder gives a lease back");
    work(store, &mut second, vec![Event::Claimed], later).await;
}

async fn a_lost_worker_leaves_what_it_learnt_on_the_attempt(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut first = claim(store, "first", START).await.job;
    work(store, &mut first, vec![Event::Claimed], START).await;
    let later = START.plus(LEASE);
    let second = claim(store, "second", later).await.job;

    let lost = commit(
        store,
        &mut first,
        submitted(1),
        later,
        AfterCommit::EndLease,
    )
    .await;
    assert_eq!(lost, Committed::Lost);
    let attempts = store.attempts(first.admission.id).await.unwrap();
    assert_eq!(attempts[0].native, Some(NativeId("native-1".into())));
    assert_eq!(attempts[0].accepted_at, Some(later));
    assert_eq!(
        find(store, &second).await,
        second,
        "the job itself is untouched"
    );
}

async fn an_attempt_that_never_left_is_not_written_by_a_worker_that_lost(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut first = claim(store, "first", START).await.job;
    claim(store, "second", START.plus(LEASE)).await;
    let lost = commit(
        store,
        &mut first,
        Event::Claimed,
        START,
        AfterCommit::KeepLease,
    )
    .await;
    assert_eq!(lost, Committed::Lost);
    assert_eq!(store.attempts(first.admission.id).await.unwrap(), []);
}

async fn what_a_lost_worker_learnt_is_not_written_over(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut first = claim(store, "first", START).await.job;
    work(store, &mut first, vec![Event::Claimed], START).await;
    let later = START.plus(LEASE);
    let mut second = claim(store, "second", later).await.job;
    commit(
        store,
        &mut first,
        submitted(1),
        later,
        AfterCommit::EndLease,
    )
    .await;

    // The second worker never heard of the acceptance and writes its own view of the attempt.
    work(
        store,
        &mut second,
        vec![Event::Absent { attempt: 1 }],
        later,
    )
    .await;
    let attempts = store.attempts(first.admission.id).await.unwrap();
    assert_eq!(attempts[0].native, Some(NativeId("native-1".into())));
    assert_eq!(attempts[0].ended_at, Some(later));
}

async fn a_version_that_moved_brings_the_job_as_it_is(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut seen = Video::of(workspace).create(store).await;
    let mut ours = claim(store, "worker", START).await.job;
    change(store, &mut seen, cancel(), START).await;

    let transition = apply(&ours, Event::Claimed, START).unwrap();
    let basis = Basis::Claim {
        fence: ours.fence,
        version: ours.version,
        after: AfterCommit::KeepLease,
    };
    let id = ours.admission.id;
    let stale = store.commit(id, basis, transition).await.unwrap();
    ours.life = seen.life.clone();
    ours.version = 2;
    assert_eq!(stale, Committed::Stale(Box::new(ours.clone())));
    assert_eq!(store.attempts(id).await.unwrap(), [], "nothing was written");
    assert_eq!(find(store, &ours).await, ours);

    // A client that saw the first version is told the same.
    seen.version = 1;
    seen.life.state = State::Accepted;
    let stale = change(store, &mut seen, cancel(), START).await;
    assert_eq!(stale, Committed::Stale(Box::new(ours)));
}

async fn a_clients_commit_leaves_the_lease_alone(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut job = claim(store, "worker", START).await.job;
    work(store, &mut job, vec![Event::Claimed, submitted(1)], START).await;
    let mut seen = job.clone();
    change(store, &mut seen, cancel(), START).await;
    let none = store.claim_due(&intake("other", START, 10)).await.unwrap();
    assert!(none.is_empty());
    let until = START.plus(LEASE * 2);
    assert!(
        store
            .renew(job.admission.id, job.fence, until)
            .await
            .unwrap()
    );
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        Some(until)
    );
}

async fn a_lease_that_was_ended_is_not_renewed(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let mut job = claim(store, "worker", START).await.job;
    let id = job.admission.id;
    commit(
        store,
        &mut job,
        Event::Claimed,
        START,
        AfterCommit::EndLease,
    )
    .await;
    let until = START.plus(LEASE * 2);
    assert!(!store.renew(id, job.fence, until).await.unwrap());
    claim(store, "other", START).await;
}

async fn a_job_given_back_can_be_claimed_at_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    let job = claim(store, "worker", START).await.job;
    store.give_back(job.admission.id, job.fence).await.unwrap();
    let again = claim(store, "other", START).await.job;
    assert!(again.fence > job.fence);
    assert_eq!(
        again.version, job.version,
        "a claim is no change of the job"
    );
}

async fn the_next_due_instant_counts_leases_in(db: Database) {
    let store = &*db.store;
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        None
    );
    let workspace = workspace(store).await;
    Video::of(workspace).create(store).await;
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        Some(START)
    );
    let mut job = claim(store, "worker", START).await.job;
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        Some(START.plus(LEASE))
    );
    let later = START.plus(secs(5));
    Video::of(workspace).at(later).create(store).await;
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        Some(later)
    );
    commit(store, &mut job, cancel(), START, AfterCommit::EndLease).await;
    let mut other = claim(store, "worker", later).await.job;
    commit(store, &mut other, cancel(), later, AfterCommit::EndLease).await;
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        None,
        "nothing is left to do"
    );
}

async fn a_failing_create_does_not_undo_its_neighbours(db: Database) {
    let ours = workspace(&*db.store).await;
    let nobodys = WorkspaceId::mint(START, entropy());
    let mut creates = JoinSet::new();
    for number in 0..60 {
        let store = Arc::clone(&db.store);
        let fails = number % 3 == 0;
        let new = Video::of(if fails { nobodys } else { ours }).build();
        creates.spawn(async move { (fails, store.create_job(new).await) });
    }
    for (fails, created) in creates.join_all().await {
        assert_eq!(created.is_err(), fails, "{created:?}");
    }
    let audit = db.store.audit().await.unwrap();
    assert_eq!(
        (audit.jobs, audit.holds_open, audit.balances_wrong),
        (40, 40, 0)
    );
}

/// Random events, taken or not: what `core` makes of them is what the store has afterwards.
async fn whatever_happens_the_store_holds_what_was_committed(db: Database) {
    let workspace = workspace(&*db.store).await;
    let handle = tokio::runtime::Handle::current();
    let events = prop::collection::vec(select((0..12).collect::<Vec<_>>()), 1..12);
    let run = move || {
        let config = Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&events, |events| {
                handle.block_on(history(&db, workspace, &events));
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn history(db: &Database, workspace: WorkspaceId, events: &[usize]) {
    let store = &*db.store;
    let mut job = Video::of(workspace).create(store).await;
    let id = job.admission.id;
    for (step, choice) in events.iter().enumerate() {
        let now = START.plus(secs(step as u64 * 30));
        let number = job.life.submissions;
        let failure = || {
            use filmgate_core::failure::{Failure, FailureCode};
            Failure::passing(FailureCode::ProviderError, "it broke")
        };
        let wait = secs(5);
        let (attempt, usage) = (number, Default::default());
        let event = match choice {
            0 | 1 => Event::Claimed,
            2 | 3 => submitted(number),
            4 => Event::Refused {
                attempt,
                failure: failure(),
                jitter: wait,
            },
            5 => succeeded(),
            6 => stored(&format!("out/{id}")),
            7 => Event::FailedUpstream {
                failure: failure(),
                usage,
            },
            8 => cancel(),
            9 => Event::FatePending {
                wait,
                cancel_asked: true,
            },
            10 => Event::AnswerLost {
                attempt,
                failure: failure(),
            },
            _ => Event::Unheard { wait },
        };
        if apply(&job, event.clone(), now).is_err() {
            continue;
        }
        let committed = change(store, &mut job, event, now).await;
        assert!(matches!(committed, Committed::Committed { .. }));
        assert_eq!(find(store, &job).await, job);
    }
    let kept = store.attempts(id).await.unwrap();
    assert_eq!(kept.last(), job.life.attempt.as_ref());
    assert_eq!(kept.len(), job.life.submissions as usize);
    let query = filmgate_store::ListJobs {
        workspace,
        order: filmgate_store::Order::NewestFirst,
        after: None,
        before: None,
        status: vec![job.life.status()],
        model: None,
        provider: Some(job.shown_candidate().provider.0.clone()),
        session_id: None,
        created_from: None,
        created_until: None,
        limit: 1,
    };
    let page = store.list_jobs(query).await.unwrap();
    assert_eq!(page.rows[0], job, "it is listed under what it shows");
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.balances_wrong, audit.sum), (0, 0));
    // No job of this history is left for the next.
    let mut now = START.plus(secs(3600));
    while !(job.life.status().is_terminal() && job.life.fate.is_none()) {
        now = now.plus(secs(48 * 3600));
        let event = match job.life.status() {
            Status::Queued | Status::Processing
                if matches!(job.life.state, State::Fetching { .. }) =>
            {
                Event::FetchDelayed { wait: secs(1) }
            }
            Status::Queued | Status::Processing => Event::Expire,
            _ => Event::FatePending {
                wait: secs(1),
                cancel_asked: true,
            },
        };
        change(store, &mut job, event, now).await;
    }
    assert_eq!(store.audit().await.unwrap().holds_open, 0);
    assert_eq!(
        store.next_due(START, &Places::default()).await.unwrap(),
        None
    );
}

//! Places: how many jobs an account may have at its provider at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use filmgate_core::job::{Event, State};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::{AfterCommit, Claim, Intake, Load, Places, Store};

use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_full_account_is_passed_by_and_the_others_are_not,
    a_job_has_its_place_from_the_claim_until_the_provider_is_done,
    a_place_of_a_dead_worker_is_free_when_its_lease_is_over,
    a_submit_whose_worker_died_keeps_its_place,
    a_job_that_moves_on_to_another_account_waits_for_a_place_there,
    where_turns_are_taken_places_hold_too,
    workers_that_race_take_no_more_places_than_there_are,
    what_waits_for_a_place_is_not_due,
    loads_tell_who_waits_and_who_has_a_place,
];

fn places(of: &[(&str, u32)]) -> Places {
    let of = of.iter();
    Arc::new(
        of.map(|(name, most)| (ProviderName((*name).into()), *most))
            .collect(),
    )
}

fn limited(by: &str, now: UnixTime, limit: u32, of: &[(&str, u32)]) -> Intake {
    Intake {
        places: places(of),
        ..intake(by, now, limit)
    }
}

async fn claims(store: &dyn Store, intake: Intake) -> Vec<Claim> {
    store.claim_due(&intake).await.unwrap()
}

fn by_account(claims: &[Claim]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for claim in claims {
        let account = claim.job.candidate().provider.0.clone();
        *counts.entry(account).or_default() += 1;
    }
    counts
}

async fn a_full_account_is_passed_by_and_the_others_are_not(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for _ in 0..5 {
        Video::of(workspace).by(&["narrow"]).create(store).await;
        Video::of(workspace).by(&["wide"]).create(store).await;
    }
    let claimed = claims(store, limited("a", START, 100, &[("narrow", 2)])).await;
    let expected = BTreeMap::from([("narrow".to_owned(), 2), ("wide".to_owned(), 5)]);
    assert_eq!(by_account(&claimed), expected);
    let more = claims(store, limited("b", START, 100, &[("narrow", 2)])).await;
    assert_eq!(more, [], "both places are taken");
    let more = claims(store, limited("b", START, 100, &[("narrow", 3)])).await;
    assert_eq!(more.len(), 1, "a limit that was raised gives places");
}

async fn a_job_has_its_place_from_the_claim_until_the_provider_is_done(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for _ in 0..2 {
        Video::of(workspace).by(&["one"]).create(store).await;
    }
    let of = [("one", 1)];
    let mut first = claims(store, limited("a", START, 10, &of))
        .await
        .remove(0)
        .job;
    let none_free = async |at: UnixTime, when: &str| {
        let claimed = claims(store, limited("b", at, 10, &of)).await;
        let waiting = claimed
            .iter()
            .find(|claim| claim.job.life.state == State::Accepted);
        assert!(waiting.is_none(), "{when}");
        for claim in claimed {
            store
                .give_back(claim.job.admission.id, claim.job.fence)
                .await
                .unwrap();
        }
    };
    none_free(START, "claimed").await;
    work(store, &mut first, vec![Event::Claimed], START).await;
    none_free(START, "submitting").await;
    commit(
        store,
        &mut first,
        submitted(1),
        START,
        AfterCommit::EndLease,
    )
    .await;
    none_free(START.plus(LEASE), "running").await;
    live(store, &mut first, vec![succeeded()], START).await;
    let next = claims(store, limited("b", START, 10, &of)).await;
    let waiting = next
        .iter()
        .filter(|claim| claim.job.life.state == State::Accepted);
    assert_eq!(waiting.count(), 1, "fetching needs no place");
}

async fn loads_tell_who_waits_and_who_has_a_place(db: Database) {
    let store = db.store.as_ref();
    assert_eq!(store.loads().await.unwrap(), BTreeMap::new());
    let workspace = workspace(store).await;
    for _ in 0..3 {
        Video::of(workspace).by(&["one"]).create(store).await;
    }
    Video::of(workspace).by(&["two"]).create(store).await;
    let mut job = claims(store, limited("a", START, 1, &[("two", 0)]))
        .await
        .remove(0)
        .job;
    live(store, &mut job, vec![Event::Claimed], START).await;
    let load = |waiting, at_provider| Load {
        waiting,
        at_provider,
    };
    let of = |one| {
        let names = ["one", "two"].map(|name| ProviderName(name.into()));
        BTreeMap::from_iter(names.into_iter().zip([one, load(1, 0)]))
    };
    assert_eq!(store.loads().await.unwrap(), of(load(2, 1)));
    live(store, &mut job, vec![submitted(1)], START).await;
    assert_eq!(store.loads().await.unwrap(), of(load(2, 1)));
    live(store, &mut job, vec![succeeded()], START).await;
    assert_eq!(store.loads().await.unwrap(), of(load(2, 0)));
}

async fn a_place_of_a_dead_worker_is_free_when_its_lease_is_over(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for _ in 0..2 {
        Video::of(workspace).by(&["one"]).create(store).await;
    }
    let of = [("one", 1)];
    assert_eq!(
        claims(store, limited("dead", START, 10, &of)).await.len(),
        1
    );
    let before = START.plus(LEASE).minus(secs(1));
    assert_eq!(claims(store, limited("b", before, 10, &of)).await, []);
    let after = START.plus(LEASE);
    assert_eq!(claims(store, limited("b", after, 10, &of)).await.len(), 1);
    assert_eq!(claims(store, limited("c", after, 10, &of)).await, []);
}

async fn a_submit_whose_worker_died_keeps_its_place(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for _ in 0..2 {
        Video::of(workspace).by(&["one"]).create(store).await;
    }
    let of = [("one", 1)];
    let mut first = claims(store, limited("dead", START, 10, &of))
        .await
        .remove(0)
        .job;
    work(store, &mut first, vec![Event::Claimed], START).await;
    let after = START.plus(LEASE);
    let claimed = claims(store, limited("b", after, 10, &of)).await;
    let ids: Vec<_> = claimed.iter().map(|claim| claim.job.admission.id).collect();
    assert_eq!(
        ids,
        [first.admission.id],
        "it is taken up, and nothing else is begun"
    );
}

async fn a_job_that_moves_on_to_another_account_waits_for_a_place_there(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let of = [("two", 0)];
    let mut job = Video::of(workspace).create(store).await;
    job.fence = claims(store, limited("a", START, 10, &of))
        .await
        .remove(0)
        .job
        .fence;
    let refused = vec![Event::Claimed, refused(1)];
    work(store, &mut job, refused, START).await;
    store.give_back(job.admission.id, job.fence).await.unwrap();
    assert_eq!(job.candidate().provider.0, "two");
    assert_eq!(claims(store, limited("a", START, 10, &of)).await, []);
    assert_eq!(
        claims(store, limited("a", START, 10, &[("two", 1)]))
            .await
            .len(),
        1
    );
}

async fn where_turns_are_taken_places_hold_too(db: Database) {
    let store = db.store.as_ref();
    let workspaces = [workspace(store).await, workspace(store).await];
    for _ in 0..4 {
        for workspace in workspaces {
            Video::of(workspace).by(&["narrow"]).create(store).await;
            Video::of(workspace).by(&["wide"]).create(store).await;
        }
    }
    // More is due than fits.
    let claimed = claims(store, limited("a", START, 6, &[("narrow", 1)])).await;
    let expected = BTreeMap::from([("narrow".to_owned(), 1), ("wide".to_owned(), 5)]);
    assert_eq!(by_account(&claimed), expected);
    for workspace in workspaces {
        let here = claimed
            .iter()
            .filter(|claim| claim.job.admission.workspace == workspace);
        assert_eq!(here.count(), 3);
    }
}

async fn workers_that_race_take_no_more_places_than_there_are(db: Database) {
    let store = &db.store;
    let workspace = workspace(store.as_ref()).await;
    for _ in 0..40 {
        Video::of(workspace)
            .by(&["one"])
            .create(store.as_ref())
            .await;
    }
    let mut racing = JoinSet::new();
    for round in 0..24 {
        let store = Arc::clone(store);
        racing.spawn(async move {
            let intake = limited(&format!("w{round}"), START, 3, &[("one", 7)]);
            claims(store.as_ref(), intake).await.len()
        });
    }
    let claimed: usize = racing.join_all().await.into_iter().sum();
    assert_eq!(claimed, 7);
}

async fn what_waits_for_a_place_is_not_due(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    Video::of(workspace).by(&["one"]).create(store).await;
    let next = async |most: u32| {
        let next = store.next_due(START, &places(&[("one", most)])).await;
        next.unwrap()
    };
    assert_eq!(next(0).await, None);
    assert_eq!(next(1).await, Some(START));
}

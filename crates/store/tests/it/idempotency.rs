//! Idempotency keys: one of many wins, and the others are told what it made.

use std::sync::Arc;

use filmgate_store::{Bound, Created};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    of_many_creates_with_one_key_exactly_one_is_new,
    a_binding_outlives_a_restart,
    an_expired_binding_is_free_again,
    keys_of_different_routes_and_workspaces_never_meet,
];

async fn of_many_creates_with_one_key_exactly_one_is_new(db: Database) {
    let workspace = workspace(&*db.store).await;
    let expires = START.plus(secs(60));
    let mut creates = JoinSet::new();
    for number in 0..40 {
        let store = Arc::clone(&db.store);
        let new = Video::of(workspace).bound("key", number, expires).build();
        creates.spawn(async move {
            let id = new.job.admission.id.to_string();
            (id, number, store.create_job(new).await.unwrap())
        });
    }
    let created = creates.join_all().await;
    let (winners, losers): (Vec<_>, Vec<_>) = created
        .into_iter()
        .partition(|(_, _, created)| *created == Created::New);
    let [(winner, digest, _)] = &winners[..] else {
        panic!("{} creates were new", winners.len())
    };
    let bound = Bound {
        digest: [*digest; 32],
        object: winner.clone(),
    };
    for (_, _, created) in losers {
        assert_eq!(created, Created::AlreadyBound(bound.clone()));
    }
    let audit = db.store.audit().await.unwrap();
    assert_eq!((audit.jobs, audit.holds_open), (1, 1));
}

async fn a_binding_outlives_a_restart(mut db: Database) {
    let workspace = workspace(&*db.store).await;
    let expires = START.plus(secs(60));
    let video = || Video::of(workspace).bound("key", 1, expires);
    let job = video().create(&*db.store).await;
    db.reopen().await;
    let bound = Bound {
        digest: [1; 32],
        object: job.admission.id.to_string(),
    };
    let found = db
        .store
        .find_binding(workspace, "videos.create", "key", START)
        .await;
    assert_eq!(found.unwrap(), Some(bound.clone()));
    let again = db.store.create_job(video().build()).await.unwrap();
    assert_eq!(again, Created::AlreadyBound(bound));
}

async fn an_expired_binding_is_free_again(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let expires = START.plus(secs(60));
    Video::of(workspace)
        .bound("key", 1, expires)
        .create(store)
        .await;
    let find = async |now| {
        let found = store
            .find_binding(workspace, "videos.create", "key", now)
            .await;
        found.unwrap()
    };
    assert!(find(START.plus(secs(59))).await.is_some());
    assert!(find(expires).await.is_none());
    let later = expires.plus(secs(60));
    let job = Video::of(workspace)
        .at(expires)
        .bound("key", 2, later)
        .create(store)
        .await;
    let bound = find(expires).await.unwrap();
    assert_eq!(bound.object, job.admission.id.to_string());
    assert_eq!(bound.digest, [2; 32]);
}

async fn keys_of_different_routes_and_workspaces_never_meet(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let expires = START.plus(secs(60));
    Video::of(ours).bound("key", 1, expires).create(store).await;
    Video::of(theirs)
        .bound("key", 1, expires)
        .create(store)
        .await;
    let mut elsewhere = Video::of(ours).bound("key", 1, expires).build();
    if let Some(binding) = &mut elsewhere.binding {
        binding.route = "videos.retry".into();
    }
    assert_eq!(store.create_job(elsewhere).await.unwrap(), Created::New);
}

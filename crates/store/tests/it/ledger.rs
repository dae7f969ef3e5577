//! Money: funds, holds, balances and the audit that trusts none of them.

use std::sync::Arc;

use filmgate_core::id::WorkspaceId;
use filmgate_core::ledger::Posting;
use filmgate_store::{Audit, Basis, Created, StoreError};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    funds_for_fifty_admit_exactly_fifty_of_a_hundred,
    a_job_without_funds_leaves_no_trace,
    a_top_up_is_available_at_once,
    nobody_can_top_up_a_workspace_that_is_not_there,
    a_hold_is_closed_once_and_a_second_closing_changes_nothing,
    clean_books_pass_the_audit,
    the_audit_finds_a_balance_that_was_touched,
    the_audit_finds_a_balance_that_is_missing,
];

async fn funds_for_fifty_admit_exactly_fifty_of_a_hundred(db: Database) {
    let workspace = workspace(&*db.store).await;
    let store = &db.store;
    store
        .top_up(workspace, nanos(50 * HOLD), START, "a test")
        .await
        .unwrap();
    let mut creates = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(store);
        let new = Video::of(workspace).needing_funds().build();
        creates.spawn(async move { store.create_job(new).await.unwrap() });
    }
    let created = creates.join_all().await;
    let admitted = created.iter().filter(|it| **it == Created::New).count();
    let refused = created
        .iter()
        .filter(|it| **it == Created::InsufficientFunds)
        .count();
    assert_eq!((admitted, refused), (50, 50));
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!((balances.available.0, balances.held.0), (0, 50 * HOLD));
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.jobs, audit.holds_open), (50, 50));
}

async fn a_job_without_funds_leaves_no_trace(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let video = || {
        Video::of(workspace)
            .needing_funds()
            .bound("key", 1, START.plus(secs(60)))
            .build()
    };
    let created = store.create_job(video()).await.unwrap();
    assert_eq!(created, Created::InsufficientFunds);
    assert_eq!(store.audit().await.unwrap(), Audit::default());
    store
        .top_up(workspace, nanos(HOLD), START, "a test")
        .await
        .unwrap();
    assert_eq!(store.create_job(video()).await.unwrap(), Created::New);
}

async fn a_top_up_is_available_at_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let balances = store
        .top_up(workspace, nanos(7), START, "a gift")
        .await
        .unwrap();
    assert_eq!((balances.available.0, balances.held.0), (7, 0));
    assert_eq!(store.balances(workspace).await.unwrap(), balances);
}

async fn nobody_can_top_up_a_workspace_that_is_not_there(db: Database) {
    let nobodys = WorkspaceId::mint(START, entropy());
    let refused = db.store.top_up(nobodys, nanos(7), START, "lost").await;
    assert!(matches!(refused, Err(StoreError::Database(_))));
    assert_eq!(db.store.audit().await.unwrap(), Audit::default());
}

async fn a_hold_is_closed_once_and_a_second_closing_changes_nothing(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    let hold = job.admission.hold.unwrap();
    assert_eq!(store.closings(hold.id).await.unwrap(), 0);
    change(store, &mut job, cancel(), START).await;
    assert_eq!(store.closings(hold.id).await.unwrap(), 1);

    // What `core` never does, a bug might.
    let mut again = filmgate_core::job::admit(&job.admission);
    again.life = job.life.clone();
    again.postings = vec![Posting::capture(hold.id, hold.amount, hold.amount)];
    let basis = Basis::Seen {
        version: job.version,
    };
    let refused = store.commit(job.admission.id, basis, again).await;
    assert!(matches!(refused, Err(StoreError::Database(_))));
    assert_eq!(find(store, &job).await, job);
    assert_eq!(store.closings(hold.id).await.unwrap(), 1);
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!((balances.available.0, balances.held.0), (0, 0));
}

async fn clean_books_pass_the_audit(db: Database) {
    let store = &*db.store;
    let workspace = books(store).await;
    let audit = store.audit().await.unwrap();
    let expected = Audit {
        jobs: 2,
        jobs_not_terminal: 1,
        holds_open: 1,
        postings: 5,
        ..Audit::default()
    };
    assert_eq!(audit, expected);
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!(
        (balances.available.0, balances.held.0),
        (10 * HOLD - 40_000_000 - HOLD, HOLD)
    );
}

async fn the_audit_finds_a_balance_that_was_touched(db: Database) {
    books(&*db.store).await;
    db.engine
        .tamper("UPDATE balances SET available = available + 1, revenue = revenue - 1");
    assert_eq!(db.store.audit().await.unwrap().balances_wrong, 2);
}

async fn the_audit_finds_a_balance_that_is_missing(db: Database) {
    books(&*db.store).await;
    db.engine.tamper("DELETE FROM balances");
    // Every account that was posted to: all six.
    assert_eq!(db.store.audit().await.unwrap().balances_wrong, 6);
}

/// A workspace with funds, a completed video and one under way.
pub(crate) async fn books(store: &dyn filmgate_store::Store) -> WorkspaceId {
    let workspace = workspace(store).await;
    store
        .top_up(workspace, nanos(10 * HOLD), START, "a test")
        .await
        .unwrap();
    completed(store, Video::of(workspace), "out").await;
    Video::of(workspace).create(store).await;
    workspace
}

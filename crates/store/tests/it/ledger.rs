//! Money: funds, holds, balances and the audit that trusts none of them.

use std::sync::Arc;

use filmgate_core::id::WorkspaceId;
use filmgate_core::ledger::{Posting, PostingKind};
use filmgate_core::money::Delta;
use filmgate_store::{Audit, Basis, Binding, Bound, Created, Deed, Once, StoreError};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    funds_for_fifty_admit_exactly_fifty_of_a_hundred,
    a_job_without_funds_leaves_no_trace,
    a_top_up_is_available_at_once_and_an_adjustment_takes_it_back,
    a_credit_sent_twice_under_one_key_is_posted_once,
    nobody_can_top_up_a_workspace_that_is_not_there,
    a_hold_is_closed_once_and_a_second_closing_changes_nothing,
    clean_books_pass_the_audit,
    the_audit_finds_a_balance_that_was_touched,
    the_audit_finds_a_balance_that_is_missing,
    the_audit_finds_a_standing_or_an_activity_that_was_touched,
];

async fn funds_for_fifty_admit_exactly_fifty_of_a_hundred(db: Database) {
    let workspace = workspace(&*db.store).await;
    let store = &db.store;
    fund(&**store, workspace, 50 * HOLD).await;
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
    fund(store, workspace, HOLD).await;
    assert_eq!(store.create_job(video()).await.unwrap(), Created::New);
}

async fn a_top_up_is_available_at_once_and_an_adjustment_takes_it_back(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let given = fund(store, workspace, 7).await;
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!((balances.available.0, balances.held.0), (7, 0));
    let taken = fund(store, workspace, -9).await;
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!((balances.available.0, balances.held.0), (-2, 0));
    assert_eq!(
        (given.kind, taken.kind),
        (PostingKind::TopUp, PostingKind::Adjustment)
    );
    assert_eq!(
        store.find_posting(taken.number).await.unwrap(),
        Some(taken.clone())
    );
    let page = store.postings(workspace, None, 1).await.unwrap();
    assert_eq!((page.rows, page.has_more), (vec![taken.clone()], true));
    let page = store.postings(workspace, Some(taken.number), 1).await;
    let page = page.unwrap();
    assert_eq!((page.rows, page.has_more), (vec![given], false));
    assert_eq!(store.audit().await.unwrap().balances_wrong, 0);
}

async fn nobody_can_top_up_a_workspace_that_is_not_there(db: Database) {
    let nobodys = WorkspaceId::mint(START, entropy());
    let refused = db
        .store
        .post_credit(nobodys, Delta(7), "lost", deed(nobodys))
        .await;
    assert!(matches!(refused, Err(StoreError::Database(_))));
    assert_eq!(db.store.audit().await.unwrap(), Audit::default());
}

async fn a_credit_sent_twice_under_one_key_is_posted_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let bound = || Deed {
        binding: Some(Binding {
            workspace,
            route: "credits.post".into(),
            key: "key".into(),
            digest: [1; 32],
            expires_at: START.plus(secs(60)),
        }),
        ..deed(workspace)
    };
    let post = || store.post_credit(workspace, Delta(7), "a gift", bound());
    let Once::Done(posting) = post().await.unwrap() else {
        panic!("nothing was bound before")
    };
    let again = post().await.unwrap();
    let expected = Bound {
        digest: [1; 32],
        object: posting.number.to_string(),
    };
    assert_eq!(again, Once::AlreadyBound(expected));
    assert_eq!(store.balances(workspace).await.unwrap().available.0, 7);
    let log = store.actions(Some(workspace), None, 10).await.unwrap();
    assert_eq!(log.rows.len(), 2, "the workspace and the credit: {log:?}");
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

async fn the_audit_finds_a_standing_or_an_activity_that_was_touched(db: Database) {
    books(&*db.store).await;
    let wrong = async || {
        let audit = db.store.audit().await.unwrap();
        (audit.standings_wrong, audit.activity_wrong)
    };
    assert_eq!(wrong().await, (0, 0));
    db.engine
        .tamper("UPDATE activity SET user_cost = user_cost + 1");
    assert_eq!(
        wrong().await,
        (1, 1),
        "what was captured is added up from it"
    );
    db.engine.tamper("DELETE FROM activity");
    assert_eq!(wrong().await, (1, 1));
    db.engine
        .tamper("UPDATE key_standings SET held = held + 1, captured = 0");
    assert_eq!(wrong().await, (2, 1));
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
    fund(store, workspace, 10 * HOLD).await;
    completed(store, Video::of(workspace), "out").await;
    Video::of(workspace).create(store).await;
    workspace
}

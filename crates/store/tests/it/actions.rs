//! The operators' log: one line for each deed, and none for what changed nothing.

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::id::{ActionId, KeyId, WorkspaceId};
use filmgate_core::key::{KeyChange, Workspace};
use filmgate_core::money::Delta;
use filmgate_store::{Deed, Inserted, Once, Store};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    every_deed_leaves_one_line_as_it_was_written,
    what_changes_nothing_leaves_no_line,
    the_log_is_read_newest_first_page_by_page,
    a_workspaces_log_is_of_that_workspace_alone,
];

/// A deed of which every field differs from every other deed's.
fn deed_of(kind: ActionKind, workspace: WorkspaceId, object: &str) -> Deed {
    let id = ActionId::mint(START, entropy());
    Deed {
        action: Action {
            id,
            at: START.plus(secs(object.len() as u64)),
            by: (kind != ActionKind::WorkspaceCreated).then(|| KeyId::mint(START, entropy())),
            request_id: (kind != ActionKind::KeyCreated).then(|| format!("req of {id}")),
            kind,
            workspace,
            object: object.to_owned(),
            detail: serde_json::json!({ "asked": [object, 1, null] }),
        },
        binding: None,
    }
}

async fn log(store: &dyn Store, workspace: Option<WorkspaceId>) -> Vec<Action> {
    let page = store.actions(workspace, None, 100).await.unwrap();
    assert!(!page.has_more);
    page.rows
}

async fn every_deed_leaves_one_line_as_it_was_written(mut db: Database) {
    let store = &*db.store;
    let workspace = Workspace {
        id: WorkspaceId::mint(START, entropy()),
        name: "default".into(),
        created_at: START,
    };
    let key = key(workspace.id, unlimited());
    let mut done = Vec::new();
    let mut deed = |kind, object: &str| {
        let deed = deed_of(kind, workspace.id, object);
        done.insert(0, deed.action.clone());
        deed
    };
    let made = deed(ActionKind::WorkspaceCreated, "w");
    let made = store.insert_workspace(workspace.clone(), made).await;
    assert_eq!(made.unwrap(), Once::Done(Inserted::New));
    let made = deed(ActionKind::KeyCreated, "kk");
    let made = store.insert_key(key.clone(), made).await;
    assert_eq!(made.unwrap(), Once::Done(Inserted::New));
    let id = key.key.id;
    let changed = deed(ActionKind::KeyUpdated, "kkk");
    let changed = store.change_key(id, KeyChange::default(), START, changed);
    assert!(changed.await.unwrap().unwrap().is_ok());
    let rotated = deed(ActionKind::KeyRotated, "kkkk");
    let rotated = store.rotate_key(id, [8; 32], START, rotated).await;
    assert!(matches!(rotated.unwrap(), Once::Done(Some(_))));
    let revoked = deed(ActionKind::KeyRevoked, "kkkkk");
    let revoked = store.revoke_key(id, START, revoked).await;
    assert!(revoked.unwrap().is_some());
    let posted = deed(ActionKind::CreditsPosted, "cccccc");
    let posted = store.post_credit(workspace.id, Delta(7), "a gift", posted);
    assert!(matches!(posted.await.unwrap(), Once::Done(_)));

    assert_eq!(log(store, None).await, done);
    db.reopen().await;
    assert_eq!(log(&*db.store, Some(workspace.id)).await, done);
}

async fn what_changes_nothing_leaves_no_line(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let key = keep_key(store, ours, unlimited()).await;
    let revoke = || store.revoke_key(key.key.id, START, deed(ours));
    revoke().await.unwrap();
    let before = log(store, None).await;
    assert_eq!(before.len(), 3, "the workspace, the key, its end");

    revoke().await.unwrap();
    let nobodys = store.revoke_key(KeyId::mint(START, entropy()), START, deed(ours));
    assert_eq!(nobodys.await.unwrap(), None);
    let again = store.insert_key(key.clone(), deed(ours)).await;
    assert_eq!(again.unwrap(), Once::Done(Inserted::Exists));
    let again = store.find_workspace(ours).await.unwrap().unwrap();
    let again = store.insert_workspace(again, deed(ours)).await;
    assert_eq!(again.unwrap(), Once::Done(Inserted::Exists));
    let lost = WorkspaceId::mint(START, entropy());
    let lost = store.post_credit(lost, Delta(7), "lost", deed(ours)).await;
    assert!(lost.is_err());
    assert_eq!(log(store, None).await, before);
}

async fn the_log_is_read_newest_first_page_by_page(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    for amount in 1..=5 {
        fund(store, ours, amount).await;
        fund(store, theirs, amount).await;
    }
    for workspace in [None, Some(ours)] {
        let whole = log(store, workspace).await;
        assert_eq!(whole.len(), if workspace.is_none() { 12 } else { 6 });
        assert!(whole.is_sorted_by(|newer, older| newer.id > older.id));
        for limit in 1..=7 {
            let mut read = Vec::new();
            loop {
                let after = read.last().map(|action: &Action| action.id);
                let page = store.actions(workspace, after, limit).await.unwrap();
                assert!(page.rows.len() <= limit as usize);
                read.extend(page.rows);
                assert_eq!(page.has_more, read.len() < whole.len());
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(read, whole, "in pages of {limit}");
        }
    }
}

async fn a_workspaces_log_is_of_that_workspace_alone(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    fund(store, theirs, 7).await;
    for (workspace, lines) in [(ours, 1), (theirs, 2)] {
        let log = log(store, Some(workspace)).await;
        assert_eq!(log.len(), lines);
        assert!(log.iter().all(|action| action.workspace == workspace));
    }
    let nobodys = WorkspaceId::mint(START, entropy());
    assert_eq!(log(store, Some(nobodys)).await, []);
}

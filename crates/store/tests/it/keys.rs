//! Keys, workspaces and sealed secrets.

use std::sync::Arc;

use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, Role, Workspace};
use filmgate_core::time::UnixTime;
use filmgate_store::{Inserted, StoredKey};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_key_is_found_by_its_kid,
    a_kid_is_taken_once,
    keys_are_listed_oldest_first_revoked_ones_included,
    a_second_revocation_keeps_the_first_instant,
    a_workspaces_name_is_taken_once,
    the_first_secret_of_a_name_stays,
];

fn key(workspace: WorkspaceId, kid: &str, at: UnixTime) -> StoredKey {
    StoredKey {
        key: Key {
            id: KeyId::mint(at, entropy()),
            kid: kid.to_owned(),
            workspace,
            name: format!("the key {kid}"),
            role: Role::Member,
            created_at: at,
            revoked_at: None,
        },
        secret_sha256: [7; 32],
    }
}

async fn a_key_is_found_by_its_kid(db: Database) {
    let store = &*db.store;
    let key = key(workspace(store).await, "abc", START);
    assert_eq!(store.insert_key(key.clone()).await.unwrap(), Inserted::New);
    assert_eq!(store.find_key("abc").await.unwrap(), Some(key));
    assert_eq!(store.find_key("abd").await.unwrap(), None);
}

async fn a_kid_is_taken_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = key(workspace, "abc", START);
    store.insert_key(first.clone()).await.unwrap();
    let second = key(workspace, "abc", START);
    assert_eq!(store.insert_key(second).await.unwrap(), Inserted::Exists);
    assert_eq!(store.find_key("abc").await.unwrap(), Some(first));
}

async fn keys_are_listed_oldest_first_revoked_ones_included(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    for (workspace, kid, seconds) in [(ours, "b", 2), (ours, "a", 1), (theirs, "c", 3)] {
        let key = key(workspace, kid, START.plus(secs(seconds)));
        store.insert_key(key.clone()).await.unwrap();
        store.revoke_key(key.key.id, START).await.unwrap();
    }
    let kids = async |workspace| {
        let keys = store.keys(workspace).await.unwrap();
        keys.into_iter().map(|key| key.kid).collect::<Vec<_>>()
    };
    assert_eq!(kids(Some(ours)).await, ["a", "b"]);
    assert_eq!(kids(None).await, ["a", "b", "c"]);
}

async fn a_second_revocation_keeps_the_first_instant(db: Database) {
    let store = &*db.store;
    let mut key = key(workspace(store).await, "abc", START);
    let id = key.key.id;
    assert_eq!(store.revoke_key(id, START).await.unwrap(), None);
    store.insert_key(key.clone()).await.unwrap();
    key.key.revoked_at = Some(START.plus(secs(1)));
    for seconds in [1, 2] {
        let revoked = store
            .revoke_key(id, START.plus(secs(seconds)))
            .await
            .unwrap();
        assert_eq!(revoked, Some(key.key.clone()));
    }
    assert_eq!(store.find_key("abc").await.unwrap(), Some(key));
}

async fn a_workspaces_name_is_taken_once(db: Database) {
    let store = &*db.store;
    let named = |name: &str| Workspace {
        id: WorkspaceId::mint(START, entropy()),
        name: name.to_owned(),
        created_at: START,
    };
    let (first, second) = (named("default"), named("default"));
    let insert = async |workspace: &Workspace| store.insert_workspace(workspace.clone()).await;
    assert_eq!(insert(&first).await.unwrap(), Inserted::New);
    assert_eq!(insert(&second).await.unwrap(), Inserted::Exists);
    assert_eq!(
        store.workspaces().await.unwrap(),
        std::slice::from_ref(&first)
    );
    assert_eq!(store.find_workspace(first.id).await.unwrap(), Some(first));
    assert_eq!(store.find_workspace(second.id).await.unwrap(), None);
}

async fn the_first_secret_of_a_name_stays(mut db: Database) {
    let mut keepers = JoinSet::new();
    for number in 0..8u8 {
        let store = Arc::clone(&db.store);
        keepers.spawn(async move { store.keep_sealed("links", &[number], START).await.unwrap() });
    }
    let mut kept = keepers.join_all().await;
    kept.dedup();
    assert_eq!(kept.len(), 1, "everybody was told the same");
    db.reopen().await;
    let later = db.store.keep_sealed("links", b"another", START).await;
    assert_eq!(later.unwrap(), kept[0]);
}

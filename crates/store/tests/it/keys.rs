//! Keys, workspaces and sealed secrets.

use std::sync::Arc;

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{KeyChange, KeyTerms, ResetWithoutLimit, Role, Workspace};
use filmgate_core::time::UnixTime;
use filmgate_store::{Binding, Bound, Deed, Inserted, Once, Store, StoredKey};
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
    a_key_keeps_every_term_it_was_made_with,
    a_rotated_key_has_a_new_secret_and_the_old_one_until_its_end,
    a_key_that_is_revoked_or_unknown_is_not_rotated_and_nothing_is_bound,
    a_rotation_sent_twice_under_one_key_happens_once,
    a_change_of_terms_changes_what_it_names_and_nothing_else,
    a_reset_without_a_limit_changes_nothing_and_is_not_logged,
    a_key_that_is_not_there_is_not_changed,
    another_reset_counts_the_captures_of_its_own_period,
];

fn key(workspace: WorkspaceId, kid: &str, at: UnixTime) -> StoredKey {
    let mut stored = crate::builders::key(workspace, unlimited());
    stored.key.kid = kid.to_owned();
    stored.key.created_at = at;
    stored
}

async fn insert(store: &dyn Store, key: &StoredKey) -> Inserted {
    let deed = deed(key.key.workspace);
    match store.insert_key(key.clone(), deed).await.unwrap() {
        Once::Done(inserted) => inserted,
        Once::AlreadyBound(bound) => panic!("bound to {bound:?}"),
    }
}

async fn a_key_is_found_by_its_kid(db: Database) {
    let store = &*db.store;
    let key = key(workspace(store).await, "abc", START);
    assert_eq!(insert(store, &key).await, Inserted::New);
    assert_eq!(store.find_key("abc").await.unwrap(), Some(key));
    assert_eq!(store.find_key("abd").await.unwrap(), None);
}

async fn a_kid_is_taken_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = key(workspace, "abc", START);
    insert(store, &first).await;
    let second = key(workspace, "abc", START);
    assert_eq!(insert(store, &second).await, Inserted::Exists);
    assert_eq!(store.find_key("abc").await.unwrap(), Some(first));
}

async fn keys_are_listed_oldest_first_revoked_ones_included(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    for (workspace, kid, seconds) in [(ours, "b", 2), (ours, "a", 1), (theirs, "c", 3)] {
        let key = key(workspace, kid, START.plus(secs(seconds)));
        insert(store, &key).await;
        let revoked = store.revoke_key(key.key.id, START, deed(workspace)).await;
        revoked.unwrap();
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
    let workspace = workspace(store).await;
    let mut key = key(workspace, "abc", START);
    let id = key.key.id;
    let revoke = |at| store.revoke_key(id, at, deed(workspace));
    assert_eq!(revoke(START).await.unwrap(), None);
    insert(store, &key).await;
    key.key.revoked_at = Some(START.plus(secs(1)));
    for seconds in [1, 2] {
        let revoked = revoke(START.plus(secs(seconds))).await.unwrap();
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
    let insert = async |workspace: &Workspace| {
        store
            .insert_workspace(workspace.clone(), deed(workspace.id))
            .await
            .unwrap()
    };
    assert_eq!(insert(&first).await, Once::Done(Inserted::New));
    assert_eq!(insert(&second).await, Once::Done(Inserted::Exists));
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

/// Every term there is, and none of them the one a key has by itself.
fn all_terms() -> KeyTerms {
    KeyTerms {
        name: "a key of every kind".into(),
        role: Role::Read,
        limit: Some(nanos(5)),
        limit_reset: Some(LimitReset::Weekly),
        expires_at: Some(START.plus(secs(1))),
        disabled: true,
        max_in_flight: Some(3),
    }
}

async fn a_key_keeps_every_term_it_was_made_with(mut db: Database) {
    let workspace = workspace(&*db.store).await;
    for terms in [unlimited(), all_terms()] {
        let key = keep_key(&*db.store, workspace, terms).await;
        db.reopen().await;
        let found = db.store.find_key(&key.key.kid).await.unwrap();
        assert_eq!(found.as_ref(), Some(&key));
        assert_eq!(
            db.store.load_key(key.key.id).await.unwrap(),
            Some(key.key.clone())
        );
        let listed = db.store.keys(Some(workspace)).await.unwrap();
        assert_eq!(listed.last(), Some(&key.key));
    }
}

async fn a_rotated_key_has_a_new_secret_and_the_old_one_until_its_end(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut key = keep_key(store, workspace, all_terms()).await;
    let other = keep_key(store, workspace, all_terms()).await;
    let mut secrets = vec![key.secret_sha256];
    for (secret, seconds) in [([8; 32], 60), ([9; 32], 30)] {
        let until = START.plus(secs(seconds));
        let rotated = store
            .rotate_key(key.key.id, secret, until, deed(workspace))
            .await;
        // Of the secrets before, only the last one is kept.
        key.previous_sha256 = secrets.last().copied();
        key.key.previous_until = Some(until);
        key.secret_sha256 = secret;
        secrets.push(secret);
        assert_eq!(rotated.unwrap(), Once::Done(Some(key.key.clone())));
        let found = store.find_key(&key.key.kid).await.unwrap();
        assert_eq!(found, Some(key.clone()));
    }
    let found = store.find_key(&other.key.kid).await.unwrap();
    assert_eq!(found, Some(other), "no other key is touched");
}

/// A deed with an idempotency key of its own.
fn bound(workspace: WorkspaceId) -> Deed {
    Deed {
        binding: Some(Binding {
            workspace,
            route: "keys.rotate".into(),
            key: "once".into(),
            digest: [1; 32],
            expires_at: START.plus(secs(60)),
        }),
        ..deed(workspace)
    }
}

async fn log_of(store: &dyn Store) -> usize {
    store.actions(None, None, 100).await.unwrap().rows.len()
}

async fn a_key_that_is_revoked_or_unknown_is_not_rotated_and_nothing_is_bound(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut revoked = keep_key(store, workspace, unlimited()).await;
    let revocation = store.revoke_key(revoked.key.id, START, deed(workspace));
    revoked.key = revocation.await.unwrap().unwrap();
    let lines = log_of(store).await;
    for id in [revoked.key.id, KeyId::mint(START, entropy())] {
        let until = START.plus(secs(60));
        let rotated = store.rotate_key(id, [8; 32], until, bound(workspace)).await;
        assert_eq!(rotated.unwrap(), Once::Done(None));
    }
    let found = store.find_key(&revoked.key.kid).await.unwrap();
    assert_eq!(found, Some(revoked));
    assert_eq!(log_of(store).await, lines);
    let binding = store.find_binding(workspace, "keys.rotate", "once", START);
    assert_eq!(binding.await.unwrap(), None);
}

async fn a_rotation_sent_twice_under_one_key_happens_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = keep_key(store, workspace, unlimited()).await;
    let rotate = |secret, seconds| {
        let until = START.plus(secs(seconds));
        store.rotate_key(key.key.id, [secret; 32], until, bound(workspace))
    };
    let Once::Done(Some(rotated)) = rotate(8, 60).await.unwrap() else {
        panic!("nothing was bound before")
    };
    let lines = log_of(store).await;
    let expected = Bound {
        digest: [1; 32],
        object: key.key.id.to_string(),
    };
    assert_eq!(rotate(9, 90).await.unwrap(), Once::AlreadyBound(expected));
    let found = store.find_key(&key.key.kid).await.unwrap().unwrap();
    assert_eq!(found.key, rotated);
    assert_eq!(
        (found.secret_sha256, found.previous_sha256),
        ([8; 32], Some([7; 32]))
    );
    assert_eq!(log_of(store).await, lines);
}

async fn a_change_of_terms_changes_what_it_names_and_nothing_else(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut expected = keep_key(store, workspace, all_terms()).await;
    let other = keep_key(store, workspace, all_terms()).await;
    let none = KeyChange::default();
    type Expected = fn(&mut KeyTerms);
    let changes: [(KeyChange, Expected); 8] = [
        (none.clone(), |_| {}),
        (
            KeyChange {
                name: Some("renamed".into()),
                ..none.clone()
            },
            |terms| terms.name = "renamed".into(),
        ),
        (
            KeyChange {
                role: Some(Role::Admin),
                ..none.clone()
            },
            |terms| terms.role = Role::Admin,
        ),
        (
            KeyChange {
                expires_at: Some(None),
                ..none.clone()
            },
            |terms| terms.expires_at = None,
        ),
        (
            KeyChange {
                disabled: Some(false),
                ..none.clone()
            },
            |terms| terms.disabled = false,
        ),
        (
            KeyChange {
                max_in_flight: Some(Some(4)),
                ..none.clone()
            },
            |terms| terms.max_in_flight = Some(4),
        ),
        (
            KeyChange {
                limit: Some(Some(nanos(6))),
                limit_reset: Some(Some(LimitReset::Daily)),
                ..none.clone()
            },
            |terms| {
                terms.limit = Some(nanos(6));
                terms.limit_reset = Some(LimitReset::Daily);
            },
        ),
        // A limit that is no more takes its reset with it.
        (
            KeyChange {
                limit: Some(None),
                ..none
            },
            |terms| (terms.limit, terms.limit_reset) = (None, None),
        ),
    ];
    for (change, expect) in changes {
        expect(&mut expected.key.terms);
        let changed = store
            .change_key(expected.key.id, change.clone(), START, deed(workspace))
            .await;
        assert_eq!(
            changed.unwrap(),
            Some(Ok(expected.key.clone())),
            "{change:?}"
        );
        let found = store.find_key(&expected.key.kid).await.unwrap();
        assert_eq!(found, Some(expected.clone()), "{change:?}");
    }
    let found = store.find_key(&other.key.kid).await.unwrap();
    assert_eq!(found, Some(other), "no other key is touched");
}

async fn a_reset_without_a_limit_changes_nothing_and_is_not_logged(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = keep_key(store, workspace, unlimited()).await;
    let lines = log_of(store).await;
    let change = KeyChange {
        name: Some("renamed".into()),
        limit_reset: Some(Some(LimitReset::Daily)),
        ..KeyChange::default()
    };
    let refused = store
        .change_key(key.key.id, change, START, deed(workspace))
        .await;
    assert_eq!(refused.unwrap(), Some(Err(ResetWithoutLimit)));
    assert_eq!(store.find_key(&key.key.kid).await.unwrap(), Some(key));
    assert_eq!(log_of(store).await, lines);
}

async fn a_key_that_is_not_there_is_not_changed(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let lines = log_of(store).await;
    let nobodys = KeyId::mint(START, entropy());
    let changed = store
        .change_key(nobodys, KeyChange::default(), START, deed(workspace))
        .await;
    assert_eq!(changed.unwrap(), None);
    assert_eq!(log_of(store).await, lines);
}

/// START is a Monday: what was captured in the month, in the week and on the day before are different sums.
async fn another_reset_counts_the_captures_of_its_own_period(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let limit = Some(nanos(1_000));
    let terms = KeyTerms {
        limit,
        ..unlimited()
    };
    let key = keep_key(store, workspace, terms).await.key;
    const DAY: u64 = 86_400;
    let tuesday = START.plus(secs(DAY));
    let october = tuesday.minus(secs(30 * DAY));
    let sunday = tuesday.minus(secs(2 * DAY));
    for (at, cost) in [(october, 1), (sunday, 2), (START, 4), (tuesday, 8)] {
        let video = Video::of(workspace).key(key.id).holding(20).at(at);
        let mut job = video.create(store).await;
        live(store, &mut job, a_life_costing(cost), at).await;
    }
    // Another key's spending is its own.
    let mut others = Video::of(workspace).at(tuesday).create(store).await;
    live(store, &mut others, a_life_costing(16), tuesday).await;

    let under_way = Video::of(workspace).key(key.id).holding(32).at(tuesday);
    under_way.create(store).await;
    let now = tuesday.plus(secs(3_600));
    for (reset, captured) in [
        (Some(LimitReset::Daily), 8),
        (Some(LimitReset::Monthly), 14),
        (Some(LimitReset::Weekly), 12),
        (None, 15),
    ] {
        let change = KeyChange {
            limit_reset: Some(reset),
            ..KeyChange::default()
        };
        let changed = store.change_key(key.id, change, now, deed(workspace)).await;
        let terms = changed.unwrap().unwrap().unwrap().terms;
        assert_eq!((terms.limit, terms.limit_reset), (limit, reset));
        let standing = store.key_standing(key.id).await.unwrap();
        assert_eq!(standing.captured, nanos(captured), "{reset:?}");
        assert_eq!(standing.counted_from, terms.period_start(now));
        assert_eq!(terms.used(&standing, now), nanos(captured + 32));
        assert_eq!((standing.in_flight, standing.held), (1, nanos(32)));
        assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
    }
}

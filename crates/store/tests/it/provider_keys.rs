//! Workspaces' own credentials at providers, and how long a deleted one's secret stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use filmgate_core::failure::Billed;
use filmgate_core::id::{ProviderKeyId, WorkspaceId};
use filmgate_core::job::Event;
use filmgate_core::provider::Usage;
use filmgate_core::provider_key::ProviderKey;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::{Binding, Deed, Inserted, Intake, Once, Prune, Store, StoredProviderKey};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_credential_is_kept_as_it_was_given,
    a_workspace_has_one_of_a_provider_until_it_is_deleted,
    credentials_are_listed_oldest_first_to_their_own_workspace,
    a_rotation_replaces_the_secret,
    a_deleted_credential_is_not_rotated_and_keeps_its_first_end,
    what_was_sent_twice_under_one_key_happens_once,
    the_secret_of_a_deleted_credential_goes_when_nothing_is_pinned_to_it,
    the_secret_stays_while_a_job_under_way_may_need_it,
    the_secret_stays_while_a_job_that_was_given_up_may_be_billed,
    a_secret_that_is_in_force_or_only_just_deleted_stays,
    jobs_on_an_own_credential_take_none_of_the_operators_places,
];

fn own(workspace: WorkspaceId, provider: &str) -> StoredProviderKey {
    StoredProviderKey {
        key: ProviderKey {
            id: ProviderKeyId::mint(START, entropy()),
            workspace,
            provider: ProviderName(provider.to_owned()),
            label: "ours".into(),
            hint: "cdef".into(),
            created_at: START,
            rotated_at: None,
            deleted_at: None,
        },
        sealed: Some(vec![1, 2, 3]),
    }
}

async fn insert(store: &dyn Store, key: &StoredProviderKey) -> Inserted {
    let deed = deed(key.key.workspace);
    match store.insert_provider_key(key.clone(), deed).await.unwrap() {
        Once::Done(inserted) => inserted,
        Once::AlreadyBound(bound) => panic!("bound to {bound:?}"),
    }
}

/// Deleted at `at`.
async fn deleted(store: &dyn Store, workspace: WorkspaceId, at: UnixTime) -> ProviderKeyId {
    let key = own(workspace, "one");
    insert(store, &key).await;
    let deleted = store
        .delete_provider_key(key.key.id, at, deed(workspace))
        .await;
    assert_eq!(deleted.unwrap().unwrap().deleted_at, Some(at));
    key.key.id
}

/// Prunes at `now`, with no grace. Answers how many secrets went.
async fn prune(store: &dyn Store, now: UnixTime) -> u64 {
    let kept = Duration::from_secs(90 * 86_400);
    let what = Prune {
        now,
        history_before: now.minus(kept),
        deleted_before: now.minus(kept),
        provider_keys_before: now,
        limit: 100,
    };
    store.prune(what).await.unwrap().provider_key_secrets
}

async fn is_sealed(store: &dyn Store, id: ProviderKeyId) -> bool {
    let found = store.load_provider_key(id).await.unwrap();
    found.unwrap().sealed.is_some()
}

async fn a_credential_is_kept_as_it_was_given(db: Database) {
    let store = &*db.store;
    let key = own(workspace(store).await, "one");
    assert_eq!(insert(store, &key).await, Inserted::New);
    let found = store.load_provider_key(key.key.id).await.unwrap();
    assert_eq!(found, Some(key));
    let unknown = ProviderKeyId::mint(START, entropy());
    assert_eq!(store.load_provider_key(unknown).await.unwrap(), None);
}

async fn a_workspace_has_one_of_a_provider_until_it_is_deleted(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let first = own(ours, "one");
    insert(store, &first).await;
    assert_eq!(insert(store, &own(ours, "one")).await, Inserted::Exists);
    assert_eq!(insert(store, &own(ours, "two")).await, Inserted::New);
    assert_eq!(insert(store, &own(theirs, "one")).await, Inserted::New);
    let end = store.delete_provider_key(first.key.id, START, deed(ours));
    end.await.unwrap();
    assert_eq!(insert(store, &own(ours, "one")).await, Inserted::New);
}

async fn credentials_are_listed_oldest_first_to_their_own_workspace(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let mut expected = Vec::new();
    for (provider, seconds) in [("b", 1), ("a", 2)] {
        let mut key = own(ours, provider);
        key.key.id = ProviderKeyId::mint(START.plus(secs(seconds)), entropy());
        insert(store, &key).await;
        expected.push(key.key);
    }
    insert(store, &own(theirs, "a")).await;
    assert_eq!(store.provider_keys(ours).await.unwrap(), expected);
}

async fn a_rotation_replaces_the_secret(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let mut key = own(ours, "one");
    insert(store, &key).await;
    let later = START.plus(secs(5));
    let rotated = store
        .rotate_provider_key(key.key.id, vec![9], "9999".into(), later, deed(ours))
        .await
        .unwrap();
    key.key.hint = "9999".into();
    key.key.rotated_at = Some(later);
    key.sealed = Some(vec![9]);
    assert_eq!(rotated, Once::Done(Some(key.key.clone())));
    let found = store.load_provider_key(key.key.id).await.unwrap();
    assert_eq!(found, Some(key));
}

async fn a_deleted_credential_is_not_rotated_and_keeps_its_first_end(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let id = deleted(store, ours, START).await;
    let rotated = store
        .rotate_provider_key(id, vec![9], String::new(), START, deed(ours))
        .await;
    assert_eq!(rotated.unwrap(), Once::Done(None));
    let later = START.plus(secs(5));
    let again = store.delete_provider_key(id, later, deed(ours)).await;
    assert_eq!(again.unwrap().unwrap().deleted_at, Some(START));
    let unknown = ProviderKeyId::mint(START, entropy());
    let none = store.delete_provider_key(unknown, later, deed(ours)).await;
    assert_eq!(none.unwrap(), None);
    let lines = store.actions(Some(ours), None, 10).await.unwrap().rows;
    assert_eq!(lines.len(), 3, "made, added and deleted: {lines:?}");
}

async fn what_was_sent_twice_under_one_key_happens_once(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let bound = || Deed {
        binding: Some(Binding {
            workspace: ours,
            route: "provider_keys.create".into(),
            key: "k".into(),
            digest: [1; 32],
            expires_at: START.plus(secs(60)),
        }),
        ..deed(ours)
    };
    let key = own(ours, "one");
    let made = store.insert_provider_key(key.clone(), bound()).await;
    assert_eq!(made.unwrap(), Once::Done(Inserted::New));
    let again = store.insert_provider_key(own(ours, "one"), bound()).await;
    let Once::AlreadyBound(found) = again.unwrap() else {
        panic!("it was made twice")
    };
    assert_eq!(found.object, key.key.id.to_string());
    assert_eq!(store.provider_keys(ours).await.unwrap(), [key.key]);
}

async fn the_secret_of_a_deleted_credential_goes_when_nothing_is_pinned_to_it(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let id = deleted(store, ours, START).await;
    // Neither what runs on the operator's account nor another workspace's job keeps it.
    Video::of(ours).by(&["one"]).create(store).await;
    let other = ProviderKeyId::mint(START, entropy());
    let theirs = Video::of(workspace(store).await).on_own_credential(other);
    theirs.create(store).await;
    assert_eq!(prune(store, START).await, 1);
    assert!(!is_sealed(store, id).await);
    assert_eq!(prune(store, START).await, 0);
    let listed = store.provider_keys(ours).await.unwrap();
    assert_eq!(listed[0].id, id, "what it was stays known");
}

async fn the_secret_stays_while_a_job_under_way_may_need_it(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let id = deleted(store, ours, START).await;
    let pinned = Video::of(ours).by(&["two", "one"]).on_own_credential(id);
    let mut job = pinned.create(store).await;
    assert_eq!(prune(store, START).await, 0);
    assert!(is_sealed(store, id).await);
    live(store, &mut job, vec![cancel()], START).await;
    assert_eq!(prune(store, START).await, 1, "it never left");
}

async fn the_secret_stays_while_a_job_that_was_given_up_may_be_billed(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let id = deleted(store, ours, START).await;
    let pinned = Video::of(ours)
        .by(&["one"])
        .on_own_credential(id)
        .kept_for(secs(3600))
        .input("an input");
    let mut job = pinned.create(store).await;
    let events = vec![Event::Claimed, submitted(1), cancel()];
    live(store, &mut job, events, START).await;
    assert!(job.life.fate.is_some());
    assert_eq!(prune(store, START).await, 0);
    let known = Event::FateKnown {
        billed: Billed::No,
        usage: Usage::default(),
    };
    live(store, &mut job, vec![known], START).await;
    assert!(
        job.life.due_at.is_some(),
        "its input is still to be removed"
    );
    assert_eq!(prune(store, START).await, 1);
}

async fn a_secret_that_is_in_force_or_only_just_deleted_stays(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let in_force = own(ours, "two");
    insert(store, &in_force).await;
    let id = deleted(store, ours, START.plus(secs(1))).await;
    assert_eq!(prune(store, START).await, 0);
    assert!(is_sealed(store, id).await && is_sealed(store, in_force.key.id).await);
    assert_eq!(prune(store, START.plus(secs(1))).await, 1);
    assert!(is_sealed(store, in_force.key.id).await);
}

async fn jobs_on_an_own_credential_take_none_of_the_operators_places(db: Database) {
    let store = &*db.store;
    let ours = workspace(store).await;
    let own = ProviderKeyId::mint(START, entropy());
    for _ in 0..3 {
        let pinned = Video::of(ours).by(&["one"]).on_own_credential(own);
        pinned.create(store).await;
    }
    for _ in 0..2 {
        Video::of(ours).by(&["one"]).create(store).await;
    }
    let limited = Intake {
        places: Arc::new(BTreeMap::from([(ProviderName("one".into()), 1)])),
        ..intake("a", START, 10)
    };
    let claims = store.claim_due(&limited).await.unwrap();
    let owned = |claim: &&filmgate_store::Claim| claim.job.admission.is_byok();
    assert_eq!(claims.iter().filter(owned).count(), 3);
    assert_eq!(claims.len(), 4, "and one of the operator's");
}

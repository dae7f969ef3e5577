//! Keys in time: expiry and rotation, by a clock that is moved.

use std::time::Duration;

use filmgate_core::key::{Key, KeyChange, KeyTerms, OutOfForce, Role};
use filmgate_core::time::UnixTime;
use filmgate_engine::keys::{Login, NewKey};
use filmgate_engine::{Made, Operator};

use crate::house::{House, START, Script};

async fn new_key(house: &House, terms: KeyTerms) -> NewKey {
    let workspace = house.caller.workspace;
    let made = house
        .engine
        .create_key(workspace, terms, &Operator::default())
        .await;
    match made.unwrap() {
        Made::New(made) => made,
        Made::Replayed(key) => panic!("{key:?} was made before"),
    }
}

async fn rotate(house: &House, key: &Key, overlap: u64) -> NewKey {
    let overlap = Duration::from_secs(overlap);
    let rotated = house
        .engine
        .rotate_key(key, overlap, &Operator::default())
        .await;
    match rotated.unwrap() {
        Made::New(made) => made,
        Made::Replayed(key) => panic!("{key:?} was rotated before"),
    }
}

/// Whether this text opens anything now.
async fn opens(house: &House, key: &NewKey) -> bool {
    let login = house.engine.authenticate(key.text.expose()).await.unwrap();
    matches!(login, Login::Genuine(_))
}

fn terms() -> KeyTerms {
    KeyTerms::new("k", Role::Member)
}

fn at(seconds: u64) -> UnixTime {
    START.plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn an_old_secret_works_for_the_overlap_and_not_an_instant_longer() {
    let house = House::of(Script::default()).await;
    let first = new_key(&house, terms()).await;
    let second = rotate(&house, &first.key, 60).await;
    assert_eq!(second.key.previous_until, Some(at(60)));
    assert_eq!(
        (first.key.id, &first.key.kid),
        (second.key.id, &second.key.kid)
    );
    house.clock.advance(Duration::from_millis(59_999));
    assert!(opens(&house, &first).await && opens(&house, &second).await);
    house.clock.advance(Duration::from_millis(1));
    assert!(!opens(&house, &first).await && opens(&house, &second).await);
}

#[tokio::test]
async fn a_second_rotation_ends_the_first_secret_whatever_its_overlap_was() {
    let house = House::of(Script::default()).await;
    let first = new_key(&house, terms()).await;
    let second = rotate(&house, &first.key, 3600).await;
    let third = rotate(&house, &first.key, 60).await;
    assert!(!opens(&house, &first).await);
    assert!(opens(&house, &second).await && opens(&house, &third).await);
    let fourth = rotate(&house, &first.key, 0).await;
    assert!(!opens(&house, &third).await && opens(&house, &fourth).await);
}

#[tokio::test]
async fn a_key_expires_at_its_instant_and_a_later_end_brings_it_back() {
    let house = House::of(Script::default()).await;
    let key = new_key(
        &house,
        KeyTerms {
            expires_at: Some(at(60)),
            ..terms()
        },
    )
    .await;
    house.clock.advance(Duration::from_millis(59_999));
    assert!(opens(&house, &key).await);
    house.clock.advance(Duration::from_millis(1));
    let login = house.engine.authenticate(key.text.expose()).await.unwrap();
    assert!(matches!(login, Login::OutOfForce(OutOfForce::Expired)));
    let later = KeyChange {
        expires_at: Some(Some(at(120))),
        ..KeyChange::default()
    };
    let changed = house
        .engine
        .change_key(&key.key, later, &Operator::default())
        .await;
    changed.unwrap();
    assert!(opens(&house, &key).await);
}

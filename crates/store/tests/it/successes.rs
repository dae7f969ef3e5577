//! What the latest successful attempts took, by provider and its model.

use std::time::Duration;

use filmgate_core::failure::Billed;
use filmgate_core::id::ProviderKeyId;
use filmgate_core::job::{Done, Event, Expectation};
use filmgate_core::provider::Usage;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::{Store, Success};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    the_latest_of_each_provider_and_model_are_told_oldest_first,
    it_is_told_between_which_looks_the_provider_was_done,
    only_what_succeeded_is_told_and_only_once,
    a_workspaces_own_credential_makes_no_other_kind,
    what_an_earlier_release_wrote_is_passed_over,
];

fn at(seconds: u64) -> UnixTime {
    START.plus(secs(seconds))
}

fn observed() -> Event {
    Event::Observed {
        progress: None,
        expectation: Expectation::default(),
    }
}

/// Accepted at one second and found done at another, without a look in between.
async fn success(store: &dyn Store, video: Video, accepted: u64, done: u64) {
    let mut job = video.at(at(accepted)).create(store).await;
    let events = vec![Event::Claimed, submitted(1)];
    live(store, &mut job, events, at(accepted)).await;
    live(store, &mut job, vec![succeeded()], at(done)).await;
}

fn told(provider: &str, native_model: &str, accepted: u64, done: u64) -> Success {
    Success {
        provider: ProviderName(provider.into()),
        native_model: native_model.into(),
        accepted_at: at(accepted),
        done: Done {
            after: at(accepted),
            by: at(done),
        },
    }
}

async fn latest(store: &dyn Store, each: u32) -> Vec<Success> {
    store.latest_successes(each).await.unwrap()
}

async fn the_latest_of_each_provider_and_model_are_told_oldest_first(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    assert_eq!(latest(store, 32).await, []);
    let kinds = [("one", "b"), ("one", "a"), ("two", "a"), ("Three", "c#d")];
    for (number, (provider, native_model)) in (0..).zip(kinds) {
        for round in 0..4 {
            let accepted = 100 * round + number;
            let providers: &[&str] = &[provider];
            let video = Video::of(workspace)
                .by(providers)
                .native_model(native_model);
            success(store, video, accepted, accepted + 20).await;
        }
    }
    let expected: Vec<Success> = (2..4)
        .flat_map(|round| {
            (0..).zip(kinds).map(move |(number, (provider, model))| {
                let accepted = 100 * round + number;
                told(provider, model, accepted, accepted + 20)
            })
        })
        .collect();
    assert_eq!(latest(store, 2).await, expected);
    assert_eq!(latest(store, 1).await, expected[4..]);
    assert_eq!(latest(store, 32).await.len(), 16);
}

async fn it_is_told_between_which_looks_the_provider_was_done(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    let begin = vec![Event::Claimed, submitted(1)];
    live(store, &mut job, begin, at(5)).await;
    live(store, &mut job, vec![observed()], at(30)).await;
    live(store, &mut job, vec![succeeded()], at(40)).await;
    // New links and a slow download are no longer the provider's time.
    let renewed = vec![Event::LinkExpired, succeeded()];
    live(store, &mut job, renewed, at(500)).await;
    live(store, &mut job, vec![stored("out")], at(900)).await;
    let done = Done {
        after: at(30),
        by: at(40),
    };
    let expected = Success {
        done,
        ..told("one", "native", 5, 40)
    };
    assert_eq!(latest(store, 32).await, [expected]);
    assert_eq!(done.since(at(5)).not_yet, Duration::from_secs(25));
    let attempts = store.attempts(job.admission.id).await.unwrap();
    assert_eq!(attempts, [job.life.attempt.unwrap()]);
}

async fn only_what_succeeded_is_told_and_only_once(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let ends = [
        vec![],
        vec![failed(Billed::No, Usage::default())],
        vec![cancel()],
        vec![succeeded(), stored("out")],
    ];
    for end in ends {
        let mut job = Video::of(workspace).create(store).await;
        let begin = vec![Event::Claimed, submitted(1), observed()];
        live(store, &mut job, begin, START).await;
        live(store, &mut job, end, at(10)).await;
    }
    assert_eq!(latest(store, 32).await, [told("one", "native", 0, 10)]);
}

async fn a_workspaces_own_credential_makes_no_other_kind(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let own = ProviderKeyId::mint(START, entropy());
    let video = Video::of(workspace).on_own_credential(own);
    success(store, video, 0, 10).await;
    success(store, Video::of(workspace), 1, 12).await;
    let expected = [told("one", "native", 0, 10), told("one", "native", 1, 12)];
    assert_eq!(latest(store, 32).await, expected);
}

async fn what_an_earlier_release_wrote_is_passed_over(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    success(store, Video::of(workspace), 0, 10).await;
    db.engine
        .tamper("UPDATE attempts SET native_model = NULL, not_done_at = NULL, done_at = NULL");
    assert_eq!(latest(store, 32).await, []);
    success(store, Video::of(workspace), 20, 30).await;
    assert_eq!(latest(store, 32).await, [told("one", "native", 20, 30)]);
}

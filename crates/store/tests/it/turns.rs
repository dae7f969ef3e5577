//! Turns: whose jobs are claimed where more is due than can be.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Event, Expectation, State};
use filmgate_core::provider::NativeId;
use filmgate_core::time::UnixTime;
use filmgate_store::{Claim, Places, Store};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_flood_of_one_workspace_does_not_stand_before_the_others,
    nobody_has_a_second_turn_before_everybody_had_one,
    workspaces_that_come_and_go_do_not_end_the_round,
    jobs_under_way_and_jobs_that_wait_share_the_places,
    in_a_house_that_frees_one_place_at_a_time_neither_kind_starves,
    places_one_kind_does_not_need_go_to_the_other,
    what_does_not_fit_is_claimed_later_and_everything_once,
    a_workspace_whose_jobs_are_not_due_yet_takes_no_turn,
    a_workspace_whose_jobs_are_leased_takes_no_turn,
    of_one_workspace_the_longest_due_is_claimed_first,
    what_is_claimed_together_is_in_order,
    the_next_due_instant_takes_both_kinds_in,
    what_is_to_be_fetched_goes_before_polls_that_are_longer_due,
    of_fetches_and_of_polls_the_longest_due_is_claimed_first,
    polls_go_on_while_there_are_always_more_fetches_than_fit,
    fetches_and_polls_together_get_no_more_than_half,
];

async fn claims(store: &dyn Store, now: UnixTime, limit: u32) -> Vec<Claim> {
    let claims = store.claim_due(&intake("a", now, limit)).await;
    claims.unwrap()
}

/// How many jobs of each workspace were claimed.
fn by_workspace(claims: &[Claim]) -> BTreeMap<WorkspaceId, usize> {
    let mut counts = BTreeMap::new();
    for claim in claims {
        *counts.entry(claim.job.admission.workspace).or_default() += 1;
    }
    counts
}

/// How many claims are of jobs under way, and how many of jobs that wait.
fn by_kind(claims: &[Claim]) -> (usize, usize) {
    let waiting = claims
        .iter()
        .filter(|claim| claim.job.life.state == State::Accepted)
        .count();
    (claims.len() - waiting, waiting)
}

async fn wait(store: &dyn Store, workspace: WorkspaceId, jobs: usize, at: UnixTime) {
    for _ in 0..jobs {
        Video::of(workspace).at(at).create(store).await;
    }
}

/// Jobs that a provider has and that are to be polled `next_poll` after `at`.
async fn run(
    store: &dyn Store,
    workspace: WorkspaceId,
    jobs: usize,
    at: UnixTime,
    next_poll: Duration,
) {
    for _ in 0..jobs {
        let mut job = Video::of(workspace).at(at).create(store).await;
        let submitted = Event::Submitted {
            attempt: 1,
            native: NativeId("native".into()),
            expectation: Expectation {
                next_poll,
                ..Expectation::default()
            },
        };
        live(store, &mut job, vec![Event::Claimed, submitted], at).await;
    }
}

/// Jobs whose provider is done, to be fetched from `at` on.
async fn finish(store: &dyn Store, workspace: WorkspaceId, jobs: usize, at: UnixTime) {
    for _ in 0..jobs {
        let mut job = Video::of(workspace).at(at).create(store).await;
        let events = vec![Event::Claimed, submitted(1), succeeded()];
        live(store, &mut job, events, at).await;
    }
}

fn fetches(claims: &[Claim]) -> usize {
    let fetches = claims
        .iter()
        .filter(|claim| matches!(claim.job.life.state, State::Fetching { .. }));
    fetches.count()
}

async fn a_flood_of_one_workspace_does_not_stand_before_the_others(db: Database) {
    let store = &*db.store;
    // Whether it sorts before the others or behind them.
    for place in [0, 3] {
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(workspace(store).await);
        }
        let flood = others.remove(place);
        wait(store, flood, 200, START).await;
        let now = START.plus(secs(600));
        let mut expected = BTreeMap::from([(flood, 5)]);
        for other in others {
            wait(store, other, 1, now).await;
            expected.insert(other, 1);
        }
        assert_eq!(by_workspace(&claims(store, now, 8).await), expected);
        let rest = claims(store, now, 1_000).await;
        assert_eq!(by_workspace(&rest), BTreeMap::from([(flood, 195)]));
    }
}

async fn nobody_has_a_second_turn_before_everybody_had_one(db: Database) {
    let store = &*db.store;
    let mut turns = BTreeMap::new();
    for _ in 0..5 {
        turns.insert(workspace(store).await, 0usize);
    }
    for (number, workspace) in turns.keys().enumerate() {
        // The first have been waiting the longest.
        let at = START.plus(secs(number as u64 * 100));
        wait(store, *workspace, 6, at).await;
    }
    let now = START.plus(secs(1_000));
    for round in 1..=10 {
        let claimed = claims(store, now, 3).await;
        assert_eq!(claimed.len(), 3);
        for (workspace, count) in by_workspace(&claimed) {
            *turns.get_mut(&workspace).unwrap() += count;
        }
        let (least, most) = (turns.values().min(), turns.values().max());
        assert!(
            most.unwrap() - least.unwrap() <= 1,
            "after claim {round}: {turns:?}"
        );
    }
    assert!(claims(store, now, 3).await.is_empty());
}

async fn workspaces_that_come_and_go_do_not_end_the_round(db: Database) {
    let store = &*db.store;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(workspace(store).await);
    }
    for id in [ids[0], ids[2]] {
        wait(store, id, 10, START).await;
    }
    wait(store, ids[3], 1, START).await;
    let turn = async || {
        let claimed = claims(store, START, 1).await;
        let of = claimed[0].job.admission.workspace;
        ids.iter().position(|id| *id == of).unwrap()
    };
    let mut turns = Vec::new();
    for _ in 0..3 {
        turns.push(turn().await);
    }
    // The last one of the round has nothing left; one that was not there has something now.
    wait(store, ids[1], 10, START).await;
    for _ in 0..4 {
        turns.push(turn().await);
    }
    assert_eq!(turns, [0, 2, 3, 0, 1, 2, 0]);
}

async fn jobs_under_way_and_jobs_that_wait_share_the_places(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    // Whichever kind has been due for longer.
    for (under_way, waiting) in [(0, 100), (100, 0)] {
        let at = |seconds| START.plus(secs(seconds));
        run(store, workspace, 20, at(under_way), secs(0)).await;
        wait(store, workspace, 20, at(waiting)).await;
        let now = START.plus(secs(200));
        assert_eq!(by_kind(&claims(store, now, 8).await), (4, 4));
        assert_eq!(by_kind(&claims(store, now, 2).await), (1, 1));
        // An odd place goes to one kind and then to the other.
        assert_eq!(by_kind(&claims(store, now, 5).await), (3, 2));
        assert_eq!(by_kind(&claims(store, now, 5).await), (2, 3));
        assert_eq!(by_kind(&claims(store, now, 1_000).await), (10, 10));
    }
}

async fn in_a_house_that_frees_one_place_at_a_time_neither_kind_starves(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    run(store, workspace, 20, START, secs(0)).await;
    wait(store, workspace, 20, START).await;
    let mut claimed = (0, 0);
    for _ in 0..10 {
        let (begun, waiting) = by_kind(&claims(store, START, 1).await);
        claimed = (claimed.0 + begun, claimed.1 + waiting);
    }
    assert_eq!(claimed, (5, 5));
}

async fn places_one_kind_does_not_need_go_to_the_other(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    for (under_way, waiting, expected) in [
        (2, 20, (2, 6)),
        (20, 2, (6, 2)),
        (4, 4, (4, 4)),
        (0, 20, (0, 8)),
        (20, 0, (8, 0)),
        (3, 3, (3, 3)),
    ] {
        run(store, workspace, under_way, START, secs(0)).await;
        wait(store, workspace, waiting, START).await;
        let claimed = by_kind(&claims(store, START, 8).await);
        assert_eq!(claimed, expected, "of {under_way} and {waiting}");
        let (begun, left) = (under_way - expected.0, waiting - expected.1);
        let rest = by_kind(&claims(store, START, 1_000).await);
        assert_eq!(rest, (begun, left));
    }
}

async fn what_does_not_fit_is_claimed_later_and_everything_once(db: Database) {
    let store = &*db.store;
    let mut made = 0;
    for jobs in [1, 20, 7] {
        let workspace = workspace(store).await;
        wait(store, workspace, jobs, START).await;
        run(store, workspace, jobs, START, secs(0)).await;
        made += 2 * jobs;
    }
    let mut seen: HashSet<VideoId> = HashSet::new();
    // Bounded, so that a store which hands jobs out twice fails instead of going on for ever.
    for limit in [1, 2, 3, 5, 8].into_iter().cycle().take(100) {
        let claimed = claims(store, START, limit).await;
        let left = made - seen.len();
        assert_eq!(claimed.len(), left.min(limit as usize));
        for claim in claimed {
            assert!(seen.insert(claim.job.admission.id), "claimed twice");
        }
    }
    assert_eq!(seen.len(), made);
}

async fn a_workspace_whose_jobs_are_not_due_yet_takes_no_turn(db: Database) {
    let store = &*db.store;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(workspace(store).await);
    }
    let later = START.plus(secs(60));
    wait(store, ids[0], 20, START).await;
    wait(store, ids[1], 20, later).await;
    wait(store, ids[2], 1, START).await;
    let claimed = by_workspace(&claims(store, START, 4).await);
    assert_eq!(claimed, BTreeMap::from([(ids[0], 3), (ids[2], 1)]));
    let claimed = by_workspace(&claims(store, later, 4).await);
    assert_eq!(claimed.get(&ids[1]), Some(&2), "{claimed:?}");
}

async fn a_workspace_whose_jobs_are_leased_takes_no_turn(db: Database) {
    let store = &*db.store;
    let (leased, free) = (workspace(store).await, workspace(store).await);
    wait(store, leased, 2, START).await;
    assert_eq!(claims(store, START, 10).await.len(), 2);
    wait(store, free, 20, START).await;
    let now = START.plus(LEASE - secs(1));
    let claimed = by_workspace(&claims(store, now, 4).await);
    assert_eq!(claimed, BTreeMap::from([(free, 4)]));
    let claimed = by_workspace(&claims(store, START.plus(LEASE), 4).await);
    assert_eq!(claimed, BTreeMap::from([(leased, 2), (free, 2)]));
}

async fn of_one_workspace_the_longest_due_is_claimed_first(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let at = |seconds| START.plus(secs(seconds));
    for seconds in [5, 1, 4, 2, 3] {
        wait(store, ours, 1, at(seconds)).await;
        wait(store, theirs, 1, at(10 + seconds)).await;
    }
    let claimed = claims(store, at(60), 4).await;
    let due: Vec<_> = claimed
        .iter()
        .map(|claim| claim.job.admission.created_at)
        .collect();
    assert_eq!(due, [1, 2, 11, 12].map(at));
}

async fn what_is_claimed_together_is_in_order(db: Database) {
    let store = &*db.store;
    let at = |seconds| START.plus(secs(seconds));
    for seconds in [7, 1, 4] {
        let workspace = workspace(store).await;
        wait(store, workspace, 9, at(seconds)).await;
        run(store, workspace, 3, at(seconds), secs(1)).await;
    }
    for limit in [5, 8, 1_000] {
        let claimed = claims(store, at(60), limit).await;
        let due: Vec<_> = claimed.iter().map(|claim| claim.job.life.due_at).collect();
        assert!(due.is_sorted(), "{due:?}");
    }
}

async fn the_next_due_instant_takes_both_kinds_in(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let at = |seconds| START.plus(secs(seconds));
    let next = async || store.next_due(START, &Places::default()).await.unwrap();
    run(store, workspace, 1, START, secs(30)).await;
    assert_eq!(next().await, Some(at(30)));
    wait(store, workspace, 1, at(20)).await;
    assert_eq!(next().await, Some(at(20)));
    run(store, workspace, 1, START, secs(10)).await;
    assert_eq!(next().await, Some(at(10)));
    // What is leased can be claimed once the lease has run out.
    assert_eq!(claims(store, at(10), 10).await.len(), 1);
    assert_eq!(next().await, Some(at(20)));
    assert_eq!(claims(store, at(20), 10).await.len(), 1);
    assert_eq!(next().await, Some(at(30)));
    assert_eq!(claims(store, at(30), 10).await.len(), 1);
    assert_eq!(next().await, Some(at(10).plus(LEASE)));
}

/// Links die; whether a job that runs is asked for now or a little later is the same to it.
async fn what_is_to_be_fetched_goes_before_polls_that_are_longer_due(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let now = START.plus(secs(100));
    for (limit, expected) in [(1, 1), (4, 3), (8, 2)] {
        run(store, workspace, 20, START, secs(0)).await;
        finish(store, workspace, expected, now).await;
        let claimed = claims(store, now, limit).await;
        assert_eq!(claimed.len(), limit as usize);
        assert_eq!(fetches(&claimed), expected, "of {limit}");
        let rest = claims(store, now, 1_000).await;
        assert_eq!(
            (rest.len(), fetches(&rest)),
            (20 - (limit as usize - expected), 0)
        );
    }
}

async fn of_fetches_and_of_polls_the_longest_due_is_claimed_first(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let at = |seconds| START.plus(secs(seconds));
    for seconds in [5, 1, 4, 2, 3, 6] {
        run(store, workspace, 1, at(seconds), secs(0)).await;
        finish(store, workspace, 1, at(10 + seconds)).await;
    }
    let due = async |limit| {
        let claimed = claims(store, at(60), limit).await;
        let due = claimed.iter().map(|claim| claim.job.life.due_at.unwrap());
        due.collect::<Vec<_>>()
    };
    assert_eq!(due(4).await, [1, 11, 12, 13].map(at));
    assert_eq!(due(4).await, [2, 14, 15, 16].map(at));
    assert_eq!(due(2).await, [3, 4].map(at));
}

async fn polls_go_on_while_there_are_always_more_fetches_than_fit(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    run(store, workspace, 20, START, secs(0)).await;
    finish(store, workspace, 60, START).await;
    // However small the places are in which they are handed out.
    for (limit, times) in [(1, 8), (2, 4), (3, 4), (8, 2)] {
        let (mut all, mut fetched) = (0, 0);
        for _ in 0..times {
            let claimed = claims(store, START, limit).await;
            (all, fetched) = (all + claimed.len(), fetched + fetches(&claimed));
        }
        assert_eq!(all, limit as usize * times);
        assert_eq!(all - fetched, all / 4, "polls, by {limit} at a time");
    }
}

async fn fetches_and_polls_together_get_no_more_than_half(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    run(store, workspace, 20, START, secs(0)).await;
    finish(store, workspace, 20, START).await;
    wait(store, workspace, 20, START).await;
    let claimed = claims(store, START, 16).await;
    assert_eq!((by_kind(&claimed), fetches(&claimed)), ((8, 8), 6));
    let rest = claims(store, START, 1_000).await;
    assert_eq!((by_kind(&rest), fetches(&rest)), ((32, 12), 14));
}

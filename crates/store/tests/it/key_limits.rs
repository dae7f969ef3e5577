//! What a key may have under way and spend: admitted to the last place and the last nano, refused beyond.

use std::sync::Arc;

use filmgate_core::calendar::{Day, LimitReset};
use filmgate_core::failure::Billed;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::job::{Event, Status};
use filmgate_core::key::{KeyChange, KeyRefusal, KeyStanding, KeyTerms};
use filmgate_core::provider::Usage;
use filmgate_core::time::UnixTime;
use filmgate_store::{Created, Store};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_key_has_as_many_jobs_under_way_as_it_may_and_one_more_after_any_end,
    of_forty_creates_at_once_a_key_for_ten_admits_exactly_ten,
    a_limit_for_fifty_holds_admits_exactly_fifty_of_a_hundred,
    a_limit_counts_what_is_held_and_what_was_captured,
    a_capture_below_the_hold_frees_the_rest,
    what_was_charged_beyond_the_hold_counts_too,
    a_job_that_ended_counts_until_its_hold_is_closed,
    after_a_reset_captures_no_longer_count_and_holds_do,
    a_limit_resets_at_the_end_of_its_own_period,
    a_capture_counts_in_the_period_it_is_made_in,
    a_capture_committed_after_one_of_the_next_period_leaves_the_books_right,
    a_refusal_leaves_no_trace,
    a_limit_that_is_changed_is_kept_from_the_next_create_on,
    a_standing_outlives_a_restart,
];

const DAY: u64 = 86_400;

async fn limited(
    store: &dyn Store,
    workspace: WorkspaceId,
    limit: i64,
    limit_reset: Option<LimitReset>,
) -> KeyId {
    let terms = KeyTerms {
        limit: Some(nanos(limit)),
        limit_reset,
        ..unlimited()
    };
    keep_key(store, workspace, terms).await.key.id
}

async fn for_at_most(store: &dyn Store, workspace: WorkspaceId, most: u32) -> KeyId {
    let terms = KeyTerms {
        max_in_flight: Some(most),
        ..unlimited()
    };
    keep_key(store, workspace, terms).await.key.id
}

async fn create(store: &dyn Store, video: Video) -> Created {
    store.create_job(video.build()).await.unwrap()
}

fn beyond(limit: i64, used: i64, resets_at: Option<UnixTime>) -> Created {
    Created::KeyRefused(KeyRefusal::Limit {
        limit: nanos(limit),
        used: nanos(used),
        resets_at,
    })
}

async fn a_key_has_as_many_jobs_under_way_as_it_may_and_one_more_after_any_end(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = for_at_most(store, workspace, 3).await;
    let video = Video::of(workspace).key(key);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(video.clone().create(store).await);
    }
    let full = Created::KeyRefused(KeyRefusal::InFlight { most: 3 });
    // However far they have come, they are under way until they have ended.
    let steps = [
        vec![Event::Claimed],
        vec![submitted(1)],
        vec![Event::Unheard { wait: secs(1) }],
        vec![succeeded()],
    ];
    for events in steps {
        live(store, &mut jobs[0], events, START).await;
        assert_eq!(create(store, video.clone()).await, full);
    }
    let other = for_at_most(store, workspace, 3).await;
    Video::of(workspace).key(other).create(store).await;

    let billed = failed(Billed::Yes, Usage::default());
    let ends = [
        (0, vec![stored("out")], Status::Completed),
        (1, vec![cancel()], Status::Cancelled),
        (
            2,
            vec![Event::Claimed, submitted(1), billed],
            Status::Failed,
        ),
    ];
    for (index, events, status) in ends {
        assert_eq!(create(store, video.clone()).await, full);
        live(store, &mut jobs[index], events, START).await;
        assert_eq!(jobs[index].life.status(), status);
        assert_eq!(store.key_standing(key).await.unwrap().in_flight, 2);
        jobs.push(video.clone().create(store).await);
    }
    assert_eq!(create(store, video).await, full);
    assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
}

async fn admitted_at_once(db: &Database, videos: Vec<Video>) -> (usize, Vec<Created>) {
    let mut creates = JoinSet::new();
    for video in videos {
        let (store, new) = (Arc::clone(&db.store), video.build());
        creates.spawn(async move { store.create_job(new).await.unwrap() });
    }
    let created = creates.join_all().await;
    let (admitted, refused): (Vec<_>, Vec<_>) =
        created.into_iter().partition(|it| *it == Created::New);
    (admitted.len(), refused)
}

async fn of_forty_creates_at_once_a_key_for_ten_admits_exactly_ten(db: Database) {
    let workspace = workspace(&*db.store).await;
    let key = for_at_most(&*db.store, workspace, 10).await;
    let videos = vec![Video::of(workspace).key(key); 40];
    let (admitted, refused) = admitted_at_once(&db, videos).await;
    assert_eq!((admitted, refused.len()), (10, 30));
    let full = Created::KeyRefused(KeyRefusal::InFlight { most: 10 });
    assert!(refused.iter().all(|it| *it == full), "{refused:?}");
    let audit = db.store.audit().await.unwrap();
    assert_eq!((audit.jobs, audit.standings_wrong), (10, 0));
}

async fn a_limit_for_fifty_holds_admits_exactly_fifty_of_a_hundred(db: Database) {
    let workspace = workspace(&*db.store).await;
    let key = limited(&*db.store, workspace, 50 * HOLD, None).await;
    let videos = vec![Video::of(workspace).key(key); 100];
    let (admitted, refused) = admitted_at_once(&db, videos).await;
    assert_eq!((admitted, refused.len()), (50, 50));
    let full = beyond(50 * HOLD, 50 * HOLD, None);
    assert!(refused.iter().all(|it| *it == full), "{refused:?}");
    let audit = db.store.audit().await.unwrap();
    assert_eq!((audit.jobs, audit.holds_open), (50, 50));
    assert_eq!(audit.standings_wrong, 0);
}

async fn a_limit_counts_what_is_held_and_what_was_captured(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, None).await;
    let video = Video::of(workspace).key(key);
    let mut first = video.clone().holding(40).create(store).await;
    live(store, &mut first, a_life_costing(30), START).await;
    video.clone().holding(50).create(store).await;
    assert_eq!(
        create(store, video.clone().holding(21)).await,
        beyond(100, 80, None)
    );
    video.clone().holding(20).create(store).await;
    // Years do not help where nothing resets.
    let later = video.at(START.plus(secs(1_000 * DAY))).holding(1);
    assert_eq!(create(store, later).await, beyond(100, 100, None));
    let expected = KeyStanding {
        in_flight: 2,
        held: nanos(70),
        captured: nanos(30),
        counted_from: UnixTime::default(),
    };
    assert_eq!(store.key_standing(key).await.unwrap(), expected);
    let nobodys = KeyId::mint(START, entropy());
    assert_eq!(
        store.key_standing(nobodys).await.unwrap(),
        KeyStanding::default()
    );
}

async fn a_capture_below_the_hold_frees_the_rest(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, None).await;
    let video = Video::of(workspace).key(key).holding(100);
    let mut job = video.clone().create(store).await;
    let next = video.holding(75);
    assert_eq!(create(store, next.clone()).await, beyond(100, 100, None));
    live(store, &mut job, a_life_costing(25), START).await;
    let mut next = next.create(store).await;
    // What is released is free altogether.
    live(store, &mut next, vec![cancel()], START).await;
    Video::of(workspace)
        .key(key)
        .holding(75)
        .create(store)
        .await;
}

async fn what_was_charged_beyond_the_hold_counts_too(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, None).await;
    let video = Video::of(workspace).key(key).holding(10);
    let mut job = video.clone().create(store).await;
    live(store, &mut job, a_life_costing(95), START).await;
    assert_eq!(create(store, video.clone()).await, beyond(100, 95, None));
    let mut job = video.clone().holding(5).create(store).await;
    live(store, &mut job, a_life_costing(95), START).await;
    // Even a job that holds nothing is too much now.
    assert_eq!(
        create(store, video.holding(0)).await,
        beyond(100, 190, None)
    );
    assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
}

async fn a_job_that_ended_counts_until_its_hold_is_closed(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, None).await;
    let video = Video::of(workspace).key(key).holding(100);
    let mut job = video.clone().create(store).await;
    let given_up = vec![Event::Claimed, submitted(1), cancel()];
    live(store, &mut job, given_up, START).await;
    assert_eq!(job.life.status(), Status::Cancelled);
    let standing = store.key_standing(key).await.unwrap();
    assert_eq!((standing.in_flight, standing.held), (0, nanos(100)));
    assert_eq!(create(store, video.clone()).await, beyond(100, 100, None));

    let fate = Event::FateKnown {
        billed: Billed::Yes,
        usage: costing(40),
    };
    live(store, &mut job, vec![fate], START).await;
    assert_eq!(create(store, video.clone()).await, beyond(100, 40, None));
    video.holding(60).create(store).await;
    assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
}

async fn after_a_reset_captures_no_longer_count_and_holds_do(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, Some(LimitReset::Daily)).await;
    let video = Video::of(workspace).key(key);
    let mut spent = video.clone().holding(60).create(store).await;
    live(store, &mut spent, a_life_costing(60), START).await;
    let mut held = video.clone().holding(40).create(store).await;

    let midnight = Day::of(START).end();
    let last = midnight.minus(std::time::Duration::from_millis(1));
    assert_eq!(
        create(store, video.clone().at(last).holding(1)).await,
        beyond(100, 100, Some(midnight))
    );
    let tomorrow = Some(Day::of(midnight).end());
    let next = video.at(midnight);
    assert_eq!(
        create(store, next.clone().holding(61)).await,
        beyond(100, 40, tomorrow)
    );
    next.clone().holding(60).create(store).await;

    // What was held since yesterday and is captured today counts today.
    live(store, &mut held, a_life_costing(30), midnight).await;
    assert_eq!(
        create(store, next.clone().holding(11)).await,
        beyond(100, 90, tomorrow)
    );
    next.holding(10).create(store).await;
    let standing = store.key_standing(key).await.unwrap();
    assert_eq!(
        (standing.captured, standing.counted_from),
        (nanos(30), midnight)
    );
    assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
}

/// START is the morning of Monday 2026-11-23.
async fn a_limit_resets_at_the_end_of_its_own_period(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    for (reset, end) in [
        (LimitReset::Daily, "2026-11-24"),
        (LimitReset::Weekly, "2026-11-30"),
        (LimitReset::Monthly, "2026-12-01"),
    ] {
        let end = end.parse::<Day>().unwrap().start();
        let key = limited(store, workspace, 100, Some(reset)).await;
        let video = Video::of(workspace).key(key).holding(100);
        let mut job = video.clone().create(store).await;
        live(store, &mut job, a_life_costing(100), START).await;
        for at in [START, end.minus(std::time::Duration::from_millis(1))] {
            assert_eq!(
                create(store, video.clone().at(at)).await,
                beyond(100, 100, Some(end)),
                "{reset:?}"
            );
        }
        video.at(end).create(store).await;
    }
}

async fn a_capture_counts_in_the_period_it_is_made_in(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 1_000, Some(LimitReset::Daily)).await;
    let midnight = Day::of(START).end();
    for (at, cost, captured) in [
        (START, 1, 1),
        (midnight.minus(std::time::Duration::from_millis(1)), 2, 3),
        (midnight, 4, 4),
        (midnight.plus(secs(DAY - 1)), 8, 12),
        (midnight.plus(secs(9 * DAY)), 16, 16),
    ] {
        let mut job = Video::of(workspace)
            .key(key)
            .holding(20)
            .create(store)
            .await;
        let mut events = a_life_costing(cost);
        let end = events.split_off(3);
        live(store, &mut job, events, START).await;
        live(store, &mut job, end, at).await;
        let standing = store.key_standing(key).await.unwrap();
        assert_eq!(standing.captured, nanos(captured));
        assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
    }
}

/// Two workers settle around midnight, and whose clock said yesterday commits last.
async fn a_capture_committed_after_one_of_the_next_period_leaves_the_books_right(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 1_000, Some(LimitReset::Daily)).await;
    let midnight = Day::of(START).end();
    let before = midnight.minus(std::time::Duration::from_millis(1));
    for (at, cost) in [(midnight, 1), (before, 2)] {
        let mut job = Video::of(workspace)
            .key(key)
            .holding(20)
            .create(store)
            .await;
        live(store, &mut job, a_life_costing(cost), at).await;
    }
    assert_eq!(store.audit().await.unwrap().standings_wrong, 0);
    let standing = store.key_standing(key).await.unwrap();
    assert_eq!(
        (standing.captured, standing.counted_from),
        (nanos(1), midnight)
    );
}

async fn a_refusal_leaves_no_trace(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    fund(store, workspace, 1_000).await;
    let terms = KeyTerms {
        limit: Some(nanos(100)),
        max_in_flight: Some(2),
        ..unlimited()
    };
    let key = keep_key(store, workspace, terms).await.key.id;
    let video = Video::of(workspace).key(key).needing_funds();
    let mut first = video.clone().holding(60).create(store).await;
    let before = async || {
        let audit = store.audit().await.unwrap();
        let balances = store.balances(workspace).await.unwrap();
        (audit, balances, store.key_standing(key).await.unwrap())
    };

    let too_dear = video.clone().holding(50);
    let too_dear = too_dear.bound("dear", 1, START.plus(secs(60)));
    let untouched = before().await;
    assert_eq!(create(store, too_dear.clone()).await, beyond(100, 60, None));
    assert_eq!(before().await, untouched);

    video.clone().holding(1).create(store).await;
    let too_many = video.holding(1).sent_again(1, 0);
    let untouched = before().await;
    let full = Created::KeyRefused(KeyRefusal::InFlight { most: 2 });
    assert_eq!(create(store, too_many.clone()).await, full);
    assert_eq!(create(store, too_many.clone().sent_again(1, 1)).await, full);
    assert_eq!(before().await, untouched);

    let binding = store.find_binding(workspace, "videos.create", "dear", START);
    assert_eq!(binding.await.unwrap(), None, "a refusal binds nothing");
    live(store, &mut first, vec![cancel()], START).await;
    too_dear.create(store).await;
}

async fn a_limit_that_is_changed_is_kept_from_the_next_create_on(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let key = limited(store, workspace, 100, None).await;
    let video = Video::of(workspace).key(key).holding(100);
    video.clone().create(store).await;
    let change = async |change: KeyChange| {
        let changed = store.change_key(key, change, START, deed(workspace)).await;
        changed.unwrap().unwrap().unwrap();
    };
    let limit = |limit: Option<i64>| KeyChange {
        limit: Some(limit.map(nanos)),
        ..KeyChange::default()
    };
    change(limit(Some(50))).await;
    assert_eq!(
        create(store, video.clone().holding(0)).await,
        beyond(50, 100, None)
    );
    change(limit(Some(200))).await;
    video.clone().create(store).await;
    assert_eq!(create(store, video.clone()).await, beyond(200, 200, None));
    change(limit(None)).await;
    video.clone().create(store).await;
    change(KeyChange {
        max_in_flight: Some(Some(3)),
        ..KeyChange::default()
    })
    .await;
    let full = Created::KeyRefused(KeyRefusal::InFlight { most: 3 });
    assert_eq!(create(store, video).await, full);
}

async fn a_standing_outlives_a_restart(mut db: Database) {
    let workspace = workspace(&*db.store).await;
    let key = limited(&*db.store, workspace, 100, Some(LimitReset::Weekly)).await;
    let video = Video::of(workspace).key(key).holding(40);
    let mut job = video.clone().create(&*db.store).await;
    live(&*db.store, &mut job, a_life_costing(30), START).await;
    video.clone().create(&*db.store).await;
    let standing = db.store.key_standing(key).await.unwrap();
    db.reopen().await;
    assert_eq!(db.store.key_standing(key).await.unwrap(), standing);
    let end = LimitReset::Weekly.period(START).end;
    assert_eq!(create(&*db.store, video).await, beyond(100, 70, Some(end)));
}

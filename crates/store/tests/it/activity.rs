//! Activity: one row for each job that was completed, charged or paid for.

use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Event, Job, Status};
use filmgate_core::provider::Usage;
use filmgate_core::time::UnixTime;
use filmgate_store::{ActivityRow, Dimension, Store, UsageFilter};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};
use crate::usage::everything;

on_every_engine![
    a_completed_job_has_a_row_that_tells_all_of_it,
    a_job_names_the_provider_that_ran_it_last,
    rows_are_newest_first_and_pages_have_no_gap_and_no_repetition,
    a_filtered_list_goes_on_behind_a_row_it_shows,
    a_job_that_was_released_without_cost_has_no_row,
    a_job_its_provider_billed_in_vain_has_one_whoever_bears_it,
    a_completed_job_that_cost_nothing_has_a_row,
    a_bill_that_comes_late_makes_the_row_or_is_added_to_it,
    deleting_a_job_leaves_its_row_and_its_sums,
    activity_is_known_in_its_own_workspace_alone,
];

async fn list(store: &dyn Store, filter: UsageFilter) -> Vec<ActivityRow> {
    let page = store.activity(filter, None, 1_000).await.unwrap();
    assert!(!page.has_more);
    page.rows
}

/// Status, reason, what the user paid and what the provider took.
async fn row_of(store: &dyn Store, job: &Job) -> Option<(Status, String, i64, i64)> {
    let rows = list(store, everything()).await;
    let mut ours = rows
        .into_iter()
        .filter(|row| row.job == job.admission.id)
        .map(|row| {
            let (user, provider) = (row.user_cost.get(), row.provider_cost.get());
            (row.status, row.reason, user, provider)
        });
    let row = ours.next();
    assert_eq!(ours.next(), None, "a job has one row");
    row
}

fn row(
    status: Status,
    reason: &str,
    user: i64,
    provider: i64,
) -> Option<(Status, String, i64, i64)> {
    Some((status, reason.to_owned(), user, provider))
}

async fn a_completed_job_has_a_row_that_tells_all_of_it(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let video = Video::of(workspace).model("maker/other").marked_up(1_000);
    let mut job = video.create(store).await;
    let end = START.plus(secs(42));
    let mut events = vec![Event::Claimed, submitted(1), succeeded_for(1_000)];
    live(store, &mut job, events.clone(), START).await;
    let mut short = asset(1, "short");
    short.duration_ms = 1_500;
    events = vec![Event::Stored {
        assets: vec![asset(0, "out"), short],
        missing: Vec::new(),
    }];
    live(store, &mut job, events, end).await;
    let expected = ActivityRow {
        job: job.admission.id,
        generation: job.admission.generation_id,
        created_at: START,
        at: end,
        workspace,
        key: job.admission.key,
        model: "maker/other".into(),
        provider: "one".into(),
        status: Status::Completed,
        reason: "completed".into(),
        outputs: 2,
        output_ms: 5_500,
        user_cost: nanos(1_100),
        provider_cost: nanos(1_000),
    };
    assert_eq!(list(store, everything()).await, [expected]);
}

async fn a_job_names_the_provider_that_ran_it_last(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let unbilled = || Event::FailedUpstream {
        failure: Failure::passing(FailureCode::ProviderError, "it broke"),
        usage: Usage::default(),
    };
    let billed = || Failure::permanent(FailureCode::ProviderError, "no").billed(Billed::Yes);
    let ends = [
        vec![submitted(2), failed(Billed::Yes, costing(7))],
        // It took the money and not the job, whose page still shows the one before.
        vec![Event::Refused {
            attempt: 2,
            failure: billed(),
            jitter: secs(0),
        }],
    ];
    for end in ends {
        let video = Video::of(workspace).by(&["one", "two"]);
        let mut job = video.create(store).await;
        let mut events = vec![Event::Claimed, submitted(1), unbilled(), Event::Claimed];
        events.extend(end);
        live(store, &mut job, events, START).await;
        let rows = list(store, everything()).await;
        let ours = rows.iter().find(|row| row.job == job.admission.id);
        assert_eq!(ours.map(|row| row.provider.as_str()), Some("two"));
    }
}

/// Completed jobs, some of which ended at the same instant; in the order of their rows.
async fn settled(store: &dyn Store, workspace: WorkspaceId, seconds: &[u64]) -> Vec<VideoId> {
    let mut ended = Vec::new();
    for (number, seconds) in seconds.iter().enumerate() {
        let at = START.plus(secs(*seconds));
        let mut job = Video::of(workspace).create(store).await;
        live(store, &mut job, a_life_costing(1 + number as i64), at).await;
        ended.push((at, job.admission.id));
    }
    ended.sort_unstable();
    ended.into_iter().rev().map(|(_, id)| id).collect()
}

async fn pages(store: &dyn Store, filter: &UsageFilter, limit: u32) -> Vec<ActivityRow> {
    let mut read: Vec<ActivityRow> = Vec::new();
    loop {
        let after = read.last().map(|row| row.job);
        let page = store.activity(filter.clone(), after, limit).await.unwrap();
        assert!(page.rows.len() <= limit as usize);
        assert!(!page.rows.is_empty() || after.is_none());
        read.extend(page.rows);
        if !page.has_more {
            return read;
        }
    }
}

async fn rows_are_newest_first_and_pages_have_no_gap_and_no_repetition(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    // Neither in the order they were made in, nor all at different instants.
    let expected = settled(store, workspace, &[5, 1, 3, 3, 9, 3, 1, 3, 5, 3, 3]).await;
    for limit in 1..=12 {
        let rows = pages(store, &everything(), limit).await;
        let listed: Vec<_> = rows.iter().map(|row| row.job).collect();
        assert_eq!(listed, expected, "in pages of {limit}");
        assert!(rows.is_sorted_by(|newer, older| newer.at >= older.at));
    }
}

async fn a_filtered_list_goes_on_behind_a_row_it_shows(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let mut expected = settled(store, ours, &[2, 2, 1]).await;
    settled(store, theirs, &[2, 2, 1]).await;
    expected.extend(settled(store, ours, &[0, 0]).await);
    let filter = UsageFilter {
        workspace: Some(ours),
        ..everything()
    };
    for limit in [1, 2, 3] {
        let rows = pages(store, &filter, limit).await;
        let listed: Vec<_> = rows.iter().map(|row| row.job).collect();
        assert_eq!(listed, expected, "in pages of {limit}");
    }
    let nobodys = VideoId::mint(START, entropy());
    let refused = store.activity(everything(), Some(nobodys), 1).await;
    assert!(refused.is_err(), "there is no place behind nothing");
}

async fn a_job_that_was_released_without_cost_has_no_row(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let given_up = |billed| {
        let usage = Usage::default();
        let fate = Event::FateKnown { billed, usage };
        vec![Event::Claimed, submitted(1), cancel(), fate]
    };
    let unbilled = failed(Billed::No, Usage::default());
    for events in [
        vec![],
        vec![cancel()],
        vec![Event::Expire],
        vec![Event::Claimed, submitted(1), unbilled],
        vec![Event::Claimed, submitted(1), cancel()],
        given_up(Billed::No),
        given_up(Billed::Unknown),
    ] {
        let mut job = Video::of(workspace).create(store).await;
        live(store, &mut job, events, START).await;
        assert_eq!(row_of(store, &job).await, None);
        let known = store.has_activity(workspace, job.admission.id).await;
        assert!(!known.unwrap());
    }
    assert_eq!(store.audit().await.unwrap().activity_wrong, 0);
}

async fn a_job_its_provider_billed_in_vain_has_one_whoever_bears_it(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let undelivered = || Event::FetchFailed {
        failure: Failure::passing(FailureCode::OutputUnavailable, "it is gone"),
    };
    let billed = || failed(Billed::Yes, costing(60));
    let expired = || Event::ExpiredUpstream {
        billed: Billed::Yes,
        usage: costing(60),
    };
    let running = || vec![Event::Claimed, submitted(1)];
    let fetching = || vec![Event::Claimed, submitted(1), succeeded_for(60)];
    let cases = [
        // By the provider's own word, at most the hold.
        (
            50,
            running(),
            billed(),
            row(Status::Failed, "failed_billed", 50, 60),
        ),
        (
            70,
            running(),
            billed(),
            row(Status::Failed, "failed_billed", 60, 60),
        ),
        (
            70,
            running(),
            expired(),
            row(Status::Expired, "expired_billed", 60, 60),
        ),
        (
            70,
            fetching(),
            cancel(),
            row(Status::Cancelled, "cancelled_billed", 60, 60),
        ),
        // What never reached the user is the operator's loss in any case.
        (
            70,
            fetching(),
            undelivered(),
            row(Status::Failed, "released", 0, 60),
        ),
    ];
    for (hold, mut events, end, expected) in cases {
        events.push(end);
        let video = Video::of(workspace).holding(hold);
        let mut job = video.clone().create(store).await;
        live(store, &mut job, events.clone(), START).await;
        assert_eq!(row_of(store, &job).await, expected);

        let mut job = video.at_the_operators_risk().create(store).await;
        live(store, &mut job, events, START).await;
        let status = job.life.status();
        assert_eq!(row_of(store, &job).await, row(status, "released", 0, 60));
    }
    let rows = list(store, everything()).await;
    assert!(
        rows.iter()
            .all(|row| (row.outputs, row.output_ms) == (0, 0))
    );
    assert_eq!(store.audit().await.unwrap().activity_wrong, 0);
}

async fn a_completed_job_that_cost_nothing_has_a_row(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    live(store, &mut job, a_life_costing(0), START).await;
    let expected = row(Status::Completed, "completed", 0, 0);
    assert_eq!(row_of(store, &job).await, expected);
    let sums = store.usage(everything(), vec![], 1).await.unwrap();
    assert_eq!((sums.rows[0].jobs, sums.rows[0].outputs), (1, 1));
    assert_eq!(store.audit().await.unwrap().activity_wrong, 0);
}

async fn a_bill_that_comes_late_makes_the_row_or_is_added_to_it(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let tomorrow = START.plus(secs(86_400));
    let refused = |billed| Event::Refused {
        attempt: 1,
        failure: Failure::permanent(FailureCode::ProviderError, "no").billed(billed),
        jitter: secs(0),
    };
    // The acceptance of a submit that was given up, and what it cost after all.
    let late = || {
        let fate = Event::FateKnown {
            billed: Billed::Yes,
            usage: costing(60),
        };
        vec![submitted(1), fate]
    };
    for (billed, before, after, at) in [
        (
            Billed::No,
            None,
            row(Status::Cancelled, "released", 0, 60),
            tomorrow,
        ),
        (
            Billed::Yes,
            row(Status::Cancelled, "cancelled_billed", 50, 40_000_000),
            row(Status::Cancelled, "cancelled_billed", 50, 40_000_060),
            START,
        ),
    ] {
        let mut job = Video::of(workspace).holding(50).create(store).await;
        let given_up = vec![Event::Claimed, cancel(), refused(billed)];
        live(store, &mut job, given_up, START).await;
        assert_eq!(row_of(store, &job).await, before);
        live(store, &mut job, late(), tomorrow).await;
        assert_eq!(row_of(store, &job).await, after);
        let rows = list(store, everything()).await;
        let ours = rows.iter().find(|row| row.job == job.admission.id);
        assert_eq!(ours.map(|row| row.at), Some(at), "a row keeps its day");
        let audit = store.audit().await.unwrap();
        assert_eq!((audit.activity_wrong, audit.standings_wrong), (0, 0));
    }
}

async fn deleting_a_job_leaves_its_row_and_its_sums(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let job = completed(store, Video::of(workspace), "out").await;
    let by = vec![Dimension::Day, Dimension::Key, Dimension::Model];
    let sums = async || store.usage(everything(), by.clone(), 10).await.unwrap();
    let before = (list(store, everything()).await, sums().await);
    assert_eq!(before.0.len(), 1);
    let id = job.admission.id;
    let deleted = store.delete_job(id, job.version, START.plus(secs(1)));
    assert!(deleted.await.unwrap());
    assert_eq!((list(store, everything()).await, sums().await), before);
    assert!(store.has_activity(workspace, id).await.unwrap());
    assert_eq!(store.audit().await.unwrap().activity_wrong, 0);
}

async fn activity_is_known_in_its_own_workspace_alone(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let job = completed(store, Video::of(ours), "out").await;
    let waiting = Video::of(ours).create(store).await;
    let nobodys = VideoId::mint(UnixTime::default(), entropy());
    let id = job.admission.id;
    for (workspace, job, known) in [
        (ours, id, true),
        (theirs, id, false),
        (ours, waiting.admission.id, false),
        (ours, nobodys, false),
    ] {
        assert_eq!(store.has_activity(workspace, job).await.unwrap(), known);
    }
}

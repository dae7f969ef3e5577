//! Repeated creates without an idempotency key: which job they find, and when they are jobs of their own.

use std::collections::HashSet;
use std::sync::Arc;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::Job;
use filmgate_core::key::KeyTerms;
use filmgate_core::repeat::{Answer, RetryCount};
use filmgate_core::time::UnixTime;
use filmgate_store::{Created, Fingerprint, Found, Store};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_retry_that_says_so_finds_its_job_for_a_quarter_of_an_hour,
    a_job_is_found_once_by_each_retry_count_the_one_that_made_it_included,
    a_retry_whose_first_try_never_came_makes_the_job,
    two_deliberate_twins_stay_two_and_the_retries_of_each_find_another_one,
    of_many_retries_of_one_count_exactly_one_finds_the_job,
    the_oldest_of_several_is_found_first,
    a_create_that_says_nothing_finds_a_job_whose_answer_was_lost_for_two_minutes,
    after_a_create_that_said_nothing_was_matched_the_answer_is_open_again,
    a_job_whose_answer_was_given_is_found_only_by_a_retry_that_says_so,
    answers_are_noted_for_several_jobs_at_once_and_for_no_other,
    a_job_that_a_call_has_named_is_found_by_no_create,
    another_workspaces_call_acknowledges_nothing,
    acknowledging_answers_what_finding_would,
    a_restart_loses_the_answers_that_were_open_and_keeps_those_given,
    what_is_too_old_to_be_repeated_is_forgotten_by_what_comes_after,
    what_was_matched_outlives_a_restart,
    a_repeat_holds_nothing_and_is_refused_nothing,
    another_fingerprint_never_matches,
    a_request_with_an_idempotency_key_repeats_nothing_and_is_repeated_by_nothing,
    a_job_is_found_whatever_has_become_of_it,
    a_repeat_is_taken_before_there_is_a_job_as_a_create_would_take_it,
    a_look_that_finds_no_repeat_leaves_nothing,
    of_looks_and_creates_of_one_count_at_once_exactly_one_finds_the_job,
];

/// The request of which the tests send repeats.
fn video(workspace: WorkspaceId, retry: u32) -> Video {
    Video::of(workspace).sent_again(1, retry)
}

async fn send(store: &dyn Store, video: Video) -> Created {
    store.create_job(video.build()).await.unwrap()
}

/// The same request, before there is a job to be made of it.
async fn look(store: &dyn Store, retry: u32, now: UnixTime) -> Option<VideoId> {
    let fingerprint = Fingerprint {
        digest: [1; 32],
        retry: RetryCount(retry),
    };
    store.take_repeat(fingerprint, now).await.unwrap()
}

fn found(job: &Job) -> Created {
    Created::Repeated(job.admission.id)
}

async fn note(store: &dyn Store, job: &Job, answer: Answer) {
    let noted = store.note_answers(vec![job.admission.id], answer);
    noted.await.unwrap();
}

async fn a_retry_that_says_so_finds_its_job_for_a_quarter_of_an_hour(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    let at = |seconds, retry| video(workspace, retry).at(START.plus(secs(seconds)));
    assert_eq!(send(store, at(0, 1)).await, found(&first));
    assert_eq!(send(store, at(899, 2)).await, found(&first));
    let second = at(900, 3).create(store).await;
    assert_eq!(send(store, at(900, 4)).await, found(&second));
}

async fn a_job_is_found_once_by_each_retry_count_the_one_that_made_it_included(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    assert_eq!(send(store, video(workspace, 1)).await, found(&first));
    let second = video(workspace, 1).create(store).await;
    for job in [&first, &second] {
        assert_eq!(send(store, video(workspace, 2)).await, found(job));
    }
    let third = video(workspace, 2).create(store).await;
    // Counts nobody reaches share a place, and are still no crime.
    assert_eq!(send(store, video(workspace, 62)).await, found(&first));
    assert_eq!(
        send(store, video(workspace, u32::MAX)).await,
        found(&second)
    );
    assert_eq!(send(store, video(workspace, 63)).await, found(&third));
    video(workspace, 64).create(store).await;
}

async fn a_retry_whose_first_try_never_came_makes_the_job(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 1).create(store).await;
    assert_eq!(send(store, video(workspace, 2)).await, found(&first));
}

async fn two_deliberate_twins_stay_two_and_the_retries_of_each_find_another_one(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    let second = video(workspace, 0).create(store).await;
    for retry in 1..=3 {
        assert_eq!(send(store, video(workspace, retry)).await, found(&first));
        assert_eq!(send(store, video(workspace, retry)).await, found(&second));
    }
    assert_eq!(store.audit().await.unwrap().jobs, 2);
}

async fn of_many_retries_of_one_count_exactly_one_finds_the_job(db: Database) {
    let workspace = workspace(&*db.store).await;
    let first = video(workspace, 0).create(&*db.store).await;
    let all_at_once = async |counts: Vec<u32>| {
        let mut sent = JoinSet::new();
        for retry in counts {
            let (store, video) = (Arc::clone(&db.store), video(workspace, retry));
            sent.spawn(async move { send(&*store, video).await });
        }
        let created = sent.join_all().await;
        created.iter().filter(|it| **it == found(&first)).count()
    };
    assert_eq!(all_at_once(vec![1; 20]).await, 1);
    assert_eq!(db.store.audit().await.unwrap().jobs, 20);
    assert_eq!(all_at_once((2..22).collect()).await, 20);
    assert_eq!(db.store.audit().await.unwrap().jobs, 20);
}

async fn the_oldest_of_several_is_found_first(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    // Written in another order than they were admitted in.
    let mut jobs = Vec::new();
    for seconds in [3, 1, 2] {
        let at = START.plus(secs(seconds));
        jobs.push(video(workspace, 0).at(at).create(store).await);
    }
    jobs.sort_by_key(|job| job.admission.id);
    let now = START.plus(secs(10));
    for job in &jobs {
        let retry = send(store, video(workspace, 1).at(now)).await;
        assert_eq!(retry, found(job));
    }
    // One that no retry can find any more hides none behind it.
    let late = jobs[1].admission.created_at.plus(secs(899));
    let retry = send(store, video(workspace, 2).at(late)).await;
    assert_eq!(retry, found(&jobs[1]), "the first is too old by then");
}

async fn a_create_that_says_nothing_finds_a_job_whose_answer_was_lost_for_two_minutes(
    db: Database,
) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let at = |seconds| video(workspace, 0).at(START.plus(secs(seconds)));
    let first = at(0).create(store).await;
    // While its request runs, an identical one is a job of its own.
    let second = at(1).create(store).await;
    note(store, &first, Answer::Lost).await;
    assert_eq!(send(store, at(119)).await, found(&first));
    note(store, &first, Answer::Lost).await;
    note(store, &second, Answer::Lost).await;
    assert_eq!(send(store, at(120)).await, found(&second));
    note(store, &second, Answer::Lost).await;
    at(121).create(store).await;
}

async fn after_a_create_that_said_nothing_was_matched_the_answer_is_open_again(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    note(store, &first, Answer::Lost).await;
    assert_eq!(send(store, video(workspace, 0)).await, found(&first));
    video(workspace, 0).create(store).await;
    // Its answer may be lost again and again.
    for _ in 0..3 {
        note(store, &first, Answer::Lost).await;
        assert_eq!(send(store, video(workspace, 0)).await, found(&first));
    }
    // So is it after a match that said so.
    note(store, &first, Answer::Lost).await;
    assert_eq!(send(store, video(workspace, 1)).await, found(&first));
    video(workspace, 0).create(store).await;
}

async fn a_job_whose_answer_was_given_is_found_only_by_a_retry_that_says_so(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    note(store, &first, Answer::Given).await;
    video(workspace, 0).create(store).await;
    assert_eq!(send(store, video(workspace, 1)).await, found(&first));
}

async fn answers_are_noted_for_several_jobs_at_once_and_for_no_other(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(video(workspace, 0).create(store).await);
    }
    let unknown = VideoId::mint(START, entropy());
    let lost = vec![jobs[2].admission.id, unknown, jobs[0].admission.id];
    store.note_answers(lost, Answer::Lost).await.unwrap();
    store.note_answers(Vec::new(), Answer::Lost).await.unwrap();
    for job in [&jobs[0], &jobs[2]] {
        assert_eq!(send(store, video(workspace, 0)).await, found(job));
    }
    video(workspace, 0).create(store).await;
}

async fn a_job_that_a_call_has_named_is_found_by_no_create(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    let second = video(workspace, 0).create(store).await;
    let third = video(workspace, 0).create(store).await;
    note(store, &first, Answer::Lost).await;
    let named = store.acknowledge_job(workspace, first.admission.id).await;
    assert_eq!(named.unwrap(), Found::Job(Box::new(first.clone())));
    // Not even if its answer is noted as lost afterwards.
    note(store, &first, Answer::Lost).await;
    video(workspace, 0).create(store).await;
    assert_eq!(send(store, video(workspace, 1)).await, found(&second));
    assert_eq!(send(store, video(workspace, 1)).await, found(&third));
}

async fn another_workspaces_call_acknowledges_nothing(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let first = video(ours, 0).create(store).await;
    let named = store.acknowledge_job(theirs, first.admission.id).await;
    assert_eq!(named.unwrap(), Found::Absent);
    assert_eq!(send(store, video(ours, 1)).await, found(&first));
    // Nor does a look that no client asked for.
    find(store, &first).await;
    assert_eq!(send(store, video(ours, 2)).await, found(&first));
}

async fn acknowledging_answers_what_finding_would(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let absent = VideoId::mint(START, entropy());
    let mut job = video(workspace, 0).create(store).await;
    live(store, &mut job, vec![cancel()], START).await;
    let id = job.admission.id;
    for _ in 0..2 {
        let found = store.acknowledge_job(workspace, id).await.unwrap();
        assert_eq!(found, Found::Job(Box::new(job.clone())));
    }
    assert!(store.delete_job(id, job.version, START).await.unwrap());
    for (id, expected) in [(id, Found::Deleted), (absent, Found::Absent)] {
        let found = store.acknowledge_job(workspace, id).await.unwrap();
        assert_eq!(found, expected);
    }
}

async fn a_restart_loses_the_answers_that_were_open_and_keeps_those_given(mut db: Database) {
    let workspace = workspace(&*db.store).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(video(workspace, 0).create(&*db.store).await);
    }
    let named = jobs.pop().unwrap().admission.id;
    db.store.acknowledge_job(workspace, named).await.unwrap();
    for (job, answer) in jobs.iter().zip([Answer::Given, Answer::Open, Answer::Lost]) {
        note(&*db.store, job, answer).await;
    }
    db.reopen().await;
    for job in &jobs[1..] {
        assert_eq!(send(&*db.store, video(workspace, 0)).await, found(job));
    }
    video(workspace, 0).create(&*db.store).await;
}

async fn what_is_too_old_to_be_repeated_is_forgotten_by_what_comes_after(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let old = video(workspace, 0).create(store).await;
    let later = START.plus(secs(15 * 60));
    let young = video(workspace, 0).at(later).create(store).await;
    // Even a clock that was set back finds the young one alone.
    let retry = send(store, video(workspace, 1)).await;
    assert_eq!(retry, found(&young));
    let third = video(workspace, 1).create(store).await;
    assert_ne!(third.admission.id, old.admission.id);
}

async fn what_was_matched_outlives_a_restart(mut db: Database) {
    let workspace = workspace(&*db.store).await;
    let first = video(workspace, 0).create(&*db.store).await;
    assert_eq!(send(&*db.store, video(workspace, 1)).await, found(&first));
    db.reopen().await;
    let second = video(workspace, 1).create(&*db.store).await;
    assert_eq!(send(&*db.store, video(workspace, 2)).await, found(&first));
    assert_eq!(send(&*db.store, video(workspace, 2)).await, found(&second));
}

async fn a_repeat_holds_nothing_and_is_refused_nothing(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    fund(store, workspace, HOLD).await;
    let terms = KeyTerms {
        limit: Some(nanos(HOLD)),
        max_in_flight: Some(1),
        ..unlimited()
    };
    let key = keep_key(store, workspace, terms).await.key.id;
    let video = |retry| video(workspace, retry).key(key).needing_funds();
    let first = video(0).create(store).await;
    let books = async || {
        let audit = store.audit().await.unwrap();
        let balances = store.balances(workspace).await.unwrap();
        (audit, balances, store.key_standing(key).await.unwrap())
    };
    let before = books().await;
    note(store, &first, Answer::Lost).await;
    for retry in [0, 1, 2] {
        assert_eq!(send(store, video(retry)).await, found(&first));
    }
    assert_eq!(books().await, before);
    assert_eq!(find(store, &first).await, first, "nor is the job changed");
    assert!(matches!(
        send(store, video(0)).await,
        Created::KeyRefused(_)
    ));
}

async fn another_fingerprint_never_matches(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    note(store, &first, Answer::Lost).await;
    for retry in [0, 1] {
        let other = Video::of(workspace).sent_again(2 + retry as u8, retry);
        other.create(store).await;
    }
    assert_eq!(send(store, video(workspace, 1)).await, found(&first));
}

async fn a_request_with_an_idempotency_key_repeats_nothing_and_is_repeated_by_nothing(
    db: Database,
) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let expires = START.plus(secs(60));
    let bound = |key| Video::of(workspace).bound(key, 1, expires);
    let first = bound("a").create(store).await;
    note(store, &first, Answer::Lost).await;
    let second = video(workspace, 1).create(store).await;
    note(store, &second, Answer::Lost).await;
    bound("b").create(store).await;
    let ids: HashSet<_> = [&first, &second].map(|job| job.admission.id).into();
    assert_eq!(ids.len(), 2);
    assert_eq!(send(store, video(workspace, 2)).await, found(&second));
}

async fn a_job_is_found_whatever_has_become_of_it(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let now = |seconds| -> UnixTime { START.plus(secs(seconds)) };
    let mut job = video(workspace, 0).create(store).await;
    let mut retry = 0;
    for event in a_life_costing(1) {
        live(store, &mut job, vec![event], now(1)).await;
        retry += 1;
        let again = send(store, video(workspace, retry).at(now(2))).await;
        assert_eq!(again, found(&job), "{}", job.life.state.name());
        assert_eq!(find(store, &job).await, job);
    }
}

async fn a_repeat_is_taken_before_there_is_a_job_as_a_create_would_take_it(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = video(workspace, 0).create(store).await;
    let id = Some(first.admission.id);
    // A retry that says so finds it, once by each count, whichever way it comes.
    assert_eq!(look(store, 1, START).await, id);
    assert_eq!(look(store, 1, START).await, None);
    let second = video(workspace, 1).create(store).await;
    assert_eq!(send(store, video(workspace, 2)).await, found(&first));
    assert_eq!(look(store, 2, START).await, Some(second.admission.id));
    // One that says nothing finds it where the answer was lost, and opens that again.
    assert_eq!(look(store, 0, START).await, None);
    note(store, &first, Answer::Lost).await;
    assert_eq!(look(store, 0, START.plus(secs(119))).await, id);
    assert_eq!(look(store, 0, START.plus(secs(119))).await, None);
    note(store, &first, Answer::Lost).await;
    assert_eq!(look(store, 0, START.plus(secs(120))).await, None, "too old");
    store
        .acknowledge_job(workspace, first.admission.id)
        .await
        .unwrap();
    assert_eq!(look(store, 0, START).await, None, "it was named");
}

async fn a_look_that_finds_no_repeat_leaves_nothing(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    assert_eq!(look(store, 1, START).await, None);
    let first = video(workspace, 1).create(store).await;
    assert_eq!(look(store, 1, START).await, None);
    assert_eq!(look(store, 0, START).await, None);
    assert_eq!(send(store, video(workspace, 2)).await, found(&first));
    assert_eq!(store.audit().await.unwrap().jobs, 1);
}

async fn of_looks_and_creates_of_one_count_at_once_exactly_one_finds_the_job(db: Database) {
    let workspace = workspace(&*db.store).await;
    let first = video(workspace, 0).create(&*db.store).await;
    let mut tries = JoinSet::new();
    for number in 0..16 {
        let store = Arc::clone(&db.store);
        let again = video(workspace, 1);
        tries.spawn(async move {
            match number % 2 {
                0 => look(&*store, 1, START).await,
                _ => match send(&*store, again).await {
                    Created::Repeated(video) => Some(video),
                    _ => None,
                },
            }
        });
    }
    // Those that found nothing made further jobs of this count, which only other counts find.
    let found: Vec<VideoId> = tries.join_all().await.into_iter().flatten().collect();
    assert_eq!(found, [first.admission.id]);
}

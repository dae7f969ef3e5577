//! Everything a provider or a crash can do to a job.

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::id::VideoId;
use filmgate_core::job::{AttemptOutcome, Event, State, Status, apply};
use filmgate_core::provider::{NativeId, Observation, Recovered, SubmitRepeat, Submitted, Usage};
use filmgate_store::{AfterCommit, Basis, Intake, Places, WorkerId};
use std::time::Duration;

use crate::house::{House, Script, film, succeeded};

fn lost() -> Result<(), Failure> {
    Err(Failure::lost_answer("the connection was cut"))
}

fn found() -> Recovered {
    Recovered::Found(Submitted {
        native: NativeId("n".into()),
    })
}

async fn ends_as(house: &House, id: VideoId) -> (Status, Option<FailureCode>) {
    let job = house.job(id).await;
    let code = match &job.life.state {
        State::Failed { failure } | State::Expired { failure } => Some(failure.code),
        _ => None,
    };
    (job.life.status(), code)
}

#[tokio::test]
async fn a_job_runs_to_its_stored_and_measured_end() {
    let house = House::of(Script::default()).await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    let job = house.job(id).await;
    let State::Completed { assets, .. } = &job.life.state else {
        panic!("it is {:?}", job.life.state)
    };
    assert_eq!(
        (assets[0].duration_ms, assets[0].bytes),
        (1_000, film().len() as u64)
    );
    assert_eq!(house.stored_files(), 2, "the video and its thumbnail");
    house.audit().await;
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_the_job_goes_on_without_a_second_submit() {
    let house = House::of(Script {
        submits: [lost()].into(),
        recovers: [found()].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
    assert_eq!(house.attempt_keys.lock().unwrap().len(), 1);
    house.audit().await;
}

/// The database made a commit and its answer was lost: first the one before the submit leaves, then the one after it.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_was_made_and_the_submit_goes_on() {
    for before_it in [0, 1] {
        let house = House::of(Script {
            repeat: SubmitRepeat::Never,
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        house.lossy.lose_a_commit_after(before_it);
        house.settle().await;
        house.advance(1).await;
        assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
        assert_eq!(house.attempt_keys.lock().unwrap().len(), 1);
        house.audit().await;
    }
}

#[tokio::test]
async fn a_submit_that_never_arrived_is_made_anew_under_another_key() {
    let house = House::of(Script {
        submits: [lost(), Ok(())].into(),
        recovers: [Recovered::Absent].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
    let keys = house.attempt_keys.lock().unwrap().clone();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    let attempts = house.store.attempts(id).await.unwrap();
    assert_eq!(attempts[0].outcome, AttemptOutcome::Absent);
}

#[tokio::test]
async fn a_provider_that_honours_keys_is_sent_the_same_one_again() {
    let script = Script {
        repeat: SubmitRepeat::SameKey,
        submits: [lost(), lost(), Ok(())].into(),
        ..Script::default()
    };
    let house = House::of(script).await;
    let id = house.create().await;
    house.settle().await;
    house.advance(5).await;
    house.advance(1).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
    let keys = house.attempt_keys.lock().unwrap().clone();
    assert!(
        keys.len() == 3 && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
    assert_eq!(house.job(id).await.life.submissions, 1);
}

#[tokio::test]
async fn where_nobody_can_tell_the_job_fails_rather_than_pays_twice() {
    for script in [
        Script {
            repeat: SubmitRepeat::Never,
            submits: [lost()].into(),
            ..Script::default()
        },
        Script {
            submits: [lost()].into(),
            recovers: [Recovered::Unknown].into(),
            ..Script::default()
        },
    ] {
        let house = House::of(script).await;
        let id = house.create().await;
        house.settle().await;
        assert_eq!(
            ends_as(&house, id).await,
            (Status::Failed, Some(FailureCode::SubmissionAmbiguous))
        );
        assert!(house.job(id).await.life.provider_may_have_charged);
        assert_eq!(
            (
                house.available().await,
                house.attempt_keys.lock().unwrap().len()
            ),
            (0, 1)
        );
        house.audit().await;
    }
}

/// A worker claims the job, commits its attempt, and is never heard of again.
async fn dies_submitting(house: &House, id: VideoId) {
    let lease = Duration::from_secs(90);
    let claim = house
        .store
        .claim_due(&Intake {
            by: WorkerId("dead".into()),
            now: house.engine.now(),
            lease,
            submit_lease: lease,
            limit: 1,
            places: Places::default(),
        })
        .await
        .unwrap()
        .remove(0);
    let transition = apply(&claim.job, Event::Claimed, house.engine.now()).unwrap();
    let basis = Basis::Claim {
        fence: claim.job.fence,
        version: claim.job.version,
        after: AfterCommit::KeepLease,
    };
    house.store.commit(id, basis, transition).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_dies_between_its_attempt_row_and_the_answer_is_succeeded_by_another() {
    let mut house = House::of(Script {
        recovers: [found()].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    dies_submitting(&house, id).await;
    house.another_worker();
    house.settle().await;
    assert_eq!(
        house.job(id).await.life.status(),
        Status::Queued,
        "the lease still holds"
    );
    house.advance(90).await;
    house.advance(1).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
    assert!(
        house.attempt_keys.lock().unwrap().is_empty(),
        "nothing was submitted by anybody else"
    );
    house.audit().await;
}

/// Whoever ends it may die right then, and nobody claims it any more.
#[tokio::test]
async fn a_job_that_has_ended_is_nobodys() {
    let mut house = House::of(Script {
        repeat: SubmitRepeat::Never,
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    dies_submitting(&house, id).await;
    house.another_worker();
    house.lossy.forget_to_give_back();
    house.advance(90).await;
    let ambiguous = Some(FailureCode::SubmissionAmbiguous);
    assert_eq!(ends_as(&house, id).await, (Status::Failed, ambiguous));
    assert_eq!(house.leases(), 0);
}

#[tokio::test]
async fn a_dead_link_is_asked_for_anew_a_few_times() {
    let house = House::of(Script {
        files: [(403, None, Bytes::new()), (200, None, film())].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));

    let house = House::of(Script {
        files: [(410, None, Bytes::new())].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    for _ in 0..5 {
        assert_eq!(house.job(id).await.life.status(), Status::Processing);
        house.advance(10).await;
    }
    assert_eq!(
        ends_as(&house, id).await,
        (Status::Failed, Some(FailureCode::OutputUnavailable))
    );
    house.audit().await;
}

#[tokio::test]
async fn what_is_not_a_whole_playable_video_never_shows_as_completed() {
    let film = film();
    let half = film.slice(..film.len() / 2);
    let files = [
        (200, None, Bytes::new()),
        (200, None, Bytes::from_static(b"<html>an error page</html>")),
        (200, Some(half.len() as u64), half.clone()),
        (200, Some(film.len() as u64), half),
    ];
    for (status, announced, bytes) in files {
        let house = House::of(Script {
            files: [(status, announced, bytes)].into(),
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        house.settle().await;
        house.advance(1).await;
        assert_eq!(
            ends_as(&house, id).await,
            (Status::Failed, Some(FailureCode::OutputInvalid))
        );
        assert_eq!(
            (house.available().await, house.stored_files()),
            (0, 0),
            "the user pays nothing and nothing is kept"
        );
        assert_eq!(
            house.store.attempts(id).await.unwrap()[0]
                .provider_cost
                .unwrap()
                .get(),
            40_000_000
        );
        house.audit().await;
    }
}

#[tokio::test]
async fn a_file_server_that_is_down_delays_the_job_and_does_not_fail_it() {
    let house = House::of(Script {
        files: [(503, None, Bytes::new()), (200, None, film())].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Processing);
    house.advance(5).await;
    assert_eq!(ends_as(&house, id).await, (Status::Completed, None));
}

#[tokio::test]
async fn a_busy_provider_is_asked_again_when_it_said_and_the_job_expires_in_the_end() {
    let busy = Failure::passing(FailureCode::RateLimited, "busy")
        .retry_after(Some(Duration::from_secs(30)));
    let house = House::of(Script {
        submits: [Err(busy)].into(),
        ..Script::default()
    })
    .await;
    let id = house
        .create_as(|request| request.expires_after = Duration::from_secs(100))
        .await;
    house.settle().await;
    house.advance(20).await;
    assert_eq!(
        house.attempt_keys.lock().unwrap().len(),
        1,
        "it is not asked before the time it named"
    );
    house.advance(15).await;
    assert_eq!(house.attempt_keys.lock().unwrap().len(), 2);
    house.advance(70).await;
    assert_eq!(
        ends_as(&house, id).await,
        (Status::Expired, Some(FailureCode::Expired))
    );
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn progress_is_shown_as_the_provider_tells_it() {
    let polls = [
        Observation::Running { progress: Some(30) },
        Observation::Running { progress: Some(20) },
        succeeded(Usage::default()),
    ];
    let house = House::of(Script {
        polls: polls.into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.progress, Some(30));
    house.advance(1).await;
    assert_eq!(
        house.job(id).await.life.progress,
        Some(30),
        "it never goes down"
    );
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.progress, Some(100));
}

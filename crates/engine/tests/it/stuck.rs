//! Work that is stuck comes to an end: by the provider's deadline, by parking, by an operator.

use std::time::Duration;

use filmgate_core::action::ActionKind;
use filmgate_core::failure::FailureCode;
use filmgate_core::id::VideoId;
use filmgate_core::job::{BillingState, Status};
use filmgate_core::provider::{CancelOutcome, Observation, Usage};
use filmgate_engine::{Operator, ParkedError};
use filmgate_store::{Claim, Intake, Places, WorkerId};

use crate::house::{House, Script, Setup, film, succeeded};

const RUNNING: Observation = Observation::Running { progress: None };
const LEASE: Duration = Duration::from_secs(60);

/// A worker that claims what is due and is never heard of again, often enough.
async fn kill_workers(house: &House, times: u32) -> Vec<Claim> {
    let mut claims = Vec::new();
    for _ in 0..times {
        let intake = Intake {
            by: WorkerId("dies".into()),
            now: house.engine.now(),
            lease: LEASE,
            submit_lease: LEASE,
            limit: 10,
            places: Places::default(),
        };
        claims = house.store.claim_due(&intake).await.unwrap();
        house.clock.advance(LEASE);
    }
    claims
}

async fn parked(house: &House) -> Vec<VideoId> {
    let page = house.engine.parked(None, None, 10).await.unwrap();
    page.rows.iter().map(|row| row.job).collect()
}

fn operator(house: &House) -> Operator {
    Operator {
        caller: Some(house.caller),
        ..Operator::default()
    }
}

#[tokio::test]
async fn a_job_nobody_survives_is_parked_and_its_neighbours_are_done() {
    let house = House::of(Script::default()).await;
    let poison = house.create().await;
    kill_workers(&house, 4).await;
    let innocent = house.create().await;
    kill_workers(&house, 1).await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(parked(&house).await, [poison]);
    assert_eq!(house.job(poison).await.life.status(), Status::Queued);
    assert_eq!(house.job(innocent).await.life.status(), Status::Completed);

    let row = &house.engine.parked(None, None, 10).await.unwrap().rows[0];
    assert!(
        row.reason.contains("died 5 times in a row"),
        "{}",
        row.reason
    );
    assert_eq!(row.until, house.job(poison).await.admission.expires_at());
}

#[tokio::test]
async fn a_parked_job_expires_when_its_time_is_over_and_holds_nothing() {
    let house = House::of(Script::default()).await;
    let id = house
        .create_as(|it| it.expires_after = Duration::from_secs(3600))
        .await;
    kill_workers(&house, 5).await;
    house.settle().await;
    assert_eq!(parked(&house).await, [id]);
    house.advance(3600).await;
    let life = house.job(id).await.life;
    assert_eq!(life.status(), Status::Expired);
    assert_eq!(parked(&house).await, []);
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn a_fetch_nobody_survives_ends_by_its_own_deadline() {
    let house = House::of(Script {
        files: [(503, None, film())].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Processing);
    house.clock.advance(Duration::from_secs(10));
    kill_workers(&house, 5).await;
    house.settle().await;
    assert_eq!(parked(&house).await, [id]);
    house.advance(3600).await;
    let life = house.job(id).await.life;
    assert_eq!(life.status(), Status::Failed);
    assert!(
        house.available().await == 0,
        "the operator bears what it cost"
    );
    house.audit().await;
}

#[tokio::test]
async fn an_operator_gives_a_parked_job_back_to_work() {
    let house = House::of(Script::default()).await;
    let id = house.create().await;
    kill_workers(&house, 5).await;
    house.settle().await;
    let unparked = house.engine.unpark(id, &operator(&house)).await.unwrap();
    assert_eq!(unparked.job, id);
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Completed);
    let log = house
        .store
        .actions(None, None, 1)
        .await
        .unwrap()
        .rows
        .remove(0);
    assert_eq!(
        (log.kind, log.object),
        (ActionKind::JobUnparked, id.to_string())
    );
    assert_eq!(log.by, Some(house.caller.key));
    let again = house.engine.unpark(id, &operator(&house)).await;
    assert!(matches!(again, Err(ParkedError::NotParked)));
    house.audit().await;
}

#[tokio::test]
async fn an_operator_ends_a_parked_job_whatever_it_was_at() {
    for submitted in [false, true] {
        let house = House::of(Script {
            polls: [RUNNING].into(),
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        if submitted {
            house.settle().await;
            house.clock.advance(Duration::from_secs(60));
        }
        kill_workers(&house, 5).await;
        house.settle().await;
        let ended = house
            .engine
            .end_parked(id, &operator(&house))
            .await
            .unwrap();
        assert_eq!(ended.job, id);
        let life = house.job(id).await.life;
        assert_eq!(life.status(), Status::Failed);
        assert_eq!(life.provider_may_have_charged, submitted);
        assert_eq!(life.billing_state(), BillingState::Void);
        assert_eq!(house.available().await, 0);
        let log = house
            .store
            .actions(None, None, 1)
            .await
            .unwrap()
            .rows
            .remove(0);
        assert_eq!(
            (log.kind, log.object),
            (ActionKind::JobEnded, id.to_string())
        );
        let lines = house.store.timeline(id).await.unwrap();
        let last = lines.last().unwrap();
        assert_eq!(last.actor, format!("operator:{}", house.caller.key));
        house.audit().await;
    }
}

#[tokio::test]
async fn a_provider_that_takes_too_long_is_cancelled_and_the_job_fails() {
    let setup = Setup {
        deadline: Some(Duration::from_secs(300)),
        ..Setup::default()
    };
    let script = Script {
        polls: [RUNNING].into(),
        cancels: [CancelOutcome::Cancelled(
            filmgate_core::failure::Billed::No,
            Usage::default(),
        )]
        .into(),
        ..Script::default()
    };
    let house = House::set_up(script, setup).await;
    let id = house.create().await;
    house.settle().await;
    house.advance(299).await;
    assert_eq!(house.job(id).await.life.status(), Status::Processing);
    house.advance(61).await;
    let life = house.job(id).await.life;
    assert_eq!(life.status(), Status::Failed);
    let failed = life.state;
    let filmgate_core::job::State::Failed { failure } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.code, FailureCode::ProviderTimeout);
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn a_provider_that_is_done_at_its_deadline_is_not_too_late() {
    let setup = Setup {
        deadline: Some(Duration::from_secs(300)),
        ..Setup::default()
    };
    let house = House::set_up(
        Script {
            polls: [RUNNING].into(),
            ..Script::default()
        },
        setup,
    )
    .await;
    let id = house.create().await;
    house.settle().await;
    house.script(|script| script.polls = [succeeded(Usage::default())].into());
    house.advance(1000).await;
    assert_eq!(house.job(id).await.life.status(), Status::Completed);
}

#[tokio::test]
async fn no_more_jobs_run_at_an_account_than_it_takes() {
    let setup = Setup {
        concurrency: Some(2),
        ..Setup::default()
    };
    let script = Script {
        polls: [RUNNING].into(),
        ..Script::default()
    };
    let house = House::set_up(script, setup).await;
    for number in 0..5 {
        house
            .create_as(|it| it.prompt = format!("boat {number}"))
            .await;
    }
    house.settle().await;
    let submits = || house.attempt_keys.lock().unwrap().len();
    assert_eq!(submits(), 2);
    house.script(|script| script.polls = [succeeded(Usage::default())].into());
    house.advance(60).await;
    house.advance(60).await;
    house.advance(60).await;
    assert_eq!(submits(), 5);
    house.audit().await;
}

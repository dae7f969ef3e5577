//! Money, checked in the ledger afterwards, in integers.

use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::job::{BillingState, ChargeReason, Status};
use filmgate_core::money::Nanos;
use filmgate_core::provider::{CancelOutcome, Observation, Usage};
use filmgate_engine::BillingConfig;
use std::time::Duration;

use crate::house::{House, Script, succeeded};

const RUNNING: Observation = Observation::Running { progress: None };

fn used(output_ms: u64) -> Usage {
    Usage {
        output_ms: Some(output_ms),
        ..Usage::default()
    }
}

#[tokio::test]
async fn what_was_measured_is_charged_with_markup_and_the_rest_of_the_hold_returns() {
    let house = House::with(
        Script::default(),
        BillingConfig {
            markup_basis_points: 2_500,
            ..Default::default()
        },
    )
    .await;
    let id = house.create().await;
    let held = house.store.balances(house.caller.workspace).await.unwrap();
    assert_eq!((held.available.0, held.held.0), (-50_000_000, 50_000_000));
    house.settle().await;
    house.advance(1).await;
    // One second was delivered of the four that were quoted.
    assert_eq!(house.available().await, -12_500_000);
    let settlement = house.job(id).await.life.settlement.unwrap();
    assert_eq!(
        (settlement.provider_cost, settlement.user_charge),
        (Nanos::new(10_000_000), Nanos::new(12_500_000))
    );
    house.audit().await;
}

#[tokio::test]
async fn what_goes_beyond_the_hold_is_charged_too_but_never_beyond_max_cost() {
    let house = House::of(Script {
        polls: [succeeded(used(9_000))].into(),
        ..Script::default()
    })
    .await;
    house.create().await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.available().await, -90_000_000);
    house
        .create_as(|request| request.max_cost = Nanos::new(60_000_000))
        .await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.available().await, -150_000_000);
    house.audit().await;
}

#[tokio::test]
async fn a_job_whose_provider_confirms_a_free_cancel_charges_nothing() {
    let cancels = [CancelOutcome::Cancelled(Billed::No, Usage::default())];
    let house = House::of(Script {
        polls: [RUNNING].into(),
        cancels: cancels.into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    let job = house
        .engine
        .cancel(house.caller.workspace, id, house.key())
        .await
        .unwrap();
    assert_eq!(
        (job.life.status(), job.life.billing_state()),
        (Status::Cancelled, BillingState::Pending)
    );
    house.settle().await;
    assert_eq!(house.job(id).await.life.billing_state(), BillingState::Void);
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn a_cancel_that_came_too_late_costs_what_the_provider_bills() {
    let script = Script {
        polls: [RUNNING, succeeded(used(3_000))].into(),
        cancels: [CancelOutcome::TooLate].into(),
        ..Script::default()
    };
    let house = House::of(script).await;
    let id = house.create().await;
    house.settle().await;
    house
        .engine
        .cancel(house.caller.workspace, id, house.key())
        .await
        .unwrap();
    house.settle().await;
    assert_eq!(
        house.job(id).await.life.billing_state(),
        BillingState::Pending,
        "it still runs over there"
    );
    house.advance(10).await;
    let settlement = house.job(id).await.life.settlement.unwrap();
    assert_eq!(
        (settlement.reason, settlement.user_charge),
        (ChargeReason::CancelledBilled, Nanos::new(30_000_000))
    );
    assert_eq!(
        (house.available().await, house.stored_files()),
        (-30_000_000, 0)
    );
    house.audit().await;
}

#[tokio::test]
async fn a_fate_nobody_learns_within_a_day_releases_the_hold() {
    let house = House::of(Script {
        polls: [RUNNING].into(),
        ..Script::default()
    })
    .await;
    let id = house.create().await;
    house.settle().await;
    house
        .engine
        .cancel(house.caller.workspace, id, house.key())
        .await
        .unwrap();
    house.settle().await;
    house.advance(24 * 3600).await;
    house.advance(60).await;
    let life = house.job(id).await.life;
    assert!(life.provider_may_have_charged && life.billing_state() == BillingState::Void);
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn a_failure_the_provider_bills_is_charged_and_another_is_not() {
    for (billed, charged) in [(Billed::Yes, -20_000_000), (Billed::No, 0)] {
        let failure = Failure::permanent(FailureCode::ContentModerated, "no").billed(billed);
        let house = House::of(Script {
            polls: [Observation::Failed(failure, used(2_000))].into(),
            ..Script::default()
        })
        .await;
        house.create().await;
        house.settle().await;
        house.advance(1).await;
        assert_eq!(house.available().await, charged);
        house.audit().await;
    }
}

#[tokio::test]
async fn a_job_that_expires_while_it_runs_keeps_its_hold_until_the_provider_has_told() {
    let failed = Failure::permanent(FailureCode::ProviderError, "it broke");
    let polls = [
        RUNNING,
        RUNNING,
        Observation::Failed(failed, Usage::default()),
    ];
    let house = House::of(Script {
        polls: polls.into(),
        ..Script::default()
    })
    .await;
    let id = house
        .create_as(|request| request.expires_after = Duration::from_secs(60))
        .await;
    house.settle().await;
    house.advance(1).await;
    house.advance(60).await;
    assert_eq!(house.job(id).await.life.status(), Status::Expired);
    house.advance(30).await;
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

//! Money, checked in the ledger afterwards, in integers.

use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::job::{Abandoned, BillingState, ChargeReason, Mode, Status};
use filmgate_core::money::Nanos;
use filmgate_core::provider::{CancelOutcome, NativeId, Observation, Recovered, Submitted, Usage};
use filmgate_core::repeat::RetryCount;
use filmgate_core::request::{ModelId, Request};
use filmgate_engine::{AdmitError, BillingConfig};
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
    let job = house.cancel(id).await;
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
    house.cancel(id).await;
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
async fn a_cancel_the_provider_did_not_hear_is_sent_again_and_its_fate_asked_for_meanwhile() {
    let cancelled = CancelOutcome::Cancelled(Billed::No, Usage::default());
    let heard_late = Script {
        polls: [RUNNING].into(),
        cancels: [cancelled].into(),
        deaf_to_cancels: 3,
        ..Script::default()
    };
    let house = House::of(heard_late).await;
    let id = house.create().await;
    house.settle().await;
    house.cancel(id).await;
    house.settle().await;
    house.script(|script| assert_eq!(script.deaf_to_cancels, 2));
    for _ in 0..3 {
        house.advance(5).await;
    }
    let life = house.job(id).await.life;
    assert_eq!(
        (life.fate, life.billing_state()),
        (None, BillingState::Void)
    );
    assert!(!life.provider_may_have_charged);

    let deaf = Script {
        polls: [RUNNING, succeeded(used(3_000))].into(),
        deaf_to_cancels: u32::MAX,
        ..Script::default()
    };
    let house = House::of(deaf).await;
    let id = house.create().await;
    house.settle().await;
    house.cancel(id).await;
    house.advance(5).await;
    house.advance(5).await;
    let life = house.job(id).await.life;
    assert_eq!(
        life.billing_state(),
        BillingState::Settled,
        "it was finished all the same"
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
    house.cancel(id).await;
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

#[tokio::test]
async fn an_unpriced_model_runs_where_money_is_counted_and_not_where_it_is_held() {
    let unpriced = |request: &mut Request| request.model = ModelId("demo/unpriced".into());
    let house = House::of(Script::default()).await;
    let id = house.create_as(unpriced).await;
    house.settle().await;
    house.advance(1).await;
    let life = house.job(id).await.life;
    assert_eq!(
        (life.status(), life.billing_state()),
        (Status::Completed, BillingState::Void)
    );
    let settlement = life.settlement.unwrap();
    assert_eq!(
        (settlement.reason, settlement.user_charge),
        (ChargeReason::Unpriced, None)
    );
    assert_eq!(house.available().await, 0);
    assert_eq!(house.audit().await.postings, 0);

    let prepaid = BillingConfig {
        mode: Mode::Prepaid,
        ..Default::default()
    };
    let house = House::with(Script::default(), prepaid).await;
    let refused = house.ask(RetryCount::default(), unpriced).await;
    let Err(AdmitError::NoProvider { dropped, .. }) = refused else {
        panic!("nobody knows what to hold: {refused:?}")
    };
    assert!(dropped[0].reason.contains("no price"), "{dropped:?}");
    assert_eq!(house.store.audit().await.unwrap().jobs, 0);
}

#[tokio::test]
async fn money_that_outlives_its_job_is_settled_once_and_told_of_once() {
    let given_up = [
        (CancelOutcome::Cancelled(Billed::No, Usage::default()), 0),
        (
            CancelOutcome::Cancelled(Billed::Yes, used(3_000)),
            -30_000_000,
        ),
        // At most the hold.
        (
            CancelOutcome::Cancelled(Billed::Yes, used(9_000)),
            -40_000_000,
        ),
    ];
    for (cancel, charged) in given_up {
        let house = House::of(Script {
            polls: [RUNNING].into(),
            cancels: [cancel.clone()].into(),
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        house.settle().await;
        house.cancel(id).await;
        let held = house.store.balances(house.caller.workspace).await.unwrap();
        assert_eq!(held.held.0, 40_000_000, "held until the provider has told");
        house.settle().await;
        house.cancel(id).await;
        house.advance(25 * 3600).await;
        assert_eq!(house.available().await, charged, "{cancel:?}");
        let hold = house.job(id).await.admission.hold.unwrap();
        assert_eq!(house.store.closings(hold.id).await.unwrap(), 1);
        let told = house.notices(id, "billing_settled");
        assert_eq!(told, 1, "{cancel:?}");
        house.audit().await;
    }
}

#[tokio::test]
async fn an_order_taken_on_after_its_cancel_is_abandoned_and_paid_for_by_what_it_costs() {
    // The answer to the submit is lost; the job is cancelled; then the look-up finds that it was taken on.
    let script = Script {
        submits: [Err(Failure::lost_answer("cut"))].into(),
        recovers: [Recovered::Found(Submitted {
            native: NativeId("late".into()),
        })]
        .into(),
        cancels: [CancelOutcome::Cancelled(Billed::Yes, used(2_000))].into(),
        ..Script::default()
    };
    let house = House::of(script).await;
    let id = house.create().await;
    house.engine.run_due().await.unwrap();
    house.cancel(id).await;
    house.settle().await;
    house.advance(10).await;
    let job = house.job(id).await;
    assert_eq!(job.life.status(), Status::Cancelled);
    let settlement = job.life.settlement.unwrap();
    assert_eq!(
        (settlement.reason, settlement.user_charge),
        (ChargeReason::CancelledBilled, Nanos::new(20_000_000))
    );
    let attempts = house.store.attempts(id).await.unwrap();
    assert_eq!(attempts[0].provider_cost, Nanos::new(20_000_000));
    assert_eq!(house.available().await, -20_000_000);
    assert_eq!(house.notices(id, "billing_settled"), 1);
    house.audit().await;
}

#[tokio::test]
async fn what_is_given_up_can_be_the_operators_to_bear() {
    let script = Script {
        polls: [RUNNING].into(),
        cancels: [CancelOutcome::Cancelled(Billed::Yes, used(3_000))].into(),
        ..Script::default()
    };
    let operators = BillingConfig {
        abandoned: Abandoned::Operator,
        ..Default::default()
    };
    let house = House::with(script, operators).await;
    let id = house.create().await;
    house.settle().await;
    house.cancel(id).await;
    house.settle().await;
    let settlement = house.job(id).await.life.settlement.unwrap();
    assert_eq!(
        (settlement.provider_cost, settlement.user_charge),
        (Nanos::new(30_000_000), Some(Nanos::ZERO))
    );
    assert_eq!(house.available().await, 0);
    house.audit().await;
}

#[tokio::test]
async fn a_job_that_expired_and_was_finished_all_the_same_costs_what_the_provider_bills() {
    let house = House::of(Script {
        polls: [RUNNING, RUNNING, succeeded(used(3_000))].into(),
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
    let settlement = house.job(id).await.life.settlement.unwrap();
    assert_eq!(
        (settlement.reason, settlement.user_charge),
        (ChargeReason::ExpiredBilled, Nanos::new(30_000_000))
    );
    assert_eq!(
        (
            house.available().await,
            house.notices(id, "billing_settled")
        ),
        (-30_000_000, 1)
    );
    house.audit().await;
}

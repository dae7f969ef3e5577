//! A job's money as shown: integers of nano-dollars and decimal text, never a float.

use filmgate_core::job::{BillingState, HoldStatus, Job, State};
use filmgate_core::money::Nanos;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::seconds;

/// What the video costs, and how far that is settled. Every key is always there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Billing {
    /// Always `usd`.
    currency: &'static str,
    /// `pending` (fate or price not yet known), `estimated` (held), `settled` (captured) or `void` (released, or
    /// nothing to pay).
    state: &'static str,
    /// Something may be charged.
    billable: bool,
    /// Decimal dollars, quoted at create.
    #[schema(required, example = "0.04")]
    estimated_provider_cost: Option<String>,
    /// Decimal dollars, quoted at create, markup included.
    #[schema(required, example = "0.04")]
    estimated_user_cost: Option<String>,
    #[schema(required)]
    settled_provider_cost: Option<String>,
    #[schema(required)]
    settled_user_cost: Option<String>,
    /// The user's charge in nano-dollars; null until settled or void.
    #[schema(required)]
    total_nanos: Option<i64>,
    /// `estimated_user_cost` in nano-dollars.
    #[schema(required)]
    estimated_nanos: Option<i64>,
    /// Held now, in nano-dollars.
    reserved_nanos: i64,
    #[schema(required)]
    reservation_id: Option<String>,
    /// `held`, `captured` or `released`; null without a hold.
    #[schema(required)]
    reservation_status: Option<&'static str>,
    /// `completed`, `completed_quote`, `unpriced`, `cancelled_billed`, `expired_billed`, `failed_billed`, `released`,
    /// `free` or `byok`.
    #[schema(required)]
    charge_reason: Option<&'static str>,
    /// More than zero was captured.
    charged: bool,
    provider_may_have_charged: bool,
    #[schema(required)]
    billed_at: Option<i64>,
}

/// What was used and charged.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Dollars, printed exactly from the integer; null while billing is pending and for an unpriced model.
    #[schema(required, value_type = Option<f64>, example = 0.04)]
    cost: Option<Box<RawValue>>,
    /// The workspace paid the provider itself: `cost` is the operator's fee.
    is_byok: bool,
    /// Seconds of all delivered outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seconds: Option<f64>,
}

impl Billing {
    pub(crate) fn of(job: &Job) -> Self {
        let (admission, life) = (&job.admission, &job.life);
        let settlement = life.settlement.as_ref();
        let total = settlement.and_then(|settlement| settlement.user_charge);
        let charged =
            life.hold == HoldStatus::Captured && total.is_some_and(|total| !total.is_zero());
        let quoted = admission.quoted;
        Self {
            currency: "usd",
            state: life.billing_state().as_str(),
            billable: match settlement {
                Some(_) => charged,
                None => admission.hold.is_some(),
            },
            estimated_provider_cost: quoted.map(|quoted| quoted.provider_cost.to_string()),
            estimated_user_cost: quoted.map(|quoted| quoted.user_charge.to_string()),
            settled_provider_cost: settlement
                .and_then(|settlement| settlement.provider_cost)
                .map(|cost| cost.to_string()),
            settled_user_cost: total.map(|total| total.to_string()),
            total_nanos: total.map(Nanos::get),
            estimated_nanos: quoted.map(|quoted| quoted.user_charge.get()),
            reserved_nanos: match life.hold {
                HoldStatus::Held => admission.hold.map_or(0, |hold| hold.amount.get()),
                HoldStatus::None | HoldStatus::Captured | HoldStatus::Released => 0,
            },
            reservation_id: admission.hold.map(|hold| hold.id.to_string()),
            reservation_status: match life.hold {
                HoldStatus::None => None,
                HoldStatus::Held => Some("held"),
                HoldStatus::Captured => Some("captured"),
                HoldStatus::Released => Some("released"),
            },
            charge_reason: settlement.map(|settlement| settlement.reason.as_str()),
            charged,
            provider_may_have_charged: life.provider_may_have_charged,
            billed_at: settlement.map(|settlement| settlement.at.seconds()),
        }
    }
}

impl Usage {
    /// `None` until the job is terminal.
    pub(super) fn of(job: &Job) -> Option<Self> {
        if !job.life.status().is_terminal() {
            return None;
        }
        let cost = match job.life.billing_state() {
            BillingState::Pending | BillingState::Estimated => None,
            BillingState::Settled | BillingState::Void => job
                .life
                .settlement
                .as_ref()
                .and_then(|settlement| settlement.user_charge),
        };
        let millis = match &job.life.state {
            State::Completed { assets, .. } => {
                Some(assets.iter().map(|asset| asset.duration_ms).sum())
            }
            _ => None,
        };
        Some(Self {
            cost: cost.map(exact_number),
            is_byok: job.admission.is_byok(),
            seconds: millis.map(seconds),
        })
    }
}

/// An amount as a JSON number of dollars.
pub(crate) fn exact_number(amount: Nanos) -> Box<RawValue> {
    RawValue::from_string(amount.to_string()).expect("decimal dollars are a JSON number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_printed_digit_for_digit() {
        for (nanos, shown) in [
            (40_000_000, "0.04"),
            (0, "0.00"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            let number = exact_number(Nanos::new(nanos).unwrap());
            assert_eq!(serde_json::to_string(&number).unwrap(), shown);
        }
    }
}

//! How a job's money ends: exactly one capture or release, whatever raced before.

use super::change::Change;
use super::{Abandoned, ChargeReason, HoldStatus, Notice, Settlement, State};
use crate::failure::Billed;
use crate::ledger::Posting;
use crate::money::{Nanos, Rounding};
use crate::pricing::Measured;
use crate::provider::Usage;
use crate::routing::Payer;

/// What the money ends by.
pub(super) enum Ending {
    /// Outputs are stored: the user pays for what was delivered.
    Delivered { measured: Measured, usage: Usage },
    /// The provider did its work, but no output reached the user: the operator bears the cost.
    Undelivered { usage: Usage },
    /// Cancelled, expired or failed: the user pays at most the hold, and only what the provider bills.
    GivenUp { billed: Billed, usage: Usage },
}

impl Change<'_> {
    /// Closes the hold and books the provider's cost. Where the hold was closed before (a late acceptance),
    /// only the cost is booked: the user pays nothing for what came too late.
    pub(super) fn settle(&mut self, ending: Ending) {
        let early = self.life.settlement.is_some();
        let terminal_since_before = self.job.life.status().is_terminal();
        let (cost, charge, reason) = self.reckon(&ending);
        let booked = match self.attempt_candidate().payer() {
            Payer::Operator => cost.filter(|cost| !cost.is_zero()),
            Payer::Workspace => None,
        };
        if let Some(cost) = booked {
            self.postings.push(Posting::provider_cost(cost));
        }
        self.note_on_attempt(&ending, cost);
        if matches!(
            ending,
            Ending::GivenUp {
                billed: Billed::Unknown,
                ..
            }
        ) {
            self.life.provider_may_have_charged = true;
        }
        self.life.fate = None;
        if terminal_since_before {
            self.life.due_at = None;
        }
        if early {
            return;
        }
        self.close_hold(charge);
        self.life.settlement = Some(Settlement {
            provider_cost: cost,
            user_charge: charge,
            reason,
            at: self.now,
        });
        if terminal_since_before {
            self.notices.push(Notice::BillingSettled);
        }
    }

    /// The provider's cost, the user's charge and the reason for it.
    fn reckon(&self, ending: &Ending) -> (Option<Nanos>, Option<Nanos>, ChargeReason) {
        let candidate = self.attempt_candidate();
        let (measured, usage, billed) = match ending {
            Ending::Delivered { measured, usage } => (measured.clone(), usage, Billed::Yes),
            Ending::Undelivered { usage } => (self.planned(), usage, Billed::Yes),
            Ending::GivenUp { billed, usage } => (self.planned(), usage, *billed),
        };
        let exact = candidate
            .price
            .as_ref()
            .and_then(|price| price.settle(&candidate.shape, &measured, usage));
        let cost = exact.or(candidate.quote).or(usage.cost);
        let cost = match billed {
            Billed::Yes => cost,
            Billed::No => Some(Nanos::ZERO),
            Billed::Unknown => None,
        };
        let unpriced = candidate.price.is_none();
        let free =
            !unpriced && self.job.admission.hold.is_none() && cost.is_none_or(Nanos::is_zero);
        match ending {
            Ending::Delivered { .. } if candidate.payer() == Payer::Workspace => {
                let free = self.job.admission.terms.byok_fee.is_zero();
                match cost.map(|cost| self.charge_for(cost)) {
                    None if !free => (None, None, ChargeReason::Unpriced),
                    fee => (cost, fee.or(Some(Nanos::ZERO)), ChargeReason::Byok),
                }
            }
            Ending::Delivered { .. } if unpriced => (cost, None, ChargeReason::Unpriced),
            Ending::Delivered { .. } if free => (cost, Some(Nanos::ZERO), ChargeReason::Free),
            Ending::Delivered { .. } => {
                let reason = if exact.is_some() {
                    ChargeReason::Completed
                } else {
                    ChargeReason::CompletedQuote
                };
                (cost, cost.map(|cost| self.charge_for(cost)), reason)
            }
            Ending::GivenUp {
                billed: Billed::Yes,
                ..
            } if self.user_pays_for_abandoned() => {
                let held = self
                    .job
                    .admission
                    .hold
                    .map_or(Nanos::ZERO, |hold| hold.amount);
                let charge = cost.map_or(held, |cost| self.charge_for(cost).min(held));
                let reason = match self.life.state {
                    State::Cancelled => ChargeReason::CancelledBilled,
                    State::Expired { .. } => ChargeReason::ExpiredBilled,
                    _ => ChargeReason::FailedBilled,
                };
                (cost, Some(charge), reason)
            }
            Ending::Undelivered { .. } | Ending::GivenUp { .. } => {
                (cost, Some(Nanos::ZERO), ChargeReason::Released)
            }
        }
    }

    /// What a provider was paid stands on the attempt's row. A job that waits has no attempt under way, and
    /// the ones before were closed with what was known of them.
    fn note_on_attempt(&mut self, ending: &Ending, cost: Option<Nanos>) {
        if self.job.life.state == State::Accepted {
            return;
        }
        let Some(attempt) = &mut self.life.attempt else {
            return;
        };
        if let Some(cost) = cost {
            let before = attempt.provider_cost.unwrap_or(Nanos::ZERO);
            attempt.provider_cost = before.checked_add(cost);
        }
        attempt.billed = match (attempt.provider_cost, ending) {
            (Some(paid), _) if !paid.is_zero() => Billed::Yes,
            (_, Ending::Delivered { .. } | Ending::Undelivered { .. }) => Billed::Yes,
            (_, Ending::GivenUp { billed, .. }) => *billed,
        };
    }

    fn user_pays_for_abandoned(&self) -> bool {
        self.job.admission.hold.is_some() && self.job.admission.terms.abandoned == Abandoned::User
    }

    /// With markup, or the operator's fee alone where the workspace pays the provider, and never beyond what the user agreed to.
    fn charge_for(&self, cost: Nanos) -> Nanos {
        let payer = self.attempt_candidate().payer();
        let charge = self
            .job
            .admission
            .terms
            .charge(cost, payer, Rounding::HalfUp)
            .unwrap_or(cost);
        self.job
            .admission
            .request
            .max_cost
            .map_or(charge, |most| charge.min(most))
    }

    fn close_hold(&mut self, charge: Option<Nanos>) {
        let charge = charge.unwrap_or(Nanos::ZERO);
        let held = match &self.job.admission.hold {
            Some(hold) if charge.is_zero() => {
                self.postings.push(Posting::release(hold.id, hold.amount));
                self.life.hold = HoldStatus::Released;
                hold.amount
            }
            Some(hold) => {
                self.postings
                    .push(Posting::capture(hold.id, hold.amount, charge));
                self.life.hold = HoldStatus::Captured;
                hold.amount
            }
            None => Nanos::ZERO,
        };
        if let Some(over) = charge.checked_sub(held).filter(|over| !over.is_zero()) {
            self.postings.push(Posting::overage(over));
        }
    }

    /// What was ordered, where nothing was measured.
    fn planned(&self) -> Measured {
        let request = &self.job.admission.request;
        let seconds = self.attempt_candidate().shape.seconds.unwrap_or(0);
        Measured {
            output_ms: vec![u64::from(seconds) * 1000; request.sample_count as usize],
        }
    }
}

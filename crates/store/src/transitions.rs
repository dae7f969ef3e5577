//! What the rows beside a job take from its transition, the same in either engine.

use filmgate_core::id::VideoId;
use filmgate_core::job::{ChargeReason, Life, State, Status, Transition};
use filmgate_core::ledger::Account;
use filmgate_core::money::Delta;
use filmgate_core::time::UnixTime;

use crate::StoreError;

/// When the money of `transition` moved.
pub(crate) fn moved_at(id: VideoId, transition: &Transition) -> Result<UnixTime, StoreError> {
    let timeline = transition.timeline.as_ref().map(|entry| entry.at);
    let settled = transition.life.settlement.as_ref().map(|it| it.at);
    timeline
        .or(settled)
        .ok_or_else(|| StoreError::Corrupt(format!("money of job {id} moves at no known time")))
}

/// The provider the public API shows is that of the attempt last taken on. While another attempt is under way
/// the column holds it already.
pub(crate) fn newly_shown_provider(life: &Life) -> Option<&str> {
    let attempt = life.attempt.as_ref()?;
    (life.last_accepted_candidate == Some(attempt.candidate)).then_some(attempt.provider.0.as_str())
}

/// What a job's row in activity gains by a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gain<'a> {
    pub(crate) outputs: u64,
    pub(crate) output_ms: u64,
    pub(crate) user_cost: Delta,
    pub(crate) provider_cost: Delta,
    /// Whoever ran the latest attempt and was paid for it; `None` where there was none.
    pub(crate) provider: Option<&'a str>,
    pub(crate) status: Status,
    pub(crate) reason: ChargeReason,
}

impl<'a> Gain<'a> {
    /// `None` where `transition` neither completed the job nor moved money for good.
    pub(crate) fn of(transition: &'a Transition) -> Option<Self> {
        let life = &transition.life;
        let (outputs, output_ms) = match &life.state {
            State::Completed { assets, .. } => (
                assets.len() as u64,
                assets.iter().map(|asset| asset.duration_ms).sum(),
            ),
            _ => (0, 0),
        };
        let gain = Self {
            outputs,
            output_ms,
            user_cost: transition.effect_on(Account::Revenue),
            provider_cost: transition.effect_on(Account::ProviderCost),
            provider: life.attempt.as_ref().map(|it| it.provider.0.as_str()),
            status: life.status(),
            reason: life
                .settlement
                .as_ref()
                .map_or(ChargeReason::Released, |settlement| settlement.reason),
        };
        let completes = transition.ends_job() && gain.status == Status::Completed;
        let moves = gain.user_cost != Delta::ZERO || gain.provider_cost != Delta::ZERO;
        (completes || moves).then_some(gain)
    }
}

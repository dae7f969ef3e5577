//! What is settled when a job is admitted and never changes afterwards.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HoldStatus, Life, Notice, TimelineEntry, Transition};
use crate::id::{GenerationId, HoldId, KeyId, ProviderKeyId, VideoId, WorkspaceId};
use crate::ledger::Posting;
use crate::money::{BasisPoints, Nanos, Rounding};
use crate::pricing::PriceRules;
use crate::provider::SubmitRepeat;
use crate::request::{ProviderName, Request, Shape, SoftParameter};
use crate::routing::{Dropped, Payer};
use crate::time::UnixTime;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    pub id: VideoId,
    pub workspace: WorkspaceId,
    pub key: KeyId,
    /// Of the creating request: the client's own id, or one of ours.
    pub request_id: String,
    pub generation_id: GenerationId,
    pub created_at: UnixTime,
    /// Scheme, host and port under which the client reached us; links are built on it.
    pub origin: String,
    pub request: Arc<Request>,
    /// Never empty; asked in this order.
    pub route: Vec<Candidate>,
    pub dropped: Vec<Dropped>,
    pub terms: Terms,
    pub hold: Option<HoldTerms>,
    /// The quote of the route's head: what the provider charges, and the user's charge.
    pub quoted: Option<Quoted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_from: Option<VideoId>,
}

/// A provider that may run this job, with everything needed to ask it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub provider: ProviderName,
    pub native_model: String,
    pub shape: Shape,
    /// The rules the job keeps; `None` for an unpriced model.
    pub price: Option<PriceRules>,
    /// What the provider was expected to charge.
    pub quote: Option<Nanos>,
    pub submit_repeat: SubmitRepeat,
    /// What was asked for and this provider has not: it is asked without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<SoftParameter>,
    /// The workspace's own credential, which alone is used for it; `None`: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<ProviderKeyId>,
}

impl Candidate {
    /// Who pays the provider.
    pub const fn payer(&self) -> Payer {
        match self.credential {
            Some(_) => Payer::Workspace,
            None => Payer::Operator,
        }
    }

    /// The account it runs on, as places and claims know it: one of a workspace's own takes none of the operator's
    /// places.
    pub fn account(&self) -> ProviderName {
        match self.credential {
            // No provider can be configured under such a name.
            Some(credential) => ProviderName(format!("{}#{credential}", self.provider)),
            None => self.provider.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    pub provider_cost: Nanos,
    pub user_charge: Nanos,
}

/// The operator's settings as they were when the job was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub mode: Mode,
    pub markup: BasisPoints,
    /// Of the provider's price, where the workspace pays the provider itself.
    #[serde(default)]
    pub byok_fee: BasisPoints,
    pub abandoned: Abandoned,
    pub ambiguous_submit: AmbiguousSubmit,
    /// How long what the job stored is kept after its end; for ever where not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Money is counted, funds are not needed.
    #[default]
    Metered,
    /// A hold needs funds.
    Prepaid,
}

/// Who pays when a provider bills for a job that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandoned {
    #[default]
    User,
    Operator,
}

/// What happens when nobody can tell whether a submit arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmbiguousSubmit {
    /// The job fails rather than pay twice.
    #[default]
    Fail,
    /// The job is submitted again and may be paid twice.
    Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTerms {
    pub id: HoldId,
    pub amount: Nanos,
}

impl Terms {
    /// What the user is charged for what costs `cost` at the provider.
    pub fn charge(&self, cost: Nanos, payer: Payer, rounding: Rounding) -> Option<Nanos> {
        match payer {
            Payer::Operator => cost.marked_up(self.markup, rounding),
            Payer::Workspace => cost.share(self.byok_fee, rounding),
        }
    }
}

impl Admission {
    /// Whether the workspace pays the providers itself. No route has both.
    pub fn is_byok(&self) -> bool {
        self.route[0].payer() == Payer::Workspace
    }

    /// When the job is given up if no provider has a result by then.
    pub fn expires_at(&self) -> UnixTime {
        self.created_at.plus(self.request.expires_after)
    }
}

/// The first transition of a new job: it is accepted, and its hold is opened.
pub fn admit(admission: &Admission) -> Transition {
    let life = Life::accepted(admission);
    debug_assert_eq!(
        life.hold,
        if admission.hold.is_some() {
            HoldStatus::Held
        } else {
            HoldStatus::None
        }
    );
    Transition {
        postings: admission
            .hold
            .iter()
            .map(|hold| Posting::hold(hold.id, hold.amount))
            .collect(),
        notices: vec![Notice::Created],
        timeline: Some(TimelineEntry {
            at: admission.created_at,
            cause: "created".to_owned(),
            actor: format!("client:{}", admission.key),
            from: None,
            to: life.state.name().to_owned(),
            attempt: None,
            detail: admission
                .retried_from
                .map(|video| format!("retry of {video}")),
        }),
        attempt: None,
        account: admission.route[life.route.at].account(),
        forgotten: Vec::new(),
        action: None,
        life,
    }
}

//! What can happen to a job.

use std::fmt;
use std::time::Duration;

use super::Expectation;
use crate::asset::{Asset, MissingOutput};
use crate::failure::{Billed, Failure};
use crate::id::KeyId;
use crate::provider::{Delivery, NativeId, Usage};

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Client(KeyId),
    Operator(KeyId),
    Engine,
    Provider,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(key) => write!(f, "client:{key}"),
            Self::Operator(key) => write!(f, "operator:{key}"),
            Self::Engine => f.write_str("engine"),
            Self::Provider => f.write_str("provider"),
        }
    }
}

/// One thing that happened. Events that concern an attempt name it, because they may come late.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Cancel {
        by: KeyId,
    },
    /// `expires_after` has passed.
    Expire,
    /// The provider has had the job for longer than its account allows.
    DeadlinePassed {
        deadline: Duration,
    },
    /// Ends whatever is left without asking anybody: an operator's word, or the end of a parked job's time.
    WrittenOff {
        by: Option<KeyId>,
    },
    /// The candidate is not asked now, for `wait` at least: it is known to be down, or to want quiet.
    PutOff {
        wait: Duration,
        jitter: Duration,
    },
    /// A worker is about to submit.
    Claimed,
    Submitted {
        attempt: u32,
        native: NativeId,
        expectation: Expectation,
    },
    Refused {
        attempt: u32,
        failure: Failure,
        jitter: Duration,
    },
    /// The answer to the submit is lost, or its worker died.
    AnswerLost {
        attempt: u32,
        failure: Failure,
    },
    /// Still nobody could be asked; try again after `wait`.
    StillLost {
        attempt: u32,
        wait: Duration,
    },
    /// A look-up showed that the submit never arrived.
    Absent {
        attempt: u32,
    },
    /// A look-up could not tell.
    Untraceable {
        attempt: u32,
    },
    /// The provider was heard, and the work goes on.
    Observed {
        progress: Option<u8>,
        expectation: Expectation,
    },
    /// The provider could not be asked; try again after `wait`.
    Unheard {
        wait: Duration,
    },
    /// The provider told by itself that there is news of the attempt.
    Nudged {
        attempt: u32,
    },
    /// The provider does not know the id; asked again after `wait`.
    NotKnown {
        wait: Duration,
    },
    Succeeded {
        delivery: Delivery,
    },
    FailedUpstream {
        failure: Failure,
        usage: Usage,
    },
    ExpiredUpstream {
        billed: Billed,
        usage: Usage,
    },
    /// All outputs were tried; those that are playable are stored.
    Stored {
        assets: Vec<Asset>,
        missing: Vec<MissingOutput>,
    },
    /// A link died before its bytes were fetched.
    LinkExpired,
    /// The bytes could not be fetched or stored now; try again after `wait`.
    FetchDelayed {
        wait: Duration,
    },
    /// The bytes cannot be had.
    FetchFailed {
        failure: Failure,
    },
    /// What the provider bills for a job that was given up.
    FateKnown {
        billed: Billed,
        usage: Usage,
    },
    /// Ask for the fate after `wait`; and for a cancel before that, unless one reached the provider or is of no use.
    FatePending {
        wait: Duration,
        cancel_asked: bool,
    },
    /// What the job stored has been kept for as long as was promised.
    BytesExpired,
}

impl Event {
    /// The word the timeline shows.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancelled",
            Self::Expire => "expired",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::WrittenOff { .. } => "written_off",
            Self::PutOff { .. } => "put_off",
            Self::Nudged { .. } => "nudged",
            Self::Claimed => "submitting",
            Self::Submitted { .. } => "submitted",
            Self::Refused { .. } => "refused",
            Self::AnswerLost { .. } => "answer_lost",
            Self::StillLost { .. } => "still_lost",
            Self::Absent { .. } => "absent",
            Self::Untraceable { .. } => "untraceable",
            Self::Observed { .. } => "observed",
            Self::Unheard { .. } => "unheard",
            Self::NotKnown { .. } => "not_known",
            Self::Succeeded { .. } => "succeeded",
            Self::FailedUpstream { .. } => "failed_upstream",
            Self::ExpiredUpstream { .. } => "expired_upstream",
            Self::Stored { .. } => "stored",
            Self::LinkExpired => "link_expired",
            Self::FetchDelayed { .. } => "fetch_delayed",
            Self::FetchFailed { .. } => "fetch_failed",
            Self::FateKnown { .. } => "fate_known",
            Self::FatePending { .. } => "fate_pending",
            Self::BytesExpired => "bytes_expired",
        }
    }

    pub const fn actor(&self) -> Actor {
        match self {
            Self::Cancel { by } => Actor::Client(*by),
            Self::WrittenOff { by: Some(by) } => Actor::Operator(*by),
            Self::Submitted { .. }
            | Self::Refused { .. }
            | Self::Observed { .. }
            | Self::Nudged { .. }
            | Self::NotKnown { .. }
            | Self::Succeeded { .. }
            | Self::FailedUpstream { .. }
            | Self::ExpiredUpstream { .. }
            | Self::FateKnown { .. } => Actor::Provider,
            Self::Expire
            | Self::DeadlinePassed { .. }
            | Self::WrittenOff { by: None }
            | Self::BytesExpired
            | Self::PutOff { .. }
            | Self::Claimed
            | Self::AnswerLost { .. }
            | Self::StillLost { .. }
            | Self::Absent { .. }
            | Self::Untraceable { .. }
            | Self::Unheard { .. }
            | Self::Stored { .. }
            | Self::LinkExpired
            | Self::FetchDelayed { .. }
            | Self::FetchFailed { .. }
            | Self::FatePending { .. } => Actor::Engine,
        }
    }
}

//! Why a job failed or expired, as shown.

use filmgate_core::job::{AttemptSummary, Job, State};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong with a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobError {
    /// `content_moderated`, `invalid_request`, `provider_auth`, `provider_permission`, `provider_quota`,
    /// `rate_limited`, `model_unavailable`, `provider_error`, `provider_timeout`, `submission_ambiguous`,
    /// `output_invalid`, `output_unavailable`, `expired` or `gateway_error`.
    code: &'static str,
    message: String,
    /// Whose doing it is: `user`, `system` or `upstream`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_status: Option<u16>,
    /// What the provider said, at most 2 KiB, secrets cut out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_message: Option<String>,
    /// The same request may succeed later.
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<&'static str>,
    /// The attempts that did not bring the result.
    attempts: Vec<FailedAttempt>,
}

/// One attempt that did not bring the result.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedAttempt {
    /// From 1.
    attempt: u32,
    provider: String,
    /// As the job's `error.code`.
    code: &'static str,
    message: String,
    /// When it ended, in unix seconds.
    at: i64,
}

impl JobError {
    /// `None` unless the job failed or expired.
    pub(super) fn of(job: &Job) -> Option<Self> {
        let failure = match &job.life.state {
            State::Failed { failure } | State::Expired { failure } => failure,
            State::Accepted
            | State::Submitting { .. }
            | State::Running { .. }
            | State::Fetching { .. }
            | State::Completed { .. }
            | State::Cancelled => return None,
        };
        Some(Self {
            code: failure.code.as_str(),
            message: failure.message.clone(),
            kind: failure.code.kind(),
            provider: job
                .life
                .attempt
                .as_ref()
                .map(|attempt| attempt.provider.0.clone()),
            provider_code: failure.provider_code.clone(),
            provider_status: failure.provider_status,
            provider_message: failure.provider_message.clone(),
            retryable: failure.retryable,
            hint: failure.code.hint(),
            attempts: job
                .life
                .failed_attempts
                .iter()
                .map(FailedAttempt::of)
                .collect(),
        })
    }
}

impl FailedAttempt {
    fn of(summary: &AttemptSummary) -> Self {
        Self {
            attempt: summary.number,
            provider: summary.provider.0.clone(),
            code: summary.code.as_str(),
            message: summary.message.clone(),
            at: summary.at.seconds(),
        }
    }
}

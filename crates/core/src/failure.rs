//! What can go wrong with a job, in words that mean the same for every provider.
//!
//! A failure is classified once, by the provider's adapter; nobody downstream reads vendor text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a job failed, as the public API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    ContentModerated,
    InvalidRequest,
    ProviderAuth,
    ProviderPermission,
    ProviderQuota,
    RateLimited,
    ModelUnavailable,
    ProviderError,
    ProviderTimeout,
    SubmissionAmbiguous,
    OutputInvalid,
    OutputUnavailable,
    Expired,
    GatewayError,
}

impl FailureCode {
    pub const ALL: [Self; 14] = [
        Self::ContentModerated,
        Self::InvalidRequest,
        Self::ProviderAuth,
        Self::ProviderPermission,
        Self::ProviderQuota,
        Self::RateLimited,
        Self::ModelUnavailable,
        Self::ProviderError,
        Self::ProviderTimeout,
        Self::SubmissionAmbiguous,
        Self::OutputInvalid,
        Self::OutputUnavailable,
        Self::Expired,
        Self::GatewayError,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentModerated => "content_moderated",
            Self::InvalidRequest => "invalid_request",
            Self::ProviderAuth => "provider_auth",
            Self::ProviderPermission => "provider_permission",
            Self::ProviderQuota => "provider_quota",
            Self::RateLimited => "rate_limited",
            Self::ModelUnavailable => "model_unavailable",
            Self::ProviderError => "provider_error",
            Self::ProviderTimeout => "provider_timeout",
            Self::SubmissionAmbiguous => "submission_ambiguous",
            Self::OutputInvalid => "output_invalid",
            Self::OutputUnavailable => "output_unavailable",
            Self::Expired => "expired",
            Self::GatewayError => "gateway_error",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whose doing it is, as the public API's `error.type`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ContentModerated | Self::InvalidRequest => "user",
            Self::GatewayError | Self::Expired | Self::SubmissionAmbiguous => "system",
            Self::ProviderAuth
            | Self::ProviderPermission
            | Self::ProviderQuota
            | Self::RateLimited
            | Self::ModelUnavailable
            | Self::ProviderError
            | Self::ProviderTimeout
            | Self::OutputInvalid
            | Self::OutputUnavailable => "upstream",
        }
    }

    /// Whether the same request may succeed later or elsewhere, as far as the code alone tells.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::ContentModerated
            | Self::InvalidRequest
            | Self::SubmissionAmbiguous
            | Self::Expired
            | Self::GatewayError => false,
            Self::ProviderAuth
            | Self::ProviderPermission
            | Self::ProviderQuota
            | Self::RateLimited
            | Self::ModelUnavailable
            | Self::ProviderError
            | Self::ProviderTimeout
            | Self::OutputInvalid
            | Self::OutputUnavailable => true,
        }
    }

    /// What a user can do about it.
    pub const fn hint(self) -> Option<&'static str> {
        match self {
            Self::ContentModerated => Some(
                "change the prompt or the reference pictures; the provider's safety filter refused them",
            ),
            Self::InvalidRequest => {
                Some("the provider refused the parameters; compare them with GET /v1/videos/models")
            }
            Self::ProviderAuth | Self::ProviderPermission => Some(
                "the operator must check the credential at the provider, the workspace's own where it has one",
            ),
            Self::ProviderQuota => {
                Some("the operator's account at the provider has no quota or funds left")
            }
            Self::SubmissionAmbiguous => {
                Some("the provider may have taken the job; look there before trying again")
            }
            Self::Expired => Some("raise expires_after, or choose a faster model"),
            Self::RateLimited
            | Self::ProviderTimeout
            | Self::OutputInvalid
            | Self::OutputUnavailable => {
                Some("POST /v1/videos/{id}/retry makes a new job of the same request")
            }
            Self::ModelUnavailable | Self::ProviderError | Self::GatewayError => None,
        }
    }
}

/// Whether the provider charges for what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billed {
    Yes,
    No,
    /// The provider has not said, and nothing we know tells.
    #[default]
    Unknown,
}

/// One classified failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    /// A sentence for the user, in our words.
    pub message: String,
    /// The provider's own code, HTTP status and words; the words at most 2 KiB, secrets cut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message: Option<String>,
    /// The same request may succeed later or elsewhere.
    pub retryable: bool,
    /// How long the provider asked us to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// Nobody can tell whether the provider acted on the message.
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub billed: Billed,
}

impl Failure {
    /// A failure that trying again will not cure and nobody billed.
    pub fn permanent(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            provider_code: None,
            provider_status: None,
            provider_message: None,
            retryable: false,
            retry_after: None,
            ambiguous: false,
            billed: Billed::No,
        }
    }

    /// A failure that may not happen again, unbilled.
    pub fn passing(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::permanent(code, message)
        }
    }

    /// An unbilled failure of `code`, which tells whether it may pass.
    pub fn of(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            retryable: code.may_pass(),
            ..Self::permanent(code, message)
        }
    }

    /// The answer was lost: the provider may or may not have acted, and may bill.
    pub fn lost_answer(message: impl Into<String>) -> Self {
        Self {
            ambiguous: true,
            billed: Billed::Unknown,
            ..Self::passing(FailureCode::ProviderTimeout, message)
        }
    }

    #[must_use]
    pub fn billed(self, billed: Billed) -> Self {
        Self { billed, ..self }
    }

    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        Self {
            retry_after: wait,
            ..self
        }
    }

    /// Keeps what the provider said. The message is cut at 2 KiB; cutting out secrets is the caller's duty.
    #[must_use]
    pub fn from_provider(
        self,
        status: Option<u16>,
        code: Option<String>,
        message: Option<String>,
    ) -> Self {
        Self {
            provider_status: status,
            provider_code: code,
            provider_message: message.map(|text| truncated(text, 2048)),
            ..self
        }
    }
}

fn truncated(mut text: String, most: usize) -> String {
    if text.len() > most {
        let cut = (0..=most)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_word_in_json_and_in_text() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(FailureCode::parse(code.as_str()), Some(code));
        }
    }

    #[test]
    fn a_long_provider_message_is_cut_between_characters() {
        let failure = Failure::permanent(FailureCode::ProviderError, "x").from_provider(
            None,
            None,
            Some("é".repeat(3000)),
        );
        assert_eq!(failure.provider_message.unwrap().len(), 2048);
    }
}

//! What an answer that refuses means, in core's words: `google.rpc.Status`, in an answer's body and in an operation.

use std::time::Duration;

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use http::Response;
use serde_json::Value;

use super::safety;
use crate::redaction::Redaction;
use crate::retry_after;
use crate::unclear::beginning;

/// What is kept of a word.
const MOST_WORD_CHARACTERS: usize = 64;
/// A longer wait than this is no advice.
const LONGEST_WAIT_SECONDS: f64 = 86_400.0;

/// Lenient: what has another type than agreed is as good as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Status {
    /// A status of HTTP in an answer's body, one of gRPC in an operation.
    pub(super) code: Option<i64>,
    /// The name of gRPC's.
    word: Option<String>,
    pub(super) message: Option<String>,
    retry_delay: Option<Duration>,
}

impl Status {
    pub(super) fn of(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            code: error.get("code").and_then(Value::as_i64),
            word: text("status"),
            message: text("message").or_else(|| error.as_str().map(str::to_owned)),
            retry_delay: error.get("details").and_then(retry_delay),
        }
    }

    /// `{"error": {…}}`, or that in a list of one.
    fn of_body(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let body = body.get(0).unwrap_or(&body);
        let error = body.get("error").filter(|error| !error.is_null())?;
        Some(Self::of(error))
    }

    fn refuses_content(&self) -> bool {
        self.message.as_deref().is_some_and(safety::refuses_content)
    }

    /// The failure of an operation that ended in it.
    pub(super) fn of_operation(&self, redaction: &Redaction) -> Failure {
        let code = match self.code {
            Some(3) if self.refuses_content() => FailureCode::ContentModerated,
            Some(3 | 11) => FailureCode::InvalidRequest,
            Some(4) => FailureCode::ProviderTimeout,
            Some(5) => FailureCode::ModelUnavailable,
            Some(7 | 9) => FailureCode::ProviderPermission,
            Some(8) => FailureCode::RateLimited,
            Some(16) => FailureCode::ProviderAuth,
            _ => FailureCode::ProviderError,
        };
        self.failure(code, None, redaction, || {
            format!("the provider failed the job: {}", code.as_str())
        })
        .retry_after(self.retry_delay)
    }

    fn failure(
        &self,
        code: FailureCode,
        status: Option<u16>,
        redaction: &Redaction,
        otherwise: impl FnOnce() -> String,
    ) -> Failure {
        let words = self.message.as_deref().map(|text| redaction.apply(text));
        let about = self
            .message
            .as_deref()
            .and_then(|text| safety::about([text]));
        let message = match (&words, code) {
            (_, FailureCode::ContentModerated) => refused_content(about),
            (Some(words), FailureCode::InvalidRequest) => {
                format!("the provider refused the request: {words}")
            }
            _ => otherwise(),
        };
        let native = match (&self.word, self.code) {
            (Some(word), _) => Some(shortened(&redaction.apply(word))),
            (None, Some(code)) => Some(code.to_string()),
            (None, None) => None,
        };
        Failure::of(code, message).from_provider(status, native, words)
    }
}

/// What is told of a refusal for what a request says or shows.
pub(super) fn refused_content(about: Option<&str>) -> String {
    match about {
        Some(about) => format!("the provider's safety filter refused it: {about}"),
        None => "the provider's safety filter refused it".to_owned(),
    }
}

/// The failure that an answer is which refuses: by its status, or by an error under a success.
pub(super) fn refused(answer: &Response<Bytes>, redaction: &Redaction) -> Failure {
    let status = answer.status().as_u16();
    let Some(told) = Status::of_body(answer.body()) else {
        let message = match status {
            300..400 => "the provider answered with a redirect, which is not followed".to_owned(),
            _ => format!("the provider answered with status {status}"),
        };
        return Failure::of(of_status(status, None), message)
            .retry_after(retry_after::read(answer.headers()))
            .from_provider(Some(status), None, beginning(answer, redaction));
    };
    // Under a success, what the error itself says counts.
    let meant = match told.code.and_then(|code| u16::try_from(code).ok()) {
        Some(code) if answer.status().is_success() => code,
        _ => status,
    };
    let code = match of_status(meant, told.word.as_deref()) {
        FailureCode::InvalidRequest if told.refuses_content() => FailureCode::ContentModerated,
        code => code,
    };
    told.failure(code, Some(status), redaction, || {
        format!("the provider answered with status {status}")
    })
    .retry_after(
        told.retry_delay
            .or_else(|| retry_after::read(answer.headers())),
    )
}

fn of_status(status: u16, word: Option<&str>) -> FailureCode {
    match (status, word) {
        // Billing or the API is switched off.
        (400, Some("FAILED_PRECONDITION")) => FailureCode::ProviderPermission,
        (400 | 411 | 413 | 415 | 422, _) => FailureCode::InvalidRequest,
        (401, _) => FailureCode::ProviderAuth,
        (402, _) => FailureCode::ProviderQuota,
        (403, _) => FailureCode::ProviderPermission,
        (404 | 410, _) => FailureCode::ModelUnavailable,
        (408 | 504, _) => FailureCode::ProviderTimeout,
        (429, _) => FailureCode::RateLimited,
        _ => FailureCode::ProviderError,
    }
}

/// Whether the body is an error, whatever its status.
pub(super) fn says_error(answer: &Response<Bytes>) -> bool {
    Status::of_body(answer.body()).is_some()
}

/// A word for people, however long it is.
pub(super) fn shortened(word: &str) -> String {
    word.chars().take(MOST_WORD_CHARACTERS).collect()
}

/// `google.rpc.RetryInfo` among the details: `"retryDelay": "3.5s"`.
fn retry_delay(details: &Value) -> Option<Duration> {
    let of_info = |detail: &Value| {
        let kind = detail.get("@type")?.as_str()?;
        if !kind.ends_with("google.rpc.RetryInfo") {
            return None;
        }
        let text = detail.get("retryDelay")?.as_str()?;
        let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
        (0.0..=LONGEST_WAIT_SECONDS)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds))
    };
    details.as_array()?.iter().find_map(of_info)
}

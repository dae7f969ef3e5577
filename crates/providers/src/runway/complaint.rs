//! What an answer that refuses means, in core's words.

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use http::Response;
use serde_json::Value;

use crate::redaction::Redaction;
use crate::retry_after;
use crate::unclear::beginning;

/// The failure that an answer is which refuses: by its status, or by an error under a success.
pub(super) fn refused(answer: &Response<Bytes>, redaction: &Redaction) -> Failure {
    let status = answer.status().as_u16();
    let words = words(answer.body());
    let code = match status {
        400 if says(words.as_deref(), "credits") => FailureCode::ProviderQuota,
        400 | 413 | 415 | 422 => FailureCode::InvalidRequest,
        401 => FailureCode::ProviderAuth,
        403 => FailureCode::ProviderPermission,
        404 => FailureCode::ModelUnavailable,
        408 | 504 => FailureCode::ProviderTimeout,
        429 => FailureCode::RateLimited,
        _ => FailureCode::ProviderError,
    };
    let words = words.map(|words| redaction.apply(&words));
    let message = match (&words, code) {
        (Some(words), FailureCode::InvalidRequest) => {
            format!("the provider refused the request: {words}")
        }
        _ if (300..400).contains(&status) => {
            "the provider answered with a redirect, which is not followed".to_owned()
        }
        _ => format!("the provider answered with status {status}"),
    };
    let said = words.or_else(|| beginning(answer, redaction));
    Failure::of(code, message)
        .retry_after(retry_after::read(answer.headers()))
        .from_provider(Some(status), None, said)
}

/// Whether the body is an error, whatever its status.
pub(super) fn says_error(answer: &Response<Bytes>) -> bool {
    words(answer.body()).is_some()
}

/// `{"error": "…", "issues": [{"path": […], "message": "…"}]}`. What was sent is left out, it may be the prompt.
fn words(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    let mut words = error
        .as_str()
        .or_else(|| error.get("message")?.as_str())
        .map_or_else(|| error.to_string(), str::to_owned);
    for issue in body
        .get("issues")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let path = issue.get("path").and_then(Value::as_array);
        let path: Vec<String> = path
            .into_iter()
            .flatten()
            .map(|step| {
                step.as_str()
                    .map_or_else(|| step.to_string(), str::to_owned)
            })
            .collect();
        let what = issue
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("wrong");
        words.push_str(&format!("; {}: {what}", path.join(".")));
    }
    Some(words)
}

fn says(words: Option<&str>, word: &str) -> bool {
    words.is_some_and(|words| words.to_ascii_lowercase().contains(word))
}

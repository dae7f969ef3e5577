//! What the API says when it does not do what it was asked.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::fault::{Reason, Status};

/// A call that is refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    retry_after_seconds: Option<u32>,
}

impl Refusal {
    pub(crate) fn of(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    pub(crate) fn field(field: &str, why: &str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, format!("{field}: {why}"))
    }

    pub(crate) fn operation_not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "The operation was not found.")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Trouble that was asked for.
    pub(crate) fn on_order(status: &Status) -> Self {
        let code = StatusCode::from_u16(status.code).expect("directives name statuses of errors");
        let (code, message) = match status.reason {
            Reason::Moderation => (
                code,
                "The prompt could not be submitted: it violates the usage guidelines. Support codes: 61493863"
                    .to_owned(),
            ),
            Reason::Quota => (
                StatusCode::TOO_MANY_REQUESTS,
                "Quota exceeded for aiplatform.googleapis.com/long_running_online_prediction_requests_per_base_model."
                    .to_owned(),
            ),
            Reason::Directive => (code, format!("A directive asked for {code}.")),
        };
        Self {
            retry_after_seconds: status.retry_after_seconds,
            ..Self::of(code, message)
        }
    }

    pub(crate) fn body(&self) -> Value {
        let details: Vec<Value> = self
            .retry_after_seconds
            .map(|seconds| {
                json!({
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{seconds}s"),
                })
            })
            .into_iter()
            .collect();
        json!({"error": {
            "code": self.status.as_u16(),
            "message": self.message,
            "status": word(self.status),
            "details": details,
        }})
    }

    pub(crate) fn answer(self) -> Response {
        let mut answer = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// gRPC's name for a status of HTTP.
fn word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// gRPC's number for a status of HTTP, which an operation that failed has.
pub(crate) fn number(status: u16) -> i64 {
    match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        429 => 8,
        499 => 1,
        503 => 14,
        504 => 4,
        _ => 13,
    }
}

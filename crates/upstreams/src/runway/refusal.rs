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
    error: String,
    /// The field that cannot be read, and why.
    issue: Option<(String, String)>,
    retry_after_seconds: Option<u32>,
}

impl Refusal {
    pub(crate) fn of(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            issue: None,
            retry_after_seconds: None,
        }
    }

    pub(crate) fn field(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            issue: Some((field.into(), why.into())),
            ..Self::of(StatusCode::BAD_REQUEST, "Validation of body failed")
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "The task could not be found.")
    }

    pub(crate) fn internal(error: impl Into<String>) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// Trouble that was asked for.
    pub(crate) fn on_order(status: &Status) -> Self {
        let code = StatusCode::from_u16(status.code).expect("directives name statuses of errors");
        let (code, error) = match status.reason {
            Reason::Moderation => (code, "The prompt did not pass moderation.".to_owned()),
            Reason::Quota => {
                let error = "You do not have enough credits to run this task.";
                (StatusCode::BAD_REQUEST, error.to_owned())
            }
            Reason::Directive => (code, format!("A directive asked for {code}.")),
        };
        Self {
            retry_after_seconds: status.retry_after_seconds,
            ..Self::of(code, error)
        }
    }

    pub(crate) fn body(&self) -> Value {
        match &self.issue {
            None => json!({"error": self.error}),
            Some((field, why)) => json!({
                "error": self.error,
                "issues": [{"code": "invalid_value", "path": [field], "message": why}],
                "docUrl": "https://docs.example/errors",
            }),
        }
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

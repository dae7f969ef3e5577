//! What a server says when it does not do what it was asked: one type, and its body in each server's own words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::flavour::Flavour;
use crate::fault::{Reason, Status};

/// A call that is refused. Which body it has is the flavour's to say.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: Kind,
    message: String,
    retry_after_seconds: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// The key is missing or wrong.
    Key,
    /// The prompt offends.
    Moderation,
    /// The account has nothing left.
    Quota,
    /// This field of the form cannot be read.
    Field(&'static str),
}

impl Refusal {
    fn new(status: StatusCode, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Kind::Plain, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Kind::Plain, message)
    }

    pub(crate) fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Kind::Plain, message)
    }

    pub(crate) fn key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Kind::Key,
            "the API key is missing or not known here",
        )
    }

    /// A field of a form that does not hold what it should.
    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Field(field),
            message,
        )
    }

    /// More jobs are running than this server takes.
    pub(crate) fn full(most: usize) -> Self {
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                Kind::Plain,
                format!("{most} jobs are running, which is as many as are taken at once"),
            )
        }
    }

    /// Trouble that was asked for.
    pub(crate) fn on_order(status: &Status) -> Self {
        let code = StatusCode::from_u16(status.code).expect("directives name statuses of errors");
        let directive = || format!("a directive asked for {code}");
        let (code, kind, message) = match (status.reason, code) {
            (Reason::Moderation, _) => {
                let message = "your request was blocked by our moderation system";
                (code, Kind::Moderation, message.to_owned())
            }
            (Reason::Quota, _) => {
                let message = "you exceeded your current quota, check your plan and billing";
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    Kind::Quota,
                    message.to_owned(),
                )
            }
            (Reason::Directive, StatusCode::UNAUTHORIZED) => (code, Kind::Key, directive()),
            (Reason::Directive, _) => (code, Kind::Plain, directive()),
        };
        Self {
            retry_after_seconds: status.retry_after_seconds,
            ..Self::new(code, kind, message)
        }
    }

    pub(crate) fn answer(self, flavour: Flavour) -> Response {
        let body = self.body(flavour);
        let mut answer = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }

    pub(crate) fn body(&self, flavour: Flavour) -> Value {
        match flavour {
            Flavour::OpenAi => self.openai(),
            Flavour::Litellm => self.litellm(),
            Flavour::VllmOmni | Flavour::Sglang => self.fastapi(),
        }
    }

    fn openai(&self) -> Value {
        let (kind, code) = match (self.kind, self.status.as_u16()) {
            (Kind::Key, _) => ("invalid_request_error", Some("invalid_api_key")),
            (Kind::Moderation, _) => ("image_generation_user_error", Some("moderation_blocked")),
            (Kind::Quota, _) => ("insufficient_quota", Some("insufficient_quota")),
            (_, 429) => ("rate_limit_error", Some("rate_limit_exceeded")),
            (_, 500..) => ("server_error", None),
            _ => ("invalid_request_error", None),
        };
        let field = match self.kind {
            Kind::Field(field) => Some(field),
            Kind::Plain | Kind::Key | Kind::Moderation | Kind::Quota => None,
        };
        json!({"error": {"message": self.message, "type": kind, "param": field, "code": code}})
    }

    /// The proxy names its own exception and writes the status as a string.
    fn litellm(&self) -> Value {
        let (exception, kind) = match (self.kind, self.status.as_u16()) {
            (Kind::Moderation, _) => ("ContentPolicyViolationError", "invalid_request_error"),
            (_, 401) => ("AuthenticationError", "auth_error"),
            (_, 404) => ("NotFoundError", "invalid_request_error"),
            (_, 408) => ("Timeout", "timeout_error"),
            (_, 429) => ("RateLimitError", "throttling_error"),
            (_, 503) => ("ServiceUnavailableError", "internal_server_error"),
            (_, 500..) => ("InternalServerError", "internal_server_error"),
            _ => ("BadRequestError", "invalid_request_error"),
        };
        json!({"error": {
            "message": format!("litellm.{exception}: {}", self.message),
            "type": kind,
            "param": null,
            "code": self.status.as_u16().to_string(),
        }})
    }

    fn fastapi(&self) -> Value {
        match self.kind {
            Kind::Key => json!({"error": "Unauthorized"}),
            Kind::Field(field) => json!({"detail": [{
                "type": "value_error",
                "loc": ["body", field],
                "msg": self.message,
                "input": null,
            }]}),
            Kind::Moderation => json!({
                "detail": format!("content_policy_violation: {}", self.message),
            }),
            Kind::Plain | Kind::Quota => json!({"detail": self.message}),
        }
    }
}

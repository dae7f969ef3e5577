//! The one place that knows status codes and the error envelope.
//!
//! A refusal travels as an [`ApiError`] and becomes JSON at the outermost layer, where the request's id is known;
//! whatever else answers with an error status is put into the same envelope there.

mod admission;
mod body;
mod calls;

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use filmgate_core::id::GenerationId;
use http::header::{
    CONNECTION, CONTENT_RANGE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, StatusCode};

pub(crate) use body::{Detail, ErrorBody};

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Something a client is told instead of what it asked for.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Arc<Fault>);

#[derive(Debug, Clone)]
pub(crate) struct Fault {
    status: StatusCode,
    code: &'static str,
    reason: &'static str,
    description: String,
    details: Vec<Detail>,
    generation_id: Option<GenerationId>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self(Arc::new(Fault {
            status,
            code,
            reason: code,
            description: description.into(),
            details: Vec::new(),
            generation_id: None,
            headers: Vec::new(),
        }))
    }

    fn fault(&mut self) -> &mut Fault {
        Arc::make_mut(&mut self.0)
    }

    /// Tells this refusal apart from others of the same code.
    #[must_use]
    pub(crate) fn reason(mut self, reason: &'static str) -> Self {
        self.fault().reason = reason;
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        self.fault().details.push(Detail {
            path: path.into(),
            message: message.into(),
        });
        self
    }

    #[must_use]
    pub(crate) fn about(mut self, generation: GenerationId) -> Self {
        self.fault().generation_id = Some(generation);
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fault().headers.push((name, value));
        self
    }

    fn should_retry(self, answer: &'static str) -> Self {
        self.header(SHOULD_RETRY, HeaderValue::from_static(answer))
    }

    /// 400: a field does not hold what it may. `message` says what was sent and what is allowed.
    pub(crate) fn validation(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self::new(
            StatusCode::BAD_REQUEST,
            "validation_error",
            format!("{path}: {message}"),
        )
        .detail(path, message)
    }

    /// 400: several fields at once.
    pub(crate) fn invalid(details: Vec<Detail>) -> Self {
        let description = details
            .iter()
            .map(|detail| format!("{}: {}", detail.path, detail.message))
            .collect::<Vec<_>>()
            .join("; ");
        let mut error = Self::new(StatusCode::BAD_REQUEST, "validation_error", description);
        error.fault().details = details;
        error
    }

    /// 400: a promise of a later version.
    pub(crate) fn not_supported(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self::new(
            StatusCode::BAD_REQUEST,
            "not_supported",
            format!("{path}: {message}"),
        )
        .detail(path, message)
    }

    pub(crate) fn invalid_json(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", description)
    }

    pub(crate) fn unauthorised(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", description)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn forbidden(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", description)
    }

    pub(crate) fn not_found(description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", description)
    }

    pub(crate) fn no_video() -> Self {
        Self::not_found("there is no such video in this workspace").reason("video_not_found")
    }

    pub(crate) fn video_deleted() -> Self {
        Self::not_found("the video was deleted").reason("video_deleted")
    }

    pub(crate) fn not_parked() -> Self {
        Self::not_found("no such job is parked").reason("job_not_parked")
    }

    pub(crate) fn no_workspace() -> Self {
        Self::not_found("there is no such workspace").reason("workspace_not_found")
    }

    pub(crate) fn no_key() -> Self {
        Self::not_found("there is no such key").reason("key_not_found")
    }

    pub(crate) fn no_provider_key() -> Self {
        Self::not_found("there is no such provider key").reason("provider_key_not_found")
    }

    /// 429: the same call will do after `wait`.
    pub(crate) fn rate_limited(description: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", description).retry_after(wait)
    }

    /// Whole seconds, never early.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn not_ready(description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "not_ready", description).should_retry("false")
    }

    pub(crate) fn conflict(description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "idempotency_conflict", description).should_retry("false")
    }

    pub(crate) fn link_expired(description: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "link_expired", description)
    }

    /// 410: what was kept until its time was over.
    pub(crate) fn asset_expired(description: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "asset_expired", description)
    }

    pub(crate) fn too_large(description: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            description,
        )
    }

    pub(crate) fn unsupported_media_type(description: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            description,
        )
    }

    pub(crate) fn timeout(description: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", description)
    }

    pub(crate) fn range_not_satisfiable(bytes: u64) -> Self {
        let whole =
            HeaderValue::try_from(format!("bytes */{bytes}")).expect("digits make a header value");
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            format!("the range has nothing of the {bytes} bytes there are"),
        )
        .header(CONTENT_RANGE, whole)
    }

    /// 426: the answer names what to upgrade to.
    pub(crate) fn websocket_upgrade_required() -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_upgrade_required",
            "this address speaks WebSocket, version 13, and the request is no handshake for it; for a plain request there are GET /v1/videos/{video_id} and its /events",
        )
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(CONNECTION, HeaderValue::from_static("upgrade"))
        .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    pub(crate) fn switched_off() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            "the video API is switched off on this server",
        )
        .reason("video_api_temporarily_disabled")
    }

    pub(crate) fn overloaded(description: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", description)
            .retry_after(Duration::from_secs(5))
    }

    /// 500. The cause is for the log alone and is written there here, once.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::broken()
    }

    /// 500, its cause already logged.
    pub(crate) fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "gateway_error",
            "the gateway failed; the request_id leads the operator to the cause",
        )
    }

    /// The refusal a bare status stands for, where something below the handlers answered.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is no such route; see /openapi.json"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "this route does not take this method; see the Allow header",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::unsupported_media_type("the content type is not taken here")
            }
            StatusCode::REQUEST_TIMEOUT => Self::timeout("the request took too long"),
            status if status.is_client_error() => Self::new(
                status,
                "validation_error",
                "the request cannot be understood",
            ),
            _ => Self::broken(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The envelope, with the id of the request it answers.
    pub(crate) fn body(&self, request_id: &str) -> ErrorBody {
        let fault = &self.0;
        let system = fault.status.is_server_error();
        ErrorBody {
            error: fault.code.to_owned(),
            status_code: fault.status.as_u16(),
            error_type: if system { "system" } else { "user" }.to_owned(),
            error_origin: if system { "gateway" } else { "user" }.to_owned(),
            reason: fault.reason.to_owned(),
            description: fault.description.clone(),
            generation_id: fault.generation_id.map(|id| id.to_string()),
            request_id: request_id.to_owned(),
            details: fault.details.clone(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        for (name, value) in &self.0.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

pub(crate) async fn no_such_route() -> ApiError {
    ApiError::of_status(StatusCode::NOT_FOUND)
}

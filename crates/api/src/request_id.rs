//! The outermost layers: every request has an id and a span, every error the envelope, every panic an answer.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use filmgate_core::id::RequestId;
use filmgate_engine::entropy;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer, ExposeHeaders};
use tracing::Instrument;

use crate::error::ApiError;
use crate::unread::Unread;
use crate::{Shared, answered};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request at hand: the client's own, or ours.
#[derive(Debug, Clone)]
pub(crate) struct ThisRequest(pub(crate) Arc<str>);

pub(crate) fn wrap(routes: Router, api: &Shared) -> Router {
    let mut routes = routes
        .layer(CompressionLayer::new().compress_when(may_be_compressed))
        .layer(CatchPanicLayer::custom(panicked));
    if !api.config.cors_origins.is_empty() {
        routes = routes.layer(cors(&api.config.cors_origins));
    }
    routes.layer(from_fn_with_state(Arc::clone(api), identify))
}

async fn identify(State(api): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = sent_id(request.headers())
        .unwrap_or_else(|| RequestId::mint(api.engine.now(), entropy::draw()).to_string());
    let id: Arc<str> = id.into();
    request
        .extensions_mut()
        .insert(ThisRequest(Arc::clone(&id)));
    let head = request.method() == Method::HEAD;
    let span = tracing::info_span!(
        "http.request",
        request.id = %id,
        http.method = %request.method(),
        http.path = request.uri().path(),
    );
    let (request, unread) = Unread::watch(request);
    let response = next.run(request).instrument(span).await;
    let mut response = answered::watch(enveloped(response, &id, head));
    unread.announce(&mut response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Puts every error into the envelope, whoever answered it.
fn enveloped(response: Response, id: &str, head: bool) -> Response {
    if response.status().as_u16() < 400 {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let error = parts
        .extensions
        .remove::<ApiError>()
        .unwrap_or_else(|| ApiError::of_status(parts.status));
    parts.status = error.status();
    let text = serde_json::to_vec(&error.body(id)).expect("an envelope is plain data");
    let headers = &mut parts.headers;
    // Whatever described the body that is replaced.
    for name in [CONTENT_ENCODING, TRANSFER_ENCODING, ETAG] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    let body = if head { Body::empty() } else { text.into() };
    Response::from_parts(parts, body)
}

fn sent_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    fits.then(|| text.to_owned())
}

fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(panic = message, "a request met a bug");
    ApiError::broken().into_response()
}

/// A strong `ETag` names the bytes as they are, media does not get smaller, and an event is not kept back until more
/// come.
fn may_be_compressed(
    _status: StatusCode,
    _version: Version,
    headers: &HeaderMap,
    _extensions: &http::Extensions,
) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| {
            let known = ["application/json", "text/", "application/javascript"];
            known.iter().any(|known| kind.starts_with(known))
                && !kind.starts_with("text/event-stream")
        });
    text && !headers.contains_key(ETAG)
}

/// Pages of other origins see us only where the operator named them.
fn cors(origins: &[String]) -> CorsLayer {
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(
            [
                "authorization",
                "content-type",
                "idempotency-key",
                "if-none-match",
                "if-range",
                "last-event-id",
                "prefer",
                "range",
                "x-request-id",
                "x-stainless-retry-count",
            ]
            .map(name),
        )
        .expose_headers(ExposeHeaders::list(
            [
                "etag",
                "retry-after",
                "x-request-id",
                "x-should-retry",
                "idempotent-replayed",
                "x-filmgate-replayed",
                "preference-applied",
                "content-range",
                "accept-ranges",
                "content-length",
                "content-disposition",
            ]
            .map(name),
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_envelope_that_tells_nothing() {
        let response = enveloped(panicked(Box::new("secret path")), "req_1", true);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = ApiError::broken().body("req_1");
        assert_eq!(
            (body.error.as_str(), body.error_type.as_str()),
            ("gateway_error", "system")
        );
        assert!(!body.description.contains("secret"));
    }

    #[test]
    fn a_foreign_error_loses_what_described_its_body() {
        let mut foreign = StatusCode::NOT_FOUND.into_response();
        foreign
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let response = enveloped(foreign, "req_1", false);
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn only_plain_ids_of_clients_are_kept() {
        let sent =
            |text: &str| sent_id(&HeaderMap::from_iter([(REQUEST_ID, text.parse().unwrap())]));
        assert_eq!(sent("a.B_c-9").as_deref(), Some("a.B_c-9"));
        for bad in ["", "a b", "a/b", &"x".repeat(129)] {
            assert_eq!(sent(bad), None, "{bad}");
        }
    }
}

//! `POST /v1/callbacks/{provider}/{token}`: where providers tell by themselves that a job has moved.

use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filmgate_core::provider::Callback;
use filmgate_core::request::ProviderName;
use filmgate_engine::CallbackError;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::error::{ApiError, ErrorBody};

/// More than any provider tells.
const MOST_BYTES: usize = 1 << 20;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(called_back))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// Call back
///
/// For providers, at an address that they were given with a job. It brings the next look at that job forward; nothing it says
/// is believed.
#[utoipa::path(
    post,
    path = "/v1/callbacks/{provider}/{token}",
    operation_id = "call_back",
    tag = "operations",
    params(
        ("provider" = String, Path, description = "the name the provider is configured under"),
        ("token" = String, Path, description = "as given with the job"),
    ),
    responses(
        (status = 204, description = "Heard"),
        (status = 400, description = "The body is not what this provider sends", body = ErrorBody),
        (status = 404, description = "No such address was given to this provider", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn called_back(
    State(api): State<Shared>,
    Path((provider, token)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|_| ApiError::too_large("the body is too large"))?;
    let callback = Callback { headers, body };
    let heard = api
        .engine
        .called_back(&ProviderName(provider), &token, &callback)
        .await;
    match heard {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(CallbackError::Unknown) => {
            Err(ApiError::not_found("there is no such callback address")
                .reason("callback_not_found"))
        }
        Err(CallbackError::Unreadable(why)) => Err(ApiError::validation("body", why.to_string())),
        Err(CallbackError::Store(error)) => Err(error.into()),
    }
}

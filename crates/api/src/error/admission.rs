//! Why a request was not admitted, as HTTP.

use std::time::Duration;

use filmgate_core::id::InvalidId;
use filmgate_core::request::{ModelId, Refusal};
use filmgate_engine::AdmitError;
use filmgate_store::StoreError;
use http::StatusCode;

use super::{ApiError, Detail};
use crate::request::shortened;

impl From<AdmitError> for ApiError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::UnknownModel { sent, nearest } => {
                let message = format!(
                    "{:?} was sent; allowed are the ids and aliases of GET /v1/videos/models{}",
                    shortened(&sent.0),
                    nearest_is(nearest)
                );
                unsupported_model(message).reason("unknown_model")
            }
            AdmitError::Retired {
                model,
                since,
                nearest,
            } => {
                let since = since.map_or_else(String::new, |day| format!(" on {day}"));
                let nearest = nearest_is(nearest);
                unsupported_model(format!(
                    "{model} was sent; its maker has retired it{since}{nearest}"
                ))
                .reason("model_retired")
            }
            AdmitError::Refused {
                refusals, nearest, ..
            } => {
                let error = Self::invalid(refusals.iter().flat_map(details).collect());
                match nearest {
                    Some(model) => error.detail("model", format!("{model} would take this request")),
                    None => error,
                }
            }
            AdmitError::InputsRefused { refusals } => {
                Self::invalid(refusals.iter().flat_map(details).collect())
            }
            AdmitError::NoProvider { model, dropped } => {
                let mut error = Self::new(
                    StatusCode::BAD_REQUEST,
                    "unsupported_model_or_endpoint",
                    format!("no provider of {model} can run this request"),
                )
                .reason("no_provider");
                for drop in dropped {
                    error = error.detail("provider", format!("{}: {}", drop.provider, drop.reason));
                }
                error
            }
            AdmitError::MaxCostExceeded {
                max_cost,
                lowest_hold,
            } => {
                let lowest = lowest_hold.map_or_else(
                    || "a cost nobody can tell".to_owned(),
                    |hold| format!("{hold} USD"),
                );
                let message =
                    format!("{max_cost} USD was sent; the cheapest provider would hold {lowest}");
                Self::new(
                    StatusCode::PAYMENT_REQUIRED,
                    "max_cost_exceeded",
                    format!("max_cost: {message}"),
                )
                .detail("max_cost", message)
            }
            AdmitError::InsufficientFunds { .. } => Self::new(
                StatusCode::PAYMENT_REQUIRED,
                "insufficient_funds",
                error.to_string(),
            ),
            AdmitError::KeyInFlight { .. } => {
                Self::rate_limited(error.to_string(), IN_FLIGHT_WAIT).reason("max_in_flight")
            }
            AdmitError::KeyLimitExceeded { resets_in, .. } => {
                key_limit_exceeded(error.to_string(), resets_in)
            }
            AdmitError::RepeatInFlight => Self::new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "the request this one repeats is still under way; send it again in a moment",
            )
            .reason("repeat_in_flight")
            .should_retry("true"),
            AdmitError::IdempotencyConflict => Self::conflict(
                "the Idempotency-Key was used with another body; use a new key for another request",
            ),
            AdmitError::IdempotencyInFlight => Self::new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "a request with the same Idempotency-Key is still under way; send this one again in a moment",
            )
            .reason("idempotency_in_flight")
            .should_retry("true"),
            AdmitError::ReplayDeleted => Self::video_deleted(),
            AdmitError::Input(_) | AdmitError::Spool(_) => Self::internal(&error),
            AdmitError::Store(store) => store.into(),
        }
    }
}

/// Nobody knows when a job of the key will end; jobs take minutes.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(10);
/// No client should wait for longer than this inside one call.
const WORTH_WAITING: Duration = Duration::from_secs(60);

/// 429 where the limit begins anew by itself, 402 where it never does.
fn key_limit_exceeded(description: String, resets_in: Option<Duration>) -> ApiError {
    let error = |status| ApiError::new(status, "key_limit_exceeded", description);
    match resets_in {
        None => error(StatusCode::PAYMENT_REQUIRED),
        Some(wait) => {
            let error = error(StatusCode::TOO_MANY_REQUESTS).retry_after(wait);
            let retry = if wait > WORTH_WAITING {
                "false"
            } else {
                "true"
            };
            error.should_retry(retry)
        }
    }
}

fn unsupported_model(message: String) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "unsupported_model_or_endpoint",
        format!("model: {message}"),
    )
    .detail("model", message)
}

fn nearest_is(model: Option<ModelId>) -> String {
    model.map_or_else(String::new, |model| format!("; the nearest is {model}"))
}

/// One for each field: two that contradict each other stand in one refusal, as `size and resolution`.
fn details(refusal: &Refusal) -> Vec<Detail> {
    let message = format!(
        "{} was sent; allowed: {}",
        shortened(&refusal.sent),
        refusal.allowed
    );
    // A client's own name may hold any words.
    let fields = match refusal.field.starts_with("provider_params") {
        true => vec![refusal.field.as_str()],
        false => refusal.field.split(" and ").collect(),
    };
    fields
        .into_iter()
        .map(|field| Detail {
            path: field.to_owned(),
            message: message.clone(),
        })
        .collect()
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::overloaded("the server is shutting down; try again"),
            StoreError::Busy => Self::overloaded(
                "more is waiting to be stored than the server takes on; nothing was done, try again",
            ),
            StoreError::Open(_)
            | StoreError::Newer { .. }
            | StoreError::Database(_)
            | StoreError::Corrupt(_) => Self::internal(&error),
        }
    }
}

/// An id in a body or a query; in a path it is a 404.
impl ApiError {
    pub(crate) fn bad_id(path: &str, error: &InvalidId) -> Self {
        Self::validation(path, error.to_string())
    }
}

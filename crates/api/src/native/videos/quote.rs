//! `POST /v1/videos/quote`: what a create would cost. Spends nothing, binds nothing.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::money::Nanos;
use filmgate_core::pricing::PriceLine;
use filmgate_core::routing;
use serde::Serialize;
use utoipa::ToSchema;

use super::{create, json};
use crate::Shared;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::request::create::{Create, CreateVideo};

/// What a create would cost, and who would run it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quote {
    /// The user's charge by the head of the route, in nano-dollars; null where it has no price.
    #[schema(required)]
    quote_nanos: Option<i64>,
    /// What would be held, in nano-dollars; null where nothing would.
    #[schema(required)]
    hold_nanos: Option<i64>,
    /// Always `usd`.
    currency: &'static str,
    /// How the provider's price comes about, before markup.
    lines: Vec<QuoteLine>,
    /// Who would be asked, in this order.
    route: Vec<String>,
    dropped: Vec<Dropped>,
}

/// One line of a price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteLine {
    /// What is counted, such as `output_second`.
    meter: String,
    /// Of one unit, in nano-dollars.
    price_nanos: i64,
    /// Thousandths of the unit.
    quantity_thousandths: u64,
    amount_nanos: i64,
}

/// A provider that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dropped {
    provider: String,
    reason: String,
}

impl From<&PriceLine> for QuoteLine {
    fn from(line: &PriceLine) -> Self {
        Self {
            meter: line.meter.clone(),
            price_nanos: line.price_nanos.get(),
            quantity_thousandths: line.quantity_thousandths,
            amount_nanos: line.amount_nanos.get(),
        }
    }
}

impl From<&routing::Dropped> for Dropped {
    fn from(dropped: &routing::Dropped) -> Self {
        Self {
            provider: dropped.provider.0.clone(),
            reason: dropped.reason.clone(),
        }
    }
}

/// Quote a video
///
/// Takes the body of a create and tells what it would cost, who would run it and who would not.
#[utoipa::path(
    post,
    path = "/quote",
    operation_id = "quote_video",
    tag = "videos",
    security(("bearer" = [])),
    request_body(content((CreateVideo = "application/json"), (CreateVideo = "multipart/form-data"))),
    responses(
        (status = 200, description = "The price and the route", body = Quote),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 402, description = "`max_cost` is below every provider's hold", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Neither JSON nor multipart", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn quote(
    State(api): State<Shared>,
    Member(caller): Member,
    mut body: Create,
) -> Result<Response, ApiError> {
    let _room = body.room.take();
    let lowered = body.lower()?;
    let request = lowered.ask.request;
    let quotation = api
        .engine
        .quote(caller.workspace, &request)
        .await
        .map_err(|error| create::refused(error, &lowered.input_paths))?;
    Ok(json(Quote {
        quote_nanos: quotation.quote.map(Nanos::get),
        hold_nanos: quotation.hold.map(Nanos::get),
        currency: "usd",
        lines: quotation.lines.iter().map(QuoteLine::from).collect(),
        route: quotation
            .route
            .into_iter()
            .map(|provider| provider.0)
            .collect(),
        dropped: quotation.dropped.iter().map(Dropped::from).collect(),
    }))
}

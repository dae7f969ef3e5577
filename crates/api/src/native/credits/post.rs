//! `POST /v1/credits`: puts funds into a workspace, or takes them out.

use axum::extract::State;
use axum::response::Response;
use filmgate_engine::Made;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Credits, PostingView};
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::{Admin, workspace_of};
use crate::error::{ApiError, ErrorBody};
use crate::native::made;
use crate::request::body::Json;
use crate::request::fields::SignedDollars;

/// Ten million dollars in nano-dollars: more at once is a typing error.
const MOST: u64 = 10_000_000 * 1_000_000_000;

/// A top-up or an adjustment.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostCredit {
    /// Whose funds; the caller's own workspace by default.
    workspace_id: Option<String>,
    /// Dollars to put in, or, where negative, to take out: as decimal text or as a number of at most 15 digits, not zero, at
    /// most 10 000 000 either way.
    #[schema(required, nullable = false, value_type = String, example = "100.00")]
    amount: Option<SignedDollars>,
    /// For people; 1 to 512 characters. It stands on the ledger's entry and in the log.
    #[schema(required, nullable = false, min_length = 1, max_length = 512)]
    reason: Option<String>,
}

/// Post a credit
///
/// A positive amount tops the available funds up; a negative one takes them back, below zero too, where no new job fits
/// until they have risen again.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "post_credit",
    tag = "money",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours")),
    request_body = PostCredit,
    responses(
        (status = 201, description = "The funds now, and the entry that was made", body = Credits, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key made this entry before"),
        )),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such workspace", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn post(
    State(api): State<Shared>,
    admin: Admin,
    arrival: Arrival,
    Json(body): Json<PostCredit>,
) -> Result<Response, ApiError> {
    let workspace = workspace_of(&api, &admin.0, body.workspace_id.as_deref()).await?;
    let amount = match body.amount {
        Some(SignedDollars(amount)) if amount.0 != 0 && amount.0.unsigned_abs() <= MOST => amount,
        sent => {
            let sent = sent.map_or("nothing".to_owned(), |sent| sent.0.to_string());
            return Err(ApiError::validation(
                "amount",
                format!(
                    "{sent} was sent; allowed are dollars from -10000000 to 10000000, but not 0"
                ),
            ));
        }
    };
    let reason = body.reason.unwrap_or_default();
    let count = reason.chars().count();
    if !(1..=512).contains(&count) {
        return Err(ApiError::validation(
            "reason",
            format!("{count} characters were sent; allowed are 1 to 512"),
        ));
    }
    let operator = admin.operator(arrival, "credits.post");
    let result = api
        .engine
        .post_credit(workspace, amount, &reason, &operator)
        .await?;
    let (Made::New(posting) | Made::Replayed(posting)) = result.clone();
    let balances = api.engine.store().balances(posting.workspace).await?;
    let view = Credits {
        entry: Some(PostingView::from(posting.clone())),
        ..Credits::of(posting.workspace, balances)
    };
    Ok(made(StatusCode::CREATED, &result, view))
}

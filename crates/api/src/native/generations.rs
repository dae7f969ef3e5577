//! `GET /v1/generations?id=`: the audit record of a job.

mod replayable;

use axum::extract::State;
use axum::response::Response;
use filmgate_core::job::{Candidate, Job};
use filmgate_core::request::{Input, Request, Sort};
use filmgate_store::Recorded;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::videos::json;
use super::videos::quote::{Dropped, QuoteLine};
use super::videos::timeline::AttemptView;
use super::view::{Billing, StatusWord};
use crate::Shared;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::query::Query;
use crate::request::shortened;

/// How a job came about, who was asked, and what it cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Generation {
    id: String,
    /// Always `generation`.
    object: &'static str,
    video_id: String,
    request_id: String,
    status: StatusWord,
    model: String,
    provider: String,
    timings: Timings,
    /// Who could be asked, in this order.
    route: Vec<RouteStep>,
    /// Who could not, and why.
    dropped: Vec<Dropped>,
    attempts: Vec<AttemptView>,
    billing: Billing,
    /// The video was deleted by its owner: what it was made from and what it became are gone, what was done and paid stays.
    deleted: bool,
    /// The request as it was understood, in the words of a create: sent again, it asks for the same, inputs apart. Null
    /// once deleted.
    #[schema(required, value_type = Option<Object>)]
    request: Option<Value>,
    /// What the client gave along; `POST /v1/videos/{video_id}/retry` uses it again.
    inputs: Vec<InputView>,
    #[schema(required)]
    retried_from: Option<String>,
}

/// A picture, clip or sound the client gave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InputView {
    /// `image`, `video` or `audio`.
    kind: &'static str,
    /// `first_frame`, `last_frame`, `reference`, `source` or `mask`.
    role: &'static str,
    #[schema(required)]
    reference_type: Option<String>,
    mime_type: String,
    bytes: u64,
    sha256: String,
}

impl From<&Input> for InputView {
    fn from(input: &Input) -> Self {
        Self {
            kind: input.kind.as_str(),
            role: input.role.as_str(),
            reference_type: input.reference_type.clone(),
            mime_type: input.mime_type.clone(),
            bytes: input.bytes,
            sha256: input.sha256.clone(),
        }
    }
}

/// A provider in the route.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteStep {
    provider: String,
    native_model: String,
    /// Why it stands where it stands.
    reason: &'static str,
    /// What was asked for and this provider has not: it is asked without.
    left_out: Vec<&'static str>,
    /// What it was expected to charge, in nano-dollars.
    #[schema(required)]
    quote_nanos: Option<i64>,
    price_lines: Vec<QuoteLine>,
}

/// Instants in unix milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timings {
    created_at_ms: i64,
    #[schema(required)]
    started_at_ms: Option<i64>,
    #[schema(required)]
    completed_at_ms: Option<i64>,
    /// From creation to the first acceptance.
    #[schema(required)]
    queued_ms: Option<i64>,
    /// From the first acceptance to the end.
    #[schema(required)]
    running_ms: Option<i64>,
}

impl Timings {
    fn of(job: &Job) -> Self {
        let created = job.admission.created_at.millis();
        let started = job.life.started_at.map(|at| at.millis());
        let ended = job.life.ended_at.map(|at| at.millis());
        Self {
            created_at_ms: created,
            started_at_ms: started,
            completed_at_ms: ended,
            queued_ms: started.map(|started| started - created),
            running_ms: started.zip(ended).map(|(started, ended)| ended - started),
        }
    }
}

fn left_out(candidate: &Candidate) -> Vec<&'static str> {
    let parameters = candidate.left_out.iter();
    parameters.map(|parameter| parameter.as_str()).collect()
}

impl RouteStep {
    fn of(candidate: &Candidate, request: &Request) -> Self {
        let preference = &request.provider;
        let lines = candidate
            .price
            .as_ref()
            .and_then(|price| price.quote(&candidate.shape, request.sample_count))
            .unwrap_or_default();
        Self {
            provider: candidate.provider.0.clone(),
            native_model: candidate.native_model.clone(),
            reason: if preference.order.contains(&candidate.provider) {
                "named in provider.order"
            } else if preference.sort == Some(Sort::Latency) {
                "takes the request; fastest first"
            } else {
                "takes the request; cheapest first"
            },
            left_out: left_out(candidate),
            quote_nanos: candidate.quote.map(|quote| quote.get()),
            price_lines: lines.iter().map(QuoteLine::from).collect(),
        }
    }
}

/// Show a job's audit record
#[utoipa::path(
    get,
    path = "/v1/generations",
    operation_id = "get_generation",
    tag = "videos",
    security(("bearer" = [])),
    params(("id" = String, Query, description = "`gen_` and 26 characters: a video's `generation_id`")),
    responses(
        (status = 200, description = "The record", body = Generation),
        (status = 400, description = "`id` is missing", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "No such generation in this workspace", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn generation(
    State(api): State<Shared>,
    Reader(key): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let text = query.last("id").ok_or_else(|| {
        ApiError::validation("id", "nothing was sent; it is a video's generation_id")
    })?;
    let unknown = || {
        ApiError::not_found(format!(
            "there is no generation {:?} in this workspace",
            shortened(text)
        ))
        .reason("generation_not_found")
    };
    let id = text.parse().map_err(|_| unknown())?;
    let store = api.engine.store();
    let recorded = store.find_generation(key.workspace, id).await?;
    let recorded = recorded.ok_or_else(unknown)?;
    let attempts = store.attempts(recorded.job.admission.id).await?;
    Ok(json(shown(
        &recorded,
        attempts.iter().map(AttemptView::from).collect(),
    )))
}

fn shown(recorded: &Recorded, attempts: Vec<AttemptView>) -> Generation {
    let job = &recorded.job;
    let admission = &job.admission;
    let request = admission.request.as_ref();
    Generation {
        id: admission.generation_id.to_string(),
        object: "generation",
        video_id: admission.id.to_string(),
        request_id: admission.request_id.clone(),
        status: job.life.status().into(),
        model: request.model.0.clone(),
        provider: job.shown_candidate().provider.0.clone(),
        timings: Timings::of(job),
        route: admission
            .route
            .iter()
            .map(|candidate| RouteStep::of(candidate, request))
            .collect(),
        dropped: admission.dropped.iter().map(Dropped::from).collect(),
        attempts,
        billing: Billing::of(job),
        retried_from: admission.retried_from.map(|video| video.to_string()),
        deleted: recorded.deleted,
        request: (!recorded.deleted).then(|| replayable::of(request)),
        inputs: request.inputs.iter().map(InputView::from).collect(),
    }
}

//! The emulator's own routes, under `/_emulator`: what happened, and what is to happen.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::emulator::{Emulator, Vendor};
use crate::jobs::{Counts, JobRecord};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    prompt: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    directives: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance_seconds: f64,
}

pub(crate) fn router<V: Vendor>() -> Router<Emulator<V>> {
    Router::new()
        .route("/counts", get(counts::<V>))
        .route("/jobs", get(jobs::<V>))
        .route("/restart", post(restart::<V>))
        .route(
            "/faults",
            get(faults::<V>)
                .post(set_faults::<V>)
                .delete(clear_faults::<V>),
        )
        .route("/callbacks", post(callbacks::<V>))
        .route("/release", post(release::<V>))
        .route("/clock", post(clock::<V>))
}

/// Of everything, or of one prompt.
async fn counts<V: Vendor>(
    State(emulator): State<Emulator<V>>,
    Query(about): Query<About>,
) -> Response {
    match about.prompt {
        Some(prompt) => Json(emulator.prompt_counts(&prompt)).into_response(),
        None => Json::<Counts>(emulator.counts()).into_response(),
    }
}

async fn jobs<V: Vendor>(
    State(emulator): State<Emulator<V>>,
    Query(about): Query<About>,
) -> Json<Vec<JobRecord>> {
    Json(match about.prompt {
        Some(prompt) => emulator.jobs_of(&prompt),
        None => emulator.all_jobs(),
    })
}

async fn restart<V: Vendor>(State(emulator): State<Emulator<V>>) -> StatusCode {
    emulator.restart();
    StatusCode::NO_CONTENT
}

async fn faults<V: Vendor>(State(emulator): State<Emulator<V>>) -> Json<Value> {
    Json(json!({"directives": emulator.faults()}))
}

async fn set_faults<V: Vendor>(
    State(emulator): State<Emulator<V>>,
    Json(faults): Json<Faults>,
) -> Response {
    match emulator.set_faults(&faults.directives) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": {"message": fault.to_string()}})),
        )
            .into_response(),
    }
}

async fn clear_faults<V: Vendor>(State(emulator): State<Emulator<V>>) -> StatusCode {
    emulator.clear_faults();
    StatusCode::NO_CONTENT
}

/// Calls whoever asked to be called, and tells what they answered.
async fn callbacks<V: Vendor>(State(emulator): State<Emulator<V>>) -> Json<Value> {
    Json(json!({"statuses": emulator.call_back().await}))
}

async fn release<V: Vendor>(State(emulator): State<Emulator<V>>) -> StatusCode {
    emulator.release();
    StatusCode::NO_CONTENT
}

async fn clock<V: Vendor>(State(emulator): State<Emulator<V>>, Json(step): Json<Step>) -> Response {
    match Duration::try_from_secs_f64(step.advance_seconds) {
        Ok(by) => {
            emulator.clock().advance(by);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(fault) => (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": {"message": format!("advance_seconds: {fault}")}})),
        )
            .into_response(),
    }
}

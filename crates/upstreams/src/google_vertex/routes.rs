//! The API's routes: each counts, looks for the fault it has to meet, and answers.

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Emulator;
use super::operation::{self, Inside, Job};
use super::order::{Model, Order};
use super::refusal::Refusal;
use super::service_account::{TOKEN_SECONDS, Tokens};
use crate::emulator::{Created, Uncreated, Wanted, bearer};
use crate::fault::{PollFault, Script};
use crate::jobs::{self, Order as _, Phase, count};

/// What no operation of these is.
const NEITHER: &str = "DREAMING";
/// As long as the largest files in base64, and the rest.
const MOST_BODY_BYTES: usize = 30 << 20;

type Fields = Result<Json<Map<String, Value>>, JsonRejection>;

#[derive(Debug, Deserialize)]
struct Place {
    version: String,
    project: String,
    location: String,
    /// The model and, behind a colon, what is to be done with it.
    call: String,
}

#[derive(Debug, Deserialize)]
struct Exchange {
    grant_type: String,
    assertion: String,
}

#[derive(Debug, Deserialize)]
struct Alt {
    alt: Option<String>,
}

pub(crate) fn router() -> Router<Emulator> {
    Router::new()
        .route(
            "/{version}/projects/{project}/locations/{location}/publishers/google/models/{call}",
            post(call),
        )
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .route("/storage/v1/b/{bucket}/o/{object}", get(content))
        .route("/token", post(token))
        .route("/_emulator/tokens", get(tokens).delete(expire_tokens))
        .fallback(nowhere)
}

async fn token(State(emulator): State<Emulator>, Form(exchange): Form<Exchange>) -> Response {
    let account = &emulator.vendor().account;
    match account.give(&exchange.grant_type, &exchange.assertion) {
        Ok(token) => Json(json!({
            "access_token": token,
            "expires_in": TOKEN_SECONDS,
            "token_type": "Bearer",
        }))
        .into_response(),
        Err(why) => {
            let told = json!({"error": "invalid_grant", "error_description": why});
            (StatusCode::BAD_REQUEST, Json(told)).into_response()
        }
    }
}

async fn tokens(State(emulator): State<Emulator>) -> Json<Tokens> {
    Json(emulator.tokens())
}

async fn expire_tokens(State(emulator): State<Emulator>) -> StatusCode {
    emulator.expire_tokens();
    StatusCode::NO_CONTENT
}

fn admit(emulator: &Emulator, headers: &HeaderMap) -> Result<(), Refusal> {
    let account = &emulator.vendor().account;
    match bearer(headers) {
        Some(token) if account.takes(token) => Ok(()),
        _ => Err(Refusal::of(
            StatusCode::UNAUTHORIZED,
            "Request had invalid authentication credentials.",
        )),
    }
}

async fn call(
    State(emulator): State<Emulator>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let (model, method) = place.call.rsplit_once(':').unwrap_or((&place.call, ""));
    let answered = match method {
        "predictLongRunning" => {
            emulator.count(|calls| &calls.submits);
            submit(&emulator, &place, model, &headers, fields).await
        }
        "fetchPredictOperation" => {
            emulator.count(|calls| &calls.polls);
            poll(&emulator, &place, model, &headers, fields).await
        }
        _ => Ok(nowhere().await),
    };
    answered.unwrap_or_else(Refusal::answer)
}

/// The model that is called, and its path.
fn called(
    emulator: &Emulator,
    place: &Place,
    model: &str,
    headers: &HeaderMap,
) -> Result<(Model, String), Refusal> {
    admit(emulator, headers)?;
    if !["v1", "v1beta1"].contains(&place.version.as_str()) {
        return Err(Refusal::of(
            StatusCode::NOT_FOUND,
            "There is no such version.",
        ));
    }
    if place.project != emulator.vendor().account.project {
        let message = "Permission 'aiplatform.endpoints.predict' denied on the project.";
        return Err(Refusal::of(StatusCode::FORBIDDEN, message));
    }
    let found = Model::find(model).ok_or_else(|| {
        let message = "The publisher model was not found, or your project has no access to it.";
        Refusal::of(StatusCode::NOT_FOUND, message)
    })?;
    let path = format!(
        "projects/{}/locations/{}/publishers/google/models/{model}",
        place.project, place.location
    );
    Ok((found, path))
}

fn read(fields: Fields) -> Result<Map<String, Value>, Refusal> {
    match fields {
        Ok(Json(fields)) => Ok(fields),
        Err(fault) => Err(Refusal::of(fault.status(), fault.body_text())),
    }
}

async fn submit(
    emulator: &Emulator,
    place: &Place,
    model: &str,
    headers: &HeaderMap,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (model, path) = called(emulator, place, model, headers)?;
    let order = Order::read(model, path, read(fields)?)?;
    check_faults(&order)?;
    let created = emulator
        .create(order, None, |digits, _| jobs::uuid(digits))
        .await;
    let (job, spoilt) = match created {
        Ok(Created::Job(job, spoilt)) => (job, spoilt),
        Ok(Created::Answer(answer)) => return Ok(answer),
        Err(Uncreated::Unfit(why)) => return Err(Refusal::field("prompt", &why)),
        Err(Uncreated::Full(_)) => {
            let message = "Quota exceeded for long running online prediction requests.";
            return Err(Refusal::of(StatusCode::TOO_MANY_REQUESTS, message));
        }
    };
    let body = json!({"name": operation::name(&job)});
    Ok(match &spoilt {
        Some(how) => emulator.spoil(how, StatusCode::OK, &body).await,
        None => Json(body).into_response(),
    })
}

async fn poll(
    emulator: &Emulator,
    place: &Place,
    model: &str,
    headers: &HeaderMap,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (_, path) = called(emulator, place, model, headers)?;
    let fields = read(fields)?;
    let name = fields.get("operationName").and_then(Value::as_str);
    let name = name.ok_or_else(|| Refusal::field("operationName", "a text is required"))?;
    let id = name
        .strip_prefix(path.as_str())
        .and_then(|rest| rest.strip_prefix("/operations/"))
        .ok_or_else(|| Refusal::field("operationName", "it is none of this model's"))?;
    let standing = emulator.standing().poll();
    let job = emulator.jobs().find(id);
    let Some(job) = job.filter(|job| job.order.path == path) else {
        return match standing {
            Some(PollFault::Spoilt(how)) => {
                Ok(emulator.spoil(&how, StatusCode::OK, &Value::Null).await)
            }
            Some(PollFault::UnknownStatus) | None => Err(Refusal::operation_not_found()),
        };
    };
    let now = emulator.now();
    let index = job.note_poll(now);
    let fault = standing.or_else(|| job.script.poll.at(index).cloned());
    let inside = match fault {
        None if job.phase(now) == Phase::Completed => next_inside(emulator, &job),
        _ => None,
    };
    let told = operation::told(emulator, &job, now, inside).await;
    let mut body = told.map_err(|fault| Refusal::internal(fault.to_string()))?;
    Ok(match fault {
        None => {
            if has_ended(&job, emulator) {
                job.tell(now);
            }
            Json(body).into_response()
        }
        Some(PollFault::UnknownStatus) => {
            body["done"] = json!(NEITHER);
            Json(body).into_response()
        }
        Some(PollFault::Spoilt(how)) => emulator.spoil(&how, StatusCode::OK, &body).await,
    })
}

/// Refuses faults that a video inside an answer cannot have. Those for everybody are left out there.
fn check_faults(order: &Order) -> Result<(), Refusal> {
    let script = Script::of_prompt(order.prompt()).unwrap_or_default();
    let mut faults = script.content.all();
    if order.storage_uri.is_some() || faults.all(|fault| Inside::of(fault).is_some()) {
        return Ok(());
    }
    let why = "without a storageUri no file is fetched that could go wrong on its way; of its faults, empty-content, not-a-video and short-file-honest are taken";
    Err(Refusal::field("prompt", why))
}

/// What the next answer with videos in it does to them: each is a call for content.
fn next_inside(emulator: &Emulator, job: &Job) -> Option<Inside> {
    if job.order.storage_uri.is_some() {
        return None;
    }
    let index = count(&job.contents);
    let fault = emulator
        .standing()
        .content()
        .or_else(|| job.script.content.at(index).cloned());
    Inside::of(&fault?)
}

async fn content(
    State(emulator): State<Emulator>,
    Path((bucket, object)): Path<(String, String)>,
    Query(alt): Query<Alt>,
    OriginalUri(address): OriginalUri,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.contents);
    if let Err(refusal) = admit(&emulator, &headers) {
        return refusal.answer();
    }
    if alt.alt.as_deref() != Some("media") {
        return Refusal::field("alt", "media alone is served here").answer();
    }
    let uri = format!("gs://{bucket}/{object}");
    let Some((job, output)) = stored(&emulator, &uri) else {
        let message = format!("No such object: {bucket}/{object}");
        return Refusal::of(StatusCode::NOT_FOUND, message).answer();
    };
    let index = count(&job.contents);
    let wanted = Wanted {
        output,
        range: headers.get(header::RANGE),
        address: &address,
    };
    let delivered = emulator.deliver(&job, index, wanted).await;
    delivered.unwrap_or_else(|fault| Refusal::internal(fault.to_string()).answer())
}

/// The job that put an object where it is, and which of its outputs that is.
fn stored(emulator: &Emulator, uri: &str) -> Option<(std::sync::Arc<Job>, u32)> {
    let mut steps = uri.rsplit('/');
    let file = steps.next()?;
    let job = emulator.jobs().find(steps.next()?)?;
    let output = file.strip_prefix("sample_")?.strip_suffix(".mp4")?;
    let output: u32 = output.parse().ok()?;
    let is_there = job.phase(emulator.now()) == Phase::Completed
        && output < operation::made(&job)
        && operation::object(&job, output).as_deref() == Some(uri);
    is_there.then_some((job, output))
}

async fn nowhere() -> Response {
    Refusal::of(StatusCode::NOT_FOUND, "There is no such route.").answer()
}

fn has_ended(job: &Job, emulator: &Emulator) -> bool {
    matches!(
        job.phase(emulator.now()),
        Phase::Completed | Phase::Failed(_)
    )
}

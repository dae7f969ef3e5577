//! The API's routes: each counts, looks for the fault it has to meet, and answers.

use axum::extract::{DefaultBodyLimit, Multipart, OriginalUri, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::Emulator;
use super::order::{From, Order};
use super::refusal::Refusal;
use super::task::{self, Job};
use crate::emulator::{Created, Uncreated, Wanted, bearer, nothing, origin};
use crate::fault::{PollFault, Spoilt};
use crate::jobs::{self, Farewell, Phase, count};

/// The only value so far of the header that every call must have.
const VERSION: &str = "2024-11-06";
/// A status that no client can know.
const UNKNOWN_STATUS: &str = "DREAMING";
/// As long as several of the largest `data:` addresses, and the rest.
const MOST_BODY_BYTES: usize = 64 << 20;
const MOST_UPLOAD_BYTES: usize = 201 << 20;

pub(crate) fn router(emulator: &Emulator) -> Router<Emulator> {
    let api = Router::new()
        .route("/text_to_video", post(text_to_video))
        .route("/image_to_video", post(image_to_video))
        .route("/video_to_video", post(video_to_video))
        .route("/character_performance", post(character_performance))
        .route("/uploads", post(place))
        .route("/tasks/{id}", get(poll).delete(delete))
        .route("/organization", get(organization))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(emulator.clone(), admit));
    Router::new()
        .nest("/v1", api)
        // Whoever knows the link may have the file.
        .route("/outputs/{file}", get(content))
        .route(
            "/uploads/{name}",
            post(upload).layer(DefaultBodyLimit::max(MOST_UPLOAD_BYTES)),
        )
        .fallback(nowhere)
}

async fn admit(State(emulator): State<Emulator>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(wanted) = &emulator.vendor().api_key
        && bearer(headers) != Some(wanted)
    {
        let error = "The API key is missing or not known here.";
        return Refusal::of(StatusCode::UNAUTHORIZED, error).answer();
    }
    let version = headers.get("x-runway-version");
    if version.is_none_or(|version| version != VERSION) {
        let error = format!("X-Runway-Version: {VERSION} is required.");
        return Refusal::of(StatusCode::BAD_REQUEST, error).answer();
    }
    next.run(request).await
}

async fn text_to_video(
    State(emulator): State<Emulator>,
    fields: Result<Json<Map<String, Value>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    submit(&emulator, From::Text, fields).await
}

async fn image_to_video(
    State(emulator): State<Emulator>,
    fields: Result<Json<Map<String, Value>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    submit(&emulator, From::Image, fields).await
}

async fn video_to_video(
    State(emulator): State<Emulator>,
    fields: Result<Json<Map<String, Value>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    submit(&emulator, From::Clip, fields).await
}

async fn character_performance(
    State(emulator): State<Emulator>,
    fields: Result<Json<Map<String, Value>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    submit(&emulator, From::Performance, fields).await
}

/// A place for a file, which whoever knows it may fill.
async fn place(
    State(emulator): State<Emulator>,
    headers: HeaderMap,
    Json(fields): Json<Map<String, Value>>,
) -> Response {
    if fields.get("type").and_then(Value::as_str) != Some("ephemeral") {
        return Refusal::field("type", "ephemeral is taken").answer();
    }
    if !fields.get("filename").is_some_and(Value::is_string) {
        return Refusal::field("filename", "a text is required").answer();
    }
    let name = emulator.vendor().uploads.place();
    Json(json!({
        "uploadUrl": format!("{}/uploads/{name}", origin(&headers)),
        "fields": {"key": name, "policy": "emulated"},
        "runwayUri": format!("runway://{name}"),
    }))
    .into_response()
}

/// What the place's fields are, and the file behind them. Whoever sends a key here has given it away.
async fn upload(
    State(emulator): State<Emulator>,
    Path(name): Path<String>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Response {
    let refused = |why: &str| Refusal::of(StatusCode::FORBIDDEN, why).answer();
    if headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-runway-version") {
        return refused("This is a store, which is sent no key.");
    }
    let mut before = Vec::new();
    while let Ok(Some(field)) = form.next_field().await {
        let field_name = field.name().unwrap_or_default().to_owned();
        let content_type = field.content_type().map(str::to_owned);
        let Ok(data) = field.bytes().await else { break };
        if field_name != "file" {
            before.push((field_name, data));
            continue;
        }
        let wanted = [("key", name.as_str()), ("policy", "emulated")];
        let all = wanted.iter().all(|(key, value)| {
            before
                .iter()
                .any(|(name, data)| name == key && data == value.as_bytes())
        });
        if !all {
            return refused("The fields do not come before the file.");
        }
        let content_type = content_type.unwrap_or_default();
        return match emulator.vendor().uploads.put(&name, content_type, &data) {
            true => nothing(),
            false => refused("There is no such place."),
        };
    }
    refused("The form has no file, or was cut off.")
}

async fn submit(
    emulator: &Emulator,
    from: From,
    fields: Result<Json<Map<String, Value>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    emulator.count(|calls| &calls.submits);
    let order = match fields {
        Ok(Json(fields)) => Order::read(from, fields, &emulator.vendor().uploads),
        Err(fault) => Err(Refusal::of(fault.status(), fault.body_text())),
    };
    let order = match order {
        Ok(order) => order,
        Err(refusal) => return refusal.answer(),
    };
    let created = emulator
        .create(order, None, |digits, _| jobs::uuid(digits))
        .await;
    let (job, spoilt) = match created {
        Ok(Created::Job(job, spoilt)) => (job, spoilt),
        Ok(Created::Answer(answer)) => return answer,
        Err(Uncreated::Unfit(why)) => return Refusal::field("promptText", why).answer(),
        Err(Uncreated::Full(_)) => {
            let error = "You have reached your daily generation limit.";
            return Refusal::of(StatusCode::TOO_MANY_REQUESTS, error).answer();
        }
    };
    let body = task::created(&job);
    match &spoilt {
        Some(how) => emulator.spoil(how, StatusCode::OK, &body).await,
        None => Json(body).into_response(),
    }
}

async fn poll(
    State(emulator): State<Emulator>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.polls);
    let standing = emulator.standing().poll();
    let Some(job) = emulator.jobs().find(&id) else {
        return match standing {
            Some(PollFault::Spoilt(how)) => {
                emulator.spoil(&how, StatusCode::OK, &Value::Null).await
            }
            Some(PollFault::UnknownStatus) | None => Refusal::not_found().answer(),
        };
    };
    let now = emulator.now();
    let index = job.note_poll(now);
    let fault = standing.or_else(|| job.script.poll.at(index).cloned());
    let mut body = task::told(&job, now, &origin(&headers));
    match fault {
        None => {
            if has_ended(&job, &emulator) {
                job.tell(now);
            }
            Json(body).into_response()
        }
        Some(PollFault::UnknownStatus) => {
            body["status"] = json!(UNKNOWN_STATUS);
            Json(body).into_response()
        }
        Some(PollFault::Spoilt(how)) => emulator.spoil(&how, StatusCode::OK, &body).await,
    }
}

/// Cancels a task under way, and removes one that has ended.
async fn delete(State(emulator): State<Emulator>, Path(id): Path<String>) -> Response {
    emulator.count(|calls| &calls.deletes);
    let Some(job) = emulator.jobs().find(&id) else {
        return Refusal::not_found().answer();
    };
    let index = count(&job.deletes);
    let fault = emulator
        .standing()
        .delete()
        .or_else(|| job.script.delete.at(index).cloned());
    if let Some(Spoilt::Status(status)) = &fault {
        return Refusal::on_order(status).answer();
    }
    emulator
        .jobs()
        .forget(&job, Farewell::Aborted, emulator.now());
    emulator.changed();
    match fault {
        Some(how) => {
            emulator
                .spoil(&how, StatusCode::NO_CONTENT, &Value::Null)
                .await
        }
        None => nothing(),
    }
}

async fn content(
    State(emulator): State<Emulator>,
    Path(file): Path<String>,
    OriginalUri(address): OriginalUri,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.contents);
    let job = file
        .strip_suffix(".mp4")
        .and_then(|id| emulator.jobs().find(id))
        .filter(|job| job.phase(emulator.now()) == Phase::Completed);
    let Some(job) = job else {
        return Refusal::of(StatusCode::FORBIDDEN, "The link is not valid.").answer();
    };
    let index = count(&job.contents);
    let wanted = Wanted {
        output: 0,
        range: headers.get(header::RANGE),
        address: &address,
    };
    let delivered = emulator.deliver(&job, index, wanted).await;
    delivered.unwrap_or_else(|fault| Refusal::internal(fault.to_string()).answer())
}

async fn organization() -> Json<Value> {
    Json(json!({
        "creditBalance": 1_000_000,
        "tier": {"maxMonthlyCreditSpend": 1_000_000, "models": {}},
        "usage": {"models": {}},
    }))
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

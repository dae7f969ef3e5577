//! The routes of the dialect: each counts, looks for the fault it has to meet, and answers.
//!
//! Not here: the emulator's own routes (`control`).

use std::collections::HashMap;

use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::flavour::{Flavour, Occasion, View};
use super::form::Form;
use super::order::Order;
use super::refusal::Refusal;
use super::{Emulator, Storage};
use crate::emulator::{Created, Uncreated, Wanted, bearer, origin};
use crate::fault::{PollFault, Spoilt};
use crate::jobs::{self, Farewell, Phase, count};
use crate::sent::Encoding;

type Job = jobs::Job<Order>;

const DEFAULT_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;
/// A status that no client can know.
const UNKNOWN_STATUS: &str = "post_processing";

/// Everything this server answers.
pub(crate) fn router(emulator: &Emulator) -> Router<Emulator> {
    let flavour = emulator.flavour();
    let mut one = get(poll);
    if flavour.has_delete() {
        one = one.delete(delete);
    }
    let mut dialect = Router::new()
        .route("/videos", post(submit).get(list))
        .route("/videos/{id}", one)
        .route("/videos/{id}/content", get(content))
        .route("/models", get(models));
    if flavour.has_remix() {
        dialect = dialect.route("/videos/{id}/remix", post(remix));
    }
    let dialect = dialect
        // Files are digested as they come, however long they are.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(emulator.clone(), authorise));
    let mut router = Router::new().nest("/v1", dialect.clone());
    if flavour == Flavour::Litellm {
        router = router.merge(dialect);
    }
    if emulator.config().storage == Storage::Cloud {
        router = router.route("/bucket/{id}/{file}", get(uploaded));
    }
    router.fallback(nowhere).method_not_allowed_fallback(not_so)
}

async fn authorise(State(emulator): State<Emulator>, request: Request, next: Next) -> Response {
    let key = bearer(request.headers());
    match &emulator.config().api_key {
        Some(wanted) if key != Some(wanted) => Refusal::key().answer(emulator.flavour()),
        _ => next.run(request).await,
    }
}

async fn submit(State(emulator): State<Emulator>, request: Request) -> Response {
    emulator.count(|calls| &calls.submits);
    let origin = origin(request.headers());
    let created = async {
        let form = Form::read(request).await?;
        let order = Order::read(form, emulator.config())?;
        accept(&emulator, order, None, origin).await
    };
    emulator.answered(created.await)
}

/// A new job from an old one and another prompt.
async fn remix(
    State(emulator): State<Emulator>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    emulator.count(|calls| &calls.submits);
    let origin = origin(request.headers());
    let created = async {
        let mut form = Form::read(request).await?;
        let old = emulator.load(&id)?;
        form.encoding = Encoding::Json;
        let again = [
            ("model", json!(old.order.model)),
            ("seconds", json!(old.order.seconds)),
            ("size", json!(old.order.size)),
        ];
        for (field, value) in again {
            form.fields.insert(field.to_owned(), value);
        }
        let order = Order::read(form, emulator.config())?;
        accept(&emulator, order, Some(old.id.clone()), origin).await
    };
    emulator.answered(created.await)
}

async fn accept(
    emulator: &Emulator,
    order: Order,
    remixed_from: Option<String>,
    origin: String,
) -> Result<Response, Refusal> {
    let flavour = emulator.flavour();
    let created = emulator
        .create(order, remixed_from, |digits, order| {
            flavour.id(digits, order)
        })
        .await;
    let (job, spoilt) = match created {
        Ok(Created::Job(job, spoilt)) => (job, spoilt),
        Ok(Created::Answer(answer)) => return Ok(answer),
        Err(Uncreated::Unfit(why)) => return Err(Refusal::bad_request(why)),
        Err(Uncreated::Full(most)) => return Err(Refusal::full(most)),
    };
    let (status, body) = flavour.tell(&job, &view(emulator, Occasion::Submit, origin));
    Ok(match &spoilt {
        Some(how) => emulator.spoil(how, status, &body).await,
        None => (status, Json(body)).into_response(),
    })
}

async fn poll(
    State(emulator): State<Emulator>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.polls);
    let standing = emulator.standing().poll();
    let job = match emulator.load(&id) {
        Ok(job) => job,
        Err(unknown) => {
            return match standing {
                Some(PollFault::Spoilt(how)) => {
                    emulator.spoil(&how, StatusCode::OK, &Value::Null).await
                }
                Some(PollFault::UnknownStatus) | None => unknown.answer(emulator.flavour()),
            };
        }
    };
    let index = job.note_poll(emulator.now());
    let fault = standing.or_else(|| job.script.poll.at(index).cloned());
    let view = view(&emulator, Occasion::Poll(index), origin(&headers));
    let (status, mut body) = emulator.flavour().tell(&job, &view);
    match fault {
        None => {
            if matches!(job.phase(view.now), Phase::Completed | Phase::Failed(_)) {
                job.tell(view.now);
            }
            (status, Json(body)).into_response()
        }
        Some(PollFault::UnknownStatus) => {
            body["status"] = json!(UNKNOWN_STATUS);
            Json(body).into_response()
        }
        Some(PollFault::Spoilt(how)) => emulator.spoil(&how, status, &body).await,
    }
}

async fn list(
    State(emulator): State<Emulator>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.lists);
    let flavour = emulator.flavour();
    let asked = query.get("limit").map(|limit| limit.parse::<usize>());
    let limit = match asked {
        None => DEFAULT_PAGE,
        Some(Ok(limit)) if limit <= LARGEST_PAGE => limit,
        Some(_) => {
            let message = format!("limit: a whole number to {LARGEST_PAGE} is allowed");
            return match flavour {
                Flavour::OpenAi | Flavour::Litellm => Refusal::bad_request(message),
                Flavour::VllmOmni | Flavour::Sglang => Refusal::field("limit", message),
            }
            .answer(flavour);
        }
    };
    let after = match query.get("after").map(|after| emulator.jobs().find(after)) {
        Some(None) => return Json(page(flavour, &[], false)).into_response(),
        Some(Some(job)) => Some(job),
        None => None,
    };
    let newest_first = query.get("order").is_none_or(|order| order != "asc");
    let (jobs, more) = emulator.jobs().page(after.as_deref(), newest_first, limit);
    let view = view(&emulator, Occasion::List, origin(&headers));
    let told: Vec<_> = jobs.iter().map(|job| flavour.tell(job, &view).1).collect();
    Json(page(flavour, &told, more)).into_response()
}

fn page(flavour: Flavour, told: &[Value], more: bool) -> Value {
    match flavour {
        Flavour::Sglang => json!({"data": told, "object": "list"}),
        Flavour::OpenAi | Flavour::VllmOmni | Flavour::Litellm => json!({
            "object": "list",
            "data": told,
            "first_id": told.first().map(|job| &job["id"]),
            "last_id": told.last().map(|job| &job["id"]),
            "has_more": more,
        }),
    }
}

async fn delete(
    State(emulator): State<Emulator>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.deletes);
    let flavour = emulator.flavour();
    let job = match emulator.load(&id) {
        Ok(job) => job,
        Err(unknown) => return unknown.answer(flavour),
    };
    let index = count(&job.deletes);
    let fault = emulator
        .standing()
        .delete()
        .or_else(|| job.script.delete.at(index).cloned());
    if let Some(Spoilt::Status(status)) = &fault {
        return Refusal::on_order(status).answer(flavour);
    }
    let why = if flavour.delete_aborts() {
        Farewell::Aborted
    } else {
        Farewell::LeftRunning
    };
    if !emulator.jobs().forget(&job, why, emulator.now()) {
        return not_found(&id).answer(flavour);
    }
    emulator.changed();
    let view = view(&emulator, Occasion::Delete, origin(&headers));
    let body = flavour.tell_deleted(&job, &view);
    match fault {
        Some(how) => emulator.spoil(&how, StatusCode::OK, &body).await,
        None => Json(body).into_response(),
    }
}

async fn content(
    State(emulator): State<Emulator>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    OriginalUri(address): OriginalUri,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.contents);
    let delivered = async {
        let job = emulator.load(&id)?;
        let index = count(&job.contents);
        let output = output(emulator.flavour(), &job, query.get("variant"))?;
        if emulator.config().storage == Storage::Cloud
            && job.phase(emulator.now()) == Phase::Completed
        {
            return Err(Refusal::bad_request(
                "Video has been uploaded to cloud storage. Please use the cloud URL: see url",
            ));
        }
        let wanted = Wanted {
            output,
            range: headers.get(header::RANGE),
            address: &address,
        };
        deliver(&emulator, &job, index, wanted).await
    };
    emulator.answered(delivered.await)
}

/// A file in the bucket that a server uploads to; whoever knows its address may have it.
async fn uploaded(
    State(emulator): State<Emulator>,
    Path((id, file)): Path<(String, String)>,
    OriginalUri(address): OriginalUri,
    headers: HeaderMap,
) -> Response {
    emulator.count(|calls| &calls.contents);
    let delivered = async {
        let job = emulator.load(&id)?;
        let index = count(&job.contents);
        let output = file
            .strip_suffix(".mp4")
            .and_then(|output| output.parse().ok())
            .filter(|output| *output < job.order.outputs)
            .ok_or_else(|| not_found(&file))?;
        let wanted = Wanted {
            output,
            range: headers.get(header::RANGE),
            address: &address,
        };
        deliver(&emulator, &job, index, wanted).await
    };
    emulator.answered(delivered.await)
}

/// Which output is asked for, counted from 0.
fn output(flavour: Flavour, job: &Job, variant: Option<&String>) -> Result<u32, Refusal> {
    let Some(variant) = variant else {
        return Ok(0);
    };
    match flavour {
        Flavour::VllmOmni | Flavour::Litellm => Ok(0),
        Flavour::OpenAi if variant == "video" => Ok(0),
        Flavour::OpenAi => Err(Refusal::bad_request(format!(
            "{variant:?} was sent as variant; video is allowed"
        ))),
        // Clients of the baseline send the word for the first output.
        Flavour::Sglang if variant == "video" => Ok(0),
        Flavour::Sglang => variant
            .parse()
            .ok()
            .filter(|output| *output < job.order.outputs)
            .ok_or_else(|| not_found(variant)),
    }
}

async fn deliver(
    emulator: &Emulator,
    job: &Job,
    index: u64,
    wanted: Wanted<'_>,
) -> Result<Response, Refusal> {
    let flavour = emulator.flavour();
    match (flavour, job.phase(emulator.now())) {
        (_, Phase::Completed) => {}
        (Flavour::VllmOmni, Phase::Failed(_)) => {
            return Err(Refusal::of_status(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Video generation failed",
            ));
        }
        _ => return Err(Refusal::not_found("Generation is still in-progress")),
    }
    let wanted = Wanted {
        range: wanted.range.filter(|_| flavour.serves_ranges()),
        ..wanted
    };
    let delivered = emulator.deliver(job, index, wanted).await;
    let mut answer = delivered.map_err(|fault| {
        Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string())
    })?;
    if flavour == Flavour::Litellm {
        answer.headers_mut().insert(
            header::CONTENT_DISPOSITION,
            header::HeaderValue::from_static("attachment; filename=video.mp4"),
        );
    } else {
        answer.headers_mut().insert(
            header::ACCEPT_RANGES,
            header::HeaderValue::from_static("bytes"),
        );
    }
    Ok(answer)
}

async fn models(State(emulator): State<Emulator>) -> Json<Value> {
    let models: Vec<_> = emulator
        .config()
        .models
        .iter()
        .map(|model| json!({"id": model, "object": "model", "created": 0, "owned_by": "emulator"}))
        .collect();
    Json(json!({"object": "list", "data": models}))
}

async fn nowhere(State(emulator): State<Emulator>) -> Response {
    Refusal::not_found("Not Found").answer(emulator.flavour())
}

async fn not_so(State(emulator): State<Emulator>) -> Response {
    Refusal::of_status(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .answer(emulator.flavour())
}

pub(super) fn view(emulator: &Emulator, occasion: Occasion, origin: String) -> View<'_> {
    View {
        now: emulator.now(),
        occasion,
        storage: emulator.config().storage,
        origin,
        served_model: emulator
            .config()
            .models
            .first()
            .map_or("emulated", String::as_str),
    }
}

pub(crate) fn not_found(id: &str) -> Refusal {
    Refusal::not_found(format!("Video not found: {id}"))
}

//! `POST /v1/videos`: a request becomes a durable job.

use axum::extract::State;
use axum::response::Response;
use filmgate_engine::{AdmitError, Admitted, How, Until};
use filmgate_store::Found;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{shown, status};
use crate::arrival::Arrival;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::native::view::VideoStatus;
use crate::prefer::Wait;
use crate::request::create::{Create, CreateVideo};
use crate::{Api, Shared, answered};

/// Create a video
///
/// Validates, prices and holds, then stores the job and answers with its status; providers are asked afterwards. A
/// refused request costs nothing and leaves nothing behind.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "create_video",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours: the same key and body answer with the same video"),
        ("x-stainless-retry-count" = Option<u32>, Header, description = "how often the client has sent this before, as SDKs say it: a repeat without an `Idempotency-Key` is recognised by it"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the video is terminal or N seconds, at most 60, have passed"),
    ),
    request_body(content((CreateVideo = "application/json"), (CreateVideo = "multipart/form-data"))),
    responses(
        (status = 202, description = "The job is stored", body = VideoStatus, headers(
            ("Retry-After" = u32, description = "`poll_after_seconds`, while the video is not terminal"),
            ("Preference-Applied" = String, description = "the wait that was honoured"),
            ("idempotent-replayed" = String, description = "`true` where the key made this video before"),
            ("x-filmgate-replayed" = String, description = "`true` where the same request without a key made this video before, and its client had not been heard to know of it"),
        )),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 402, description = "The funds, the key's limit or `max_cost` do not cover it", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 404, description = "The video of this Idempotency-Key was deleted", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body, or is in use right now", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Neither JSON nor multipart", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    member: Member,
    arrival: Arrival,
    headers: HeaderMap,
    mut body: Create,
) -> Result<Response, ApiError> {
    // Given back when the job is stored: a client that waits for its video holds no memory for it.
    let room = body.room.take();
    let lowered = body.lower()?;
    // Only needed where it is refused, and then to say who would take it.
    let from = arrival.through("videos.create");
    let admitted = api.engine.create(member.caller(), lowered.ask, from).await;
    drop(room);
    match admitted {
        Ok(admitted) => Ok(accepted(&api, admitted, &headers).await),
        Err(error) => Err(refused(error, &lowered.input_paths)),
    }
}

/// 202 with the job as it is, after the wait the client prefers. Nothing here fails once a job exists.
pub(crate) async fn accepted(api: &Api, admitted: Admitted, headers: &HeaderMap) -> Response {
    let Admitted {
        mut job,
        how,
        answer,
    } = admitted;
    let wait = Wait::preferred(headers);
    if let Some(wait) = wait {
        let (workspace, id) = (job.admission.workspace, job.admission.id);
        match status::waited(api, workspace, id, Until::Terminal, wait).await {
            Ok(Found::Job(later)) => job = *later,
            // Deleted meanwhile: the answer is still the job that was made.
            Ok(Found::Deleted | Found::Absent) => {}
            Err(error) => {
                tracing::warn!(video.id = %id, error = &error as &dyn std::error::Error, "the wait for video {id} broke off");
            }
        }
    }
    let mut response = shown(api, StatusCode::ACCEPTED, &job);
    let headers = response.headers_mut();
    if let Some(wait) = wait {
        let applied = HeaderValue::try_from(format!("wait={}", wait.seconds()))
            .expect("digits make a header value");
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    let made_before = match how {
        How::New => None,
        How::Replayed => Some("idempotent-replayed"),
        How::Repeated => Some("x-filmgate-replayed"),
    };
    if let Some(name) = made_before {
        let value = HeaderValue::from_static("true");
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(answer) = answer {
        answered::mark(&mut response, answer);
    }
    response
}

/// The refusal, each input under the name the client gave it.
pub(crate) fn refused(mut error: AdmitError, input_paths: &[String]) -> ApiError {
    if let AdmitError::Refused { refusals, .. } | AdmitError::InputsRefused { refusals } =
        &mut error
    {
        for refusal in refusals {
            let number = refusal
                .field
                .strip_prefix("input_references[")
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|number| number.parse::<usize>().ok());
            if let Some(path) = number.and_then(|number| input_paths.get(number)) {
                refusal.field.clone_from(path);
            }
        }
    }
    error.into()
}

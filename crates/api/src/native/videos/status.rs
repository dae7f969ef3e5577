//! `GET /v1/videos/{video_id}`: served from the job store alone, perhaps after a wait.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::Job;
use filmgate_engine::Until;
use filmgate_store::{Found, StoreError};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::frame;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::native::view::{VideoStatus, poll_after_seconds};
use crate::native::{Named, the_job};
use crate::prefer::Wait;
use crate::query::Query;
use crate::status_cache::Written;
use crate::{Api, Shared, etag};

/// Get a video's status
///
/// Answers at once from the job store. With `wait` it is held until the video is terminal; with an `If-None-Match`
/// that matches as well, until anything about it changes.
#[utoipa::path(
    get,
    path = "/{video_id}",
    operation_id = "get_video",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("wait" = Option<u64>, Query, description = "whole seconds to wait at most; more than 60 counts as 60"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`, the same as the query parameter"),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The video as it is", body = VideoStatus, headers(
            ("ETag" = String, description = "strong: of the version, the link bucket and the origin"),
            ("Retry-After" = u32, description = "`poll_after_seconds`, while the video is not terminal"),
        )),
        (status = 304, description = "Unchanged since the answer with this `ETag`"),
        (status = 400, description = "`wait` is not a whole number", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn status(
    State(api): State<Shared>,
    Reader(key): Reader,
    Named(id): Named,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wait = Wait::of(&query, &headers)?.filter(|wait| wait.seconds() > 0);
    let workspace = key.workspace;
    let conditional = headers.contains_key(http::header::IF_NONE_MATCH);
    let job = match wait {
        Some(wait) if conditional => {
            let version = api.engine.store().version_of(workspace, id).await?;
            let seen = version.filter(|version| known(&api, &headers, id, *version).is_some());
            match seen {
                Some(version) => {
                    waited(&api, workspace, id, Until::ChangedFrom(version), wait).await?
                }
                None => api.engine.find(workspace, id).await?,
            }
        }
        Some(wait) => match api.engine.find(workspace, id).await? {
            Found::Job(job) if !job.life.status().is_terminal() => {
                waited(&api, workspace, id, Until::Terminal, wait).await?
            }
            found => found,
        },
        None => return at_once(&api, workspace, id, &headers).await,
    };
    let job = the_job(job)?;
    Ok(match known(&api, &headers, id, job.version) {
        Some(tag) => unchanged(&tag),
        None => tagged(&api, &job),
    })
}

/// The common poll: what it costs is the look at the version, unless nobody asked since the last change.
async fn at_once(
    api: &Api,
    workspace: WorkspaceId,
    id: VideoId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(version) = api.engine.store().version_of(workspace, id).await? {
        let frame = frame(api);
        let tag = etag::of_status(id, version, frame.bucket, frame.public_url);
        if etag::is_known(headers, &tag) {
            return Ok(unchanged(&tag));
        }
        if let Some(written) = api.statuses.find(&tag) {
            return Ok(answer(&written, &tag));
        }
    }
    let job = the_job(api.engine.find(workspace, id).await?)?;
    Ok(match known(api, headers, id, job.version) {
        Some(tag) => unchanged(&tag),
        None => tagged(api, &job),
    })
}

/// Waits as the client asked, or until the process shuts down.
pub(crate) async fn waited(
    api: &Api,
    workspace: WorkspaceId,
    id: VideoId,
    until: Until,
    wait: Wait,
) -> Result<Found, StoreError> {
    // Either branch may be dropped: waiting changes nothing.
    tokio::select! {
        found = api.engine.wait(workspace, id, until, wait.duration()) => found,
        () = api.stop.cancelled() => api.engine.store().find_job(workspace, id).await,
    }
}

/// The tag of the answer this moment would give, if the client has it.
fn known(api: &Api, headers: &HeaderMap, id: VideoId, version: u64) -> Option<String> {
    let frame = frame(api);
    let tag = etag::of_status(id, version, frame.bucket, frame.public_url);
    etag::is_known(headers, &tag).then_some(tag)
}

/// The status at `version`, or at a later one, written out; `None` where the job is gone meanwhile. For those who named
/// the job before.
pub(crate) async fn current(
    api: &Api,
    workspace: WorkspaceId,
    id: VideoId,
    version: u64,
) -> Result<Option<(u64, Written)>, StoreError> {
    let frame = frame(api);
    let tag = etag::of_status(id, version, frame.bucket, frame.public_url);
    if let Some(written) = api.statuses.find(&tag) {
        return Ok(Some((version, written)));
    }
    Ok(match api.engine.store().find_job(workspace, id).await? {
        Found::Job(job) => Some((job.version, write(api, &job).0)),
        Found::Deleted | Found::Absent => None,
    })
}

fn tagged(api: &Api, job: &Job) -> Response {
    let (written, tag) = write(api, job);
    answer(&written, &tag)
}

/// Writes the status out, for whoever asks next too.
fn write(api: &Api, job: &Job) -> (Written, String) {
    // One frame for both: the tag must name the links that are shown.
    let frame = frame(api);
    let tag = etag::of_status(
        job.admission.id,
        job.version,
        frame.bucket,
        frame.public_url,
    );
    let body = serde_json::to_vec(&VideoStatus::of(job, &frame)).expect("a status is plain data");
    let terminal = job.life.status().is_terminal();
    let written = Written {
        body: body.into(),
        poll_after_seconds: (!terminal).then(|| poll_after_seconds(job)),
    };
    api.statuses.keep(&tag, &written);
    (written, tag)
}

fn answer(written: &Written, tag: &str) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let mut response = ([(CONTENT_TYPE, kind)], written.body.clone()).into_response();
    if let Some(seconds) = written.poll_after_seconds {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    tag_onto(&mut response, tag);
    response
}

fn unchanged(tag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tag_onto(&mut response, tag);
    response
}

fn tag_onto(response: &mut Response, tag: &str) {
    let headers = response.headers_mut();
    let tag = HeaderValue::try_from(tag).expect("a tag is hexadecimal in quotes");
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

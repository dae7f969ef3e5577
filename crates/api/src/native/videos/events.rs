//! `GET /v1/videos/{video_id}/events`: a video's changes as server-sent events, until it is terminal.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::delete::DeletedVideo;
use super::follow::{Follower, News, Shown};
use crate::Shared;
use crate::auth::Reader;
use crate::connection::Live;
use crate::error::{ApiError, ErrorBody};
use crate::native::{Named, the_job};

/// A comment is sent when there was nothing else for so long, so that nothing on the way takes the stream for dead.
const KEPT_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// One event. The stream has it as lines of `event`, `id` and `data`.
#[derive(Debug, ToSchema)]
pub(crate) struct VideoEvent {
    event: EventName,
    /// The video's version; `job.deleted` has none.
    #[schema(value_type = Option<String>, nullable = false)]
    id: Option<u64>,
    /// One line of JSON: the status object; for `job.deleted` what deleting it answers.
    #[schema(content_media_type = "application/json")]
    data: String,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) enum EventName {
    #[serde(rename = "job.snapshot")]
    Snapshot,
    #[serde(rename = "job.updated")]
    Updated,
    #[serde(rename = "job.deleted")]
    Deleted,
}

/// Follow a video by server-sent events
///
/// The first event is `job.snapshot`, then `job.updated` follows each change; changes that come faster than they are read
/// are told together, by the latest. `data` is the status object, `id` the video's version. A reconnect with
/// `Last-Event-ID` is spared the snapshot it has. The stream ends after the event that tells of a terminal status, or
/// after `job.deleted`, and when the server stops: then connect again.
#[utoipa::path(
    get,
    path = "/{video_id}/events",
    operation_id = "follow_video",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("Last-Event-ID" = Option<String>, Header, description = "the `id` of the last event seen"),
    ),
    responses(
        (status = 200, description = "Events: `job.snapshot`, `job.updated`, `job.deleted`", content((VideoEvent = "text/event-stream"))),
        (status = 204, description = "The video is terminal, and `Last-Event-ID` is its version: there is nothing left to tell"),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn events(
    State(api): State<Shared>,
    Reader(key): Reader,
    Named(id): Named,
    live: Live,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    the_job(api.engine.find(key.workspace, id).await?)?;
    let mut follower = Follower::start(&api, &key, id, live)?;
    let Some(News::Video(now)) = follower.look().await? else {
        return Err(ApiError::video_deleted());
    };
    let known = last_event_id(&headers) == Some(now.version);
    if known && now.is_terminal() {
        // What browsers take as the word not to connect again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let snapshot = (!known).then_some(now);
    let keep_alive = KeepAlive::new().interval(KEPT_ALIVE_EVERY);
    let told = Sse::new(told(follower, snapshot)).keep_alive(keep_alive);
    let mut response = told.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather small writes let these through at once.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// The snapshot, where there is to be one, and everything after it.
fn told(
    follower: Follower,
    snapshot: Option<Shown>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some((follower, snapshot)), |state| async {
        let (mut follower, snapshot) = state?;
        let (event, over) = match snapshot {
            Some(now) => (VideoEvent::of(EventName::Snapshot, &now), now.is_terminal()),
            None => match follower.next().await.ok()? {
                News::Video(now) => (VideoEvent::of(EventName::Updated, &now), now.is_terminal()),
                News::Deleted(gone) => (VideoEvent::deleted(&gone), true),
            },
        };
        let rest = (!over).then_some((follower, None));
        Some((Ok(event.into()), rest))
    })
}

impl VideoEvent {
    fn of(event: EventName, now: &Shown) -> Self {
        Self {
            event,
            id: Some(now.version),
            data: now.text().to_owned(),
        }
    }

    fn deleted(gone: &DeletedVideo) -> Self {
        Self {
            event: EventName::Deleted,
            id: None,
            data: gone.text(),
        }
    }
}

impl EventName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "job.snapshot",
            Self::Updated => "job.updated",
            Self::Deleted => "job.deleted",
        }
    }
}

impl From<VideoEvent> for Event {
    fn from(told: VideoEvent) -> Self {
        let event = Self::default().event(told.event.as_str()).data(told.data);
        match told.id {
            Some(version) => event.id(version.to_string()),
            None => event,
        }
    }
}

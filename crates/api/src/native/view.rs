//! A job as the public API shows it.
//!
//! Nothing is computed from the clock here except which link bucket is current; it is handed in.

mod billing;
mod failure;
mod output;

use std::collections::BTreeMap;

use filmgate_core::job::{Job, ProgressSource, State, Status};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use billing::{Billing, Usage};
pub(crate) use failure::JobError;
pub(crate) use output::{AssetView, Frame, MissingView, OutputView};

/// The status of a video. Instants are unix seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideoStatus {
    /// `video_` and 26 characters.
    id: String,
    /// The same as `id`.
    video_id: String,
    /// Always `video`.
    #[schema(pattern = "^video$")]
    object: &'static str,
    status: StatusWord,
    lifecycle_status: LifecycleWord,
    /// The model's id in the catalogue.
    model: String,
    /// The provider of the latest attempt that was taken on; before that, the head of the route.
    provider: String,
    /// The provider's own id, for support.
    #[schema(required)]
    native_video_id: Option<String>,
    /// Of the request that created it.
    request_id: String,
    #[schema(required)]
    session_id: Option<String>,
    /// For `GET /v1/generations?id=`.
    generation_id: String,
    created_at: i64,
    /// When a provider first took it on.
    #[schema(required)]
    started_at: Option<i64>,
    /// When it became terminal, whatever the outcome.
    #[schema(required)]
    completed_at: Option<i64>,
    /// When the provider was last heard.
    #[schema(required)]
    observed_at: Option<i64>,
    /// Submissions made to providers.
    attempts: u32,
    polling_url: String,
    /// Seconds a well-behaved client waits before it asks again; 0 when terminal.
    #[schema(maximum = 60)]
    poll_after_seconds: u32,
    /// Null when terminal.
    #[schema(required)]
    cancel_url: Option<String>,
    /// Tells of changes by server-sent events.
    events_url: String,
    /// Tells of changes by a WebSocket.
    websocket_url: String,
    /// Per cent; never goes down, and 100 only when completed.
    #[schema(required, maximum = 100)]
    progress: Option<u8>,
    progress_source: ProgressWord,
    #[schema(required)]
    estimated_completion_at: Option<i64>,
    /// Measured once completed; before, as ordered.
    #[schema(required)]
    seconds: Option<f64>,
    /// `WxH`; measured once completed.
    #[schema(required, example = "1280x720")]
    size: Option<String>,
    #[schema(required)]
    audio: Option<bool>,
    output_access: AccessWord,
    /// Present where the access is `bytes` or `both`, until the bytes are removed; works once completed, with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_url: Option<String>,
    /// Present where the access is `signed_url` or `both`; null until completed and once the bytes are removed; needs no
    /// key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    download_url: Option<Option<String>>,
    /// When `download_url` ends; present where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    expires_at: Option<Option<i64>>,
    /// Output 0, measured from the stored bytes; null until completed.
    #[schema(required)]
    asset: Option<AssetView>,
    /// Empty until completed, then one for each delivered output.
    outputs: Vec<OutputView>,
    /// Asked-for outputs that the provider did not deliver.
    outputs_missing: Vec<MissingView>,
    billing: Billing,
    /// Null until terminal.
    #[schema(required)]
    usage: Option<Usage>,
    /// Set when failed or expired.
    #[schema(required)]
    error: Option<JobError>,
    metadata: BTreeMap<String, String>,
    #[schema(required)]
    webhook: Option<WebhookView>,
    /// When the bytes of a completed video are removed; null where they are kept until it is deleted. Afterwards the
    /// `outputs` have `bytes_available: false`, no link is shown, and their content is answered 410 `asset_expired`.
    #[schema(required)]
    assets_expire_at: Option<i64>,
    /// The video this one is a retry of, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retried_from: Option<String>,
}

/// What became of the job's notices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    /// `not_sent`: this version keeps the address and sends nothing.
    state: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusWord {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
    Expired,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifecycleWord {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Expired,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProgressWord {
    Provider,
    Estimated,
    None,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccessWord {
    Bytes,
    SignedUrl,
    Both,
}

impl VideoStatus {
    pub(crate) fn of(job: &Job, frame: &Frame<'_>) -> Self {
        let (admission, life) = (&job.admission, &job.life);
        let request = &admission.request;
        let id = admission.id.to_string();
        let candidate = job.shown_candidate();
        let status = life.status();
        let terminal = status.is_terminal();
        let (assets, missing) = match &life.state {
            State::Completed { assets, missing } => (assets.as_slice(), missing.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let links = frame.links(job, &id);
        let outputs: Vec<OutputView> = assets.iter().map(|asset| links.output(asset)).collect();
        let first = assets.first();
        let (download_url, expires_at) = links.shown(outputs.first());
        Self {
            object: "video",
            status: status.into(),
            lifecycle_status: status.into(),
            model: request.model.0.clone(),
            provider: candidate.provider.0.clone(),
            native_video_id: life
                .attempt
                .as_ref()
                .and_then(|attempt| attempt.native.as_ref())
                .map(|native| native.0.clone()),
            request_id: admission.request_id.clone(),
            session_id: request.session_id.clone(),
            generation_id: admission.generation_id.to_string(),
            created_at: admission.created_at.seconds(),
            started_at: life.started_at.map(|at| at.seconds()),
            completed_at: life.ended_at.map(|at| at.seconds()),
            observed_at: life.observed_at.map(|at| at.seconds()),
            attempts: life.submissions,
            polling_url: links.polling_url(),
            poll_after_seconds: poll_after_seconds(job),
            cancel_url: (!terminal).then(|| links.cancel_url()),
            events_url: links.events_url(),
            websocket_url: links.websocket_url(),
            progress: if status == Status::Completed {
                Some(100)
            } else {
                life.progress
            },
            progress_source: life.progress_source.into(),
            estimated_completion_at: life.estimated_completion_at.map(|at| at.seconds()),
            seconds: first.map_or_else(
                || candidate.shape.seconds.map(f64::from),
                |asset| Some(seconds(asset.duration_ms)),
            ),
            size: first
                .map(|asset| asset.size)
                .or(candidate.shape.size)
                .map(|size| size.to_string()),
            audio: first.map(|asset| asset.audio).or(candidate.shape.audio),
            output_access: request.access.into(),
            content_url: links.content_url(),
            download_url,
            expires_at,
            asset: first.map(AssetView::of),
            outputs,
            outputs_missing: missing.iter().map(MissingView::of).collect(),
            billing: Billing::of(job),
            usage: Usage::of(job),
            error: JobError::of(job),
            metadata: request.metadata.clone(),
            webhook: request
                .webhook
                .as_ref()
                .map(|_| WebhookView { state: "not_sent" }),
            assets_expire_at: life
                .bytes_expire_at
                .filter(|_| status == Status::Completed)
                .map(|at| at.seconds()),
            retried_from: admission.retried_from.map(|video| video.to_string()),
            video_id: id.clone(),
            id,
        }
    }
}

/// How long to wait before the next poll; zero when there is nothing left to wait for.
pub(crate) fn poll_after_seconds(job: &Job) -> u32 {
    if job.life.status().is_terminal() {
        0
    } else {
        job.life.poll_after_seconds.min(60)
    }
}

/// Length is measured in milliseconds and shown in seconds.
pub(crate) fn seconds(millis: u64) -> f64 {
    // Exact: no video is 2^53 ms long.
    let millis = millis as f64;
    millis / 1000.0
}

impl From<Status> for StatusWord {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Processing => Self::Processing,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Expired => Self::Expired,
        }
    }
}

impl From<Status> for LifecycleWord {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Pending,
            Status::Processing => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Expired => Self::Expired,
        }
    }
}

impl From<ProgressSource> for ProgressWord {
    fn from(source: ProgressSource) -> Self {
        match source {
            ProgressSource::Provider => Self::Provider,
            ProgressSource::Estimated => Self::Estimated,
            ProgressSource::None => Self::None,
        }
    }
}

impl From<filmgate_core::request::OutputAccess> for AccessWord {
    fn from(access: filmgate_core::request::OutputAccess) -> Self {
        use filmgate_core::request::OutputAccess;
        match access {
            OutputAccess::Bytes => Self::Bytes,
            OutputAccess::SignedUrl => Self::SignedUrl,
            OutputAccess::Both => Self::Both,
        }
    }
}

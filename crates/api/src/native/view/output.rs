//! Outputs and the links to them.

use filmgate_assets::signed_link::{Disposition, LinkGrant, LinkKeys, Variant};
use filmgate_core::asset::{Asset, MissingOutput};
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Job, State};
use filmgate_core::request::OutputAccess;
use serde::Serialize;
use utoipa::ToSchema;

use super::seconds;

/// What every job of one answer is shown with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The configured origin; without it each job's own is used.
    pub(crate) public_url: Option<&'a str>,
    pub(crate) keys: &'a LinkKeys,
    /// Until when links shown now are good, in unix seconds.
    pub(crate) bucket: i64,
}

/// Output 0 as stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetView {
    id: String,
    #[schema(example = "video/mp4")]
    mime_type: String,
    bytes: u64,
    /// Lower-case hexadecimal.
    sha256: String,
    width: u32,
    height: u32,
    duration_seconds: f64,
}

/// One delivered output.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutputView {
    /// From 0.
    index: u32,
    mime_type: String,
    /// Once false, its bytes are gone for ever: none of its links is there any more.
    bytes_available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    download_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<i64>,
    bytes: u64,
    sha256: String,
    width: u32,
    height: u32,
    duration_seconds: f64,
    /// A JPEG; signed unless the access is `bytes`. Null where the codec cannot be decoded here, and once the bytes are
    /// removed.
    #[schema(required)]
    thumbnail_url: Option<String>,
}

/// An asked-for output that was not delivered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MissingView {
    /// As a job's `error.code`.
    code: &'static str,
    message: String,
}

/// The URLs of one job.
pub(crate) struct Links<'a> {
    origin: &'a str,
    base: String,
    access: OutputAccess,
    completed: bool,
    /// Whether what was stored is still there: otherwise no link leads anywhere.
    kept: bool,
    workspace: WorkspaceId,
    video: VideoId,
    frame: &'a Frame<'a>,
}

impl Frame<'_> {
    pub(super) fn links<'a>(&'a self, job: &'a Job, id: &str) -> Links<'a> {
        let origin = self.public_url.unwrap_or(&job.admission.origin);
        Links {
            origin,
            base: format!("{origin}/v1/videos/{id}"),
            access: job.admission.request.access,
            completed: matches!(job.life.state, State::Completed { .. }),
            kept: job.life.bytes_removed_at.is_none(),
            workspace: job.admission.workspace,
            video: job.admission.id,
            frame: self,
        }
    }

    /// A link to one object of a job, for a client that chose how long it lasts.
    pub(crate) fn signed_url(&self, job: &Job, grant: &LinkGrant, expires_at: i64) -> String {
        let origin = self.public_url.unwrap_or(&job.admission.origin);
        let query = self.keys.sign(grant, expires_at);
        format!("{origin}/v1/videos/{}/content?{query}", grant.video)
    }
}

impl Links<'_> {
    pub(super) fn polling_url(&self) -> String {
        self.base.clone()
    }

    pub(super) fn cancel_url(&self) -> String {
        format!("{}/cancel", self.base)
    }

    pub(super) fn events_url(&self) -> String {
        format!("{}/events", self.base)
    }

    pub(super) fn websocket_url(&self) -> String {
        // `https` becomes `wss`.
        let origin = self.origin.strip_prefix("http").unwrap_or(self.origin);
        format!("ws{origin}/v1/async/video/{}/ws", self.video)
    }

    pub(super) fn content_url(&self) -> Option<String> {
        (self.kept && self.with_key()).then(|| format!("{}/content", self.base))
    }

    /// `download_url` and `expires_at` of the job: absent, null or those of output 0.
    pub(super) fn shown(
        &self,
        first: Option<&OutputView>,
    ) -> (Option<Option<String>>, Option<Option<i64>>) {
        if !self.signed() {
            return (None, None);
        }
        let first = first.filter(|_| self.completed);
        (
            Some(first.and_then(|output| output.download_url.clone())),
            Some(first.and_then(|output| output.expires_at)),
        )
    }

    pub(super) fn output(&self, asset: &Asset) -> OutputView {
        let index = asset.index;
        let (by_key, by_link) = (self.kept && self.with_key(), self.kept && self.signed());
        let signed = |variant| {
            let grant = LinkGrant {
                workspace: self.workspace,
                video: self.video,
                index,
                variant,
                disposition: Disposition::Attachment,
            };
            let query = self.frame.keys.sign(&grant, self.frame.bucket);
            format!("{}/content?{query}", self.base)
        };
        OutputView {
            index,
            mime_type: asset.mime_type.clone(),
            bytes_available: self.kept,
            content_url: by_key.then(|| match index {
                0 => format!("{}/content", self.base),
                index => format!("{}/content?index={index}", self.base),
            }),
            download_url: by_link.then(|| signed(Variant::Video)),
            expires_at: by_link.then_some(self.frame.bucket),
            bytes: asset.bytes,
            sha256: asset.sha256.clone(),
            width: asset.size.width,
            height: asset.size.height,
            duration_seconds: seconds(asset.duration_ms),
            thumbnail_url: asset.thumbnail.as_ref().filter(|_| self.kept).map(|_| {
                if by_link {
                    signed(Variant::Thumbnail)
                } else {
                    format!("{}/content?index={index}&variant=thumbnail", self.base)
                }
            }),
        }
    }

    fn with_key(&self) -> bool {
        matches!(self.access, OutputAccess::Bytes | OutputAccess::Both)
    }

    fn signed(&self) -> bool {
        matches!(self.access, OutputAccess::SignedUrl | OutputAccess::Both)
    }
}

impl AssetView {
    pub(super) fn of(asset: &Asset) -> Self {
        Self {
            id: asset.id.to_string(),
            mime_type: asset.mime_type.clone(),
            bytes: asset.bytes,
            sha256: asset.sha256.clone(),
            width: asset.size.width,
            height: asset.size.height,
            duration_seconds: seconds(asset.duration_ms),
        }
    }
}

impl MissingView {
    pub(super) fn of(missing: &MissingOutput) -> Self {
        Self {
            code: missing.code.as_str(),
            message: missing.message.clone(),
        }
    }
}

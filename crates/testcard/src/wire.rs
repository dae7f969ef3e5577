//! The shapes that travel between the adapter and the service, as JSON.
//!
//! Not here: what they mean on either side (`adapter`, `service`).

use std::borrow::Cow;

use filmgate_core::frame_size::FrameSize;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the service would live if it had a socket: scheme and host of every address it is asked at.
pub const BASE_URL: &str = "http://testcard.internal";

/// The header that carries the attempt's key.
pub(crate) const ATTEMPT_KEY: &str = "idempotency-key";

/// Code of the answer to an id that the service does not know.
pub(crate) const RENDER_NOT_FOUND: &str = "render_not_found";

/// Code of the answer that says that nobody can tell.
pub(crate) const LOOKUP_UNAVAILABLE: &str = "lookup_unavailable";

/// `POST /v1/renders`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderBody<'a> {
    pub(crate) prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) negative_prompt: Option<String>,
    pub(crate) size: FrameSize,
    pub(crate) seconds: u32,
    #[serde(default)]
    pub(crate) audio: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<i64>,
    pub(crate) sample_count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) simulate: Option<Value>,
    /// Written last, because the adapter leaves its data to be put in by whoever sends the message.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) first_frame: Option<FirstFrame<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstFrame<'a> {
    pub(crate) sha256: String,
    /// Base64.
    #[serde(borrow)]
    pub(crate) data: Cow<'a, str>,
}

/// What is known of a render, and the answer to every call that succeeds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RenderBody {
    #[serde(default)]
    pub(crate) id: String,
    /// `queued`, `rendering`, `succeeded`, `failed` or `cancelled`.
    pub(crate) status: String,
    /// In per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<OutputBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<Complaint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) billed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Complaint>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutputBody {
    pub(crate) url: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UsageBody {
    /// Milliseconds billed for each output.
    pub(crate) output_ms: u64,
}

/// The answer to every call that fails.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefusalBody {
    pub(crate) error: Complaint,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Complaint {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
}

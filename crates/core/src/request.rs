//! The request of a video, parsed: what every dialect becomes and every provider is handed.
//!
//! Not here: reading it from JSON or multipart (`api`), checking it against a model (`engine::admission`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Mode;
use crate::frame_size::FrameSize;
use crate::money::Nanos;

/// A model's public id, such as `filmgate/testcard`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(pub String);

/// A provider as the operator configured it, such as `runway`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderName(pub String);

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client asked for. `None` is "not said": the model's default holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub model: ModelId,
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<FrameSize>,
    /// Canonical lower-case name, such as `720p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// `W:H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_audio: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhance_prompt: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_quality: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_generation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    pub sample_count: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Seconds of the input clip, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_video_duration: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio_duration: Option<u32>,
    #[serde(default)]
    pub provider: ProviderPreference,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub provider_params: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub access: OutputAccess,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The most the user is ever charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Nanos>,
    pub expires_after: Duration,
}

impl Request {
    /// How long a job may wait for a provider's result when the client does not say.
    pub const DEFAULT_EXPIRES_AFTER: Duration = Duration::from_secs(6 * 3600);

    /// A request for `model` with every choice left to it.
    pub fn new(model: ModelId, prompt: impl Into<String>) -> Self {
        Self {
            model,
            prompt: prompt.into(),
            negative_prompt: None,
            duration: None,
            size: None,
            resolution: None,
            aspect_ratio: None,
            seed: None,
            generate_audio: None,
            enhance_prompt: None,
            compression_quality: None,
            person_generation: None,
            resize_mode: None,
            quality: None,
            sample_count: 1,
            inputs: Vec::new(),
            input_video_duration: None,
            input_audio_duration: None,
            provider: ProviderPreference::default(),
            provider_params: serde_json::Map::new(),
            access: OutputAccess::default(),
            webhook: None,
            session_id: None,
            metadata: BTreeMap::new(),
            max_cost: None,
            expires_after: Self::DEFAULT_EXPIRES_AFTER,
        }
    }
}

/// A parameter that shades the result and does not make another one of it: with `require_parameters: false` a provider that
/// has it not may run the job without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftParameter {
    Seed,
    NegativePrompt,
    EnhancePrompt,
    CompressionQuality,
    ResizeMode,
}

impl SoftParameter {
    pub const ALL: [Self; 5] = [
        Self::Seed,
        Self::NegativePrompt,
        Self::EnhancePrompt,
        Self::CompressionQuality,
        Self::ResizeMode,
    ];

    /// The field of a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::NegativePrompt => "negative_prompt",
            Self::EnhancePrompt => "enhance_prompt",
            Self::CompressionQuality => "compression_quality",
            Self::ResizeMode => "resize_mode",
        }
    }
}

impl Request {
    /// The same without `parameters`.
    #[must_use]
    pub fn without(mut self, parameters: &[SoftParameter]) -> Self {
        for parameter in parameters {
            match parameter {
                SoftParameter::Seed => self.seed = None,
                SoftParameter::NegativePrompt => self.negative_prompt = None,
                SoftParameter::EnhancePrompt => self.enhance_prompt = None,
                SoftParameter::CompressionQuality => self.compression_quality = None,
                SoftParameter::ResizeMode => self.resize_mode = None,
            }
        }
        self
    }
}

/// What the outputs will be like, settled at admission from the request and the model's defaults.
/// `None` where the inputs or the model decide, where the provider has no such choice, or where nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Whole seconds.
    pub seconds: Option<u32>,
    pub size: Option<FrameSize>,
    pub audio: Option<bool>,
    /// Canonical lower-case name, such as `720p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// `W:H`, or the word by which the provider chooses it itself: `adaptive`, `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    /// The provider's tier, such as `pro`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Frames a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// What is made of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// A picture, clip or sound the client gave; stored, in an admitted job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub kind: MediaKind,
    pub role: InputRole,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_type: Option<String>,
    /// The object's key in the asset store; empty until it is put.
    #[serde(default)]
    pub key: String,
    /// As sniffed from the bytes.
    pub mime_type: String,
    pub bytes: u64,
    pub sha256: String,
    /// The client's own address of it, as sent. It may be signed: a secret, which a provider that is to fetch it for itself
    /// is told and nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a clip or a sound, as measured; `None` where its container does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

impl Input {
    /// What lies at `url` and was not fetched yet: taken for the commonest type of its kind until then.
    pub fn at_url(kind: MediaKind, role: InputRole, url: String) -> Self {
        let mime_type = match kind {
            MediaKind::Image => "image/png",
            MediaKind::Video => "video/mp4",
            MediaKind::Audio => "audio/mpeg",
        };
        Self {
            kind,
            role,
            reference_type: None,
            key: String::new(),
            mime_type: mime_type.to_owned(),
            bytes: 0,
            sha256: String::new(),
            url: Some(url),
            duration_ms: None,
        }
    }

    /// The address it has yet to be fetched from.
    pub fn elsewhere(&self) -> Option<&str> {
        self.url.as_deref().filter(|_| self.sha256.is_empty())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputRole {
    FirstFrame,
    LastFrame,
    Reference,
    Source,
    Mask,
}

impl MediaKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

impl InputRole {
    pub const ALL: [Self; 5] = [
        Self::FirstFrame,
        Self::LastFrame,
        Self::Reference,
        Self::Source,
        Self::Mask,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstFrame => "first_frame",
            Self::LastFrame => "last_frame",
            Self::Reference => "reference",
            Self::Source => "source",
            Self::Mask => "mask",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Why a request is not taken: the field, what was sent and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {sent} was sent; {allowed} is allowed")]
pub struct Refusal {
    pub field: String,
    pub sent: String,
    pub allowed: String,
}

/// How the client wants the outputs handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputAccess {
    /// Through `content_url`, with the key.
    Bytes,
    /// Through `download_url`, without a key.
    SignedUrl,
    #[default]
    Both,
}

impl OutputAccess {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::SignedUrl => "signed_url",
            Self::Both => "both",
        }
    }
}

/// Which providers may run the job, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderPreference {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<ProviderName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<ProviderName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<ProviderName>,
    pub allow_fallbacks: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Nanos>,
    pub require_parameters: bool,
}

impl Default for ProviderPreference {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            order: Vec::new(),
            ignore: Vec::new(),
            allow_fallbacks: true,
            sort: None,
            max_price: None,
            require_parameters: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    Price,
    Latency,
}

/// Where notices of the job should go. Kept now; sent by a later version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

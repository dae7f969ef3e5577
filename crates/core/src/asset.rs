//! A stored output, as measured from its bytes; never as announced or guessed.
//!
//! Not here: how bytes are stored, probed and served (`assets`).

use serde::{Deserialize, Serialize};

use crate::frame_size::FrameSize;
use crate::id::AssetId;

/// One output, stored and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    pub id: AssetId,
    /// Which of the job's outputs, from 0.
    pub index: u32,
    /// The object's key in the asset store.
    pub key: String,
    pub mime_type: String,
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub size: FrameSize,
    /// Length of the presentation in milliseconds.
    pub duration_ms: u64,
    pub audio: bool,
    /// The thumbnail's object; `None` where the codec cannot be decoded here.
    pub thumbnail: Option<Thumbnail>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub key: String,
    pub mime_type: String,
    pub bytes: u64,
    pub sha256: String,
}

/// An asked-for output that the provider did not deliver, or delivered broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingOutput {
    pub code: crate::failure::FailureCode,
    pub message: String,
}

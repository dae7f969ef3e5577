//! What a create brought, as a test is shown it: files by their digests, long values by their beginning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Longer values are told by their beginning and their length.
const LONGEST_SHOWN: usize = 256;

/// How a body was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    #[serde(rename = "multipart/form-data")]
    Multipart,
    #[serde(rename = "application/json")]
    Json,
    #[serde(rename = "other")]
    Other,
}

/// A picture, a film or a sound that a create brought or named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The field it came in.
    pub field: String,
    /// Of a file part.
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    /// What it is named by, where its bytes were not sent.
    pub url: Option<String>,
    /// Of the bytes, where they were sent: in a file part or a `data:` URL.
    pub bytes: Option<u64>,
    /// Lower-case hexadecimal.
    pub sha256: Option<String>,
}

impl Reference {
    /// What `url` names, or holds where it is a `data:` one.
    pub(crate) fn named(field: &str, url: &str) -> Self {
        let data = url
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(";base64,"))
            .and_then(|(kind, data)| Some((kind.to_owned(), STANDARD.decode(data).ok()?)));
        let nameless = Self {
            field: field.to_owned(),
            file_name: None,
            content_type: None,
            url: None,
            bytes: None,
            sha256: None,
        };
        match data {
            Some((kind, bytes)) => Self {
                content_type: Some(kind),
                bytes: Some(bytes.len() as u64),
                sha256: Some(hex::encode(Sha256::digest(&bytes))),
                ..nameless
            },
            None => Self {
                url: Some(url.to_owned()),
                ..nameless
            },
        }
    }
}

/// `fields` without their length.
pub(crate) fn shown(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), shortened(value)))
        .collect()
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LONGEST_SHOWN => {
            let beginning: String = text.chars().take(LONGEST_SHOWN / 4).collect();
            Value::String(format!("{beginning}\u{2026} ({} bytes)", text.len()))
        }
        Value::Array(values) => values.iter().map(shortened).collect(),
        Value::Object(fields) => Value::Object(shown(fields)),
        other => other.clone(),
    }
}

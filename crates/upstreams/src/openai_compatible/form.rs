//! What a create brought: fields and files, from multipart or JSON, before anybody reads a meaning into them.
//!
//! Files are digested as they come and not kept, so that a test can check that every byte arrived.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use crate::sent::{self, Encoding, Reference};

/// The largest JSON body that is read. Files in multipart are not kept and have no bound.
const MOST_JSON_BYTES: usize = 256 << 20;

/// The body of a create.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) encoding: Encoding,
    pub(crate) fields: Map<String, Value>,
    pub(crate) files: Vec<Reference>,
}

impl Form {
    /// Reads the body to its end.
    pub(crate) async fn read(request: Request) -> Result<Self, Refusal> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_ascii_lowercase)
            .unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            let body = Multipart::from_request(request, &())
                .await
                .map_err(|error| Refusal::bad_request(error.to_string()))?;
            return Self::of_multipart(body).await;
        }
        let body = to_bytes(request.into_body(), MOST_JSON_BYTES)
            .await
            .map_err(|error| Refusal::bad_request(format!("the body cannot be read: {error}")))?;
        if !kind.starts_with("application/json") {
            return Ok(Self {
                encoding: Encoding::Other,
                fields: Map::new(),
                files: Vec::new(),
            });
        }
        let fields = serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad_request(format!("the body is no object: {error}")))?;
        Ok(Self {
            encoding: Encoding::Json,
            fields,
            files: Vec::new(),
        })
    }

    async fn of_multipart(mut body: Multipart) -> Result<Self, Refusal> {
        let unreadable = |error| Refusal::bad_request(format!("the form cannot be read: {error}"));
        let mut fields = Map::new();
        let mut files = Vec::new();
        while let Some(mut part) = body.next_field().await.map_err(unreadable)? {
            let name = part.name().unwrap_or_default().to_owned();
            if part.file_name().is_none() {
                let text = part.text().await.map_err(unreadable)?;
                repeat(&mut fields, name, Value::String(text));
                continue;
            }
            let file_name = part.file_name().map(str::to_owned);
            let content_type = part.content_type().map(str::to_owned);
            let mut digest = Sha256::new();
            let mut bytes = 0;
            while let Some(piece) = part.chunk().await.map_err(unreadable)? {
                digest.update(&piece);
                bytes += piece.len() as u64;
            }
            files.push(Reference {
                field: name,
                file_name,
                content_type,
                url: None,
                bytes: Some(bytes),
                sha256: Some(hex::encode(digest.finalize())),
            });
        }
        Ok(Self {
            encoding: Encoding::Multipart,
            fields,
            files,
        })
    }

    /// Lays the fields of an object, or of the JSON of one, over the others.
    pub(crate) fn merge(&mut self, field: &str) {
        let object = match self.fields.remove(field) {
            Some(Value::Object(object)) => object,
            Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
            _ => return,
        };
        self.fields.extend(object);
    }

    /// Everything that was sent as this field: files, URLs and `data:` URLs.
    pub(crate) fn references(&self, field: &str) -> Vec<Reference> {
        let mut found: Vec<_> = self
            .files
            .iter()
            .filter(|file| file.field.trim_end_matches("[]") == field)
            .cloned()
            .collect();
        if let Some(value) = self.fields.get(field) {
            collect(field, value, &mut found);
        }
        found
    }

    /// The fields as a test is shown them.
    pub(crate) fn shown(&self) -> Map<String, Value> {
        sent::shown(&self.fields)
    }
}

/// A field that is sent again becomes a list.
fn repeat(fields: &mut Map<String, Value>, name: String, value: Value) {
    match fields.get_mut(&name) {
        None => {
            fields.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Reads a reference as the servers of this dialect write it: a URL, an object that holds one, a list of them, or
/// the JSON of any of these.
fn collect(field: &str, value: &Value, found: &mut Vec<Reference>) {
    match value {
        Value::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(inner) = serde_json::from_str(text) {
                collect(field, &inner, found);
            }
        }
        Value::String(text) => found.push(Reference::named(field, text)),
        Value::Array(values) => {
            for value in values {
                collect(field, value, found);
            }
        }
        Value::Object(object) => {
            let inner = ["image_url", "video_url", "audio_url", "url", "file_id"]
                .iter()
                .find_map(|name| object.get(*name));
            if let Some(inner) = inner {
                collect(field, inner, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

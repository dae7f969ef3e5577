//! From what a reference says to its bytes, and to what they are.

use bytes::Bytes;
use filmgate_core::request::{Input, InputRole, MediaKind};
use filmgate_engine::Given;
use sha2::{Digest, Sha256};

use super::{Place, Wanted, later};
use crate::error::ApiError;
use crate::request::{media, shortened};

/// Signed addresses are long; browsers and proxies stop here.
const MOST_ADDRESS_BYTES: usize = 8192;

/// What was decoded: the input, where its bytes are, and where in the request it stood.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) input: Input,
    pub(crate) given: Given,
    pub(crate) path: String,
}

impl Wanted {
    /// The bytes and what they are; the role is `None` where a picture's is still open.
    pub(crate) fn decode(self) -> Result<(Decoded, Option<InputRole>), ApiError> {
        let (at, bytes) = match self.place {
            Place::Bytes(bytes) => (self.path.clone(), bytes),
            Place::Url(at, text) if is_web_address(&text) => {
                let kind = self.kind.ok_or_else(|| of_no_kind(&self.path))?;
                check_address(&at, &text)?;
                let role = settled(kind, self.role);
                let input = Input {
                    reference_type: self.reference_type,
                    ..Input::at_url(kind, role.unwrap_or(InputRole::Reference), text)
                };
                let decoded = Decoded {
                    input,
                    given: Given::Elsewhere,
                    path: self.path,
                };
                return Ok((decoded, role));
            }
            Place::Url(at, text) => {
                let bytes = carried_by(&at, &text)?;
                (at, bytes)
            }
            Place::Base64(at, text) => {
                let decoded = if text
                    .get(..5)
                    .is_some_and(|start| start.eq_ignore_ascii_case("data:"))
                {
                    media::data_url(&text)
                } else {
                    media::base64(&text)
                };
                let bytes = decoded.map_err(|why| wrong(&at, &text, why))?;
                (at, bytes)
            }
        };
        let told = media::told(&bytes).map_err(|why| {
            ApiError::validation(
                at.clone(),
                format!("{} bytes were sent; {why}", bytes.len()),
            )
        })?;
        if let Some(said) = self.kind.filter(|said| *said != told.kind) {
            return Err(ApiError::validation(
                at,
                format!("{} was sent; allowed is {}", told.mime_type, said.as_str()),
            ));
        }
        let role = settled(told.kind, self.role);
        let decoded = Decoded {
            input: Input {
                kind: told.kind,
                role: role.unwrap_or(InputRole::Reference),
                reference_type: self.reference_type,
                key: String::new(),
                mime_type: told.mime_type.to_owned(),
                bytes: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(&bytes)),
                url: None,
                duration_ms: None,
            },
            given: Given::Bytes(bytes),
            path: self.path,
        };
        Ok((decoded, role))
    }
}

/// The role, or `None` where a picture's is still open.
fn settled(kind: MediaKind, role: Option<InputRole>) -> Option<InputRole> {
    match (kind, role) {
        (MediaKind::Video, None) => Some(InputRole::Source),
        (MediaKind::Audio, None) => Some(InputRole::Reference),
        (_, role) => role,
    }
}

/// A lone picture without a role is what most mean by image to video.
pub(crate) fn settle_roles(all: Vec<(Decoded, Option<InputRole>)>) -> Vec<Decoded> {
    let open = all.iter().filter(|(_, role)| role.is_none()).count();
    let taken = all
        .iter()
        .any(|(_, role)| *role == Some(InputRole::FirstFrame));
    all.into_iter()
        .map(|(mut decoded, role)| {
            if role.is_none() && open == 1 && !taken {
                decoded.input.role = InputRole::FirstFrame;
            }
            decoded
        })
        .collect()
}

fn scheme(text: &str) -> String {
    let scheme = text.trim_start().split(':').next();
    scheme.unwrap_or_default().to_ascii_lowercase()
}

/// Whether the engine is to judge and fetch it: it knows which networks are opened, plain http included.
pub(super) fn is_web_address(text: &str) -> bool {
    matches!(scheme(text).as_str(), "https" | "http")
}

fn of_no_kind(path: &str) -> ApiError {
    ApiError::validation(
        format!("{path}.type"),
        "nothing was sent beside a URL that does not tell; allowed are image_url, video_url and audio_url",
    )
}

/// What needs no network to be told of an address. It may be signed, so it is not shown.
fn check_address(path: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > MOST_ADDRESS_BYTES {
        let message = format!(
            "a URL of {} bytes was sent; allowed are {MOST_ADDRESS_BYTES}",
            text.len()
        );
        return Err(ApiError::validation(path, message));
    }
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => Ok(()),
        _ => Err(ApiError::validation(
            path,
            "it is no URL that can be read; allowed is an https: URL or a data: URL",
        )),
    }
}

fn carried_by(path: &str, text: &str) -> Result<Bytes, ApiError> {
    match scheme(text).as_str() {
        "data" => media::data_url(text).map_err(|why| wrong(path, text, why)),
        _ if text.starts_with("file_") => Err(later(
            path.to_owned(),
            text,
            "uploaded files are not kept yet",
        )),
        _ => Err(wrong(
            path,
            text,
            "it is neither a data: URL nor an https: one",
        )),
    }
}

fn wrong(path: &str, text: &str, why: &str) -> ApiError {
    ApiError::validation(
        path,
        format!(
            "{:?} was sent; {why}; allowed is an https: URL or a data: URL with base64",
            shortened(text)
        ),
    )
}

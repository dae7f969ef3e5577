//! From what a reference says to its bytes, and to what they are.

use bytes::Bytes;
use filmgate_core::request::{Input, InputRole, MediaKind};
use sha2::{Digest, Sha256};

use super::{Place, Wanted, later};
use crate::error::ApiError;
use crate::request::{media, shortened};

/// What was decoded: the input, its bytes, and where in the request it stood.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) input: Input,
    pub(crate) bytes: Bytes,
    pub(crate) path: String,
}

impl Wanted {
    /// The bytes and what they are; the role is `None` where a picture's is still open.
    pub(crate) fn decode(self) -> Result<(Decoded, Option<InputRole>), ApiError> {
        let (at, bytes) = match self.place {
            Place::Bytes(bytes) => (self.path.clone(), bytes),
            Place::Url(at, text) => {
                let bytes = fetched_from(&at, &text)?;
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
        let role = match (told.kind, self.role) {
            (MediaKind::Video, None) => Some(InputRole::Source),
            (MediaKind::Audio, None) => Some(InputRole::Reference),
            (_, role) => role,
        };
        let decoded = Decoded {
            input: Input {
                kind: told.kind,
                role: role.unwrap_or(InputRole::Reference),
                reference_type: self.reference_type,
                key: String::new(),
                mime_type: told.mime_type.to_owned(),
                bytes: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(&bytes)),
            },
            bytes,
            path: self.path,
        };
        Ok((decoded, role))
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

fn fetched_from(path: &str, text: &str) -> Result<Bytes, ApiError> {
    let scheme = text
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match scheme.as_str() {
        "data" => media::data_url(text).map_err(|why| wrong(path, text, why)),
        "https" => Err(later(
            path.to_owned(),
            text,
            "references by https: are not fetched yet; send the bytes as a data: URL or as a file part",
        )),
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
            "{:?} was sent; {why}; allowed is a data: URL with base64",
            shortened(text)
        ),
    )
}

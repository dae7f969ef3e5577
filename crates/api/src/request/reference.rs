//! Pictures, clips and sounds a request brings, in all the forms clients write them.

mod decode;

pub(crate) use decode::{Decoded, settle_roles};

use bytes::Bytes;
use filmgate_core::request::{InputRole, MediaKind};
use serde::Deserialize;
use utoipa::ToSchema;

use super::create::Upload;
use super::shortened;
use crate::error::ApiError;

/// A URL, bare or in an object.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged, expecting = "an https: or data: URL, or an object {url}")]
pub(crate) enum Link {
    Bare(String),
    Object {
        /// An `https:` URL, fetched when the video is asked for, or a `data:` URL.
        url: String,
    },
}

/// One reference, with exactly one place its bytes are in.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// `image_url`, `video_url` or `audio_url`; also `image`, `video`, `audio` and `mask`. May be left out where bytes
    /// that are sent, or the name of the URL's field, tell.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// `first_frame`, `last_frame`, `reference`, `source` or `mask`. Without it a clip is the `source`, a sound a
    /// `reference`, and a picture the `first_frame` if it is the only picture without a role and nothing else is the
    /// first frame, and a `reference` otherwise.
    pub(crate) role: Option<String>,
    /// The provider's word for what the reference is for.
    pub(crate) reference_type: Option<String>,
    pub(crate) image_url: Option<Link>,
    pub(crate) video_url: Option<Link>,
    pub(crate) audio_url: Option<Link>,
    pub(crate) media_url: Option<Link>,
    pub(crate) url: Option<String>,
    /// Base64, or a `data:` URL.
    pub(crate) data: Option<String>,
    /// For a later version.
    pub(crate) asset_id: Option<String>,
    /// For a later version.
    pub(crate) file_id: Option<String>,
}

/// A frame the video starts or ends with.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameImage {
    /// `image_url`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// `first_frame` (the default) or `last_frame`.
    pub(crate) frame_type: Option<String>,
    pub(crate) image_url: Option<Link>,
}

/// One reference in the short form.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "an https: or data: URL, or an object with image_url or file_id"
)]
pub(crate) enum InputReference {
    Bare(String),
    Object(Box<Reference>),
}

/// Something to be decoded, and how it is to be used.
#[derive(Debug)]
pub(crate) struct Wanted {
    path: String,
    kind: Option<MediaKind>,
    role: Option<InputRole>,
    reference_type: Option<String>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Bytes(Bytes),
    /// Where in the request, and the text there.
    Url(String, String),
    Base64(String, String),
}

impl Link {
    fn into_url(self) -> String {
        match self {
            Self::Bare(url) | Self::Object { url } => url,
        }
    }
}

impl Wanted {
    pub(crate) fn reference(path: String, reference: Reference) -> Result<Self, ApiError> {
        let (mut kind, mut role) = match &reference.kind {
            Some(word) => kind_and_role(&path, word)?,
            None => (None, None),
        };
        if let Some(word) = &reference.role {
            role = Some(InputRole::parse(word).ok_or_else(|| {
                ApiError::validation(
                    format!("{path}.role"),
                    format!(
                        "{:?} was sent; allowed are {}",
                        shortened(word),
                        InputRole::ALL.map(InputRole::as_str).join(", ")
                    ),
                )
            })?);
        }
        let links = [
            ("image_url", reference.image_url, Some(MediaKind::Image)),
            ("video_url", reference.video_url, Some(MediaKind::Video)),
            ("audio_url", reference.audio_url, Some(MediaKind::Audio)),
            ("media_url", reference.media_url, None),
            ("url", reference.url.map(Link::Bare), None),
        ];
        let mut places = Vec::new();
        for (name, link, means) in links {
            let Some(link) = link else { continue };
            if let (Some(said), Some(means)) = (kind, means)
                && said != means
            {
                return Err(ApiError::validation(
                    format!("{path}.{name}"),
                    format!(
                        "it was sent beside type {}; allowed is a URL of that type",
                        said.as_str()
                    ),
                ));
            }
            kind = kind.or(means);
            places.push(Place::Url(format!("{path}.{name}"), link.into_url()));
        }
        if let Some(data) = reference.data {
            places.push(Place::Base64(format!("{path}.data"), data));
        }
        for (name, id) in [
            ("asset_id", reference.asset_id),
            ("file_id", reference.file_id),
        ] {
            if let Some(id) = id {
                return Err(later(
                    format!("{path}.{name}"),
                    &id,
                    "uploaded files are not kept yet",
                ));
            }
        }
        let [place] = <[Place; 1]>::try_from(places).map_err(|places| {
            ApiError::validation(
                path.clone(),
                format!(
                    "{} places for its bytes were sent; allowed is exactly one of image_url, video_url, audio_url, media_url, url and data",
                    places.len()
                ),
            )
        })?;
        Ok(Self {
            path,
            kind,
            role,
            reference_type: reference.reference_type,
            place,
        })
    }

    pub(crate) fn frame_image(path: String, frame: FrameImage) -> Result<Self, ApiError> {
        let role = match frame.frame_type.as_deref() {
            None | Some("first_frame") => InputRole::FirstFrame,
            Some("last_frame") => InputRole::LastFrame,
            Some(other) => {
                return Err(ApiError::validation(
                    format!("{path}.frame_type"),
                    format!(
                        "{:?} was sent; allowed are first_frame and last_frame",
                        shortened(other)
                    ),
                ));
            }
        };
        let reference = Reference {
            kind: Some(frame.kind.unwrap_or_else(|| "image_url".to_owned())),
            image_url: frame.image_url,
            ..Reference::default()
        };
        let mut wanted = Self::reference(path, reference)?;
        wanted.role = Some(role);
        Ok(wanted)
    }

    pub(crate) fn input_reference(reference: InputReference) -> Result<Self, ApiError> {
        let path = "input_reference".to_owned();
        let mut wanted = match reference {
            InputReference::Bare(url) => Self {
                place: Place::Url(path.clone(), url),
                path,
                kind: None,
                role: None,
                reference_type: None,
            },
            InputReference::Object(reference) => Self::reference(path, *reference)?,
        };
        wanted.is_the_first_frame();
        Ok(wanted)
    }

    pub(crate) fn upload(upload: Upload) -> Self {
        let first = upload.field == "input_reference";
        let mut wanted = Self {
            path: upload.field,
            kind: None,
            role: None,
            reference_type: None,
            place: Place::Bytes(upload.bytes),
        };
        if first {
            wanted.is_the_first_frame();
        }
        wanted
    }

    /// Unless it turns out to be something else than a picture. At an address nothing else is expected.
    fn is_the_first_frame(&mut self) {
        if let Place::Url(_, text) = &self.place
            && decode::is_web_address(text)
        {
            self.kind = self.kind.or(Some(MediaKind::Image));
        }
        if self.role.is_none() && self.kind.is_none_or(|kind| kind == MediaKind::Image) {
            self.role = Some(InputRole::FirstFrame);
        }
    }
}

fn kind_and_role(
    path: &str,
    word: &str,
) -> Result<(Option<MediaKind>, Option<InputRole>), ApiError> {
    match word {
        "image_url" | "image" => Ok((Some(MediaKind::Image), None)),
        "video_url" | "video" => Ok((Some(MediaKind::Video), None)),
        "audio_url" | "audio" => Ok((Some(MediaKind::Audio), None)),
        "mask" => Ok((Some(MediaKind::Image), Some(InputRole::Mask))),
        other => Err(ApiError::validation(
            format!("{path}.type"),
            format!(
                "{:?} was sent; allowed are image_url, video_url, audio_url, image, video, audio and mask",
                shortened(other)
            ),
        )),
    }
}

fn later(path: String, text: &str, why: &str) -> ApiError {
    ApiError::not_supported(path, format!("{:?} was sent; {why}", shortened(text)))
}

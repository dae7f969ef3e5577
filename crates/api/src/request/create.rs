//! The body of a create, typed: what the OpenAPI document describes is what is read here.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::{Dollars, Seconds, Whole};
use super::reference::{FrameImage, InputReference, Reference};
use super::{shortened, typed};
use crate::error::{ApiError, Detail};
use crate::limits::Room;

/// A file part of a multipart body.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// As the part is called.
    pub(crate) field: String,
    pub(crate) bytes: Bytes,
}

/// A create as it arrived, whatever it was written in.
#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) body: CreateVideo,
    pub(crate) uploads: Vec<Upload>,
    /// The memory its bytes take, held until it is dropped.
    pub(crate) room: Option<Room>,
}

/// What a video should be. Fields that are left out, or null, are the model's choice.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    description = "What a video should be. Fields that are left out, or null, are the model's choice."
)]
pub(crate) struct CreateVideo {
    /// A model's id or alias, as `GET /v1/videos/models` lists them.
    #[schema(required, nullable = false, example = "filmgate/testcard")]
    pub(crate) model: Option<String>,
    /// Required unless an image is given.
    #[schema(max_length = 32000, example = "a paper boat on a stormy sea")]
    pub(crate) prompt: Option<String>,
    /// Whole seconds; must be a length the model offers.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 120)]
    pub(crate) duration: Option<Seconds>,
    /// The same as `duration`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 120)]
    pub(crate) seconds: Option<Seconds>,
    /// The same as `duration`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 120)]
    pub(crate) duration_seconds: Option<Seconds>,
    /// `WxH` in pixels; must be offered, and agree with `resolution` and `aspect_ratio` where they stand beside it.
    #[schema(example = "1280x720")]
    pub(crate) size: Option<String>,
    /// Such as `720p`, in any case.
    #[schema(example = "720p")]
    pub(crate) resolution: Option<String>,
    /// `W:H`.
    #[schema(example = "16:9")]
    pub(crate) aspect_ratio: Option<String>,
    #[schema(value_type = Option<i64>)]
    pub(crate) seed: Option<Whole>,
    pub(crate) negative_prompt: Option<String>,
    pub(crate) generate_audio: Option<bool>,
    pub(crate) enhance_prompt: Option<bool>,
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 100)]
    pub(crate) compression_quality: Option<Whole>,
    pub(crate) person_generation: Option<String>,
    pub(crate) resize_mode: Option<String>,
    pub(crate) quality: Option<String>,
    /// Outputs of one job; priced by what is delivered.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 4)]
    pub(crate) sample_count: Option<Whole>,
    /// At most 16 references, all kinds counted together.
    #[schema(max_items = 16)]
    pub(crate) input_references: Option<Vec<Reference>>,
    /// The first frame, in the short form some SDKs use.
    pub(crate) input_reference: Option<InputReference>,
    /// First and last frames.
    #[schema(max_items = 16)]
    pub(crate) frame_images: Option<Vec<FrameImage>>,
    /// Seconds of the source clip, for the hold; what is measured wins.
    #[schema(value_type = Option<u32>, minimum = 0)]
    pub(crate) input_video_duration: Option<Whole>,
    /// Seconds of the source sound, for the hold; what is measured wins.
    #[schema(value_type = Option<u32>, minimum = 0)]
    pub(crate) input_audio_duration: Option<Whole>,
    pub(crate) provider: Option<ProviderChoice>,
    /// Options of one provider, as the model's pair lists them under `passthrough`.
    #[schema(value_type = Option<Object>)]
    pub(crate) provider_params: Option<Map<String, Value>>,
    pub(crate) output: Option<OutputChoice>,
    pub(crate) webhook: Option<WebhookChoice>,
    /// The same as `webhook.url`.
    pub(crate) callback_url: Option<String>,
    #[schema(max_length = 128)]
    pub(crate) session_id: Option<String>,
    /// At most 16 pairs; keys up to 64 characters, values up to 512.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// The most you are ever charged, in US dollars, as decimal text or as a number of at most 15 digits.
    #[schema(value_type = Option<String>, example = "0.25")]
    pub(crate) max_cost: Option<Dollars>,
    /// Seconds after which to give up if no provider has a result.
    #[schema(value_type = Option<u32>, minimum = 60, maximum = 86400)]
    pub(crate) expires_after: Option<Whole>,
}

/// Which providers may run the job, and in which order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderChoice {
    /// Nobody but these.
    pub(crate) only: Option<Vec<String>>,
    /// These first, in this order.
    pub(crate) order: Option<Vec<String>>,
    /// None of these.
    pub(crate) ignore: Option<Vec<String>>,
    /// `false`: the first of the route alone.
    pub(crate) allow_fallbacks: Option<bool>,
    /// `price` (the default) or `latency`: how long such jobs took there lately.
    pub(crate) sort: Option<String>,
    /// Nobody dearer, in US dollars for the whole job.
    #[schema(value_type = Option<String>)]
    pub(crate) max_price: Option<Dollars>,
    /// `false`: a provider that lacks `seed`, `negative_prompt`, `enhance_prompt`, `compression_quality` or `resize_mode` may
    /// run the job without it.
    pub(crate) require_parameters: Option<bool>,
}

/// How the outputs are handed over.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputChoice {
    /// `bytes` (with the key), `signed_url` (without) or `both`.
    #[schema(example = "both")]
    pub(crate) access: Option<String>,
}

/// Where notices should go. Kept and checked in this version, not yet sent.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChoice {
    /// https, a public host.
    pub(crate) url: Option<String>,
    /// `video.` and one of `created status_changed progress completed failed cancelled expired billing_settled`.
    pub(crate) events: Option<Vec<String>>,
    /// For a later version.
    pub(crate) secret: Option<String>,
    /// For a later version.
    pub(crate) endpoint_id: Option<String>,
}

/// The names above, for the message that refuses any other.
pub(crate) const NAMES: [&str; 31] = [
    "model",
    "prompt",
    "duration",
    "seconds",
    "duration_seconds",
    "size",
    "resolution",
    "aspect_ratio",
    "seed",
    "negative_prompt",
    "generate_audio",
    "enhance_prompt",
    "compression_quality",
    "person_generation",
    "resize_mode",
    "quality",
    "sample_count",
    "input_references",
    "input_reference",
    "frame_images",
    "input_video_duration",
    "input_audio_duration",
    "provider",
    "provider_params",
    "output",
    "webhook",
    "callback_url",
    "session_id",
    "metadata",
    "max_cost",
    "expires_after",
];

impl Create {
    /// Reads a map, and refuses every field that is not one of ours by its name.
    pub(crate) fn read(map: Map<String, Value>, uploads: Vec<Upload>) -> Result<Self, ApiError> {
        let unknown: Vec<Detail> = map
            .keys()
            .filter(|name| !NAMES.contains(&name.as_str()))
            .map(|name| Detail {
                path: shortened(name),
                message: format!("there is no such field; allowed are {}", NAMES.join(", ")),
            })
            .take(16)
            .collect();
        if !unknown.is_empty() {
            return Err(ApiError::invalid(unknown).reason("unknown_field"));
        }
        let body = typed::read(map)?;
        Ok(Self {
            body,
            uploads,
            room: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_of_the_type_is_named_and_no_other() {
        for name in NAMES {
            let mut map = Map::new();
            map.insert(name.to_owned(), Value::Null);
            assert!(Create::read(map, Vec::new()).is_ok(), "{name}");
        }
        let read = |value: Value| Create::read(value.as_object().unwrap().clone(), Vec::new());
        let error = read(json!({"model": "m", "promt": "x", "n": 2})).unwrap_err();
        let paths: Vec<String> = error
            .body("r")
            .details
            .into_iter()
            .map(|detail| detail.path)
            .collect();
        assert_eq!(paths, ["n", "promt"]);
    }

    #[test]
    fn a_wrong_kind_is_told_with_its_path_what_was_sent_and_what_is_allowed() {
        for (body, path, message) in [
            (
                json!({"seed": "x"}),
                "seed",
                "\"x\" was sent; allowed is a whole number",
            ),
            (
                json!({"provider": {"only": "x"}}),
                "provider.only",
                "\"x\" was sent; allowed is a sequence",
            ),
            (
                json!({"metadata": {"a": 1}}),
                "metadata.a",
                "1 was sent; allowed is a string",
            ),
            (
                json!({"generate_audio": "yes"}),
                "generate_audio",
                "\"yes\" was sent; allowed is a boolean",
            ),
        ] {
            let error = Create::read(body.as_object().unwrap().clone(), Vec::new()).unwrap_err();
            let detail = &error.body("r").details[0];
            assert_eq!(
                (detail.path.as_str(), detail.message.as_str()),
                (path, message)
            );
        }
    }
}

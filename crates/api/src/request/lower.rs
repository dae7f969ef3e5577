//! From the typed body to the core's request: every rule that needs no model.

use std::time::Duration;

use filmgate_core::frame_size::FrameSize;
use filmgate_core::request::{
    ModelId, OutputAccess, ProviderName, ProviderPreference, Request, Sort, Webhook,
};
use filmgate_engine::Ask;

use super::create::{Create, CreateVideo, OutputChoice, ProviderChoice, WebhookChoice};
use super::fields::{Seconds, Whole};
use super::reference::{Decoded, Wanted, settle_roles};
use super::{passthrough, shortened, webhook};
use crate::error::ApiError;

const MOST_PROMPT_CHARACTERS: usize = 32_000;
const MOST_REFERENCES: usize = 16;

/// What the engine is asked, and where each input stood in the request.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) ask: Ask,
    pub(crate) input_paths: Vec<String>,
}

impl Create {
    /// # Errors
    /// Names the first field that breaks a rule of the contract.
    pub(crate) fn lower(self) -> Result<Lowered, ApiError> {
        let Self {
            mut body,
            uploads,
            room: _,
        } = self;
        let model = required(body.model.take(), "model")?;
        let duration = duration(&body)?;
        let wanted = wanted(&mut body, uploads)?;
        let mut request = Request::new(ModelId(model), prompt(&mut body)?);
        request.duration = duration;
        request.size = body.size.take().map(|text| size(&text)).transpose()?;
        request.resolution = body.resolution.map(|text| text.to_lowercase());
        request.aspect_ratio = body.aspect_ratio;
        request.seed = body.seed.map(|seed| seed.0);
        request.negative_prompt = body.negative_prompt;
        request.generate_audio = body.generate_audio;
        request.enhance_prompt = body.enhance_prompt;
        request.compression_quality =
            ranged(body.compression_quality, "compression_quality", 0, 100)?;
        request.person_generation = body.person_generation;
        request.resize_mode = body.resize_mode;
        request.quality = body.quality;
        request.sample_count = ranged(body.sample_count, "sample_count", 1, 4)?.unwrap_or(1);
        request.input_video_duration =
            ranged(body.input_video_duration, "input_video_duration", 0, 86_400)?;
        request.input_audio_duration =
            ranged(body.input_audio_duration, "input_audio_duration", 0, 86_400)?;
        request.provider = preference(body.provider.unwrap_or_default())?;
        request.provider_params = body.provider_params.unwrap_or_default();
        passthrough::check(&request.provider_params)?;
        request.access = access(body.output.unwrap_or_default())?;
        request.webhook = notices(body.webhook, body.callback_url)?;
        request.session_id = body.session_id;
        limit_text("session_id", request.session_id.as_deref(), 128)?;
        request.metadata = body.metadata.unwrap_or_default();
        limit_metadata(&request)?;
        request.max_cost = body.max_cost.map(|cost| cost.0);
        if let Some(seconds) = ranged(body.expires_after, "expires_after", 60, 86_400)? {
            request.expires_after = Duration::from_secs(seconds);
        }
        let decoded = wanted
            .into_iter()
            .map(Wanted::decode)
            .collect::<Result<Vec<_>, _>>()?;
        with_inputs(request, settle_roles(decoded))
    }
}

fn with_inputs(mut request: Request, decoded: Vec<Decoded>) -> Result<Lowered, ApiError> {
    use filmgate_core::request::MediaKind;
    let has_image = decoded
        .iter()
        .any(|decoded| decoded.input.kind == MediaKind::Image);
    if request.prompt.trim().is_empty() && !has_image {
        return Err(ApiError::validation(
            "prompt",
            "nothing was sent; it is required unless an image reference is given",
        ));
    }
    let (mut inputs, mut input_paths) = (Vec::new(), Vec::new());
    for decoded in decoded {
        request.inputs.push(decoded.input);
        inputs.push(decoded.given);
        input_paths.push(decoded.path);
    }
    Ok(Lowered {
        ask: Ask {
            request,
            inputs,
            retried_from: None,
        },
        input_paths,
    })
}

fn required(text: Option<String>, name: &str) -> Result<String, ApiError> {
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::validation(name, "nothing was sent; it is required"))
}

fn prompt(body: &mut CreateVideo) -> Result<String, ApiError> {
    limit_text("prompt", body.prompt.as_deref(), MOST_PROMPT_CHARACTERS)?;
    limit_text(
        "negative_prompt",
        body.negative_prompt.as_deref(),
        MOST_PROMPT_CHARACTERS,
    )?;
    Ok(body.prompt.take().unwrap_or_default())
}

/// One length under any of its three names; two that differ are a contradiction.
fn duration(body: &CreateVideo) -> Result<Option<u32>, ApiError> {
    let given: Vec<(&str, Seconds)> = [
        ("duration", body.duration),
        ("seconds", body.seconds),
        ("duration_seconds", body.duration_seconds),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect();
    let Some((name, first)) = given.first().copied() else {
        return Ok(None);
    };
    if let Some((other, second)) = given.iter().find(|(_, value)| *value != first) {
        let message = format!(
            "{name} {} and {other} {} were sent; they mean the same, so send one of them",
            first.0, second.0
        );
        return Err(ApiError::validation(name, message.clone()).detail(*other, message));
    }
    ranged(Some(Whole(first.0)), name, 1, 120)
}

fn ranged<T: TryFrom<i64>>(
    value: Option<Whole>,
    name: &str,
    least: i64,
    most: i64,
) -> Result<Option<T>, ApiError> {
    let Some(Whole(value)) = value else {
        return Ok(None);
    };
    (least..=most)
        .contains(&value)
        .then(|| T::try_from(value).ok())
        .flatten()
        .map(Some)
        .ok_or_else(|| {
            ApiError::validation(
                name,
                format!("{value} was sent; allowed are whole numbers from {least} to {most}"),
            )
        })
}

fn size(text: &str) -> Result<FrameSize, ApiError> {
    text.parse().map_err(|_| {
        ApiError::validation(
            "size",
            format!(
                "{:?} was sent; allowed are width, x and height in pixels, such as 1280x720",
                shortened(text)
            ),
        )
    })
}

fn wanted(
    body: &mut CreateVideo,
    uploads: Vec<super::create::Upload>,
) -> Result<Vec<Wanted>, ApiError> {
    let frames = body.frame_images.take().unwrap_or_default();
    let references = body.input_references.take().unwrap_or_default();
    let single = body.input_reference.take();
    let count = usize::from(single.is_some()) + frames.len() + references.len() + uploads.len();
    if count > MOST_REFERENCES {
        return Err(ApiError::validation(
            "input_references",
            format!("{count} references were sent; allowed are {MOST_REFERENCES}"),
        ));
    }
    let mut wanted = Vec::with_capacity(count);
    if let Some(single) = single {
        wanted.push(Wanted::input_reference(single)?);
    }
    for (at, frame) in frames.into_iter().enumerate() {
        wanted.push(Wanted::frame_image(format!("frame_images[{at}]"), frame)?);
    }
    for (at, reference) in references.into_iter().enumerate() {
        wanted.push(Wanted::reference(
            format!("input_references[{at}]"),
            reference,
        )?);
    }
    wanted.extend(uploads.into_iter().map(Wanted::upload));
    Ok(wanted)
}

fn preference(choice: ProviderChoice) -> Result<ProviderPreference, ApiError> {
    let sort = match choice.sort.as_deref() {
        None => None,
        Some("price") => Some(Sort::Price),
        Some("latency") => Some(Sort::Latency),
        Some(other) => {
            return Err(ApiError::validation(
                "provider.sort",
                format!(
                    "{:?} was sent; allowed are price and latency",
                    shortened(other)
                ),
            ));
        }
    };
    let names = |list: Option<Vec<String>>| {
        list.unwrap_or_default()
            .into_iter()
            .map(ProviderName)
            .collect()
    };
    Ok(ProviderPreference {
        only: names(choice.only),
        order: names(choice.order),
        ignore: names(choice.ignore),
        allow_fallbacks: choice.allow_fallbacks.unwrap_or(true),
        sort,
        max_price: choice.max_price.map(|price| price.0),
        require_parameters: choice.require_parameters.unwrap_or(true),
    })
}

fn access(choice: OutputChoice) -> Result<OutputAccess, ApiError> {
    match choice.access.as_deref() {
        None | Some("both") => Ok(OutputAccess::Both),
        Some("bytes") => Ok(OutputAccess::Bytes),
        Some("signed_url") => Ok(OutputAccess::SignedUrl),
        Some(other) => Err(ApiError::validation(
            "output.access",
            format!(
                "{:?} was sent; allowed are bytes, signed_url and both",
                shortened(other)
            ),
        )),
    }
}

fn notices(
    choice: Option<WebhookChoice>,
    callback_url: Option<String>,
) -> Result<Option<Webhook>, ApiError> {
    let given = choice.is_some();
    let choice = choice.unwrap_or_default();
    for (path, value) in [
        ("webhook.secret", &choice.secret),
        ("webhook.endpoint_id", &choice.endpoint_id),
    ] {
        if value.is_some() {
            return Err(ApiError::not_supported(
                path,
                "it was sent; allowed is webhook.url alone in this version",
            ));
        }
    }
    let (path, url) = match (choice.url, callback_url) {
        (Some(url), Some(callback)) if url != callback => {
            let message = "two different addresses were sent; webhook.url and callback_url mean the same, so send one of them";
            return Err(
                ApiError::validation("webhook.url", message).detail("callback_url", message)
            );
        }
        (Some(url), _) => ("webhook.url", url),
        (None, Some(url)) => ("callback_url", url),
        (None, None) if given => {
            return Err(ApiError::validation(
                "webhook.url",
                "nothing was sent; a webhook needs it",
            ));
        }
        (None, None) => return Ok(None),
    };
    webhook::check_address(path, &url)?;
    let events = match choice.events {
        Some(events) => webhook::known_events("webhook.events", &events)?,
        None => Vec::new(),
    };
    Ok(Some(Webhook { url, events }))
}

fn limit_text(path: &str, text: Option<&str>, most: usize) -> Result<(), ApiError> {
    let count = text.map_or(0, |text| text.chars().count());
    if count <= most {
        return Ok(());
    }
    Err(ApiError::validation(
        path,
        format!("{count} characters were sent; allowed are {most}"),
    ))
}

fn limit_metadata(request: &Request) -> Result<(), ApiError> {
    if request.metadata.len() > 16 {
        return Err(ApiError::validation(
            "metadata",
            format!("{} pairs were sent; allowed are 16", request.metadata.len()),
        ));
    }
    for (key, value) in &request.metadata {
        limit_text("metadata", Some(key), 64)?;
        limit_text(&format!("metadata.{}", shortened(key)), Some(value), 512)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

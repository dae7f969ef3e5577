//! An order as the body that begins a prediction.

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{Body, Order, Proposal};
use filmgate_core::request::{Input, InputRole, MediaKind, Refusal};
use serde_json::{Map, Value, json};

use crate::inlined::Inlined;

/// All inputs together, as files: base64 makes them a third larger, and 20 MB are taken.
const MOST_INPUT_BYTES: u64 = 15_000_000;
const MOST_REFERENCES: usize = 3;
const MOST_SAMPLES: u32 = 4;
const PERSONS: [&str; 3] = ["allow_adult", "dont_allow", "allow_all"];
const RESIZES: [&str; 2] = ["pad", "crop"];
/// An image that shows somebody or something, and one that shows how it is to look.
const REFERENCE_TYPES: [&str; 2] = ["asset", STYLE];
const STYLE: &str = "style";
/// What is taken of `provider_params`: marks by which the project's bill can be taken apart.
const LABELS: &str = "labels";
const MOST_LABELS: usize = 64;
const MOST_LABEL_BYTES: usize = 63;

/// Refuses what only this API's rules can tell.
pub(super) fn check(proposal: Proposal<'_>) -> Result<(), Refusal> {
    let request = proposal.request;
    if request.prompt.trim().is_empty() {
        return Err(refusal(
            "prompt",
            "nothing",
            "a text; this provider needs one beside an image too",
        ));
    }
    if let Some(seed) = request.seed.filter(|seed| u32::try_from(*seed).is_err()) {
        return Err(refusal("seed", seed.to_string(), "0 to 4294967295"));
    }
    if !(1..=MOST_SAMPLES).contains(&request.sample_count) {
        return Err(refusal(
            "sample_count",
            request.sample_count.to_string(),
            "1 to 4",
        ));
    }
    among("person_generation", &request.person_generation, &PERSONS)?;
    among("resize_mode", &request.resize_mode, &RESIZES)?;
    let has = |role| request.inputs.iter().any(|input| input.role == role);
    if request.resize_mode.is_some() && !has(InputRole::FirstFrame) {
        return Err(refusal(
            "resize_mode",
            "one without a first_frame",
            "it beside a first_frame, which is what is resized,",
        ));
    }
    if let Some(size) = proposal.shape.size.filter(|size| named(*size).is_none()) {
        let allowed = "1280x720, 1920x1080, 3840x2160 and the same upright";
        return Err(refusal("size", size.to_string(), allowed));
    }
    check_inputs(&request.inputs, is_veo_2(proposal.native_model))?;
    for (name, value) in &request.provider_params {
        if name != LABELS || !are_labels(value) {
            return Err(refusal(
                format!("provider_params.{name}"),
                if name == LABELS {
                    "something else"
                } else {
                    "it"
                },
                "labels alone: up to 64 names and texts of lower-case letters, digits, _ and -, 63 each,",
            ));
        }
    }
    Ok(())
}

fn check_inputs(inputs: &[Input], takes_styles: bool) -> Result<(), Refusal> {
    for (at, input) in inputs.iter().enumerate() {
        let field = |part: &str| format!("input_references[{at}]{part}");
        let allowed = match (input.role, input.kind) {
            (InputRole::Source, MediaKind::Video) => "video/mp4",
            (
                InputRole::FirstFrame | InputRole::LastFrame | InputRole::Reference,
                MediaKind::Image,
            ) => "image/jpeg, image/png",
            (role, kind) => {
                return Err(refusal(
                    field(".role"),
                    format!("{} for a file of kind {}", role.as_str(), kind.as_str()),
                    "first_frame, last_frame and reference for an image, source for a video,",
                ));
            }
        };
        if !allowed.split(", ").any(|kind| kind == input.mime_type) {
            return Err(refusal(field(""), input.mime_type.clone(), allowed));
        }
        if let Some(kind) = &input.reference_type {
            let word = kind.to_ascii_lowercase();
            let known = REFERENCE_TYPES.contains(&word.as_str());
            if input.role != InputRole::Reference || !known || (word == STYLE && !takes_styles) {
                let allowed = if takes_styles {
                    "asset or style, of a reference,"
                } else {
                    "asset, of a reference; style is for Veo 2 alone, and it"
                };
                return Err(refusal(field(".reference_type"), kind.clone(), allowed));
            }
        }
    }
    let bytes = inputs
        .iter()
        .fold(0u64, |sum, input| sum.saturating_add(input.bytes));
    if bytes > MOST_INPUT_BYTES {
        return Err(refusal(
            "input_references",
            format!("{bytes} bytes"),
            format!("files of {MOST_INPUT_BYTES} bytes together"),
        ));
    }
    let count = |role| inputs.iter().filter(|input| input.role == role).count();
    let (first, last) = (count(InputRole::FirstFrame), count(InputRole::LastFrame));
    let (references, sources) = (count(InputRole::Reference), count(InputRole::Source));
    let fits = matches!(
        (first, last, references, sources),
        (0, 0, 0, 0..=1) | (1, 0..=1, 0, 0) | (0, 0, 1..=MOST_REFERENCES, 0)
    );
    if !fits {
        return Err(refusal(
            "input_references",
            format!(
                "{first} first_frame, {last} last_frame, {references} reference, {sources} source"
            ),
            "a first_frame with or without a last_frame, or up to 3 references, or a source",
        ));
    }
    Ok(())
}

fn among(field: &str, sent: &Option<String>, allowed: &[&str]) -> Result<(), Refusal> {
    match sent {
        Some(sent) if !allowed.contains(&sent.as_str()) => {
            Err(refusal(field, sent.clone(), allowed.join(", ")))
        }
        _ => Ok(()),
    }
}

fn are_labels(value: &Value) -> bool {
    let fits = |text: &str, least: usize| {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        };
        (least..=MOST_LABEL_BYTES).contains(&text.len()) && text.bytes().all(plain)
    };
    value.as_object().is_some_and(|labels| {
        labels.len() <= MOST_LABELS
            && labels.iter().all(|(name, value)| {
                fits(name, 1) && value.as_str().is_some_and(|value| fits(value, 0))
            })
    })
}

fn refusal(
    field: impl Into<String>,
    sent: impl Into<String>,
    allowed: impl Into<String>,
) -> Refusal {
    Refusal {
        field: field.into(),
        sent: sent.into(),
        allowed: allowed.into(),
    }
}

/// What the prediction is made of. Its videos go to `storage_uri`, if there is one.
pub(super) fn prediction(order: &Order, storage_uri: Option<&str>) -> Result<Body, Failure> {
    let request = &order.request;
    // What was admitted before a rule was tightened.
    check(order.proposal())
        .map_err(|refusal| Failure::permanent(FailureCode::InvalidRequest, refusal.to_string()))?;
    let mut inlined = Inlined::of(order);
    let instance = instance(order, &mut inlined);
    let parameters = parameters(order, storage_uri);
    let mut body = json!({"instances": [instance], "parameters": parameters});
    if let Some(labels) = request.provider_params.get(LABELS) {
        body[LABELS] = labels.clone();
    }
    Ok(inlined.into_body(&body))
}

fn instance(order: &Order, inlined: &mut Inlined<'_>) -> Map<String, Value> {
    let mut instance = Map::new();
    instance.insert("prompt".to_owned(), order.request.prompt.as_str().into());
    let mut references = Vec::new();
    for (at, input) in order.request.inputs.iter().enumerate() {
        let media = json!({
            "bytesBase64Encoded": inlined.base64(at),
            "mimeType": input.mime_type,
        });
        let name = match input.role {
            InputRole::FirstFrame => "image",
            InputRole::LastFrame => "lastFrame",
            InputRole::Source => "video",
            InputRole::Reference => {
                let kind = input
                    .reference_type
                    .as_deref()
                    .unwrap_or(REFERENCE_TYPES[0]);
                let kind = kind.to_ascii_lowercase();
                references.push(json!({"image": media, "referenceType": kind}));
                continue;
            }
            // Refused by `check`.
            InputRole::Mask => continue,
        };
        instance.insert(name.to_owned(), media);
    }
    if !references.is_empty() {
        instance.insert("referenceImages".to_owned(), references.into());
    }
    instance
}

fn parameters(order: &Order, storage_uri: Option<&str>) -> Map<String, Value> {
    let request = &order.request;
    let mut parameters = Map::new();
    let mut put = |name: &str, value: Value| parameters.insert(name.to_owned(), value);
    // Each is billed, so none is left to a default.
    put("sampleCount", request.sample_count.into());
    if let Some(seconds) = order.shape.seconds {
        put("durationSeconds", seconds.into());
    }
    if let Some((aspect_ratio, resolution)) = order.shape.size.and_then(named) {
        put("aspectRatio", aspect_ratio.into());
        put("resolution", resolution.into());
    }
    // Required where there is sound at all, and refused where there is none.
    if !is_veo_2(&order.native_model) {
        let audio = order.shape.audio.or(request.generate_audio);
        put("generateAudio", audio.unwrap_or(true).into());
    }
    if let Some(persons) = &request.person_generation {
        put("personGeneration", persons.as_str().into());
    }
    if let Some(negative) = &request.negative_prompt {
        put("negativePrompt", negative.as_str().into());
    }
    if let Some(seed) = request.seed {
        put("seed", seed.into());
    }
    if let Some(enhance) = request.enhance_prompt {
        put("enhancePrompt", enhance.into());
    }
    if let Some(mode) = &request.resize_mode {
        put("resizeMode", mode.as_str().into());
    }
    if let Some(quality) = request.compression_quality {
        // It knows two, and the better one is asked for where nothing less will do.
        let word = if quality == 100 {
            "lossless"
        } else {
            "optimized"
        };
        put("compressionQuality", word.into());
    }
    if let Some(uri) = storage_uri {
        put("storageUri", uri.into());
    }
    parameters
}

/// The words for a size.
fn named(size: FrameSize) -> Option<(&'static str, &'static str)> {
    let aspect_ratio = if size.width > size.height {
        "16:9"
    } else {
        "9:16"
    };
    let sides = (size.width.max(size.height), size.width.min(size.height));
    let resolution = match sides {
        (1280, 720) => "720p",
        (1920, 1080) => "1080p",
        (3840, 2160) => "4k",
        _ => return None,
    };
    Some((aspect_ratio, resolution))
}

fn is_veo_2(native_model: &str) -> bool {
    native_model.starts_with("veo-2")
}

//! What a create asks for, read as each server reads it.

use filmgate_core::frame_size::FrameSize;
use serde_json::{Map, Value};

use super::Config;
use super::flavour::Flavour;
use super::form::Form;
use super::refusal::Refusal;
use crate::films::Cut;
use crate::jobs;
use crate::sent::{Encoding, Reference};

const DEFAULT_SECONDS: u32 = 4;
const MOST_OUTPUTS: u32 = 10;
const DEFAULT_FRAMES_PER_SECOND: u32 = 24;

/// The fields in which a reference may come.
const REFERENCES: [&str; 10] = [
    "input_reference",
    "input_references",
    "image_reference",
    "video_reference",
    "audio_reference",
    "reference_url",
    "video_url",
    "source_video",
    "source_audio",
    "mask",
];

/// One create, understood.
#[derive(Debug)]
pub struct Order {
    pub(crate) prompt: String,
    pub(crate) model: Option<String>,
    pub(crate) seconds: u32,
    /// As it was asked for.
    pub(crate) size: Option<FrameSize>,
    /// Of the file.
    pub(crate) frame: FrameSize,
    pub(crate) audio: bool,
    pub(crate) outputs: u32,
    pub(crate) encoding: Encoding,
    pub(crate) references: Vec<Reference>,
    /// Everything that was sent, but the prompt.
    pub(crate) fields: Map<String, Value>,
}

impl Order {
    /// Reads a form as the configured server does.
    pub(crate) fn read(mut form: Form, config: &Config) -> Result<Self, Refusal> {
        let flavour = config.flavour;
        if form.encoding != Encoding::Multipart && !flavour.takes_json() {
            return Err(Refusal::field("prompt", "Field required"));
        }
        if flavour == Flavour::Sglang {
            for extra in ["extra_body", "extra_json", "extra_params"] {
                form.merge(extra);
            }
        }
        let model = text(&form, "model")?;
        check_model(model.as_deref(), config)?;
        check_references(&form, flavour)?;
        let references = REFERENCES
            .iter()
            .flat_map(|field| form.references(field))
            .collect();
        let Some(prompt) = text(&form, "prompt")?.filter(|prompt| !prompt.is_empty()) else {
            return Err(invalid(flavour, "prompt", "Field required"));
        };
        let size = size(&form, flavour)?;
        let order = Self {
            model,
            seconds: seconds(&form, flavour)?,
            size,
            frame: size.unwrap_or(flavour.default_size()),
            audio: audio(&form).unwrap_or(flavour.has_sound()),
            outputs: outputs(&form, flavour)?,
            encoding: form.encoding,
            references,
            fields: {
                form.fields.remove("prompt");
                form.shown()
            },
            prompt,
        };
        Ok(order)
    }
}

impl jobs::Order for Order {
    fn prompt(&self) -> &str {
        &self.prompt
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn references(&self) -> &[Reference] {
        &self.references
    }

    fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    fn cut(&self, output: u32) -> Cut {
        Cut {
            size: self.frame,
            seconds: self.seconds,
            audio: self.audio,
            output,
        }
    }
}

fn check_model(model: Option<&str>, config: &Config) -> Result<(), Refusal> {
    let served = &config.models;
    let Some(model) = model else {
        return Ok(());
    };
    if served.is_empty() || served.iter().any(|served| served == model) {
        return Ok(());
    }
    match config.flavour {
        // It serves what it was started with, whatever is asked for.
        Flavour::Sglang => Ok(()),
        Flavour::VllmOmni => Err(Refusal::bad_request(format!(
            "Model mismatch: request specifies '{model}' but server is running '{}'.",
            served[0]
        ))),
        Flavour::OpenAi | Flavour::Litellm => Err(Refusal::bad_request(format!(
            "{model:?} was sent as model; one of {} is allowed",
            served.join(", ")
        ))),
    }
}

fn check_references(form: &Form, flavour: Flavour) -> Result<(), Refusal> {
    if flavour != Flavour::VllmOmni {
        return Ok(());
    }
    let given = |field: &str| !form.references(field).is_empty();
    let single = ["input_reference", "image_reference", "video_reference"]
        .into_iter()
        .filter(|field| given(field))
        .count();
    if single > 1 {
        return Err(Refusal::bad_request(
            "Provide only one of input_reference, image_reference, or video_reference.",
        ));
    }
    if single > 0 && given("input_references") {
        return Err(Refusal::bad_request(
            "Provide input_references alone, without input_reference, image_reference, or video_reference.",
        ));
    }
    Ok(())
}

fn invalid(flavour: Flavour, field: &'static str, message: impl Into<String>) -> Refusal {
    let message = message.into();
    match flavour {
        Flavour::VllmOmni => Refusal::field(field, message),
        Flavour::OpenAi | Flavour::Sglang | Flavour::Litellm => {
            Refusal::bad_request(format!("{field}: {message}"))
        }
    }
}

fn size(form: &Form, flavour: Flavour) -> Result<Option<FrameSize>, Refusal> {
    if let Some(size) = text(form, "size")? {
        return size
            .parse()
            .map(Some)
            .map_err(|error| invalid(flavour, "size", format!("{error}")));
    }
    let width = number(form, "width", flavour)?;
    let height = number(form, "height", flavour)?;
    Ok(width
        .zip(height)
        .map(|(width, height)| FrameSize::new(width, height)))
}

/// Asked for as such, or by the number of frames.
fn seconds(form: &Form, flavour: Flavour) -> Result<u32, Refusal> {
    if let Some(seconds) = number(form, "seconds", flavour)? {
        return Ok(seconds);
    }
    let Some(frames) = number(form, "num_frames", flavour)? else {
        return Ok(DEFAULT_SECONDS);
    };
    let rate = number(form, "fps", flavour)?.unwrap_or(DEFAULT_FRAMES_PER_SECOND);
    Ok(frames.div_ceil(rate))
}

fn outputs(form: &Form, flavour: Flavour) -> Result<u32, Refusal> {
    let fields: &[&'static str] = match flavour {
        Flavour::OpenAi | Flavour::Litellm => &[],
        Flavour::VllmOmni => &["num_outputs_per_prompt"],
        Flavour::Sglang => &["num_outputs_per_prompt", "n"],
    };
    for field in fields {
        if let Some(outputs) = number(form, field, flavour)? {
            if outputs > MOST_OUTPUTS {
                let message = format!("{outputs} was sent; 1 to {MOST_OUTPUTS} is allowed");
                return Err(invalid(flavour, field, message));
            }
            return Ok(outputs);
        }
    }
    Ok(1)
}

fn audio(form: &Form) -> Option<bool> {
    match form.fields.get("generate_sound")? {
        Value::Bool(sound) => Some(*sound),
        Value::String(text) => Some(matches!(text.as_str(), "true" | "True" | "1")),
        _ => None,
    }
}

fn text(form: &Form, field: &'static str) -> Result<Option<String>, Refusal> {
    match form.fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Refusal::bad_request(format!(
            "{field}: {other} was sent; a string is allowed"
        ))),
    }
}

/// A whole number from 1, as a number or as its digits.
fn number(form: &Form, field: &'static str, flavour: Flavour) -> Result<Option<u32>, Refusal> {
    let value = match form.fields.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    };
    number
        .filter(|number| *number >= 1)
        .map(Some)
        .ok_or_else(|| {
            let message = format!("{value} was sent; a whole number from 1 is allowed");
            invalid(flavour, field, message)
        })
}

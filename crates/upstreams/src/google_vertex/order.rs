//! What a prediction is to be made of, read as strictly as the API reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filmgate_core::frame_size::FrameSize;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::films::Cut;
use crate::jobs;
use crate::sent::{self, Encoding, Reference};

const PARAMETERS: [&str; 14] = [
    "sampleCount",
    "durationSeconds",
    "aspectRatio",
    "resolution",
    "generateAudio",
    "personGeneration",
    "negativePrompt",
    "seed",
    "enhancePrompt",
    "storageUri",
    "compressionQuality",
    "resizeMode",
    "fps",
    "pubsubTopic",
];
const MEDIA: [&str; 3] = ["image", "lastFrame", "video"];
const MOST_IMAGE_BYTES: u64 = 20 << 20;
/// As long as every extension is, whatever it extends.
const EXTENSION_SECONDS: u64 = 7;

/// A model, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Veo31,
    Veo31Fast,
    Veo31Lite,
    Veo30,
    Veo30Fast,
    Veo20,
}

/// One create, understood.
#[derive(Debug)]
pub struct Order {
    model: Model,
    /// The path of the model, which the operation's name begins with.
    pub(crate) path: String,
    prompt: String,
    seconds: u32,
    size: FrameSize,
    audio: bool,
    pub(crate) samples: u32,
    pub(crate) storage_uri: Option<String>,
    references: Vec<Reference>,
    fields: Map<String, Value>,
}

impl Model {
    const ALL: [Self; 6] = [
        Self::Veo31,
        Self::Veo31Fast,
        Self::Veo31Lite,
        Self::Veo30,
        Self::Veo30Fast,
        Self::Veo20,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Veo31 => "veo-3.1-generate-001",
            Self::Veo31Fast => "veo-3.1-fast-generate-001",
            Self::Veo31Lite => "veo-3.1-lite-generate-001",
            Self::Veo30 => "veo-3.0-generate-001",
            Self::Veo30Fast => "veo-3.0-fast-generate-001",
            Self::Veo20 => "veo-2.0-generate-001",
        }
    }

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.as_str() == name)
    }

    const fn has_sound(self) -> bool {
        !matches!(self, Self::Veo20)
    }

    /// The type of reference image that it takes.
    const fn reference_type(self) -> Option<&'static str> {
        match self {
            Self::Veo31 | Self::Veo31Fast => Some("asset"),
            Self::Veo20 => Some("style"),
            Self::Veo31Lite | Self::Veo30 | Self::Veo30Fast => None,
        }
    }

    const fn takes_last_frame(self) -> bool {
        !matches!(self, Self::Veo30 | Self::Veo30Fast)
    }

    const fn extends(self) -> bool {
        matches!(self, Self::Veo31 | Self::Veo31Fast | Self::Veo20)
    }

    fn takes_resolution(self, resolution: &str) -> bool {
        match resolution {
            "720p" => true,
            "1080p" => self != Self::Veo20,
            "4k" => matches!(self, Self::Veo31 | Self::Veo31Fast),
            _ => false,
        }
    }

    fn takes_seconds(self, seconds: u64) -> bool {
        match self {
            Self::Veo20 => (5..=8).contains(&seconds),
            Self::Veo31 | Self::Veo31Fast | Self::Veo31Lite | Self::Veo30 | Self::Veo30Fast => {
                matches!(seconds, 4 | 6 | 8)
            }
        }
    }
}

impl Order {
    pub(crate) fn read(
        model: Model,
        path: String,
        body: Map<String, Value>,
    ) -> Result<Self, Refusal> {
        for field in body.keys() {
            if !["instances", "parameters", "labels"].contains(&field.as_str()) {
                return Err(Refusal::field(field, "there is no such field"));
            }
        }
        let instance = match body.get("instances").and_then(Value::as_array) {
            Some(instances) if instances.len() == 1 => instances[0].as_object(),
            _ => None,
        };
        let instance =
            instance.ok_or_else(|| Refusal::field("instances", "one object is required"))?;
        let nothing = Map::new();
        let parameters = match body.get("parameters") {
            None => &nothing,
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(Refusal::field("parameters", "an object is taken")),
        };
        let prompt = match instance.get("prompt").and_then(Value::as_str) {
            Some(prompt) if !prompt.is_empty() => prompt.to_owned(),
            _ => return Err(Refusal::field("prompt", "a text is required")),
        };
        let references = media(model, instance)?;
        let has = |field: &str| {
            references
                .iter()
                .any(|media| media.field.starts_with(field))
        };
        let parameters = Parameters::read(model, parameters, &has)?;
        Ok(Self {
            model,
            path,
            prompt,
            seconds: parameters.seconds,
            size: parameters.size,
            audio: parameters.audio,
            samples: parameters.samples,
            storage_uri: parameters.storage_uri,
            references,
            fields: shown(&body),
        })
    }
}

/// The files, each named by the field it came in.
fn media(model: Model, instance: &Map<String, Value>) -> Result<Vec<Reference>, Refusal> {
    for field in instance.keys() {
        if !["prompt", "referenceImages"].contains(&field.as_str())
            && !MEDIA.contains(&field.as_str())
        {
            return Err(Refusal::field(field, "there is no such field"));
        }
    }
    let mut found = Vec::new();
    for field in MEDIA {
        if let Some(media) = instance.get(field) {
            found.push(one(field, media)?);
        }
    }
    let has = |field: &str| instance.contains_key(field);
    if has("lastFrame") && !(has("image") && model.takes_last_frame()) {
        return Err(Refusal::field("lastFrame", "it is not taken"));
    }
    if has("video") && (has("image") || !model.extends()) {
        return Err(Refusal::field("video", "it is not taken"));
    }
    let Some(references) = instance.get("referenceImages") else {
        return Ok(found);
    };
    let wrong = |why: &str| Err(Refusal::field("referenceImages", why));
    let Some(references) = references
        .as_array()
        .filter(|all| (1..=3).contains(&all.len()))
    else {
        return wrong("one to three are taken");
    };
    if !found.is_empty() {
        return wrong("they are not taken beside other files");
    }
    for (at, reference) in references.iter().enumerate() {
        let kind = reference.get("referenceType").and_then(Value::as_str);
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        if model.reference_type() != Some(kind.as_str()) {
            return wrong("the model does not take this type");
        }
        let image = reference.get("image").unwrap_or(&Value::Null);
        found.push(one(&format!("referenceImages[{at}]"), image)?);
    }
    Ok(found)
}

fn one(field: &str, media: &Value) -> Result<Reference, Refusal> {
    let text = |name: &str| media.get(name).and_then(Value::as_str);
    let kind = text("mimeType").unwrap_or_default();
    let fits = match field {
        "video" => kind == "video/mp4",
        _ => matches!(kind, "image/png" | "image/jpeg"),
    };
    if !fits {
        return Err(Refusal::field(field, "its mimeType is not taken"));
    }
    let reference = match (text("bytesBase64Encoded"), text("gcsUri")) {
        (Some(data), None) if STANDARD.decode(data).is_ok_and(|bytes| !bytes.is_empty()) => {
            Reference::named(field, &format!("data:{kind};base64,{data}"))
        }
        (None, Some(uri)) if uri.starts_with("gs://") => Reference::named(field, uri),
        _ => {
            let why = "either bytesBase64Encoded or a gcsUri is required";
            return Err(Refusal::field(field, why));
        }
    };
    if reference
        .bytes
        .is_some_and(|bytes| bytes > MOST_IMAGE_BYTES)
    {
        return Err(Refusal::field(field, "it is too large"));
    }
    Ok(reference)
}

struct Parameters {
    seconds: u32,
    size: FrameSize,
    audio: bool,
    samples: u32,
    storage_uri: Option<String>,
}

impl Parameters {
    fn read(
        model: Model,
        sent: &Map<String, Value>,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        for (name, value) in sent {
            if !PARAMETERS.contains(&name.as_str()) {
                return Err(Refusal::field(name, "there is no such parameter"));
            }
            if !fits(name, value) {
                return Err(Refusal::field(name, "its value is not taken"));
            }
        }
        if sent.contains_key("generateAudio") && !model.has_sound() {
            return Err(Refusal::field("generateAudio", "the model makes no sound"));
        }
        if sent.contains_key("resizeMode") && !has("image") {
            return Err(Refusal::field("resizeMode", "there is no image to resize"));
        }
        let seconds = sent.get("durationSeconds").and_then(Value::as_u64);
        let seconds = match seconds {
            None if has("video") => EXTENSION_SECONDS,
            None => 8,
            Some(seconds) => seconds,
        };
        let fits = if has("video") {
            seconds == EXTENSION_SECONDS
        } else if has("referenceImages") {
            seconds == 8
        } else {
            model.takes_seconds(seconds)
        };
        if !fits {
            return Err(Refusal::field("durationSeconds", "it is not taken"));
        }
        let text = |name: &str, otherwise| {
            let text = sent.get(name).and_then(Value::as_str);
            text.unwrap_or(otherwise)
        };
        let resolution = text("resolution", "720p");
        if !model.takes_resolution(resolution) {
            return Err(Refusal::field("resolution", "it is not taken"));
        }
        let short = match resolution {
            "4k" => 2160,
            "1080p" => 1080,
            _ => 720,
        };
        let long = short / 9 * 16;
        let size = match text("aspectRatio", "16:9") {
            "9:16" => FrameSize::new(short, long),
            _ => FrameSize::new(long, short),
        };
        let samples = sent.get("sampleCount").and_then(Value::as_u64).unwrap_or(1);
        let audio = sent.get("generateAudio").and_then(Value::as_bool);
        Ok(Self {
            seconds: u32::try_from(seconds).expect("a length that is taken is short"),
            size,
            audio: audio.unwrap_or(model.has_sound()),
            samples: u32::try_from(samples).expect("a count that is taken is small"),
            storage_uri: sent
                .get("storageUri")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

/// Whether a parameter has a value that the API takes of any model.
fn fits(name: &str, value: &Value) -> bool {
    let among = |words: &[&str]| {
        value
            .as_str()
            .is_some_and(|text| words.contains(&text.to_ascii_lowercase().as_str()))
    };
    match name {
        "sampleCount" => value.as_u64().is_some_and(|count| (1..=4).contains(&count)),
        "durationSeconds" => value.is_u64(),
        "seed" => value
            .as_u64()
            .is_some_and(|seed| seed <= u64::from(u32::MAX)),
        "fps" => value == 24,
        "aspectRatio" => among(&["16:9", "9:16"]),
        "personGeneration" => among(&["allow_adult", "dont_allow", "allow_all"]),
        "compressionQuality" => among(&["optimized", "lossless"]),
        "resizeMode" => among(&["pad", "crop"]),
        "generateAudio" | "enhancePrompt" => value.is_boolean(),
        "storageUri" => value.as_str().is_some_and(|uri| uri.starts_with("gs://")),
        _ => value.is_string(),
    }
}

/// The body without the prompt and files.
fn shown(body: &Map<String, Value>) -> Map<String, Value> {
    fn without(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("prompt");
                fields.remove("bytesBase64Encoded");
                fields.values_mut().for_each(without);
            }
            Value::Array(values) => values.iter_mut().for_each(without),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut body = body.clone();
    if let Some(instances) = body.get_mut("instances") {
        without(instances);
    }
    sent::shown(&body)
}

impl jobs::Order for Order {
    fn prompt(&self) -> &str {
        &self.prompt
    }

    fn model(&self) -> Option<&str> {
        Some(self.model.as_str())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn references(&self) -> &[Reference] {
        &self.references
    }

    fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    fn cut(&self, output: u32) -> Cut {
        Cut {
            size: self.size,
            seconds: self.seconds,
            audio: self.audio,
            output,
        }
    }
}

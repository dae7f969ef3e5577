//! What a task is to be made of, read as strictly as the API reads it.

use filmgate_core::frame_size::FrameSize;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::uploads::Uploads;
use crate::films::Cut;
use crate::jobs;
use crate::sent::{self, Encoding, Reference};

const LONGEST_PROMPT_UNITS: usize = 1000;
const CLIP_SECONDS: u32 = 5;
/// Partners' models: of their fields only the files are judged.
const PARTNERS: [&str; 19] = [
    "gemini_omni_flash",
    "gemini_omni_flash_1.1",
    "grok_imagine_1_5",
    "grok_imagine_1_5_lite",
    "h3_max",
    "hailuo3",
    "happyhorse_1_0",
    "kling2.5_turbo_pro",
    "kling3.0_pro",
    "kling3.0_standard",
    "klingO3_4k",
    "klingO3_pro",
    "klingO3_standard",
    "kling_4",
    "seedance2_5",
    "seedance2_fast",
    "seedance2_mini",
    "wan3",
    "wan3_prime",
];

/// A model, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Gen45,
    Gen4Turbo,
    Veo31,
    Veo31Fast,
    Seedance2,
    Aleph2,
    ActTwo,
    /// One of the partners', by its name.
    Partner(&'static str),
}

/// Which of the ways of making a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Text,
    Image,
    Clip,
    Performance,
}

/// One create, understood.
#[derive(Debug)]
pub struct Order {
    pub(crate) model: Model,
    prompt: String,
    seconds: u32,
    size: FrameSize,
    pub(crate) audio: bool,
    references: Vec<Reference>,
    fields: Map<String, Value>,
}

impl Model {
    const ALL: [Self; 7] = [
        Self::Gen45,
        Self::Gen4Turbo,
        Self::Veo31,
        Self::Veo31Fast,
        Self::Seedance2,
        Self::Aleph2,
        Self::ActTwo,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gen45 => "gen4.5",
            Self::Gen4Turbo => "gen4_turbo",
            Self::Veo31 => "veo3.1",
            Self::Veo31Fast => "veo3.1_fast",
            Self::Seedance2 => "seedance2",
            Self::Aleph2 => "aleph2",
            Self::ActTwo => "act_two",
            Self::Partner(name) => name,
        }
    }

    fn find(name: &str) -> Option<Self> {
        let mut own = Self::ALL.into_iter();
        own.find(|model| model.as_str() == name).or_else(|| {
            let mut partners = PARTNERS.into_iter();
            partners.find(|partner| *partner == name).map(Self::Partner)
        })
    }

    /// What a second of output costs, in credits.
    pub const fn credits_a_second(self, audio: bool) -> u32 {
        match (self, audio) {
            (Self::Gen45, _) => 12,
            (Self::Gen4Turbo | Self::ActTwo, _) => 5,
            (Self::Veo31, true) => 40,
            (Self::Veo31, false) => 20,
            (Self::Veo31Fast, true) => 15,
            (Self::Veo31Fast, false) => 10,
            (Self::Seedance2, _) => 36,
            (Self::Aleph2 | Self::Partner(_), _) => 15,
        }
    }

    const fn is_veo(self) -> bool {
        matches!(self, Self::Veo31 | Self::Veo31Fast)
    }

    const fn has_sound_switch(self) -> bool {
        self.is_veo() || matches!(self, Self::Seedance2 | Self::Partner(_))
    }

    const fn makes(self, from: From) -> bool {
        match self {
            Self::Gen45 | Self::Veo31 | Self::Veo31Fast => matches!(from, From::Text | From::Image),
            Self::Gen4Turbo => matches!(from, From::Image),
            Self::Seedance2 | Self::Partner(_) => !matches!(from, From::Performance),
            Self::Aleph2 => matches!(from, From::Clip),
            Self::ActTwo => matches!(from, From::Performance),
        }
    }

    /// Which field has the clip that a task is made of.
    fn clip(self) -> Option<&'static str> {
        match self {
            Self::Seedance2 => Some("promptVideo"),
            Self::Aleph2 => Some("videoUri"),
            Self::Partner("gemini_omni_flash" | "gemini_omni_flash_1.1" | "kling_4") => {
                Some("videoUri")
            }
            Self::Partner(_) => Some("promptVideo"),
            Self::Gen45 | Self::Gen4Turbo | Self::Veo31 | Self::Veo31Fast | Self::ActTwo => None,
        }
    }

    /// The fields it takes for such a task, beside those that every model does.
    fn knows(self, from: From, field: &str) -> bool {
        if matches!(self, Self::Partner(_)) {
            return true;
        }
        match field {
            "audio" => self.has_sound_switch(),
            "negativePrompt" => self.is_veo(),
            "seed" => true,
            "contentModeration" => !self.has_sound_switch(),
            "promptImage" => from == From::Image,
            "promptText" => self != Self::ActTwo,
            "ratio" => self != Self::Aleph2,
            "duration" => !matches!(self, Self::Aleph2 | Self::ActTwo),
            "character" | "reference" | "bodyControl" | "expressionIntensity" => {
                self == Self::ActTwo
            }
            "targetAspectRatio" => self == Self::Aleph2,
            "references" | "referenceVideos" => self == Self::Seedance2 && from != From::Image,
            "referenceAudio" => self == Self::Seedance2,
            _ => from == From::Clip && self.clip() == Some(field),
        }
    }

    fn takes_seconds(self, seconds: u64) -> bool {
        match self {
            Self::Veo31 | Self::Veo31Fast => matches!(seconds, 4 | 6 | 8),
            Self::Gen45 | Self::Gen4Turbo | Self::Aleph2 | Self::ActTwo => {
                (2..=10).contains(&seconds)
            }
            Self::Seedance2 => (4..=15).contains(&seconds),
            Self::Partner(_) => (1..=30).contains(&seconds),
        }
    }

    fn takes_ratio(self, from: From, ratio: &str) -> bool {
        let wide = matches!(ratio, "1280:720" | "720:1280");
        wide || match self {
            Self::Veo31 | Self::Veo31Fast => matches!(ratio, "1920:1080" | "1080:1920"),
            Self::Seedance2 => matches!(ratio, "960:960" | "1920:1080" | "1080:1920"),
            Self::Partner(_) => true,
            Self::Gen45 | Self::Gen4Turbo | Self::Aleph2 | Self::ActTwo => {
                matches!(from, From::Image | From::Performance)
                    && matches!(ratio, "1104:832" | "960:960" | "832:1104" | "1584:672")
            }
        }
    }
}

impl Order {
    /// `uploads` has what was uploaded.
    pub(crate) fn read(
        from: From,
        fields: Map<String, Value>,
        uploads: &Uploads,
    ) -> Result<Self, Refusal> {
        let text = |name: &'static str| match fields.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
            _ => Err(Refusal::field(name, "a text is required")),
        };
        let named = text("model")?;
        let model = Model::find(named)
            .filter(|model| model.makes(from))
            .ok_or_else(|| Refusal::field("model", format!("{named:?} is no model for this")))?;
        for field in fields.keys() {
            if field != "model" && !model.knows(from, field) {
                return Err(Refusal::field(field.clone(), "the model has no such field"));
            }
        }
        let prompt = match from {
            From::Text | From::Image | From::Clip => text("promptText")?,
            From::Performance => "",
        };
        if prompt.encode_utf16().count() > LONGEST_PROMPT_UNITS {
            return Err(Refusal::field("promptText", "it is too long"));
        }
        // As large and as long as a clip that nobody looks into, where nothing is said.
        let says = |field: &str| match model {
            Model::Partner(_) => field == "duration" && fields.contains_key(field),
            Model::ActTwo => fields.contains_key(field),
            _ => model.knows(from, field),
        };
        let size = if says("ratio") {
            size_of(model, from, text("ratio")?)?
        } else {
            FrameSize::new(1280, 720)
        };
        let seconds = if says("duration") {
            seconds_of(model, fields.get("duration"))?
        } else {
            CLIP_SECONDS
        };
        if fields.get("bodyControl").is_some_and(|on| !on.is_boolean()) {
            return Err(Refusal::field("bodyControl", "true or false is taken"));
        }
        let intensity = fields.get("expressionIntensity").map(Value::as_u64);
        if intensity.is_some_and(|it| !it.is_some_and(|it| (1..=5).contains(&it))) {
            return Err(Refusal::field("expressionIntensity", "1 to 5 is taken"));
        }
        if let Some(seed) = fields.get("seed")
            && seed.as_u64().is_none_or(|seed| seed > u64::from(u32::MAX))
        {
            return Err(Refusal::field("seed", "0 to 4294967295 is taken"));
        }
        let audio = match fields.get("audio") {
            None => model.has_sound_switch(),
            Some(Value::Bool(audio)) => *audio,
            Some(_) => return Err(Refusal::field("audio", "true or false is taken")),
        };
        let mut references = match from {
            From::Text => Vec::new(),
            From::Image => pictures(model, fields.get("promptImage"), uploads)?,
            From::Clip => {
                let field = model.clip().expect("it makes tasks of clips");
                vec![file(field, "video/", text(field)?, uploads)?]
            }
            From::Performance => performance(&fields, uploads)?,
        };
        for (field, kind) in [
            ("references", "image/"),
            ("referenceVideos", "video/"),
            ("referenceAudio", "audio/"),
        ] {
            let wrong = || Refusal::field(field, "a list of objects with a uri is taken");
            let Some(list) = fields.get(field) else {
                continue;
            };
            for reference in list.as_array().ok_or_else(wrong)? {
                let uri = reference.get("uri").and_then(Value::as_str);
                references.push(file(field, kind, uri.ok_or_else(wrong)?, uploads)?);
            }
        }
        let mut shown = sent::shown(&fields);
        shown.remove("promptText");
        Ok(Self {
            model,
            prompt: prompt.to_owned(),
            seconds,
            size,
            audio,
            references,
            fields: shown,
        })
    }

    pub(crate) fn credits(&self) -> u32 {
        self.model.credits_a_second(self.audio) * self.seconds
    }
}

/// One picture, or a first and perhaps a last one, each named by its position.
fn pictures(
    model: Model,
    image: Option<&Value>,
    uploads: &Uploads,
) -> Result<Vec<Reference>, Refusal> {
    let wrong = |why: &str| Refusal::field("promptImage", why);
    let positioned = match image {
        Some(Value::String(uri)) => vec![("first", uri.as_str())],
        Some(Value::Array(frames)) => frames
            .iter()
            .map(|frame| {
                let text = |name: &str| frame.get(name).and_then(Value::as_str);
                Some((text("position")?, text("uri")?))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("a list of uri and position is taken"))?,
        _ => return Err(wrong("a picture is required")),
    };
    let positions: Vec<&str> = positioned.iter().map(|(position, _)| *position).collect();
    if positions != ["first"] && !(model.has_sound_switch() && positions == ["first", "last"]) {
        return Err(wrong("these positions are not taken"));
    }
    positioned
        .into_iter()
        .map(|(position, uri)| file(position, "image/", uri, uploads))
        .collect()
}

/// Whoever is to do it, in a picture or a clip, and the clip of what is to be done.
fn performance(fields: &Map<String, Value>, uploads: &Uploads) -> Result<Vec<Reference>, Refusal> {
    let media = |name: &'static str, kinds: &[&str]| {
        let text = |part: &str| fields.get(name)?.get(part)?.as_str();
        match (text("type"), text("uri")) {
            (Some(kind), Some(uri)) if kinds.contains(&kind) => {
                file(name, &format!("{kind}/"), uri, uploads)
            }
            _ => Err(Refusal::field(name, "a type and a uri are required")),
        }
    };
    Ok(vec![
        media("character", &["image", "video"])?,
        media("reference", &["video"])?,
    ])
}

/// A file of this kind: in a `data:` address, uploaded before, or anywhere behind https.
fn file(field: &str, kind: &str, uri: &str, uploads: &Uploads) -> Result<Reference, Refusal> {
    let wrong = |why: &str| Refusal::field(field, why);
    let mut reference = Reference::named(field, uri);
    if let Some(uri) = uri.strip_prefix("runway://") {
        let upload = uploads
            .find(uri)
            .ok_or_else(|| wrong("it was not uploaded, or its file never came"))?;
        // The address is another for each upload, and the file the same.
        reference.url = None;
        reference.content_type = Some(upload.content_type);
        reference.bytes = Some(upload.bytes);
        reference.sha256 = Some(upload.sha256);
    }
    let fits = match (&reference.url, &reference.content_type) {
        (Some(url), _) => url.starts_with("https://"),
        (None, Some(found)) if kind == "image/" => {
            matches!(found.as_str(), "image/png" | "image/jpeg" | "image/webp")
        }
        (None, found) => found.as_ref().is_some_and(|found| found.starts_with(kind)),
    };
    if !fits {
        return Err(wrong(
            "an https, runway or data address is taken, of such a file",
        ));
    }
    let most = if kind == "image/" {
        5_000_000
    } else {
        16_000_000
    };
    if uri.starts_with("data:") && uri.len() > most {
        return Err(wrong("the data address is too long"));
    }
    Ok(reference)
}

fn size_of(model: Model, from: From, ratio: &str) -> Result<FrameSize, Refusal> {
    if !model.takes_ratio(from, ratio) {
        return Err(Refusal::field("ratio", format!("{ratio:?} is not taken")));
    }
    let (width, height) = ratio
        .split_once(':')
        .expect("every ratio taken has two sides");
    let side = |text: &str| text.parse().expect("every side is a number");
    Ok(FrameSize::new(side(width), side(height)))
}

fn seconds_of(model: Model, duration: Option<&Value>) -> Result<u32, Refusal> {
    duration
        .and_then(Value::as_u64)
        .filter(|seconds| model.takes_seconds(*seconds))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| Refusal::field("duration", "it is not taken"))
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

//! What a task is to be made of, read as strictly as the API reads it.

use filmgate_core::frame_size::FrameSize;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::films::Cut;
use crate::jobs;
use crate::sent::{self, Encoding, Reference};

const LONGEST_PROMPT_UNITS: usize = 1000;

/// A model, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Gen45,
    Gen4Turbo,
    Veo31,
    Veo31Fast,
}

/// Which of the three ways of making a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Text,
    Image,
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
    const ALL: [Self; 4] = [Self::Gen45, Self::Gen4Turbo, Self::Veo31, Self::Veo31Fast];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gen45 => "gen4.5",
            Self::Gen4Turbo => "gen4_turbo",
            Self::Veo31 => "veo3.1",
            Self::Veo31Fast => "veo3.1_fast",
        }
    }

    /// What a second of output costs, in credits.
    pub const fn credits_a_second(self, audio: bool) -> u32 {
        match (self, audio) {
            (Self::Gen45, _) => 12,
            (Self::Gen4Turbo, _) => 5,
            (Self::Veo31, true) => 40,
            (Self::Veo31, false) => 20,
            (Self::Veo31Fast, true) => 15,
            (Self::Veo31Fast, false) => 10,
        }
    }

    const fn is_veo(self) -> bool {
        matches!(self, Self::Veo31 | Self::Veo31Fast)
    }

    /// The fields it takes beside those that every model does.
    const fn knows(self, field: &str) -> bool {
        match field.as_bytes() {
            b"audio" | b"negativePrompt" => self.is_veo(),
            b"seed" | b"contentModeration" => !self.is_veo(),
            _ => false,
        }
    }

    fn takes_seconds(self, seconds: u64) -> bool {
        if self.is_veo() {
            matches!(seconds, 4 | 6 | 8)
        } else {
            (2..=10).contains(&seconds)
        }
    }

    fn takes_ratio(self, from: From, ratio: &str) -> bool {
        let wide = matches!(ratio, "1280:720" | "720:1280");
        wide || match self {
            Self::Veo31 | Self::Veo31Fast => matches!(ratio, "1920:1080" | "1080:1920"),
            Self::Gen45 | Self::Gen4Turbo => {
                from == From::Image
                    && matches!(ratio, "1104:832" | "960:960" | "832:1104" | "1584:672")
            }
        }
    }
}

impl Order {
    pub(crate) fn read(from: From, fields: Map<String, Value>) -> Result<Self, Refusal> {
        let text = |name: &'static str| match fields.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
            _ => Err(Refusal::field(name, "a text is required")),
        };
        let named = text("model")?;
        let model = Model::ALL
            .into_iter()
            .find(|model| model.as_str() == named)
            .filter(|model| from == From::Image || *model != Model::Gen4Turbo)
            .ok_or_else(|| Refusal::field("model", format!("{named:?} is no model for this")))?;
        for field in fields.keys() {
            let common = ["model", "promptText", "ratio", "duration", "promptImage"];
            if !common.contains(&field.as_str()) && !model.knows(field) {
                return Err(Refusal::field(field.clone(), "the model has no such field"));
            }
        }
        let prompt = text("promptText")?;
        if prompt.encode_utf16().count() > LONGEST_PROMPT_UNITS {
            return Err(Refusal::field("promptText", "it is too long"));
        }
        let ratio = text("ratio")?;
        if !model.takes_ratio(from, ratio) {
            return Err(Refusal::field("ratio", format!("{ratio:?} is not taken")));
        }
        let (width, height) = ratio
            .split_once(':')
            .expect("every ratio taken has two sides");
        let side = |text: &str| text.parse().expect("every side is a number");
        let seconds = fields
            .get("duration")
            .and_then(Value::as_u64)
            .filter(|seconds| model.takes_seconds(*seconds))
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or_else(|| Refusal::field("duration", "it is not taken"))?;
        if let Some(seed) = fields.get("seed")
            && seed.as_u64().is_none_or(|seed| seed > u64::from(u32::MAX))
        {
            return Err(Refusal::field("seed", "0 to 4294967295 is taken"));
        }
        let audio = match fields.get("audio") {
            None => model.is_veo(),
            Some(Value::Bool(audio)) => *audio,
            Some(_) => return Err(Refusal::field("audio", "true or false is taken")),
        };
        let references = match (from, fields.get("promptImage")) {
            (From::Text, None) => Vec::new(),
            (From::Text, Some(_)) => {
                return Err(Refusal::field("promptImage", "the model has no such field"));
            }
            (From::Image, image) => pictures(model, image)?,
        };
        let mut shown = sent::shown(&fields);
        shown.remove("promptText");
        Ok(Self {
            model,
            prompt: prompt.to_owned(),
            seconds,
            size: FrameSize::new(side(width), side(height)),
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
fn pictures(model: Model, image: Option<&Value>) -> Result<Vec<Reference>, Refusal> {
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
    if positions != ["first"] && !(model.is_veo() && positions == ["first", "last"]) {
        return Err(wrong("these positions are not taken"));
    }
    positioned
        .into_iter()
        .map(|(position, uri)| {
            let reference = Reference::named(position, uri);
            let fits = match (&reference.url, &reference.content_type) {
                (Some(url), _) => url.starts_with("https://") || url.starts_with("runway://"),
                (None, kind) => matches!(
                    kind.as_deref(),
                    Some("image/png" | "image/jpeg" | "image/webp")
                ),
            };
            if fits {
                Ok(reference)
            } else {
                Err(wrong(
                    "an https, runway or data address of a picture is taken",
                ))
            }
        })
        .collect()
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

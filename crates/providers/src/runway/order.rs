//! An order as one of the bodies that make a task.

use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{Body, Order, Proposal};
use filmgate_core::request::{Input, InputRole, MediaKind, Refusal};
use serde_json::{Map, Value, json};

use super::model::{From, Model, Ratio};
use crate::inlined::Inlined;

/// A picture as a `data:` address may have 5 MB, which base64 makes a third larger than the file; a clip or a sound 16 MB.
const MOST_INLINE_PICTURE_BYTES: u64 = 3_750_000;
const MOST_INLINE_BYTES: u64 = 12_000_000;
/// What is larger than that is uploaded first.
const MOST_UPLOAD_BYTES: u64 = 200_000_000;
/// What the models that are told an aspect ratio know.
const ASPECT_RATIOS: [(u32, u32); 8] = [
    (21, 9),
    (16, 9),
    (3, 2),
    (4, 3),
    (1, 1),
    (3, 4),
    (2, 3),
    (9, 16),
];
const MODES: [&str; 3] = ["reference", "extend", "edit"];
const EXPANSIONS: [&str; 3] = ["disabled", "balanced", "quality"];
/// What is taken of `provider_params`, by the API's own names.
const PASSED_ON: [&str; 5] = [
    "bodyControl",
    "contentModeration",
    "expressionIntensity",
    "mode",
    "promptExpansionMode",
];
const EXPRESSION_INTENSITIES: std::ops::RangeInclusive<u64> = 1..=5;

/// Refuses what only this API's rules can tell, and says which kind of task the rest is.
pub(super) fn check(proposal: Proposal<'_>) -> Result<From, Refusal> {
    let request = proposal.request;
    for (at, input) in request.inputs.iter().enumerate() {
        check_input(format!("input_references[{at}]"), input)?;
    }
    let from = kind(proposal)?;
    if from.has_prompt() && request.prompt.trim().is_empty() {
        return Err(Refusal {
            field: "prompt".to_owned(),
            sent: "nothing".to_owned(),
            allowed: "a text; this provider needs one beside an image too".to_owned(),
        });
    }
    for (name, sent) in &request.provider_params {
        let word = |words: &[&str]| sent.as_str().is_some_and(|sent| words.contains(&sent));
        let (fits, allowed) = match name.as_str() {
            "bodyControl" => (sent.is_boolean(), "true or false".to_owned()),
            "expressionIntensity" => (
                sent.as_u64()
                    .is_some_and(|sent| EXPRESSION_INTENSITIES.contains(&sent)),
                "a whole number from 1 to 5".to_owned(),
            ),
            "contentModeration" => (
                is_moderation(sent),
                r#"{"publicFigureThreshold": "auto"} or {"publicFigureThreshold": "low"}"#
                    .to_owned(),
            ),
            "mode" => (word(&MODES), MODES.join(", ")),
            "promptExpansionMode" => (word(&EXPANSIONS), EXPANSIONS.join(", ")),
            // An operator may have declared a model that takes more.
            _ => (false, format!("{} alone", PASSED_ON.join(", "))),
        };
        if !fits {
            return Err(Refusal {
                field: format!("provider_params.{name}"),
                sent: sent.to_string(),
                allowed,
            });
        }
    }
    Ok(from)
}

fn check_input(field: String, input: &Input) -> Result<(), Refusal> {
    let allowed: &[&str] = match (input.role, input.kind) {
        (InputRole::FirstFrame | InputRole::LastFrame | InputRole::Reference, MediaKind::Image) => {
            &["image/png", "image/jpeg", "image/webp"]
        }
        (InputRole::Source | InputRole::Reference, MediaKind::Video) => {
            &["video/mp4", "video/quicktime", "video/webm"]
        }
        (InputRole::Reference, MediaKind::Audio) => &[
            "audio/mpeg",
            "audio/wav",
            "audio/x-wav",
            "audio/mp4",
            "audio/aac",
        ],
        (role, kind) => {
            return Err(Refusal {
                field: format!("{field}.role"),
                sent: format!("{} for a file of kind {}", role.as_str(), kind.as_str()),
                allowed:
                    "first_frame and last_frame for an image, source for a video, reference for any"
                        .to_owned(),
            });
        }
    };
    if !allowed.contains(&input.mime_type.as_str()) {
        return Err(Refusal {
            field,
            sent: input.mime_type.clone(),
            allowed: allowed.join(", "),
        });
    }
    if input.bytes > MOST_UPLOAD_BYTES {
        return Err(Refusal {
            field,
            sent: format!("{} bytes", input.bytes),
            allowed: format!("files of up to {MOST_UPLOAD_BYTES} bytes"),
        });
    }
    Ok(())
}

fn is_moderation(sent: &Value) -> bool {
    sent.as_object().is_some_and(|sent| {
        sent.len() == 1
            && matches!(
                sent.get("publicFigureThreshold").and_then(Value::as_str),
                Some("auto" | "low")
            )
    })
}

/// Whether an input is too large to go into the message itself.
pub(super) fn wants_upload(input: &Input) -> bool {
    let most = match input.kind {
        MediaKind::Image => MOST_INLINE_PICTURE_BYTES,
        MediaKind::Video | MediaKind::Audio => MOST_INLINE_BYTES,
    };
    input.bytes > most
}

/// Which kind of task the model makes of such inputs.
fn kind(proposal: Proposal<'_>) -> Result<From, Refusal> {
    let model = Model::of(proposal.native_model);
    let inputs = &proposal.request.inputs;
    let count = |role, kind| {
        let found = inputs
            .iter()
            .filter(|input| (input.role, input.kind) == (role, kind));
        found.count()
    };
    let first = count(InputRole::FirstFrame, MediaKind::Image);
    let last = count(InputRole::LastFrame, MediaKind::Image);
    let sources = count(InputRole::Source, MediaKind::Video);
    let of_a_clip = if model.performance.is_some() {
        From::Performance
    } else {
        From::Clip
    };
    let from = match (first, last, sources) {
        (0, 0, 0) => Some(From::Text),
        (1, 0, 0) => Some(From::Image),
        (1, 1, 0) if model.has_last_frame => Some(From::Image),
        (0, 0, 1) => Some(of_a_clip),
        _ => None,
    };
    let Some(from) = from.filter(|from| model.ratio(*from).is_some()) else {
        let ways = [
            (From::Text, "none"),
            (From::Image, "a first_frame"),
            (From::Clip, "a source"),
            (From::Performance, "a source and a reference"),
        ];
        let mut allowed: Vec<&str> = ways
            .into_iter()
            .filter(|(from, _)| model.ratio(*from).is_some())
            .map(|(_, way)| way)
            .collect();
        if model.has_last_frame && model.image.is_some() {
            allowed.push("a first_frame and a last_frame");
        }
        return Err(Refusal {
            field: "input_references".to_owned(),
            sent: format!("{first} first_frame, {last} last_frame, {sources} source"),
            allowed: allowed.join(", or "),
        });
    };
    let Some(place) = from.at() else {
        return one_character(inputs).map(|()| from);
    };
    for (at, input) in inputs.iter().enumerate() {
        let takes = match input.kind {
            MediaKind::Image => model.references.images,
            MediaKind::Video => model.references.videos,
            MediaKind::Audio => model.references.audio,
        };
        if input.role == InputRole::Reference && !takes[place] {
            return Err(Refusal {
                field: format!("input_references[{at}]"),
                sent: format!("a reference of kind {}", input.kind.as_str()),
                allowed: format!("none for {} here", proposal.native_model),
            });
        }
    }
    Ok(from)
}

/// A performance is given to one character, seen in a picture or in a clip.
fn one_character(inputs: &[Input]) -> Result<(), Refusal> {
    let given = inputs
        .iter()
        .filter(|input| input.role == InputRole::Reference);
    let kinds: Vec<&str> = given.map(|input| input.kind.as_str()).collect();
    if matches!(kinds[..], ["image" | "video"]) {
        return Ok(());
    }
    Err(Refusal {
        field: "input_references".to_owned(),
        sent: match kinds[..] {
            [] => "no reference".to_owned(),
            _ => format!("references of kind {}", kinds.join(", ")),
        },
        allowed: "one image or video as reference, the character,".to_owned(),
    })
}

/// What a task of kind `from` is made of. `uploaded` has the addresses of the inputs that are there already.
pub(super) fn task(order: &Order, from: From, uploaded: &[Option<String>]) -> Body {
    let request = &order.request;
    let model = Model::of(&order.native_model);
    let clip = model.clip.filter(|_| from == From::Clip);
    let mut inlined = Inlined::of(order);
    let mut task = Map::new();
    let mut put = |name: &str, value: Value| task.insert(name.to_owned(), value);
    put("model", order.native_model.as_str().into());
    if from.has_prompt() {
        put("promptText", request.prompt.as_str().into());
    }
    let has_seconds = match from {
        From::Text | From::Image => true,
        From::Clip => clip.is_none_or(|clip| clip.has_seconds),
        From::Performance => false,
    };
    if let Some(seconds) = order.shape.seconds.filter(|_| has_seconds) {
        put("duration", seconds.into());
    }
    for (name, value) in said(order, model.ratio(from).unwrap_or(Ratio::Unsaid)) {
        put(name, value.into());
    }
    if let Some(seed) = request.seed {
        put("seed", seed.into());
    }
    // Models without the switch refuse the field.
    let has_sound_switch = clip.map_or(model.has_sound_switch, |clip| clip.has_sound_switch);
    if let Some(audio) = order.shape.audio.filter(|_| has_sound_switch) {
        put("audio", audio.into());
    }
    if let Some(negative) = &request.negative_prompt {
        put("negativePrompt", negative.as_str().into());
    }
    for name in PASSED_ON {
        if let Some(value) = request.provider_params.get(name) {
            put(name, value.clone());
        }
    }
    let mut frames = Vec::new();
    let mut references: [Vec<Value>; 3] = Default::default();
    for (at, input) in request.inputs.iter().enumerate() {
        let uri = match uploaded.get(at) {
            Some(Some(uri)) => uri.clone(),
            _ => inlined.data_url(at),
        };
        match (input.role, input.kind, clip) {
            (InputRole::Source, ..) if from == From::Performance => {
                put("reference", json!({"type": "video", "uri": uri}));
            }
            (_, kind, _) if from == From::Performance => {
                put("character", json!({"type": kind.as_str(), "uri": uri}));
            }
            (InputRole::FirstFrame, ..) => {
                frames.insert(0, json!({"uri": uri, "position": "first"}));
            }
            (InputRole::LastFrame, ..) => frames.push(json!({"uri": uri, "position": "last"})),
            (InputRole::Source, _, Some(clip)) => {
                put(clip.field, uri.into());
            }
            (_, MediaKind::Image, _) => references[0].push(json!({"uri": uri})),
            (_, MediaKind::Video, _) => references[1].push(json!({"type": "video", "uri": uri})),
            (_, MediaKind::Audio, _) => references[2].push(json!({"type": "audio", "uri": uri})),
        }
    }
    if !frames.is_empty() {
        put("promptImage", frames.into());
    }
    let names = ["references", "referenceVideos", "referenceAudio"];
    for (name, references) in names.into_iter().zip(references) {
        if !references.is_empty() {
            put(name, references.into());
        }
    }
    inlined.into_body(&Value::Object(task))
}

/// The fields that say a size, and their values.
fn said(order: &Order, ratio: Ratio) -> Vec<(&'static str, String)> {
    let size = order.shape.size;
    let pixels = |size: FrameSize| format!("{}:{}", size.width, size.height);
    let aspect_ratio = || {
        let asked = order.request.aspect_ratio.clone();
        asked.or_else(|| size.map(nearest))
    };
    let resolution = || {
        let asked = order.request.resolution.clone();
        let name = asked.or_else(|| Some(format!("{}p", size?.width.min(size?.height))))?;
        // The name it has here.
        Some(if name == "1440p" {
            "2k".to_owned()
        } else {
            name
        })
    };
    let fields = match ratio {
        // Called a ratio, and meant in pixels.
        Ratio::Pixels => [("ratio", size.map(pixels)), ("resolution", None)],
        Ratio::Aspect => [("ratio", aspect_ratio()), ("resolution", resolution())],
        Ratio::Resolution => [("ratio", None), ("resolution", resolution())],
        Ratio::Auto => {
            let auto = resolution().map(|resolution| format!("auto_{resolution}"));
            [("ratio", auto), ("resolution", None)]
        }
        Ratio::Target => [
            ("targetAspectRatio", order.request.aspect_ratio.clone()),
            ("resolution", None),
        ],
        Ratio::Unsaid => [("ratio", None), ("resolution", None)],
    };
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Frames are made of blocks, so their sides are rarely in the ratio they are meant in.
fn nearest(size: FrameSize) -> String {
    let off = |(width, height): &(u32, u32)| {
        let (real, meant) = (
            f64::from(size.width) / f64::from(size.height),
            f64::from(*width) / f64::from(*height),
        );
        (real / meant).ln().abs()
    };
    let (width, height) = ASPECT_RATIOS
        .into_iter()
        .min_by(|one, other| off(one).total_cmp(&off(other)))
        .expect("there are some");
    format!("{width}:{height}")
}

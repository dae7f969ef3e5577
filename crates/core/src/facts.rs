//! What is known of an order, for rules that hang on it: which price holds (`pricing`), what goes together with what
//! (`catalogue`).

use serde::{Deserialize, Serialize};

use crate::request::{Input, InputRole, MediaKind, Request, Shape};

/// The `reference_type` of a picture with a place in time.
pub const KEYFRAME: &str = "keyframe";
/// How soon the provider works on an order that says nothing of it.
pub const STANDARD: &str = "standard";
/// What a token of a prompt is taken to be.
const BYTES_A_TOKEN: usize = 4;

/// What is made of what.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    TextToVideo,
    ImageToVideo,
    FirstLastFrame,
    ReferenceToVideo,
    VideoEdit,
    VideoExtend,
    VideoRemix,
    VideoReframe,
    AudioToVideo,
    MotionControl,
    Performance,
}

/// What a rule may ask of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    Mode,
    Resolution,
    AspectRatio,
    /// Whole seconds.
    Duration,
    /// The model chooses the length.
    DurationAuto,
    Fps,
    Audio,
    Quality,
    HasFirstFrame,
    HasLastFrame,
    HasImageInput,
    HasVideoInput,
    HasAudioInput,
    /// A reference picture or clip.
    HasReferenceVisual,
    /// Pictures with a place in time.
    Keyframes,
    Loop,
    Hdr,
    /// How soon the provider works on it: `standard`, `flex`, `batch`.
    Tier,
    VoiceControl,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FactValue {
    Flag(bool),
    Number(u32),
    Word(String),
}

/// The fact is one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub fact: Fact,
    pub among: Vec<FactValue>,
}

/// What is known of one order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// What is reckoned with: the dearest, where the inputs or the model decide.
    pub shape: Shape,
    pub duration_auto: bool,
    /// Length of each input clip in milliseconds; 0 where nobody has said.
    pub clips_ms: Vec<u64>,
    pub images: u32,
    /// Length of all input sound in milliseconds.
    pub sound_ms: u64,
    /// Tokens of the prompt, as well as anybody can tell.
    pub prompt_tokens: u32,
    pub has_first_frame: bool,
    pub has_last_frame: bool,
    pub has_audio: bool,
    pub has_reference_visual: bool,
    pub has_keyframes: bool,
    pub loops: bool,
    pub hdr: bool,
    pub voice_control: bool,
    /// `None`: standard.
    pub tier: Option<String>,
}

impl Mode {
    pub const ALL: [Self; 11] = [
        Self::TextToVideo,
        Self::ImageToVideo,
        Self::FirstLastFrame,
        Self::ReferenceToVideo,
        Self::VideoEdit,
        Self::VideoExtend,
        Self::VideoRemix,
        Self::VideoReframe,
        Self::AudioToVideo,
        Self::MotionControl,
        Self::Performance,
    ];

    /// What is made of a source clip; which of them, its `reference_type` may tell.
    pub const OF_A_CLIP: [Self; 6] = [
        Self::VideoEdit,
        Self::VideoExtend,
        Self::VideoRemix,
        Self::VideoReframe,
        Self::MotionControl,
        Self::Performance,
    ];

    /// What `request` asks for by its inputs, of `offered`, whose first is meant where several fit.
    pub fn of(request: &Request, offered: &[Self]) -> Self {
        let fitting = Self::fitting(request);
        let wished = request.inputs.iter().find_map(Self::wished);
        if let Some(wished) = wished.filter(|wished| fitting.contains(wished)) {
            return wished;
        }
        let clip = fitting == Self::OF_A_CLIP;
        let chosen = if clip {
            offered.iter().find(|mode| fitting.contains(mode))
        } else {
            fitting.iter().find(|mode| offered.contains(mode))
        };
        chosen.copied().unwrap_or(fitting[0])
    }

    /// What the inputs of `request` are good for, the most telling first.
    fn fitting(request: &Request) -> Vec<Self> {
        let has = |role| request.inputs.iter().any(|input| input.role == role);
        let source = |kind| {
            let mut inputs = request.inputs.iter();
            inputs.any(|input| input.kind == kind && input.role == InputRole::Source)
        };
        if source(MediaKind::Video) {
            return Self::OF_A_CLIP.to_vec();
        }
        let mut fitting = Vec::new();
        if source(MediaKind::Audio) {
            fitting.push(Self::AudioToVideo);
        }
        if has(InputRole::LastFrame) {
            fitting.extend([Self::FirstLastFrame, Self::ImageToVideo]);
        } else if has(InputRole::FirstFrame) {
            fitting.extend([Self::ImageToVideo, Self::FirstLastFrame]);
        } else if has(InputRole::Reference) {
            fitting.extend([Self::ReferenceToVideo, Self::ImageToVideo]);
        } else {
            fitting.push(Self::TextToVideo);
        }
        fitting
    }

    /// What a source clip says it is for, such as `extend`.
    fn wished(input: &Input) -> Option<Self> {
        let word = input.reference_type.as_deref()?;
        let mut modes = Self::OF_A_CLIP.into_iter();
        modes.find(|mode| {
            let name = mode.as_str();
            name == word || name.strip_prefix("video-") == Some(word)
        })
    }
}

impl Facts {
    /// What `request` tells by itself, beside its `shape`.
    pub fn of(request: &Request, shape: Shape) -> Self {
        let count = |kind| {
            request
                .inputs
                .iter()
                .filter(|input| input.kind == kind)
                .count()
        };
        let has = |role| request.inputs.iter().any(|input| input.role == role);
        let has_audio = count(MediaKind::Audio) > 0;
        let ms = |seconds: Option<u32>| seconds.map_or(0, |seconds| u64::from(seconds) * 1000);
        let passed = |key: &str| request.provider_params.get(key);
        let switched = |key: &str| passed(key).and_then(serde_json::Value::as_bool) == Some(true);
        let reference = |input: &&Input| input.role == InputRole::Reference;
        let lengths = |kind| {
            let of_kind = request
                .inputs
                .iter()
                .filter(move |input| input.kind == kind);
            of_kind.map(|input| input.duration_ms)
        };
        let mut clips_ms: Vec<u64> = lengths(MediaKind::Video).flatten().collect();
        // What nobody measured is as long as its client says.
        if lengths(MediaKind::Video).any(|length| length.is_none()) {
            clips_ms.push(ms(request.input_video_duration));
        }
        let measured: u64 = lengths(MediaKind::Audio).flatten().sum();
        let all_measured = has_audio && lengths(MediaKind::Audio).all(|length| length.is_some());
        Self {
            shape,
            clips_ms,
            images: u32::try_from(count(MediaKind::Image)).unwrap_or(u32::MAX),
            sound_ms: if all_measured {
                measured
            } else {
                measured.max(ms(request.input_audio_duration))
            },
            prompt_tokens: u32::try_from(request.prompt.len().div_ceil(BYTES_A_TOKEN))
                .unwrap_or(u32::MAX),
            has_first_frame: has(InputRole::FirstFrame),
            has_last_frame: has(InputRole::LastFrame),
            has_audio,
            has_reference_visual: request
                .inputs
                .iter()
                .filter(reference)
                .any(|input| input.kind != MediaKind::Audio),
            has_keyframes: request
                .inputs
                .iter()
                .filter(reference)
                .any(|input| input.reference_type.as_deref() == Some(KEYFRAME)),
            loops: switched("loop"),
            hdr: switched("hdr"),
            voice_control: ["voice_list", "voice_ids"]
                .into_iter()
                .any(|key| passed(key).is_some()),
            tier: passed("service_tier")
                .and_then(serde_json::Value::as_str)
                .filter(|tier| *tier != "default")
                .map(str::to_owned),
            ..Self::default()
        }
    }

    pub fn mode(&self) -> Mode {
        self.shape.mode.unwrap_or_default()
    }

    pub fn meet(&self, condition: &Condition) -> bool {
        self.value(condition.fact)
            .is_some_and(|value| condition.among.contains(&value))
    }

    /// `None` where nobody knows.
    pub fn value(&self, fact: Fact) -> Option<FactValue> {
        let word = |word: &Option<String>| word.clone().map(FactValue::Word);
        let flag = |flag| Some(FactValue::Flag(flag));
        match fact {
            Fact::Mode => Some(FactValue::Word(self.mode().as_str().to_owned())),
            Fact::Resolution => word(&self.shape.resolution),
            Fact::AspectRatio => word(&self.shape.aspect_ratio),
            Fact::Duration => self.shape.seconds.map(FactValue::Number),
            Fact::DurationAuto => flag(self.duration_auto),
            Fact::Fps => self.shape.fps.map(FactValue::Number),
            Fact::Audio => self.shape.audio.map(FactValue::Flag),
            Fact::Quality => word(&self.shape.quality),
            Fact::HasFirstFrame => flag(self.has_first_frame),
            Fact::HasLastFrame => flag(self.has_last_frame),
            Fact::HasImageInput => flag(self.images > 0),
            Fact::HasVideoInput => flag(!self.clips_ms.is_empty()),
            Fact::HasAudioInput => flag(self.has_audio),
            Fact::HasReferenceVisual => flag(self.has_reference_visual),
            Fact::Keyframes => flag(self.has_keyframes),
            Fact::Loop => flag(self.loops),
            Fact::Hdr => flag(self.hdr),
            Fact::VoiceControl => flag(self.voice_control),
            Fact::Tier => Some(FactValue::Word(
                self.tier.clone().unwrap_or_else(|| STANDARD.to_owned()),
            )),
        }
    }
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextToVideo => "text-to-video",
            Self::ImageToVideo => "image-to-video",
            Self::FirstLastFrame => "first-last-frame",
            Self::ReferenceToVideo => "reference-to-video",
            Self::VideoEdit => "video-edit",
            Self::VideoExtend => "video-extend",
            Self::VideoRemix => "video-remix",
            Self::VideoReframe => "video-reframe",
            Self::AudioToVideo => "audio-to-video",
            Self::MotionControl => "motion-control",
            Self::Performance => "performance",
        }
    }
}

impl Fact {
    /// As data has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Resolution => "resolution",
            Self::AspectRatio => "aspect_ratio",
            Self::Duration => "duration",
            Self::DurationAuto => "duration_auto",
            Self::Fps => "fps",
            Self::Audio => "audio",
            Self::Quality => "quality",
            Self::HasFirstFrame => "has_first_frame",
            Self::HasLastFrame => "has_last_frame",
            Self::HasImageInput => "has_image_input",
            Self::HasVideoInput => "has_video_input",
            Self::HasAudioInput => "has_audio_input",
            Self::HasReferenceVisual => "has_reference_visual",
            Self::Keyframes => "keyframes",
            Self::Loop => "loop",
            Self::Hdr => "hdr",
            Self::Tier => "tier",
            Self::VoiceControl => "voice_control",
        }
    }

    /// As messages name it: the field of a request, or what it says of one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Resolution => "resolution",
            Self::AspectRatio => "aspect_ratio",
            Self::Duration => "duration",
            Self::DurationAuto => "a length that the model chooses",
            Self::Fps => "provider_params.fps",
            Self::Audio => "generate_audio",
            Self::Quality => "quality",
            Self::HasFirstFrame => "a first frame",
            Self::HasLastFrame => "a last frame",
            Self::HasImageInput => "an image",
            Self::HasVideoInput => "a clip",
            Self::HasAudioInput => "a sound",
            Self::HasReferenceVisual => "a reference picture or clip",
            Self::Keyframes => "keyframes",
            Self::Loop => "loop",
            Self::Hdr => "hdr",
            Self::Tier => "service_tier",
            Self::VoiceControl => "voice_control",
        }
    }
}

impl std::fmt::Display for FactValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Input, ModelId};

    fn asking(inputs: &[(MediaKind, InputRole)]) -> Request {
        let mut request = Request::new(ModelId("m".into()), "a boat");
        let input = |(kind, role): &(MediaKind, InputRole)| Input {
            kind: *kind,
            role: *role,
            reference_type: None,
            key: String::new(),
            mime_type: String::new(),
            bytes: 1,
            sha256: String::new(),
            url: None,
            duration_ms: None,
        };
        request.inputs = inputs.iter().map(input).collect();
        request
    }

    #[test]
    fn inputs_tell_what_is_made_of_what() {
        use InputRole::{FirstFrame, LastFrame, Reference, Source};
        use MediaKind::{Audio, Image, Video};
        for (inputs, mode) in [
            (&[][..], Mode::TextToVideo),
            (&[(Image, FirstFrame)], Mode::ImageToVideo),
            (
                &[(Image, FirstFrame), (Image, LastFrame)],
                Mode::FirstLastFrame,
            ),
            (&[(Image, Reference)], Mode::ReferenceToVideo),
            (&[(Video, Source), (Image, Reference)], Mode::VideoEdit),
            (&[(Audio, Source)], Mode::AudioToVideo),
        ] {
            assert_eq!(Mode::of(&asking(inputs), &[]), mode, "{inputs:?}");
        }
        let frames = asking(&[(Image, FirstFrame), (Image, LastFrame)]);
        assert_eq!(
            Mode::of(&frames, &[Mode::TextToVideo, Mode::ImageToVideo]),
            Mode::ImageToVideo,
            "where the provider makes no difference"
        );
        let mut clip = asking(&[(Video, Source)]);
        assert_eq!(Mode::of(&clip, &[Mode::VideoExtend]), Mode::VideoExtend);
        let both = [Mode::VideoEdit, Mode::VideoExtend];
        assert_eq!(Mode::of(&clip, &both), Mode::VideoEdit);
        clip.inputs[0].reference_type = Some("extend".into());
        assert_eq!(Mode::of(&clip, &both), Mode::VideoExtend);
        let sung = asking(&[(Audio, Source), (Image, FirstFrame)]);
        assert_eq!(
            Mode::of(&sung, &[Mode::ImageToVideo, Mode::AudioToVideo]),
            Mode::AudioToVideo
        );
        assert_eq!(
            Mode::of(&sung, &[Mode::ImageToVideo]),
            Mode::ImageToVideo,
            "a sound goes along where it does not lead"
        );
    }

    #[test]
    fn what_was_measured_wins_over_what_was_said() {
        use InputRole::{Reference, Source};
        use MediaKind::{Audio, Video};
        let mut request = asking(&[(Video, Source), (Video, Reference), (Audio, Source)]);
        request.input_video_duration = Some(7);
        request.input_audio_duration = Some(9);
        let lengths = |request: &Request| {
            let facts = Facts::of(request, Shape::default());
            (facts.clips_ms, facts.sound_ms)
        };
        assert_eq!(lengths(&request), (vec![7000], 9000));
        request.inputs[0].duration_ms = Some(2500);
        assert_eq!(lengths(&request), (vec![2500, 7000], 9000));
        request.inputs[1].duration_ms = Some(500);
        request.inputs[2].duration_ms = Some(1200);
        assert_eq!(lengths(&request), (vec![2500, 500], 1200));
    }

    #[test]
    fn a_condition_on_what_nobody_knows_is_not_met() {
        let facts = Facts::default();
        let condition = |fact, value| Condition {
            fact,
            among: vec![value],
        };
        assert!(!facts.meet(&condition(Fact::Audio, FactValue::Flag(false))));
        assert!(facts.meet(&condition(Fact::HasVideoInput, FactValue::Flag(false))));
        let mode = FactValue::Word("text-to-video".into());
        assert!(facts.meet(&condition(Fact::Mode, mode)));
    }
}

//! What differs between the models behind this API: its fields have other names and other words for each.
//!
//! Read from the unions of runwayml 5.24.0. A model that is not known here is spoken to as most are.

/// How a size is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ratio {
    /// `ratio` in pixels, such as `1280:720`.
    Pixels,
    /// `ratio` as an aspect ratio, such as `16:9`, and `resolution` where it is not the only one.
    Aspect,
    /// `resolution` alone: the picture decides the rest.
    Resolution,
    /// `ratio`, such as `auto_720p`: likewise.
    Auto,
    /// `targetAspectRatio`, where one was asked for.
    Target,
    /// Nothing: the clip decides.
    Unsaid,
}

/// How a task is made of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clip {
    pub(super) field: &'static str,
    pub(super) ratio: Ratio,
    pub(super) has_seconds: bool,
    pub(super) has_sound_switch: bool,
}

/// Of what kinds of task a model takes references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct References {
    /// Images, in tasks of text, of images and of clips.
    pub(super) images: [bool; 3],
    pub(super) videos: [bool; 3],
    pub(super) audio: [bool; 3],
}

/// Which of the ways of making a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Text,
    Image,
    Clip,
    /// A character that does what somebody does in a clip.
    Performance,
}

/// What one model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) text: Option<Ratio>,
    pub(super) image: Option<Ratio>,
    pub(super) clip: Option<Clip>,
    pub(super) performance: Option<Ratio>,
    pub(super) has_last_frame: bool,
    pub(super) has_sound_switch: bool,
    pub(super) references: References,
}

const NEVER: [bool; 3] = [false; 3];

const PLAIN: Model = Model {
    text: Some(Ratio::Pixels),
    image: Some(Ratio::Pixels),
    clip: None,
    performance: None,
    has_last_frame: true,
    has_sound_switch: false,
    references: References {
        images: NEVER,
        videos: NEVER,
        audio: NEVER,
    },
};

/// What most of them have: a name that is not known is a newer one of these.
const UNKNOWN: Model = Model {
    has_sound_switch: true,
    ..PLAIN
};

impl Model {
    pub(super) fn of(native_model: &str) -> Self {
        let begins = |beginning| native_model.starts_with(beginning);
        match native_model {
            "act_two" => Self {
                text: None,
                image: None,
                performance: Some(Ratio::Pixels),
                ..PLAIN
            },
            "aleph2" => Self {
                text: None,
                image: None,
                clip: Some(clip("videoUri", Ratio::Target, false)),
                ..PLAIN
            },
            "gen4.5" | "gen4_turbo" => Self {
                text: (native_model == "gen4.5").then_some(Ratio::Pixels),
                has_last_frame: false,
                ..PLAIN
            },
            "hailuo3" => Self {
                text: Some(Ratio::Aspect),
                image: Some(Ratio::Aspect),
                clip: Some(clip("promptVideo", Ratio::Aspect, true)),
                references: References {
                    images: [true, false, true],
                    videos: [true, false, true],
                    audio: [true; 3],
                },
                ..PLAIN
            },
            "h3_max" => Self {
                text: Some(Ratio::Resolution),
                image: Some(Ratio::Resolution),
                ..PLAIN
            },
            "grok_imagine_1_5" => Self {
                text: Some(Ratio::Aspect),
                image: Some(Ratio::Resolution),
                has_last_frame: false,
                references: References {
                    images: [true, false, false],
                    videos: NEVER,
                    audio: [true, false, false],
                },
                ..PLAIN
            },
            "grok_imagine_1_5_lite" => Self {
                image: Some(Ratio::Auto),
                has_last_frame: false,
                ..PLAIN
            },
            "happyhorse_1_0" => Self {
                image: Some(Ratio::Resolution),
                has_last_frame: false,
                ..PLAIN
            },
            "kling_4" => Self {
                image: Some(Ratio::Auto),
                clip: Some(clip("videoUri", Ratio::Auto, false)),
                references: References {
                    images: [true; 3],
                    videos: [true, true, false],
                    audio: NEVER,
                },
                ..PLAIN
            },
            "kling2.5_turbo_pro" => Self {
                image: Some(Ratio::Unsaid),
                ..PLAIN
            },
            "gemini_omni_flash" => Self {
                clip: Some(clip("videoUri", Ratio::Unsaid, false)),
                has_last_frame: false,
                references: References {
                    images: [false, false, true],
                    ..References::default()
                },
                ..PLAIN
            },
            "gemini_omni_flash_1.1" => Self {
                clip: Some(clip("videoUri", Ratio::Pixels, true)),
                references: References {
                    images: [true, false, true],
                    videos: [true, false, false],
                    audio: NEVER,
                },
                ..PLAIN
            },
            _ if begins("klingO3_") => Self {
                clip: Some(clip("promptVideo", Ratio::Unsaid, false)),
                has_sound_switch: true,
                references: References {
                    images: [false, true, true],
                    ..References::default()
                },
                ..PLAIN
            },
            _ if begins("kling3.0_") => Self {
                has_sound_switch: true,
                ..PLAIN
            },
            _ if begins("seedance2") => Self {
                clip: Some(Clip {
                    has_sound_switch: true,
                    ..clip("promptVideo", Ratio::Pixels, true)
                }),
                has_sound_switch: true,
                references: References {
                    images: [true, false, true],
                    videos: [true, false, true],
                    audio: [true; 3],
                },
                ..PLAIN
            },
            _ if begins("wan3") => Self {
                has_sound_switch: true,
                references: References {
                    images: [true, false, false],
                    videos: [true, true, false],
                    audio: [true, true, false],
                },
                ..PLAIN
            },
            _ => UNKNOWN,
        }
    }

    /// How a size is said in a task of this kind; `None` where the model makes none.
    pub(super) fn ratio(&self, from: From) -> Option<Ratio> {
        match from {
            From::Text => self.text,
            From::Image => self.image,
            From::Clip => self.clip.map(|clip| clip.ratio),
            From::Performance => self.performance,
        }
    }
}

impl From {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Text => "/v1/text_to_video",
            Self::Image => "/v1/image_to_video",
            Self::Clip => "/v1/video_to_video",
            Self::Performance => "/v1/character_performance",
        }
    }

    /// A performance is seen and not told.
    pub(super) const fn has_prompt(self) -> bool {
        !matches!(self, Self::Performance)
    }

    /// Its place in [`References`]; a performance has its character and nothing else.
    pub(super) const fn at(self) -> Option<usize> {
        match self {
            Self::Text => Some(0),
            Self::Image => Some(1),
            Self::Clip => Some(2),
            Self::Performance => None,
        }
    }
}

const fn clip(field: &'static str, ratio: Ratio, has_seconds: bool) -> Clip {
    Clip {
        field,
        ratio,
        has_seconds,
        has_sound_switch: false,
    }
}

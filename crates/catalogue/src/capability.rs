//! What a provider can do with a model.
//!
//! Not here: whether a request asks for just that (`resolve`), whether a description makes sense (`check`).

use filmgate_core::facts::{Condition, Fact, Facts, Mode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::request::{InputRole, MediaKind, Request, Shape};
use serde::{Deserialize, Serialize};

use crate::durations::Durations;

#[derive(Debug, Clone)]
pub struct Capabilities {
    pub duration: Durations,
    /// Every resolution with every ratio it comes in. The first is made when nothing is said.
    pub sizes: Vec<OfferedSize>,
    pub audio: AudioMode,
    /// What is made of a toggle when nothing is said.
    pub audio_by_default: bool,
    /// The provider's tiers; the first is meant when nothing is said. Empty: there is no such choice.
    pub quality: Vec<String>,
    /// Frames a second; the first is made when nothing is said. Empty: nobody has said.
    pub fps: Vec<u32>,
    /// `None`: there is no seed.
    pub seed: Option<SeedRange>,
    pub negative_prompt: bool,
    /// UTF-16 units; `None`: nobody has said.
    pub negative_prompt_max_chars: Option<u32>,
    pub prompt_max_chars: Option<u32>,
    pub enhance_prompt: bool,
    pub compression_quality: bool,
    /// Empty: there is no such parameter.
    pub person_generation: Vec<String>,
    pub resize_mode: Vec<String>,
    pub max_samples: u32,
    pub inputs: Vec<InputSlot>,
    /// All inputs together; `None`: what the slots have in sum.
    pub max_inputs: Option<u32>,
    /// The keys of `provider_params` it takes.
    pub passthrough: Vec<String>,
    /// Empty: whatever its inputs make of it.
    pub modes: Vec<Mode>,
    pub constraints: Vec<Constraint>,
}

/// What goes together, where all of `when` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constraint {
    pub when: Vec<Condition>,
    /// All of it has to hold.
    pub require: Vec<Condition>,
    /// Must not be asked for: the inputs decide.
    pub leave_out: Vec<Fact>,
    /// There is no such order.
    pub never: bool,
}

/// A picture that can be asked for, by the names it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedSize {
    /// `None`: nobody can tell.
    pub size: Option<FrameSize>,
    /// Canonical name, such as `720p`; `None`: there is no such choice.
    pub resolution: Option<String>,
    /// `W:H`, `adaptive` or `auto`; `None`: there is no such choice.
    pub aspect_ratio: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioMode {
    Always,
    Never,
    /// As the request says.
    Toggle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRange {
    pub min: i64,
    pub max: i64,
}

/// A kind of input in a role, and how many of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSlot {
    pub kind: MediaKind,
    pub role: InputRole,
    /// What the vendor uses it as, where the role does not tell: an input that says another `reference_type` is none of it.
    #[serde(default)]
    pub reference_type: Option<String>,
    /// Empty: in all of them.
    #[serde(default)]
    pub modes: Vec<Mode>,
    #[serde(default)]
    pub min: u32,
    /// `None`: nobody has said.
    #[serde(default)]
    pub max: Option<u32>,
    #[serde(default)]
    pub max_bytes: Option<u64>,
    #[serde(default)]
    pub min_seconds: Option<u32>,
    #[serde(default)]
    pub max_seconds: Option<u32>,
    /// All of the slot together.
    #[serde(default)]
    pub total_max_seconds: Option<u32>,
}

impl InputSlot {
    /// So many of a kind in a role.
    pub fn of(kind: MediaKind, role: InputRole, max: u32) -> Self {
        Self {
            kind,
            role,
            reference_type: None,
            modes: Vec::new(),
            min: 0,
            max: Some(max),
            max_bytes: None,
            min_seconds: None,
            max_seconds: None,
            total_max_seconds: None,
        }
    }

    pub fn is_for(&self, mode: Mode) -> bool {
        self.modes.is_empty() || self.modes.contains(&mode)
    }
}

impl Capabilities {
    /// What is offered in this size.
    pub fn offered(&self, size: FrameSize) -> Option<&OfferedSize> {
        self.sizes.iter().find(|offered| offered.size == Some(size))
    }

    /// Those that can be chosen.
    pub fn resolutions(&self) -> Vec<String> {
        unique(self.sizes.iter().map(|offered| &offered.resolution))
    }

    /// Those that can be chosen.
    pub fn aspect_ratios(&self) -> Vec<String> {
        unique(self.sizes.iter().map(|offered| &offered.aspect_ratio))
    }

    pub fn takes(&self, kind: MediaKind) -> bool {
        self.inputs.iter().any(|slot| slot.kind == kind)
    }

    /// What is known of an order of `shape`. What the inputs or the model decide is reckoned at its dearest.
    pub fn facts(&self, request: &Request, shape: &Shape) -> Facts {
        let mut reckoned = shape.clone();
        if reckoned.resolution.is_none() {
            let names = self
                .sizes
                .iter()
                .filter_map(|offered| offered.resolution.as_ref());
            reckoned.resolution = names.max_by_key(|name| lines(name)).cloned();
        }
        if reckoned.size.is_none() {
            let alike = self
                .sizes
                .iter()
                .filter(|offered| offered.resolution == reckoned.resolution);
            let sizes = alike.filter_map(|offered| offered.size);
            reckoned.size = sizes.max_by_key(|size| u64::from(size.width) * u64::from(size.height));
        }
        let longest = Some(self.duration.max()).filter(|seconds| *seconds > 0);
        reckoned.seconds = reckoned.seconds.or(longest);
        Facts {
            duration_auto: shape.seconds.is_none(),
            ..Facts::of(request, reckoned)
        }
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a Option<String>>) -> Vec<String> {
    let mut all = Vec::new();
    for name in names.flatten() {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

/// About as many lines as a resolution has by its name.
fn lines(resolution: &str) -> u32 {
    match resolution {
        "2k" => 1440,
        "4k" => 2160,
        other => other.trim_end_matches('p').parse().unwrap_or(0),
    }
}

/// The name of a resolution, for a size that is told by its sides alone.
pub(crate) fn resolution_name(size: FrameSize) -> String {
    format!("{}p", size.width.min(size.height))
}

/// The ratio by the name people ask for it. Models round their sides to multiples of 16 or 32, so that 832x480 is
/// meant as 16:9 and is not quite.
pub(crate) fn ratio_name(size: FrameSize) -> String {
    const NAMED: [(u32, u32); 9] = [
        (16, 9),
        (9, 16),
        (1, 1),
        (4, 3),
        (3, 4),
        (3, 2),
        (2, 3),
        (21, 9),
        (9, 21),
    ];
    const MOST_OFF: f64 = 0.03;
    let ratio = f64::from(size.width) / f64::from(size.height.max(1));
    let off =
        |(width, height): &(u32, u32)| (ratio * f64::from(*height) / f64::from(*width) - 1.0).abs();
    NAMED
        .iter()
        .filter(|named| off(named) <= MOST_OFF)
        .min_by(|a, b| off(a).total_cmp(&off(b)))
        .map_or_else(
            || size.aspect_ratio(),
            |(width, height)| format!("{width}:{height}"),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_goes_by_the_ratio_people_ask_for() {
        for (width, height, name) in [
            (1280, 704, "16:9"),
            (480, 832, "9:16"),
            (1024, 1024, "1:1"),
            (720, 480, "3:2"),
            (1000, 300, "10:3"),
        ] {
            assert_eq!(ratio_name(FrameSize::new(width, height)), name);
        }
    }
}

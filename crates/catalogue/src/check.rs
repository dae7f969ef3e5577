//! Checks that a catalogue makes sense before anything is sold from it.

use std::collections::BTreeSet;

use filmgate_core::facts::{Condition, Fact, FactValue, Mode};
use filmgate_core::pricing::{Meter, Tariff};
use filmgate_core::request::{InputRole, MediaKind};

use crate::capability::{AudioMode, Capabilities, InputSlot};
use crate::durations::Lengths;
use crate::model::{Model, ModelStatus, Pair};

const MOST_SECONDS: u32 = 120;
const MOST_SAMPLES: u32 = 4;
const TIERS: [&str; 3] = ["standard", "flex", "batch"];

/// Everything that is wrong with a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct CatalogueFaults(pub Vec<CatalogueFault>);

/// One thing that is wrong, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct CatalogueFault {
    /// The file, and the model and the provider in it, as far as they are known.
    pub place: String,
    pub why: String,
}

/// Which part of a pair makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Duration,
    Sizes,
    Quality,
    Fps,
    Samples,
    Seed,
    Inputs,
    Passthrough,
    Constraints,
    Endpoints,
    Tariff,
}

/// Everything that makes no sense about a model: which of its providers it is about, and why.
pub(crate) fn model(model: &Model) -> Vec<(Option<&Pair>, String)> {
    let mut faults = Vec::new();
    if model.pairs.is_empty() && model.status != ModelStatus::Retired {
        faults.push((None, "it has no provider".to_owned()));
    }
    for (at, pair_of) in model.pairs.iter().enumerate() {
        if model.pairs[..at]
            .iter()
            .any(|before| before.provider == pair_of.provider)
        {
            faults.push((None, format!("{} stands twice", pair_of.provider)));
        }
        let of_pair = pair(pair_of).into_iter();
        faults.extend(of_pair.map(|(_, why)| (Some(pair_of), why)));
    }
    faults
}

/// Everything that makes no sense about a pair.
pub(crate) fn pair(pair: &Pair) -> Vec<(Part, String)> {
    let capabilities = &pair.capabilities;
    let mut faults = Faults(Vec::new());
    duration(capabilities, &mut faults);
    sizes(capabilities, &mut faults);
    let samples = capabilities.max_samples;
    if !(1..=MOST_SAMPLES).contains(&samples) {
        faults.note(
            Part::Samples,
            format!("{samples} outputs at most; 1 to {MOST_SAMPLES} are allowed"),
        );
    }
    if let Some(seed) = capabilities.seed.filter(|seed| seed.min > seed.max) {
        let why = format!("from {} to {} there is nothing", seed.min, seed.max);
        faults.note(Part::Seed, why);
    }
    faults.once(Part::Quality, &capabilities.quality);
    faults.once(Part::Fps, &capabilities.fps);
    faults.once(Part::Passthrough, &capabilities.passthrough);
    inputs(capabilities, &mut faults);
    for constraint in &capabilities.constraints {
        let both = constraint.when.iter().chain(&constraint.require);
        conditions(both, Part::Constraints, capabilities, &mut faults);
        for fact in &constraint.leave_out {
            if !can_be_left_out(*fact) {
                let why = format!("{} cannot be left out", fact.as_str());
                faults.note(Part::Constraints, why);
            }
        }
    }
    for endpoint in &pair.endpoints {
        conditions(&endpoint.when, Part::Endpoints, capabilities, &mut faults);
    }
    prices(&pair.tariff, capabilities, &mut faults);
    faults.0
}

struct Faults(Vec<(Part, String)>);

impl Faults {
    fn note(&mut self, part: Part, why: String) {
        self.0.push((part, why));
    }

    /// Each of `items` stands once.
    fn once<T: Ord + ToString>(&mut self, part: Part, items: &[T]) {
        if let Some(twice) = twice(items) {
            self.note(part, format!("{} stands twice", twice.to_string()));
        }
    }
}

fn duration(capabilities: &Capabilities, faults: &mut Faults) {
    let duration = &capabilities.duration;
    let (min, max) = (duration.min(), duration.max());
    let follows_always = !capabilities.modes.is_empty()
        && capabilities
            .modes
            .iter()
            .all(|mode| duration.follows_source.contains(mode));
    if duration.offered == Lengths::Unknown {
        if !follows_always {
            faults.note(Part::Duration, "some mode has no length".to_owned());
        }
        return;
    }
    if min == 0 || min > max || max > MOST_SECONDS {
        faults.note(
            Part::Duration,
            format!("{min} to {max} seconds; 1 to at most {MOST_SECONDS} are allowed"),
        );
        return;
    }
    match duration.default {
        Some(default) if !duration.offers(default) => faults.note(
            Part::Duration,
            format!("the default duration, {default} seconds, is not offered"),
        ),
        None if !duration.auto && !follows_always => faults.note(
            Part::Duration,
            "there is no default, and the model cannot choose".to_owned(),
        ),
        _ => {}
    }
    if let Lengths::Listed(listed) = &duration.offered {
        faults.once(Part::Duration, listed);
    }
}

fn sizes(capabilities: &Capabilities, faults: &mut Faults) {
    if capabilities.sizes.is_empty() {
        faults.note(Part::Sizes, "nothing is offered".to_owned());
    }
    let known: Vec<_> = capabilities
        .sizes
        .iter()
        .filter_map(|offered| offered.size)
        .collect();
    if let Some(twice) = twice(&known) {
        faults.note(Part::Sizes, format!("{twice} stands twice"));
    }
    let unknown: Vec<_> = capabilities
        .sizes
        .iter()
        .filter(|offered| offered.size.is_none())
        .map(|offered| (&offered.resolution, &offered.aspect_ratio))
        .collect();
    if let Some((resolution, ratio)) = twice(&unknown) {
        let words = [resolution, ratio].into_iter().copied().flatten();
        let words: Vec<&str> = words.map(String::as_str).collect();
        faults.note(Part::Sizes, format!("{} stands twice", words.join(" ")));
    }
}

fn inputs(capabilities: &Capabilities, faults: &mut Faults) {
    let modes = &capabilities.modes;
    for slot in &capabilities.inputs {
        let what = format!("{} {}", slot.kind.as_str(), slot.role.as_str());
        if slot.max.is_some_and(|max| max == 0 || max < slot.min) {
            faults.note(Part::Inputs, format!("{what}: there can be none"));
        }
        for mode in slot.modes.iter().filter(|mode| !modes.contains(mode)) {
            let why = format!("{what}: {} is no mode of it", mode.as_str());
            faults.note(Part::Inputs, why);
        }
    }
    for mode in modes
        .iter()
        .filter(|mode| !is_reached(**mode, capabilities))
    {
        let why = format!("no input makes {}", mode.as_str());
        faults.note(Part::Inputs, why);
    }
}

fn is_reached(mode: Mode, capabilities: &Capabilities) -> bool {
    use InputRole::{FirstFrame, LastFrame, Reference, Source};
    let takes = |kind: MediaKind, roles: &[InputRole]| {
        let fits = |slot: &InputSlot| slot.kind == kind && roles.contains(&slot.role);
        let mut inputs = capabilities.inputs.iter();
        inputs.any(|slot| slot.is_for(mode) && fits(slot))
    };
    match mode {
        Mode::TextToVideo => true,
        Mode::ImageToVideo => takes(MediaKind::Image, &[FirstFrame, LastFrame, Reference]),
        Mode::FirstLastFrame => takes(MediaKind::Image, &[LastFrame]),
        Mode::ReferenceToVideo => {
            takes(MediaKind::Image, &[Reference]) || takes(MediaKind::Video, &[Reference])
        }
        Mode::AudioToVideo => takes(MediaKind::Audio, &[Source]),
        Mode::VideoEdit
        | Mode::VideoExtend
        | Mode::VideoRemix
        | Mode::VideoReframe
        | Mode::MotionControl
        | Mode::Performance => takes(MediaKind::Video, &[Source]),
    }
}

fn conditions<'a>(
    all: impl IntoIterator<Item = &'a Condition>,
    part: Part,
    capabilities: &Capabilities,
    faults: &mut Faults,
) {
    for condition in all {
        let name = condition.fact.as_str();
        if condition.among.is_empty() {
            faults.note(part, format!("a condition on {name} allows nothing"));
        }
        for value in &condition.among {
            if !can_be(condition.fact, value, capabilities) {
                faults.note(part, format!("{name} can never be {value}"));
            }
        }
    }
}

/// Whether some order has this.
fn can_be(fact: Fact, value: &FactValue, capabilities: &Capabilities) -> bool {
    let is = |own: &Option<String>, word: &String| own.as_ref() == Some(word);
    match (fact, value) {
        (Fact::Mode, FactValue::Word(word)) => {
            let modes = match &capabilities.modes[..] {
                [] => &Mode::ALL,
                modes => modes,
            };
            modes.iter().any(|mode| mode.as_str() == word)
        }
        (Fact::Resolution, FactValue::Word(word)) => {
            let mut sizes = capabilities.sizes.iter();
            sizes.any(|offered| is(&offered.resolution, word))
        }
        (Fact::AspectRatio, FactValue::Word(word)) => {
            let mut sizes = capabilities.sizes.iter();
            sizes.any(|offered| is(&offered.aspect_ratio, word))
        }
        (Fact::Quality, FactValue::Word(word)) => capabilities.quality.contains(word),
        (Fact::Duration, FactValue::Number(seconds)) => capabilities.duration.offers(*seconds),
        (Fact::Fps, FactValue::Number(fps)) => capabilities.fps.contains(fps),
        (Fact::Audio, FactValue::Flag(audio)) => match capabilities.audio {
            AudioMode::Always => *audio,
            AudioMode::Never => !*audio,
            AudioMode::Toggle => true,
        },
        (Fact::Tier, FactValue::Word(word)) => TIERS.contains(&word.as_str()),
        (
            Fact::DurationAuto
            | Fact::HasFirstFrame
            | Fact::HasLastFrame
            | Fact::HasImageInput
            | Fact::HasVideoInput
            | Fact::HasAudioInput
            | Fact::HasReferenceVisual
            | Fact::Keyframes
            | Fact::Loop
            | Fact::Hdr
            | Fact::VoiceControl,
            FactValue::Flag(_),
        ) => true,
        _ => false,
    }
}

const fn can_be_left_out(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::Duration | Fact::Resolution | Fact::AspectRatio | Fact::Quality | Fact::Fps
    )
}

fn prices(tariff: &Tariff, capabilities: &Capabilities, faults: &mut Faults) {
    for wrong in tariff.faults() {
        faults.note(Part::Tariff, wrong.to_string());
    }
    for rule in &tariff.rules {
        let told = rule
            .when
            .iter()
            .filter(|condition| !condition.among.is_empty());
        conditions(told, Part::Tariff, capabilities, faults);
    }
    let counts_tokens = tariff
        .rules
        .iter()
        .any(|rule| rule.meter == Meter::VideoToken);
    let sized = |resolution: &Option<String>| {
        let mut sizes = capabilities.sizes.iter();
        sizes.any(|offered| offered.resolution == *resolution && offered.size.is_some())
    };
    let all_sized = capabilities
        .sizes
        .iter()
        .all(|offered| sized(&offered.resolution));
    if counts_tokens && (!all_sized || capabilities.fps.is_empty()) {
        let why = "video tokens are counted of sizes and frames, and those are not all known";
        faults.note(Part::Tariff, why.to_owned());
    }
}

fn twice<T: Ord>(items: &[T]) -> Option<&T> {
    let mut seen = BTreeSet::new();
    items.iter().find(|item| !seen.insert(*item))
}

#[cfg(test)]
mod tests {
    use crate::Catalogue;

    fn with(from: &str, to: &str) -> String {
        let text = include_str!("../data/filmgate.toml");
        assert!(text.contains(from), "the data file no longer says {from}");
        Catalogue::read(&[("t", &text.replace(from, to))])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_model_and_the_reason() {
        assert!(
            with("default = 4", "default = 21")
                .contains("filmgate/testcard: testcard: the default duration")
        );
        assert!(with("max = 20", "max = 121").contains("at most 120"));
        assert!(
            with("min = 1, max = 20", "values = [8, 4, 8]").contains("8 stands twice"),
            "lengths are listed once"
        );
        assert!(with("min = 1, max = 20", "values = []").contains("0 to 0 seconds"));
        assert!(with("min = 1, max = 20", "min = 1").contains("min and max, or values"));
        assert!(with("\"360p\", ", "\"360p\", \"360p\", ").contains("stands twice"));
        assert!(with("max_samples = 4", "max_samples = 5").contains("5 outputs"));
        assert!(with("min = 0, max = 4294967295", "min = 2, max = 1").contains("from 2 to 1"));
        assert!(with("[\"simulate\"]", "[\"a\", \"a\"]").contains("a stands twice"));
        assert!(with("\"640x360\"", "\"320x180\"").contains("320x180 stands twice"));
        assert!(with("usd = \"0.01\"", "usd = \"-0.01\"").contains("not an amount"));
        assert!(with("audio =", "sound =").contains("unknown field"));
    }
}

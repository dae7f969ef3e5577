//! The data files: TOML, a file for each maker.

use std::collections::BTreeMap;

use filmgate_core::calendar::Day;
use filmgate_core::facts::{Condition, Fact, FactValue, Mode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::money::Nanos;
use filmgate_core::pricing::{ChargedOn, Meter, Rule, SettleFrom, Tariff, TokenFormula};
use filmgate_core::request::{ModelId, ProviderName};
use serde::Deserialize;

use crate::capability::{AudioMode, Capabilities, Constraint, InputSlot, OfferedSize, SeedRange};
use crate::durations::Durations;
use crate::model::{Endpoint, Model, ModelStatus, Pair};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    models: Vec<FileModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileModel {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    name: String,
    #[serde(default)]
    family: Option<String>,
    status: ModelStatus,
    #[serde(default, deserialize_with = "day")]
    retires_on: Option<Day>,
    #[serde(default)]
    providers: Vec<FilePair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePair {
    provider: String,
    native_model_id: String,
    #[serde(default)]
    endpoints: Vec<FileEndpoint>,
    #[serde(default, deserialize_with = "day")]
    retires_on: Option<Day>,
    #[serde(default)]
    modes: Vec<Mode>,
    duration: Durations,
    /// The first is the default; none: they cannot be chosen.
    #[serde(default)]
    resolutions: Vec<String>,
    /// The first is the default; none: they cannot be chosen.
    #[serde(default)]
    aspect_ratios: Vec<String>,
    /// In pixels, by resolution, and there by aspect ratio. A resolution that stands here has these ratios alone.
    #[serde(default)]
    sizes: BTreeMap<String, BTreeMap<String, FrameSize>>,
    #[serde(default)]
    fps: Vec<u32>,
    audio: AudioMode,
    #[serde(default)]
    audio_by_default: bool,
    #[serde(default)]
    quality: Vec<String>,
    #[serde(default)]
    seed: Option<SeedRange>,
    #[serde(default)]
    negative_prompt: bool,
    #[serde(default)]
    negative_prompt_max_chars: Option<u32>,
    #[serde(default)]
    prompt_max_chars: Option<u32>,
    #[serde(default)]
    enhance_prompt: bool,
    #[serde(default)]
    compression_quality: bool,
    #[serde(default)]
    person_generation: Vec<String>,
    #[serde(default)]
    resize_mode: Vec<String>,
    #[serde(default = "once")]
    max_samples: u32,
    #[serde(default)]
    inputs: Vec<InputSlot>,
    #[serde(default)]
    max_inputs: Option<u32>,
    #[serde(default)]
    passthrough: Vec<String>,
    #[serde(default)]
    constraints: Vec<FileConstraint>,
    #[serde(default)]
    settle_from: SettleFrom,
    #[serde(default)]
    charged_on: ChargedOn,
    #[serde(default)]
    tokens: Option<TokenFormula>,
    /// US dollars, as text so that no float is involved.
    #[serde(default)]
    minimum_usd: Option<Dollars>,
    #[serde(default)]
    unit_usd: Option<Dollars>,
    #[serde(default)]
    prices: Vec<Price>,
}

type Conditions = BTreeMap<Fact, Vec<FactValue>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEndpoint {
    native_model_id: String,
    when: Conditions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConstraint {
    #[serde(default)]
    when: Conditions,
    #[serde(default)]
    require: Conditions,
    #[serde(default)]
    leave_out: Vec<Fact>,
    #[serde(default)]
    never: bool,
}

/// The price of one meter, when it holds, and where it stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    meter: Meter,
    usd: Dollars,
    #[serde(default)]
    when: Conditions,
    #[serde(default)]
    credits_per_second: Option<u32>,
    #[serde(default)]
    tokens_per_second: Option<u32>,
    #[serde(default)]
    free_quantity: u32,
    #[serde(default)]
    round_up_each_clip: bool,
    #[serde(default = "once")]
    least_times_output: u32,
    #[serde(default, deserialize_with = "day")]
    from: Option<Day>,
    #[serde(default, deserialize_with = "day")]
    until: Option<Day>,
    #[serde(default)]
    source: Option<String>,
    /// The day it was stated or looked up.
    #[serde(default, deserialize_with = "day")]
    as_of: Option<Day>,
    #[serde(default)]
    confidence: Option<Confidence>,
}

/// How far a price was checked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Confidence {
    /// Our own.
    Ours,
    /// Two independent sources agree.
    CrossChecked,
    /// The seller's own page.
    Vendor,
    /// A third party alone.
    Secondary,
    /// Reckoned from a third party's number.
    Derived,
    /// A card of another gateway alone.
    ReferenceOnly,
}

/// US dollars, as text so that no float is involved.
#[derive(Debug, Clone, Copy)]
struct Dollars(Nanos);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Day>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

const fn once() -> u32 {
    1
}

/// The models of one file, or what is wrong with it: where in the file, and why.
pub(crate) fn read(text: &str) -> Result<Vec<Model>, Vec<(String, String)>> {
    let parsed: File =
        toml::from_str(text).map_err(|error| vec![(String::new(), error.to_string())])?;
    let mut faults = Vec::new();
    for model in &parsed.models {
        for pair in &model.providers {
            let unfounded = pair.prices.iter().enumerate().filter(|(_, price)| {
                price.source.is_none() || price.as_of.is_none() || price.confidence.is_none()
            });
            faults.extend(unfounded.map(|(at, _)| {
                let place = format!("{}: {}: prices[{at}]", model.id, pair.provider);
                (
                    place,
                    "source, as_of and confidence are required".to_owned(),
                )
            }));
        }
    }
    for (model, pair) in parsed
        .models
        .iter()
        .flat_map(|model| model.providers.iter().map(move |pair| (model, pair)))
    {
        let sized = pair.sizes.iter();
        for (resolution, ratio) in sized.flat_map(|(resolution, sizes)| {
            let ratios = sizes.keys();
            ratios.map(move |ratio| (resolution, ratio))
        }) {
            if !pair.resolutions.contains(resolution) || !pair.aspect_ratios.contains(ratio) {
                let place = format!("{}: {}: sizes", model.id, pair.provider);
                let why =
                    format!("{resolution} {ratio} is not among resolutions and aspect_ratios");
                faults.push((place, why));
            }
        }
    }
    if faults.is_empty() {
        Ok(parsed.models.into_iter().map(model).collect())
    } else {
        Err(faults)
    }
}

fn model(file: FileModel) -> Model {
    Model {
        id: ModelId(file.id),
        aliases: file.aliases,
        name: file.name,
        family: file.family,
        status: file.status,
        retires_on: file.retires_on,
        pairs: file.providers.into_iter().map(pair).collect(),
    }
}

fn pair(file: FilePair) -> Pair {
    let sizes = offered(&file);
    let tariff = Tariff {
        rules: file.prices.into_iter().map(Rule::from).collect(),
        tokens: file.tokens,
        settle_from: file.settle_from,
        charged_on: file.charged_on,
        minimum: file.minimum_usd.map_or(Nanos::ZERO, |usd| usd.0),
        unit: file.unit_usd.map(|usd| usd.0),
    };
    Pair {
        provider: ProviderName(file.provider),
        native_model: file.native_model_id,
        endpoints: file.endpoints.into_iter().map(endpoint).collect(),
        retires_on: file.retires_on,
        capabilities: Capabilities {
            duration: file.duration,
            sizes,
            audio: file.audio,
            audio_by_default: file.audio_by_default,
            quality: file.quality,
            fps: file.fps,
            seed: file.seed,
            negative_prompt: file.negative_prompt,
            negative_prompt_max_chars: file.negative_prompt_max_chars,
            prompt_max_chars: file.prompt_max_chars,
            enhance_prompt: file.enhance_prompt,
            compression_quality: file.compression_quality,
            person_generation: file.person_generation,
            resize_mode: file.resize_mode,
            max_samples: file.max_samples,
            inputs: file.inputs,
            max_inputs: file.max_inputs,
            passthrough: file.passthrough,
            modes: file.modes,
            constraints: file.constraints.into_iter().map(constraint).collect(),
        },
        tariff,
    }
}

/// Each resolution with each ratio it comes in, in the order they stand.
fn offered(file: &FilePair) -> Vec<OfferedSize> {
    let named = |names: &[String]| -> Vec<Option<String>> {
        if names.is_empty() {
            return vec![None];
        }
        names.iter().cloned().map(Some).collect()
    };
    let mut offered = Vec::new();
    for resolution in named(&file.resolutions) {
        let known = resolution.as_ref().and_then(|name| file.sizes.get(name));
        for aspect_ratio in named(&file.aspect_ratios) {
            let size = known.zip(aspect_ratio.as_ref());
            let size = size.and_then(|(known, ratio)| known.get(ratio)).copied();
            let is_word = aspect_ratio
                .as_ref()
                .is_none_or(|ratio| !ratio.contains(':'));
            if size.is_some() || known.is_none() || is_word {
                offered.push(OfferedSize {
                    size,
                    resolution: resolution.clone(),
                    aspect_ratio,
                });
            }
        }
    }
    offered
}

impl Price {
    /// Of each unit of `meter`, always.
    pub fn of(meter: Meter, price: Nanos) -> Self {
        Self {
            meter,
            usd: Dollars(price),
            when: Conditions::new(),
            credits_per_second: None,
            tokens_per_second: None,
            free_quantity: 0,
            round_up_each_clip: false,
            least_times_output: 1,
            from: None,
            until: None,
            source: None,
            as_of: None,
            confidence: None,
        }
    }
}

impl From<Price> for Rule {
    fn from(price: Price) -> Self {
        Self {
            when: conditions(price.when),
            credits_per_second: price.credits_per_second,
            tokens_per_second: price.tokens_per_second,
            free_quantity: price.free_quantity,
            round_up_each_clip: price.round_up_each_clip,
            least_times_output: price.least_times_output,
            from: price.from.map(Day::start),
            until: price.until.map(Day::start),
            ..Self::of(price.meter, price.usd.0)
        }
    }
}

fn endpoint(file: FileEndpoint) -> Endpoint {
    Endpoint {
        native_model: file.native_model_id,
        when: conditions(file.when),
    }
}

fn constraint(file: FileConstraint) -> Constraint {
    Constraint {
        when: conditions(file.when),
        require: conditions(file.require),
        leave_out: file.leave_out,
        never: file.never,
    }
}

fn conditions(all: Conditions) -> Vec<Condition> {
    all.into_iter()
        .map(|(fact, among)| Condition { fact, among })
        .collect()
}

//! A model and its pairs, as read from a data file.

use std::collections::BTreeMap;

use filmgate_core::facts::{Condition, Fact, FactValue, Facts, Mode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::money::Nanos;
use filmgate_core::pricing::{Length, Meter, Rule, Tariff, TokenFormula};
use filmgate_core::request::{ModelId, ProviderName, Request, Shape};
use serde::{Deserialize, Serialize};

use crate::capability::{AudioMode, Capabilities, Constraint, InputSlot, OfferedSize, SeedRange};
use crate::check::CatalogueError;
use crate::durations::Durations;

#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    pub aliases: Vec<String>,
    pub name: String,
    pub status: ModelStatus,
    /// In the order they are asked when nothing else tells them apart.
    pub pairs: Vec<Pair>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStatus {
    Active,
    Preview,
    /// Still answers, on its way out.
    Deprecated,
    /// The maker has stopped it: a create is refused.
    Retired,
}

/// A model at one provider.
#[derive(Debug, Clone)]
pub struct Pair {
    pub provider: ProviderName,
    pub native_model: String,
    pub capabilities: Capabilities,
    /// `None`: no price is known.
    pub tariff: Option<Tariff>,
}

impl Pair {
    /// What is known of an order of `shape`.
    pub fn facts(&self, request: &Request, shape: &Shape) -> Facts {
        self.capabilities.facts(request, shape)
    }
}

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
    status: ModelStatus,
    providers: Vec<FilePair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePair {
    provider: String,
    native_model_id: String,
    duration: Durations,
    default_size: FrameSize,
    /// By resolution, and there by aspect ratio.
    sizes: BTreeMap<String, BTreeMap<String, FrameSize>>,
    audio: AudioMode,
    #[serde(default)]
    audio_by_default: bool,
    #[serde(default)]
    seed: Option<SeedRange>,
    #[serde(default)]
    negative_prompt: bool,
    max_samples: u32,
    #[serde(default)]
    passthrough: Vec<String>,
    #[serde(default)]
    inputs: Vec<InputSlot>,
    #[serde(default)]
    prompt_max_chars: Option<u32>,
    #[serde(default)]
    modes: Vec<Mode>,
    #[serde(default)]
    fps: Option<u32>,
    #[serde(default)]
    constraints: Vec<FileConstraint>,
    /// Which length of an output is charged where the provider reports none.
    #[serde(default)]
    charged_length: Length,
    #[serde(default)]
    tokens: Option<TokenFormula>,
    #[serde(default)]
    prices: Vec<FilePrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConstraint {
    #[serde(default)]
    when: BTreeMap<Fact, Vec<FactValue>>,
    require: BTreeMap<Fact, Vec<FactValue>>,
}

/// A price, and where it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePrice {
    meter: Meter,
    /// US dollars, as text so that no float is involved.
    usd: String,
    #[serde(default)]
    when: BTreeMap<Fact, Vec<FactValue>>,
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
    #[serde(rename = "source")]
    _source: String,
    /// The day it was stated or looked up.
    #[serde(rename = "as_of")]
    _as_of: String,
    #[serde(rename = "confidence")]
    _confidence: Confidence,
}

/// How far a price was checked.
#[derive(Deserialize)]
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

const fn once() -> u32 {
    1
}

pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Model>, CatalogueError> {
    let parsed: File = toml::from_str(text).map_err(|error| CatalogueError::Unreadable {
        file: file.to_owned(),
        why: error.to_string(),
    })?;
    parsed.models.into_iter().map(model).collect()
}

fn model(file: FileModel) -> Result<Model, CatalogueError> {
    let pairs = file
        .providers
        .into_iter()
        .map(|pair_of| pair(&file.id, pair_of))
        .collect::<Result<_, _>>()?;
    Ok(Model {
        id: ModelId(file.id),
        aliases: file.aliases,
        name: file.name,
        status: file.status,
        pairs,
    })
}

fn pair(model: &str, file: FilePair) -> Result<Pair, CatalogueError> {
    let rules = file
        .prices
        .into_iter()
        .map(|price| rule(model, price))
        .collect::<Result<Vec<_>, _>>()?;
    let tariff = Tariff {
        rules,
        tokens: file.tokens,
        length: file.charged_length,
    };
    let sizes = file.sizes.into_iter().flat_map(|(resolution, sizes)| {
        sizes
            .into_iter()
            .map(move |(aspect_ratio, size)| OfferedSize {
                size,
                resolution: resolution.clone(),
                aspect_ratio,
            })
    });
    Ok(Pair {
        provider: ProviderName(file.provider),
        native_model: file.native_model_id,
        capabilities: Capabilities {
            duration: file.duration,
            sizes: sizes.collect(),
            default_size: file.default_size,
            audio: file.audio,
            audio_by_default: file.audio_by_default,
            seed: file.seed,
            negative_prompt: file.negative_prompt,
            max_samples: file.max_samples,
            inputs: file.inputs,
            passthrough: file.passthrough,
            prompt_max_chars: file.prompt_max_chars,
            modes: file.modes,
            fps: file.fps,
            constraints: file.constraints.into_iter().map(constraint).collect(),
        },
        tariff: (!tariff.rules.is_empty()).then_some(tariff),
    })
}

fn rule(model: &str, price: FilePrice) -> Result<Rule, CatalogueError> {
    let price_nanos: Nanos = price.usd.parse().map_err(|error| CatalogueError::Unsound {
        model: model.to_owned(),
        why: format!("{}: {error}", price.meter.as_str()),
    })?;
    Ok(Rule {
        when: conditions(price.when),
        credits_per_second: price.credits_per_second,
        tokens_per_second: price.tokens_per_second,
        free_quantity: price.free_quantity,
        round_up_each_clip: price.round_up_each_clip,
        least_times_output: price.least_times_output,
        ..Rule::of(price.meter, price_nanos)
    })
}

fn constraint(file: FileConstraint) -> Constraint {
    Constraint {
        when: conditions(file.when),
        require: conditions(file.require),
    }
}

fn conditions(all: BTreeMap<Fact, Vec<FactValue>>) -> Vec<Condition> {
    all.into_iter()
        .map(|(fact, among)| Condition { fact, among })
        .collect()
}

/// The shorter side and a p: the name of what an operator declares by its size alone.
pub(crate) fn resolution(size: FrameSize) -> String {
    format!("{}p", size.width.min(size.height))
}

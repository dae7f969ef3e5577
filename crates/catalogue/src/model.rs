//! A model and its pairs, as read from a data file.

use std::collections::BTreeMap;

use filmgate_core::frame_size::FrameSize;
use filmgate_core::money::Nanos;
use filmgate_core::pricing::{Meter, PriceRules};
use filmgate_core::request::{ModelId, ProviderName};
use serde::{Deserialize, Serialize};

use crate::capability::{AudioMode, Capabilities, InputSlot, OfferedSize, SeedRange};
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
    pub price: Option<PriceRules>,
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
    /// By aspect ratio.
    sizes: BTreeMap<String, Vec<FrameSize>>,
    audio: AudioMode,
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
    price: Option<FilePrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePrice {
    /// US dollars, as text so that no float is involved.
    output_second: String,
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
    let price = match file.price {
        None => None,
        Some(price) => {
            let price_nanos: Nanos =
                price
                    .output_second
                    .parse()
                    .map_err(|error| CatalogueError::Unsound {
                        model: model.to_owned(),
                        why: format!("output_second: {error}"),
                    })?;
            Some(by_output_second(price_nanos))
        }
    };
    let sizes = file
        .sizes
        .into_iter()
        .flat_map(|(aspect_ratio, sizes)| {
            sizes.into_iter().map(move |size| OfferedSize {
                size,
                resolution: resolution(size),
                aspect_ratio: aspect_ratio.clone(),
            })
        })
        .collect();
    Ok(Pair {
        provider: ProviderName(file.provider),
        native_model: file.native_model_id,
        capabilities: Capabilities {
            duration: file.duration,
            sizes,
            default_size: file.default_size,
            audio: file.audio,
            seed: file.seed,
            negative_prompt: file.negative_prompt,
            max_samples: file.max_samples,
            inputs: file.inputs,
            passthrough: file.passthrough,
        },
        price,
    })
}

pub(crate) fn by_output_second(price_nanos: Nanos) -> PriceRules {
    PriceRules {
        meters: vec![Meter::OutputSecond { price_nanos }],
    }
}

/// The shorter side and a p.
pub(crate) fn resolution(size: FrameSize) -> String {
    format!("{}p", size.width.min(size.height))
}

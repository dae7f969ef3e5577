//! Models that an operator declares beside those that this release ships, and what an operator changes about those.
//!
//! Not here: reading them from the configuration (`cli`), what the provider's dialect has no word for (`providers`).

use std::fmt;

use filmgate_core::calendar::Day;
use filmgate_core::frame_size::FrameSize;
use filmgate_core::pricing::{Rule, Tariff};
use filmgate_core::request::{InputRole, MediaKind, ModelId, ProviderName};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Catalogue;
use crate::capability::{
    AudioMode, Capabilities, InputSlot, OfferedSize, SeedRange, ratio_name, resolution_name,
};
use crate::check::{self, Part};
use crate::durations::{Durations, Lengths};
use crate::file::Price;
use crate::model::{Model, ModelStatus, Pair};

/// Models of this maker are drawn by the built-in provider, and promise that.
const OURS: &str = "filmgate/";
const MOST_ID_BYTES: usize = 128;
/// What most video models make when nothing is said.
const USUAL_SECONDS: u32 = 4;
const SEEDS: SeedRange = SeedRange {
    min: 0,
    max: 4_294_967_295,
};

/// One model at one provider, as its operator describes it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The public id: a new one, or that of a model which other providers have too.
    pub id: String,
    /// Shown to people; the id where none is given. The first one given for a model stands.
    pub name: Option<String>,
    pub provider: ProviderName,
    pub native_model: String,
    pub durations: DeclaredDurations,
    /// The first is the default.
    pub sizes: Vec<FrameSize>,
    pub audio: AudioMode,
    pub seed: DeclaredSeed,
    pub negative_prompt: bool,
    /// Whether it takes an image to begin with.
    pub first_frame: bool,
    pub max_samples: u32,
    pub passthrough: Vec<String>,
    /// None: no price is known.
    pub prices: Vec<Price>,
}

/// What an operator changes about a model of this release at one provider. What is not said stays as it is.
#[derive(Debug, Clone)]
pub struct Adjusted {
    pub id: String,
    pub provider: ProviderName,
    /// Whether the provider is asked for it at all.
    pub enabled: bool,
    /// The vendor's name for every order of it.
    pub native_model: Option<String>,
    pub retires_on: Option<Day>,
    /// In place of all prices it has.
    pub prices: Option<Vec<Price>>,
}

/// `[4, 8]`, whose first is the default, or `{ min = 1, max = 16, default = 5 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredDurations {
    Listed(Vec<u32>),
    Range {
        min: u32,
        max: u32,
        /// 4 where it is not given, or the nearest to it.
        default: Option<u32>,
    },
}

/// `true`, `false`, or `{ min = 0, max = 99 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeclaredSeed(pub Option<SeedRange>);

/// What is wrong with a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredFault {
    /// Which of the declarations.
    pub at: usize,
    /// The key that an operator wrote, such as `durations`.
    pub key: &'static str,
    pub why: String,
}

impl Catalogue {
    /// These models and what is declared beside them, or everything that stands against it.
    pub fn with(self, declared: &[Declared]) -> Result<Self, Vec<DeclaredFault>> {
        let mut models = self.models;
        let aliases: Vec<(String, ModelId)> = models
            .iter()
            .flat_map(|model| {
                let names = model.aliases.iter();
                names.map(|alias| (alias.clone(), model.id.clone()))
            })
            .collect();
        let mut faults = Vec::new();
        for (at, one) in declared.iter().enumerate() {
            let mut fault = |key, why| faults.push(DeclaredFault { at, key, why });
            if let Some(why) = unfit_id(&one.id) {
                fault("id", why);
            } else if let Some((alias, id)) = aliases.iter().find(|(alias, _)| *alias == one.id) {
                fault(
                    "id",
                    format!("{alias:?} is another name of {id}; that model is declared by its id"),
                );
            }
            if one.native_model.is_empty() {
                fault("native_model_id", "it is empty".to_owned());
            }
            if one.sizes.is_empty() {
                fault("sizes", "none was given; at least one is needed".to_owned());
            }
            let pair = pair(one);
            for (part, why) in check::pair(&pair) {
                if part != Part::Sizes || !one.sizes.is_empty() {
                    fault(key(part), why);
                }
            }
            match models.iter_mut().find(|model| model.id.0 == one.id) {
                Some(model) if model.pairs.iter().any(|had| had.provider == one.provider) => {
                    fault("id", format!("{} has {:?} already", one.provider, one.id));
                }
                Some(model) => model.pairs.push(pair),
                None => models.push(Model {
                    id: ModelId(one.id.clone()),
                    aliases: Vec::new(),
                    name: one.name.clone().unwrap_or_else(|| one.id.clone()),
                    family: None,
                    status: ModelStatus::Active,
                    retires_on: None,
                    pairs: vec![pair],
                }),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self::of(models))
    }

    /// Whether the provider of this name has the model of this id.
    pub fn has_pair(&self, id: &str, provider: &str) -> bool {
        self.models.iter().any(|model| {
            model.id.0 == id && model.pairs.iter().any(|pair| pair.provider.0 == provider)
        })
    }

    /// These models with what is changed about them, or everything that stands against it. A model that no provider is
    /// asked for any more stays, and is not available.
    pub fn adjusted(self, all: &[Adjusted]) -> Result<Self, Vec<DeclaredFault>> {
        let mut models = self.models;
        let mut faults = Vec::new();
        for (at, one) in all.iter().enumerate() {
            let mut fault = |key, why| faults.push(DeclaredFault { at, key, why });
            let again = all[..at]
                .iter()
                .any(|other| (&other.id, &other.provider) == (&one.id, &one.provider));
            let mut pairs = models
                .iter_mut()
                .filter(|model| model.id.0 == one.id)
                .flat_map(|model| &mut model.pairs);
            let Some(pair) = pairs
                .find(|pair| pair.provider == one.provider)
                .filter(|_| !again)
            else {
                let twice = format!("{} changes {:?} twice, or has it not", one.provider, one.id);
                fault("id", twice);
                continue;
            };
            if let Some(native) = &one.native_model {
                if native.is_empty() {
                    fault("native_model_id", "it is empty".to_owned());
                }
                pair.native_model.clone_from(native);
                pair.endpoints.clear();
            }
            pair.retires_on = one.retires_on.or(pair.retires_on);
            if let Some(prices) = &one.prices {
                pair.tariff.rules = prices.iter().cloned().map(Rule::from).collect();
            }
            for (part, why) in check::pair(pair) {
                fault(key(part), why);
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        for model in &mut models {
            let off = |pair: &Pair| {
                all.iter().any(|one| {
                    !one.enabled && one.id == model.id.0 && one.provider == pair.provider
                })
            };
            model.pairs.retain(|pair| !off(pair));
        }
        Ok(Self::of(models))
    }
}

fn unfit_id(id: &str) -> Option<String> {
    let plain = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/' | ':')
    };
    if id.is_empty() || id.len() > MOST_ID_BYTES || !id.chars().all(plain) {
        return Some(format!(
            "{id:?} was given, and 1 to {MOST_ID_BYTES} letters, digits, -, _, ., / and : are allowed"
        ));
    }
    id.starts_with(OURS).then(|| {
        format!("{id:?} was given, and {OURS} is for models of this release; choose another maker")
    })
}

fn pair(declared: &Declared) -> Pair {
    let sizes = declared.sizes.iter().map(|size| OfferedSize {
        size: Some(*size),
        resolution: Some(resolution_name(*size)),
        aspect_ratio: Some(ratio_name(*size)),
    });
    let first_frame = InputSlot::of(MediaKind::Image, InputRole::FirstFrame, 1);
    Pair {
        provider: declared.provider.clone(),
        native_model: declared.native_model.clone(),
        endpoints: Vec::new(),
        retires_on: None,
        capabilities: Capabilities {
            duration: declared.durations.clone().into(),
            sizes: sizes.collect(),
            audio: declared.audio,
            audio_by_default: false,
            quality: Vec::new(),
            fps: Vec::new(),
            seed: declared.seed.0,
            negative_prompt: declared.negative_prompt,
            negative_prompt_max_chars: None,
            prompt_max_chars: None,
            enhance_prompt: false,
            compression_quality: false,
            person_generation: Vec::new(),
            resize_mode: Vec::new(),
            max_samples: declared.max_samples,
            inputs: declared
                .first_frame
                .then_some(first_frame)
                .into_iter()
                .collect(),
            max_inputs: None,
            passthrough: declared.passthrough.clone(),
            modes: Vec::new(),
            constraints: Vec::new(),
        },
        tariff: Tariff {
            rules: declared.prices.iter().cloned().map(Rule::from).collect(),
            ..Tariff::default()
        },
    }
}

/// The key in which an operator writes a part of a pair.
const fn key(part: Part) -> &'static str {
    match part {
        Part::Duration => "durations",
        Part::Sizes => "sizes",
        Part::Samples => "sample_count",
        Part::Seed => "seed",
        Part::Passthrough => "passthrough",
        Part::Tariff => "price",
        // What a declaration has no key for cannot be wrong in it.
        Part::Quality | Part::Fps | Part::Inputs | Part::Constraints | Part::Endpoints => "id",
    }
}

impl From<DeclaredDurations> for Durations {
    fn from(declared: DeclaredDurations) -> Self {
        match declared {
            DeclaredDurations::Listed(mut listed) => {
                let default = listed.first().copied().unwrap_or(0);
                listed.sort_unstable();
                Self::of(Lengths::Listed(listed), default)
            }
            DeclaredDurations::Range { min, max, default } => Self::of(
                Lengths::Range { min, max },
                default.unwrap_or(USUAL_SECONDS.min(max).max(min)),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for DeclaredDurations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bounds {
            min: u32,
            max: u32,
            default: Option<u32>,
        }
        struct ListOrBounds;
        impl<'de> Visitor<'de> for ListOrBounds {
            type Value = DeclaredDurations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whole seconds such as [4, 8] or { min = 1, max = 16 }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(DeclaredDurations::Listed)
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                let Bounds { min, max, default } =
                    Bounds::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(DeclaredDurations::Range { min, max, default })
            }
        }
        deserializer.deserialize_any(ListOrBounds)
    }
}

impl<'de> Deserialize<'de> for DeclaredSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct YesNoOrBounds;
        impl<'de> Visitor<'de> for YesNoOrBounds {
            type Value = DeclaredSeed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or { min = 0, max = 99 }")
            }

            fn visit_bool<E>(self, has: bool) -> Result<Self::Value, E> {
                Ok(DeclaredSeed(has.then_some(SEEDS)))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                let range = SeedRange::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(DeclaredSeed(Some(range)))
            }
        }
        deserializer.deserialize_any(YesNoOrBounds)
    }
}

#[cfg(test)]
mod tests {
    use filmgate_core::pricing::Meter;
    use filmgate_core::request::Request;
    use filmgate_core::time::UnixTime;

    use super::*;

    fn wan(provider: &str) -> Declared {
        Declared {
            id: "local/wan-2.2".into(),
            name: None,
            provider: ProviderName(provider.into()),
            native_model: "Wan-AI/Wan2.2-T2V-A14B".into(),
            durations: DeclaredDurations::Listed(vec![8, 4]),
            sizes: vec![FrameSize::new(832, 480), FrameSize::new(480, 832)],
            audio: AudioMode::Never,
            seed: DeclaredSeed(Some(SEEDS)),
            negative_prompt: true,
            first_frame: true,
            max_samples: 2,
            passthrough: vec!["guidance_scale".into()],
            prices: vec![Price::of(Meter::OutputSecond, "0.02".parse().unwrap())],
        }
    }

    fn faults(declared: &[Declared]) -> Vec<(usize, &'static str, String)> {
        let catalogue = Catalogue::built_in().unwrap();
        let faults = catalogue.with(declared).unwrap_err().into_iter();
        faults
            .map(|fault| (fault.at, fault.key, fault.why))
            .collect()
    }

    #[test]
    fn a_declared_model_is_offered_like_any_other() {
        let catalogue = Catalogue::built_in().unwrap().with(&[wan("box")]).unwrap();
        let id = ModelId("local/wan-2.2".into());
        let model = catalogue.find(&id).unwrap();
        assert_eq!(
            (model.name.as_str(), model.pairs.len()),
            ("local/wan-2.2", 1)
        );
        let capabilities = &model.pairs[0].capabilities;
        let mut request = Request::new(id, "a boat");
        let shape = capabilities.resolve(&request).unwrap();
        assert_eq!(
            (shape.seconds, shape.size, shape.audio),
            (Some(8), Some(FrameSize::new(832, 480)), Some(false))
        );
        request.aspect_ratio = Some("9:16".into());
        request.negative_prompt = Some("rain".into());
        let shape = capabilities.resolve(&request).unwrap();
        assert_eq!(shape.size, Some(FrameSize::new(480, 832)));
        request.duration = Some(5);
        let refusals = capabilities.resolve(&request).unwrap_err();
        assert_eq!(refusals[0].allowed, "4, 8");
    }

    #[test]
    fn two_providers_of_one_model_are_two_candidates_each_with_its_own_abilities() {
        let slow = Declared {
            sizes: vec![FrameSize::new(1280, 720)],
            ..wan("slow")
        };
        let catalogue = Catalogue::built_in().unwrap();
        let catalogue = catalogue.with(&[wan("fast"), slow]).unwrap();
        let model = catalogue.find(&ModelId("local/wan-2.2".into())).unwrap();
        let names: Vec<_> = model
            .pairs
            .iter()
            .map(|pair| pair.provider.0.as_str())
            .collect();
        assert_eq!(names, ["fast", "slow"]);
        assert_eq!(model.pairs[1].capabilities.sizes.len(), 1);
    }

    #[test]
    fn a_model_of_this_release_takes_a_declared_provider_as_one_more_candidate() {
        let text = include_str!("../data/filmgate.toml").replace("filmgate/testcard", "maker/one");
        let catalogue = Catalogue::read(&[("t", &text)]).unwrap();
        let one = Declared {
            id: "maker/one".into(),
            ..wan("box")
        };
        let catalogue = catalogue.with(&[one]).unwrap();
        let model = catalogue.find(&ModelId("maker/one".into())).unwrap();
        assert_eq!((catalogue.models().len(), model.pairs.len()), (1, 2));
        assert_eq!(model.name, "Filmgate test card");
    }

    #[test]
    fn every_fault_of_every_declaration_is_told_with_its_key() {
        let bad = Declared {
            durations: DeclaredDurations::Range {
                min: 4,
                max: 200,
                default: None,
            },
            sizes: vec![FrameSize::new(640, 480); 2],
            max_samples: 9,
            ..wan("box")
        };
        let twice = wan("box");
        let told = faults(&[bad, twice]);
        let keys: Vec<_> = told.iter().map(|(at, key, _)| (*at, *key)).collect();
        assert_eq!(
            keys,
            [
                (0, "durations"),
                (0, "sizes"),
                (0, "sample_count"),
                (1, "id")
            ]
        );
        assert!(told[0].2.contains("4 to 200"), "{told:?}");
    }

    #[test]
    fn ids_that_could_mislead_are_refused() {
        for (id, part) in [
            ("", "letters"),
            ("a b", "letters"),
            ("testcard", "filmgate/testcard"),
            ("filmgate/testcard", "another maker"),
        ] {
            let told = faults(&[Declared {
                id: id.into(),
                ..wan("box")
            }]);
            assert_eq!(
                (told[0].1, told[0].2.contains(part)),
                ("id", true),
                "{told:?}"
            );
        }
        let nothing = Declared {
            sizes: Vec::new(),
            native_model: String::new(),
            ..wan("box")
        };
        let keys: Vec<_> = faults(&[nothing])
            .into_iter()
            .map(|fault| fault.1)
            .collect();
        assert_eq!(keys, ["native_model_id", "sizes"]);
    }

    #[test]
    fn a_model_of_this_release_is_changed_where_its_operator_says_so() {
        let adjusted = |change: fn(&mut Adjusted)| {
            let mut one = Adjusted {
                id: "filmgate/testcard".into(),
                provider: ProviderName("testcard".into()),
                enabled: true,
                native_model: None,
                retires_on: None,
                prices: None,
            };
            change(&mut one);
            Catalogue::built_in().unwrap().adjusted(&[one])
        };
        let pairs = |catalogue: Catalogue| {
            let model = catalogue.find(&ModelId("testcard".into())).unwrap();
            model.pairs.clone()
        };
        let dearer = adjusted(|one| {
            let price = Price::of(Meter::OutputVideo, "0.5".parse().unwrap());
            one.prices = Some(vec![price]);
        });
        let pair = &pairs(dearer.unwrap())[0];
        assert_eq!(pair.tariff.rules.len(), 1);
        assert_eq!(pair.tariff.rules[0].price_nanos.get(), 500_000_000);
        assert_eq!(pair.native_model, "testcard");
        let renamed = adjusted(|one| one.native_model = Some("testcard-2".into()));
        assert_eq!(pairs(renamed.unwrap())[0].native_model, "testcard-2");
        let off = adjusted(|one| one.enabled = false);
        assert!(pairs(off.unwrap()).is_empty());
        let ended = adjusted(|one| one.retires_on = "2026-12-01".parse().ok());
        let day = |text: &str| text.parse::<Day>().unwrap().start();
        let pair = &pairs(ended.unwrap())[0];
        assert!(!pair.has_ended(UnixTime::from_millis(day("2026-12-01").millis() - 1)));
        assert!(pair.has_ended(day("2026-12-01")));
        let twice = adjusted(|one| {
            let price = Price::of(Meter::OutputSecond, "0.5".parse().unwrap());
            one.prices = Some(vec![price.clone(), price]);
        });
        assert_eq!(twice.unwrap_err()[0].key, "price");
        let absent = adjusted(|one| one.id = "filmgate/other".into());
        assert_eq!(absent.unwrap_err()[0].key, "id");
    }

    #[test]
    fn a_range_begins_with_the_usual_length_or_the_nearest_to_it() {
        let default = |min, max, default| {
            Durations::from(DeclaredDurations::Range { min, max, default }).default
        };
        assert_eq!(default(1, 16, None), Some(4));
        assert_eq!(default(5, 16, None), Some(5));
        assert_eq!(default(1, 3, None), Some(3));
        assert_eq!(default(1, 16, Some(9)), Some(9));
    }
}

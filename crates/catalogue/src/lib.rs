//! What can be asked for: models, what each provider can do with them, and what that costs, as data.
//!
//! The files under `data/` are the built-in catalogue; they are checked when loaded, and a test loads
//! them. An operator declares more beside them, through the same checks. Not here: whether a provider is configured or healthy (`engine`), its wire format.

mod capability;
mod check;
mod declared;
mod durations;
mod file;
mod model;
mod nearest;
mod resolve;

#[cfg(test)]
mod quotes;

pub use capability::{AudioMode, Capabilities, Constraint, InputSlot, OfferedSize, SeedRange};
pub use check::{CatalogueFault, CatalogueFaults};
pub use declared::{Adjusted, Declared, DeclaredDurations, DeclaredFault, DeclaredSeed};
pub use durations::{Durations, Lengths};
pub use file::Price;
pub use model::{Endpoint, Model, ModelStatus, Pair};

use std::collections::BTreeMap;

use filmgate_core::request::ModelId;

/// A file for each maker.
const BUILT_IN: &[(&str, &str)] = &[
    ("filmgate.toml", include_str!("../data/filmgate.toml")),
    ("alibaba.toml", include_str!("../data/alibaba.toml")),
    (
        "black-forest-labs.toml",
        include_str!("../data/black-forest-labs.toml"),
    ),
    ("bytedance.toml", include_str!("../data/bytedance.toml")),
    ("google.toml", include_str!("../data/google.toml")),
    ("kling.toml", include_str!("../data/kling.toml")),
    ("lightricks.toml", include_str!("../data/lightricks.toml")),
    ("luma.toml", include_str!("../data/luma.toml")),
    ("minimax.toml", include_str!("../data/minimax.toml")),
    ("openai.toml", include_str!("../data/openai.toml")),
    ("runway.toml", include_str!("../data/runway.toml")),
    ("xai.toml", include_str!("../data/xai.toml")),
];

/// All models, by id and by alias.
#[derive(Debug, Clone)]
pub struct Catalogue {
    models: Vec<Model>,
    by_name: BTreeMap<String, usize>,
}

impl Catalogue {
    /// The models this release ships.
    pub fn built_in() -> Result<Self, CatalogueFaults> {
        Self::read(BUILT_IN)
    }

    /// Reads and checks `files` of a name and a text each.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, CatalogueFaults> {
        let mut models = Vec::new();
        let mut by_name = BTreeMap::new();
        let mut faults = Vec::new();
        for (file, text) in files {
            let mut fault = |place: &str, why: String| {
                let place = [file, place].join(": ");
                let place = place.trim_end_matches(": ").to_owned();
                faults.push(CatalogueFault { place, why });
            };
            let read = file::read(text).unwrap_or_else(|wrong| {
                for (place, why) in wrong {
                    fault(&place, why);
                }
                Vec::new()
            });
            for model in read {
                let id = &model.id.0;
                for (pair, why) in check::model(&model) {
                    match pair {
                        Some(pair) => fault(&format!("{id}: {}", pair.provider), why),
                        None => fault(id, why),
                    }
                }
                for name in std::iter::once(id).chain(&model.aliases) {
                    if by_name.insert(name.clone(), models.len()).is_some() {
                        fault(id, format!("{name} stands for two models"));
                    }
                }
                models.push(model);
            }
        }
        if faults.is_empty() {
            Ok(Self { models, by_name })
        } else {
            Err(CatalogueFaults(faults))
        }
    }

    /// Of models that passed the checks.
    fn of(models: Vec<Model>) -> Self {
        let names = models.iter().enumerate().flat_map(|(at, model)| {
            let names = std::iter::once(&model.id.0).chain(&model.aliases);
            names.map(move |name| (name.clone(), at))
        });
        let by_name = names.collect();
        Self { models, by_name }
    }

    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of this id or alias.
    pub fn find(&self, name: &ModelId) -> Option<&Model> {
        self.by_name.get(&name.0).map(|at| &self.models[*at])
    }
}

#[cfg(test)]
mod tests {
    use filmgate_core::time::UnixTime;

    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound_and_has_the_testcard() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue
            .find(&ModelId("filmgate/testcard".into()))
            .unwrap();
        assert_eq!(model.pairs[0].capabilities.sizes.len(), 15);
        assert!(catalogue.find(&ModelId("testcard".into())).is_some());
        assert_eq!(
            catalogue
                .nearest("filmgate/testcart", UnixTime::default())
                .unwrap()
                .id
                .0,
            "filmgate/testcard"
        );
    }

    #[test]
    fn an_id_that_stands_twice_is_refused() {
        let (_, text) = BUILT_IN[0];
        let CatalogueFaults(faults) = Catalogue::read(&[("a", text), ("b", text)]).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "b: filmgate/testcard: filmgate/testcard stands for two models",
                "b: filmgate/testcard: testcard stands for two models"
            ]
        );
    }
}

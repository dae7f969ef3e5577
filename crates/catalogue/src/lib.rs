//! What can be asked for: models, what each provider can do with them, and what that costs, as data.
//!
//! The files under `data/` are the built-in catalogue; they are checked when loaded, and a test loads
//! them. An operator declares more beside them, through the same checks. Not here: whether a provider is configured or healthy (`engine`), its wire format.

mod capability;
mod check;
mod declared;
mod durations;
mod model;

pub use capability::{AudioMode, Capabilities, InputSlot, OfferedSize, SeedRange};
pub use check::CatalogueError;
pub use declared::{Declared, DeclaredDurations, DeclaredFault, DeclaredSeed};
pub use durations::{Durations, Lengths};
pub use model::{Model, ModelStatus, Pair};

use std::collections::BTreeMap;

use filmgate_core::request::ModelId;

/// A file for each maker.
const BUILT_IN: &[(&str, &str)] = &[
    ("filmgate.toml", include_str!("../data/filmgate.toml")),
    ("google.toml", include_str!("../data/google.toml")),
    ("runway.toml", include_str!("../data/runway.toml")),
];

/// All models, by id and by alias.
#[derive(Debug, Clone)]
pub struct Catalogue {
    models: Vec<Model>,
    by_name: BTreeMap<String, usize>,
}

impl Catalogue {
    /// The models this release ships.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::read(BUILT_IN)
    }

    /// Reads and checks `files` of a name and a text each.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        let mut models = Vec::new();
        for (file, text) in files {
            models.extend(model::read(file, text)?);
        }
        Self::of(models)
    }

    fn of(models: Vec<Model>) -> Result<Self, CatalogueError> {
        let mut by_name = BTreeMap::new();
        for (at, model) in models.iter().enumerate() {
            check::model(model)?;
            for name in std::iter::once(&model.id.0).chain(&model.aliases) {
                if by_name.insert(name.clone(), at).is_some() {
                    return Err(CatalogueError::Duplicate { name: name.clone() });
                }
            }
        }
        Ok(Self { models, by_name })
    }

    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of this id or alias.
    pub fn find(&self, name: &ModelId) -> Option<&Model> {
        self.by_name.get(&name.0).map(|at| &self.models[*at])
    }

    /// The model whose name is most like `name`, for an error message.
    pub fn nearest(&self, name: &str) -> Option<&Model> {
        let likeness = |model: &&Model| {
            let tail = |text: &str| text.rsplit('/').next().unwrap_or_default().to_lowercase();
            let (a, b) = (tail(name), tail(&model.id.0));
            a.chars()
                .zip(b.chars())
                .take_while(|(left, right)| left == right)
                .count()
        };
        self.models
            .iter()
            .filter(|model| model.status != ModelStatus::Retired)
            .max_by_key(likeness)
    }
}

#[cfg(test)]
mod tests {
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
            catalogue.nearest("filmgate/testcart").unwrap().id.0,
            "filmgate/testcard"
        );
    }

    #[test]
    fn an_id_that_stands_twice_is_refused() {
        let (_, text) = BUILT_IN[0];
        assert!(matches!(
            Catalogue::read(&[("a", text), ("b", text)]),
            Err(CatalogueError::Duplicate { .. })
        ));
    }
}

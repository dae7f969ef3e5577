//! Checks that a catalogue makes sense before anything is sold from it.

use crate::model::{Model, Pair};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    #[error("{file} cannot be read: {why}")]
    Unreadable { file: String, why: String },
    #[error("{name} stands for two models")]
    Duplicate { name: String },
    #[error("{model}: {why}")]
    Unsound { model: String, why: String },
}

pub(crate) fn model(model: &Model) -> Result<(), CatalogueError> {
    let unsound = |why: String| {
        Err(CatalogueError::Unsound {
            model: model.id.0.clone(),
            why,
        })
    };
    if model.pairs.is_empty() {
        return unsound("it has no provider".to_owned());
    }
    for (at, pair) in model.pairs.iter().enumerate() {
        if model.pairs[..at]
            .iter()
            .any(|before| before.provider == pair.provider)
        {
            return unsound(format!("{} stands twice", pair.provider));
        }
        if let Some(fault) = fault(pair) {
            return unsound(format!("{}: {fault}", pair.provider));
        }
    }
    Ok(())
}

fn fault(pair: &Pair) -> Option<String> {
    let capabilities = &pair.capabilities;
    if !capabilities.duration.offers(capabilities.duration.default) {
        return Some("the default duration is not offered".to_owned());
    }
    if capabilities.duration.min == 0
        || capabilities.duration.min > capabilities.duration.max
        || capabilities.duration.max > 120
    {
        return Some("durations go from 1 to at most 120 seconds".to_owned());
    }
    if capabilities.offered(capabilities.default_size).is_none() {
        return Some("the default size is not offered".to_owned());
    }
    if !(1..=4).contains(&capabilities.max_samples) {
        return Some("max_samples goes from 1 to 4".to_owned());
    }
    None
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
            with("default_size = \"1280x720\"", "default_size = \"1280x722\"")
                .contains("default size")
        );
        assert!(with("max_samples = 4", "max_samples = 5").contains("max_samples"));
        assert!(
            with("output_second = \"0.01\"", "output_second = \"-0.01\"").contains("not an amount")
        );
        assert!(with("audio =", "sound =").contains("unknown field"));
    }
}

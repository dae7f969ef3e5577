//! Checks that a catalogue makes sense before anything is sold from it.

use std::collections::BTreeSet;

use filmgate_core::pricing::Tariff;

use crate::durations::Lengths;
use crate::model::{Model, Pair};

const MOST_SECONDS: u32 = 120;
const MOST_SAMPLES: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    #[error("{file} cannot be read: {why}")]
    Unreadable { file: String, why: String },
    #[error("{name} stands for two models")]
    Duplicate { name: String },
    #[error("{model}: {why}")]
    Unsound { model: String, why: String },
}

/// Which part of a pair makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Duration,
    Sizes,
    Samples,
    Seed,
    Passthrough,
    Tariff,
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
    for (at, pair_of) in model.pairs.iter().enumerate() {
        if model.pairs[..at]
            .iter()
            .any(|before| before.provider == pair_of.provider)
        {
            return unsound(format!("{} stands twice", pair_of.provider));
        }
        if let Some((_, fault)) = pair(pair_of).into_iter().next() {
            return unsound(format!("{}: {fault}", pair_of.provider));
        }
    }
    Ok(())
}

/// Everything that makes no sense about a pair.
pub(crate) fn pair(pair: &Pair) -> Vec<(Part, String)> {
    let capabilities = &pair.capabilities;
    let mut faults = Vec::new();
    let mut fault = |part, why: String| faults.push((part, why));
    let duration = &capabilities.duration;
    let (min, max) = (duration.min(), duration.max());
    if min == 0 || min > max || max > MOST_SECONDS {
        fault(
            Part::Duration,
            format!("{min} to {max} seconds; 1 to at most {MOST_SECONDS} are allowed"),
        );
    } else if !duration.offers(duration.default) {
        let default = duration.default;
        fault(
            Part::Duration,
            format!("the default duration, {default} seconds, is not offered"),
        );
    }
    if let Lengths::Listed(listed) = &duration.offered
        && let Some(twice) = twice(listed)
    {
        fault(Part::Duration, format!("{twice} stands twice"));
    }
    if capabilities.offered(capabilities.default_size).is_none() {
        let default = capabilities.default_size;
        fault(
            Part::Sizes,
            format!("the default size, {default}, is not offered"),
        );
    }
    if let Some(twice) = twice(capabilities.sizes.iter().map(|offered| offered.size)) {
        fault(Part::Sizes, format!("{twice} stands twice"));
    }
    let samples = capabilities.max_samples;
    if !(1..=MOST_SAMPLES).contains(&samples) {
        fault(
            Part::Samples,
            format!("{samples} outputs at most; 1 to {MOST_SAMPLES} are allowed"),
        );
    }
    if let Some(seed) = capabilities.seed.filter(|seed| seed.min > seed.max) {
        fault(
            Part::Seed,
            format!("from {} to {} there is nothing", seed.min, seed.max),
        );
    }
    for wrong in pair.tariff.iter().flat_map(Tariff::faults) {
        fault(Part::Tariff, wrong.to_string());
    }
    if let Some(twice) = twice(&capabilities.passthrough) {
        fault(Part::Passthrough, format!("{twice} stands twice"));
    }
    faults
}

fn twice<T: Ord + Copy>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|item| !seen.insert(*item))
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
        assert!(
            with("default_size = \"1280x720\"", "default_size = \"1280x722\"")
                .contains("default size")
        );
        assert!(with("max_samples = 4", "max_samples = 5").contains("5 outputs"));
        assert!(with("min = 0, max = 4294967295", "min = 2, max = 1").contains("from 2 to 1"));
        assert!(with("[\"simulate\"]", "[\"a\", \"a\"]").contains("a stands twice"));
        assert!(with("\"640x360\"", "\"320x180\"").contains("320x180 stands twice"));
        assert!(with("usd = \"0.01\"", "usd = \"-0.01\"").contains("not an amount"));
        assert!(with("audio =", "sound =").contains("unknown field"));
    }
}

//! Which model stands nearest to one that cannot be had, or cannot do what was asked.

use filmgate_core::request::Request;
use filmgate_core::time::UnixTime;

use crate::Catalogue;
use crate::model::{Model, ModelStatus, Pair};

impl Catalogue {
    /// The model whose name is most like `name`, for an error message.
    pub fn nearest(&self, name: &str, now: UnixTime) -> Option<&Model> {
        self.alive(now)
            .max_by_key(|model| likeness(name, &model.id.0))
    }

    /// What may stand in for a model that is retired: of its family and its maker before others.
    pub fn replacement(&self, retired: &Model, now: UnixTime) -> Option<&Model> {
        self.alive(now)
            .filter(|model| model.id != retired.id)
            .max_by_key(|model| kinship(retired, model))
    }

    /// The nearest to `refused` that takes `request` as it is; one that `takes` says a configured provider runs before any
    /// other.
    pub fn nearest_taking(
        &self,
        request: &Request,
        refused: &Model,
        now: UnixTime,
        takes: impl Fn(&Pair) -> bool,
    ) -> Option<&Model> {
        let resolves = |pair: &&Pair| !pair.has_ended(now) && resolves(pair, request);
        self.alive(now)
            .filter(|model| model.id != refused.id)
            .filter(|model| model.pairs.iter().any(|pair| resolves(&pair)))
            .max_by_key(|model| {
                let mut able = model.pairs.iter().filter(resolves);
                (able.any(&takes), kinship(refused, model))
            })
    }

    fn alive(&self, now: UnixTime) -> impl Iterator<Item = &Model> {
        self.models()
            .iter()
            .filter(move |model| model.status(now) != ModelStatus::Retired)
            // The last of several equals is taken; it is to be the first.
            .rev()
    }
}

fn resolves(pair: &Pair, request: &Request) -> bool {
    pair.capabilities.resolve(request).is_ok()
}

/// How near `other` is to `model`.
fn kinship(model: &Model, other: &Model) -> (bool, bool, usize) {
    let family = model.family.is_some() && model.family == other.family;
    let maker = model.maker() == other.maker();
    (family, maker, likeness(&model.id.0, &other.id.0))
}

/// How many letters two names begin with alike, without their makers.
fn likeness(one: &str, other: &str) -> usize {
    let tail = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    tail(one)
        .chars()
        .zip(tail(other).chars())
        .take_while(|(left, right)| left == right)
        .count()
}

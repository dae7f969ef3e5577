//! A model and its pairs.
//!
//! Not here: how a data file has them (`file`), how an operator's configuration has them (`declared`).

use filmgate_core::calendar::Day;
use filmgate_core::facts::{Condition, Facts};
use filmgate_core::pricing::Tariff;
use filmgate_core::request::{ModelId, ProviderName, Request, Shape};
use filmgate_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;

#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    pub aliases: Vec<String>,
    pub name: String,
    /// What it is a version of, such as `veo-3`.
    pub family: Option<String>,
    pub status: ModelStatus,
    /// The first day its maker no longer has it.
    pub retires_on: Option<Day>,
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
    /// The vendor's name of the model, where no endpoint has another.
    pub native_model: String,
    pub endpoints: Vec<Endpoint>,
    /// The first day the provider no longer has it.
    pub retires_on: Option<Day>,
    pub capabilities: Capabilities,
    /// Without a rule: no price is known.
    pub tariff: Tariff,
}

/// The name a vendor has for some of the orders of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub native_model: String,
    pub when: Vec<Condition>,
}

impl Model {
    /// What it is at `now`: its maker may have stopped it since this was written.
    pub fn status(&self, now: UnixTime) -> ModelStatus {
        if has_come(self.retires_on, now) {
            ModelStatus::Retired
        } else {
            self.status
        }
    }

    /// Who makes it: what stands before the stroke.
    pub fn maker(&self) -> &str {
        self.id.0.split('/').next().unwrap_or_default()
    }
}

impl Pair {
    /// Whether the provider has stopped it by `now`.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        has_come(self.retires_on, now)
    }

    /// What is known of an order of `shape`.
    pub fn facts(&self, request: &Request, shape: &Shape) -> Facts {
        self.capabilities.facts(request, shape)
    }

    /// The vendor's name for an order like this.
    pub fn native_model(&self, facts: &Facts) -> &str {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.when.iter().all(|when| facts.meet(when)))
            .map_or(&self.native_model, |endpoint| &endpoint.native_model)
    }
}

fn has_come(day: Option<Day>, now: UnixTime) -> bool {
    day.is_some_and(|day| day.start() <= now)
}

//! The sections `[engine]` and `[billing]` of the configuration.

use std::time::Duration;

use filmgate_core::job::{Abandoned, AmbiguousSubmit, Mode, Terms};
use filmgate_core::money::BasisPoints;
use serde::Deserialize;

/// A provider call may take this long.
pub const CALL_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Jobs worked on at once.
    pub workers: u32,
    /// How long a claim holds without being renewed. A submit's lease is never shorter than the call it
    /// makes and 30 s.
    pub lease_seconds: u64,
    pub ambiguous_submit: AmbiguousSubmit,
    /// Whether a provider is on as soon as its usual environment variable holds a key.
    pub providers_from_environment: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            workers: 64,
            lease_seconds: 60,
            ambiguous_submit: AmbiguousSubmit::Fail,
            providers_from_environment: true,
        }
    }
}

impl EngineConfig {
    /// Long enough for any stage's first call, whatever the configuration says.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds).max(CALL_DEADLINE + Duration::from_secs(30))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BillingConfig {
    pub mode: Mode,
    /// Added to the provider's price, in hundredths of a per cent.
    pub markup_basis_points: u32,
    /// Who pays when a provider bills for a job that was given up.
    pub abandoned: Abandoned,
}

impl BillingConfig {
    pub(crate) fn terms(&self, engine: &EngineConfig) -> Terms {
        Terms {
            mode: self.mode,
            markup: BasisPoints(self.markup_basis_points),
            abandoned: self.abandoned,
            ambiguous_submit: engine.ambiguous_submit,
        }
    }
}

//! The sections `[engine]` and `[billing]` of the configuration.

use std::time::Duration;

use filmgate_core::job::{Abandoned, AmbiguousSubmit, Mode, Terms};
use filmgate_core::money::BasisPoints;
use filmgate_core::request::MediaKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::upstream::MOST_INPUT_BYTES;

/// A lease on a submit outlives the call by this much.
const SUBMIT_LEASE_BEYOND_CALL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Jobs worked on at once.
    #[serde(deserialize_with = "within::<_, _, 1, 100_000>")]
    pub workers: u32,
    /// How long a claim holds without being renewed. A submit's lease is never shorter than the call it
    /// makes and 30 s.
    #[serde(deserialize_with = "within::<_, _, 1, 86_400>")]
    pub lease_seconds: u64,
    /// How long a call to a provider may take, in seconds.
    #[serde(deserialize_with = "within::<_, _, 1, 3_600>")]
    pub call_seconds: u64,
    /// A job is parked when whoever worked on it died this often without anything having come of it.
    #[serde(deserialize_with = "within::<_, _, 1, 1_000>")]
    pub park_after: u32,
    /// How long timeline and notices of a job are kept, in days since it was created; of one that its owner deleted,
    /// everything but its id.
    #[serde(deserialize_with = "within::<_, _, 1, 36_500>")]
    pub history_days: u32,
    pub ambiguous_submit: AmbiguousSubmit,
    pub inputs: InputsConfig,
    /// Whether a provider is on as soon as its usual environment variable holds a key.
    pub providers_from_environment: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            workers: 64,
            lease_seconds: 60,
            call_seconds: 60,
            park_after: 5,
            history_days: 90,
            ambiguous_submit: AmbiguousSubmit::Fail,
            inputs: InputsConfig::default(),
            providers_from_environment: true,
        }
    }
}

/// The section `[engine.inputs]`: what may be fetched from addresses in a client's request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputsConfig {
    /// The most one picture may have.
    #[serde(deserialize_with = "within::<_, _, 1, { MOST_INPUT_BYTES as i64 }>")]
    pub image_bytes: u64,
    /// The most one clip may have.
    #[serde(deserialize_with = "within::<_, _, 1, { MOST_INPUT_BYTES as i64 }>")]
    pub video_bytes: u64,
    /// The most one sound may have.
    #[serde(deserialize_with = "within::<_, _, 1, { MOST_INPUT_BYTES as i64 }>")]
    pub audio_bytes: u64,
    /// The most all that is fetched for one request may have.
    #[serde(deserialize_with = "within::<_, _, 1, { 16 * MOST_INPUT_BYTES as i64 }>")]
    pub total_bytes: u64,
    /// How long one file may take, from the first look at its name to its last byte.
    #[serde(deserialize_with = "within::<_, _, 1, 600>")]
    pub seconds: u64,
    /// Files fetched at once, for all requests together.
    #[serde(deserialize_with = "within::<_, _, 1, 1_000>")]
    pub at_once: u32,
}

impl Default for InputsConfig {
    fn default() -> Self {
        Self {
            image_bytes: 32 << 20,
            video_bytes: MOST_INPUT_BYTES,
            audio_bytes: 32 << 20,
            total_bytes: 2 * MOST_INPUT_BYTES,
            seconds: 30,
            at_once: 32,
        }
    }
}

impl InputsConfig {
    pub(crate) fn most(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Image => self.image_bytes,
            MediaKind::Video => self.video_bytes,
            MediaKind::Audio => self.audio_bytes,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }
}

impl EngineConfig {
    /// Renewed at a third of it, for as long as the work takes.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.max(1))
    }

    /// Whoever finds this one run out knows that the call it covered is over, whatever the configuration says.
    pub(crate) fn submit_lease(&self) -> Duration {
        self.lease()
            .max(self.call_deadline() + SUBMIT_LEASE_BEYOND_CALL)
    }

    pub(crate) fn call_deadline(&self) -> Duration {
        Duration::from_secs(self.call_seconds.max(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BillingConfig {
    pub mode: Mode,
    /// Added to the provider's price, in hundredths of a per cent.
    pub markup_basis_points: u32,
    /// The operator's fee where a workspace pays the provider itself, in hundredths of a per cent of the provider's price.
    #[serde(deserialize_with = "within::<_, _, 0, 10_000>")]
    pub byok_fee_basis_points: u32,
    /// Who pays when a provider bills for a job that was given up.
    pub abandoned: Abandoned,
}

impl BillingConfig {
    pub(crate) fn terms(&self, engine: &EngineConfig, retention: Option<Duration>) -> Terms {
        Terms {
            mode: self.mode,
            markup: BasisPoints(self.markup_basis_points),
            byok_fee: BasisPoints(self.byok_fee_basis_points),
            abandoned: self.abandoned,
            ambiguous_submit: engine.ambiguous_submit,
            retention_seconds: retention.map(|kept| kept.as_secs()),
        }
    }
}

/// A whole number from `LEAST` to `MOST`.
fn within<'de, D, N, const LEAST: i64, const MOST: i64>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64>,
{
    let given = i64::deserialize(deserializer)?;
    match N::try_from(given) {
        Ok(number) if (LEAST..=MOST).contains(&given) => Ok(number),
        _ => Err(D::Error::custom(format!(
            "{given} was given, and a whole number from {LEAST} to {MOST} is allowed"
        ))),
    }
}

//! How long a video may be: any whole number of seconds within bounds, or one of a few; or as long as what it is made of.

use filmgate_core::facts::Mode;
use serde::Deserialize;

/// The lengths on offer, in whole seconds, and the one that is made when nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Durations {
    pub offered: Lengths,
    /// `None`: the model chooses.
    pub default: Option<u32>,
    /// The model can choose.
    pub auto: bool,
    /// Here the length is that of the input, and cannot be asked for.
    pub follows_source: Vec<Mode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lengths {
    /// Every whole second from `min` to `max`.
    Range { min: u32, max: u32 },
    /// These alone, the shortest first.
    Listed(Vec<u32>),
    /// Nobody has said; the input decides.
    Unknown,
}

impl Durations {
    /// `offered`, of which `default` is made when nothing is said.
    pub fn of(offered: Lengths, default: u32) -> Self {
        Self {
            offered,
            default: Some(default),
            auto: false,
            follows_source: Vec::new(),
        }
    }

    pub fn offers(&self, seconds: u32) -> bool {
        match &self.offered {
            Lengths::Range { min, max } => (*min..=*max).contains(&seconds),
            Lengths::Listed(listed) => listed.contains(&seconds),
            Lengths::Unknown => false,
        }
    }

    /// The shortest; 0 where nothing is offered.
    pub fn min(&self) -> u32 {
        match &self.offered {
            Lengths::Range { min, .. } => *min,
            Lengths::Listed(listed) => listed.first().copied().unwrap_or(0),
            Lengths::Unknown => 0,
        }
    }

    /// The longest; 0 where nothing is offered.
    pub fn max(&self) -> u32 {
        match &self.offered {
            Lengths::Range { max, .. } => *max,
            Lengths::Listed(listed) => listed.last().copied().unwrap_or(0),
            Lengths::Unknown => 0,
        }
    }

    /// What is allowed, for whoever sent something else.
    pub(crate) fn allowed(&self) -> String {
        match &self.offered {
            Lengths::Range { min, max } => format!("whole seconds from {min} to {max}"),
            Lengths::Listed(listed) => listed
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            Lengths::Unknown => "nothing".to_owned(),
        }
    }
}

/// As a data file has it: `{ min, max, default }`, or `{ values, default }`; `auto = true` where the model can choose,
/// and does where there is no default; `follows_source` names the modes whose length is the input's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    min: Option<u32>,
    max: Option<u32>,
    values: Option<Vec<u32>>,
    default: Option<u32>,
    #[serde(default)]
    auto: bool,
    #[serde(default)]
    follows_source: Vec<Mode>,
}

impl TryFrom<Written> for Durations {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let offered = match (written.min, written.max, written.values) {
            (Some(min), Some(max), None) => Lengths::Range { min, max },
            (None, None, Some(mut values)) => {
                values.sort_unstable();
                Lengths::Listed(values)
            }
            (None, None, None) if !written.follows_source.is_empty() => Lengths::Unknown,
            _ => return Err("either min and max, or values"),
        };
        Ok(Self {
            offered,
            default: written.default,
            auto: written.auto,
            follows_source: written.follows_source,
        })
    }
}

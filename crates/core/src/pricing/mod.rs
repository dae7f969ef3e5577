//! Price rules: what a provider charges for an order, before (a quote) and after (a settlement).
//!
//! A [`Tariff`] is what a provider charges for a model, whatever is ordered; [`PriceRules`] are what of it applies to one
//! order, and a job keeps them. Everything is counted in integers: milliseconds, tokens, credits, nano-dollars.
//!
//! Not here: markup and rounding (`money`), who pays (`ledger`), which model has which tariff (`catalogue`).

mod tariff;
mod tokens;

pub use tariff::{Meter, Rule, Tariff, TariffFault};
pub use tokens::{TokenCount, TokenFormula};

use serde::{Deserialize, Serialize};

use crate::money::Nanos;
use crate::provider::Usage;
use crate::request::Shape;

/// What one order is charged by. Charges add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceRules {
    pub meters: Vec<Charge>,
    /// What the inputs cost, whatever comes out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PriceLine>,
    #[serde(default, skip_serializing_if = "Length::is_measured")]
    pub length: Length,
}

/// Which length of an output counts where the provider reports none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// The file's, as we measured it.
    #[default]
    Measured,
    /// What was ordered: the provider charges that, to the second.
    Ordered,
}

/// One thing that is counted of the outputs, and charged for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "meter", rename_all = "snake_case")]
pub enum Charge {
    /// Each second of each output.
    OutputSecond { price_nanos: Nanos },
    /// Each output.
    OutputVideo { price_nanos: Nanos },
    /// Each credit, of which a second of output takes some.
    Credit {
        price_nanos: Nanos,
        credits_per_second: u32,
    },
    /// Each token by the maker's formula.
    VideoToken {
        price_nanos: Nanos,
        count: TokenCount,
    },
    /// Each token, of which a second of output takes always as many.
    OutputVideoToken {
        price_nanos: Nanos,
        tokens_per_second: u32,
    },
    /// Each second of input clips and output together, and at least some times the output's.
    InputPlusOutputSecond {
        price_nanos: Nanos,
        input_ms: u64,
        least_times_output: u32,
    },
}

/// One line of a quote or a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLine {
    /// The meter's name, such as `output_second`.
    pub meter: String,
    pub price_nanos: Nanos,
    /// Thousandths of the meter's unit.
    pub quantity_thousandths: u64,
    pub amount_nanos: Nanos,
}

/// What was delivered, as measured here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measured {
    /// Length of each delivered output in milliseconds.
    pub output_ms: Vec<u64>,
}

/// How careful a sum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Margin {
    /// As published.
    None,
    /// As bills were seen to be.
    Reserve,
}

impl PriceRules {
    /// Charged by the second of output alone, as measured.
    pub fn by_output_second(price_nanos: Nanos) -> Self {
        Self {
            meters: vec![Charge::OutputSecond { price_nanos }],
            inputs: Vec::new(),
            length: Length::default(),
        }
    }

    /// What an order of this shape will cost. `None` where the shape does not tell, or the sum is beyond
    /// any amount.
    pub fn quote(&self, shape: &Shape, samples: u32) -> Option<Vec<PriceLine>> {
        self.lines(&ordered(shape, samples)?, Margin::None, &Usage::default())
    }

    /// What has to be held for it: the quote, and what bills were seen to have on top.
    pub fn reserve(&self, shape: &Shape, samples: u32) -> Option<Nanos> {
        let lines = self.lines(
            &ordered(shape, samples)?,
            Margin::Reserve,
            &Usage::default(),
        )?;
        total(&lines)
    }

    /// What the delivered outputs cost: by what the provider reports, else by the length that counts. A cost
    /// named by the provider itself overrides both.
    pub fn settle(&self, shape: &Shape, measured: &Measured, usage: &Usage) -> Option<Nanos> {
        if let Some(cost) = usage.cost {
            return Some(cost);
        }
        let ordered_ms = shape.seconds.map(|seconds| u64::from(seconds) * 1000);
        let every = match (usage.output_ms, self.length) {
            (Some(reported), _) => Some(reported),
            (None, Length::Ordered) => ordered_ms,
            (None, Length::Measured) => None,
        };
        let outputs: Vec<u64> = match every {
            Some(every) => vec![every; measured.output_ms.len()],
            None => measured.output_ms.clone(),
        };
        self.lines(&outputs, Margin::None, usage)
            .and_then(|lines| total(&lines))
    }

    fn lines(&self, outputs: &[u64], margin: Margin, usage: &Usage) -> Option<Vec<PriceLine>> {
        let mut lines = Vec::with_capacity(self.meters.len() + self.inputs.len());
        for charge in &self.meters {
            let quantity_thousandths = charge.quantity(outputs, margin, usage)?;
            lines.push(PriceLine::of(
                charge.meter(),
                charge.price(),
                quantity_thousandths,
            )?);
        }
        lines.extend(self.inputs.iter().cloned());
        Some(lines)
    }
}

impl Length {
    fn is_measured(&self) -> bool {
        *self == Self::Measured
    }
}

impl Charge {
    pub const fn meter(&self) -> Meter {
        match self {
            Self::OutputSecond { .. } => Meter::OutputSecond,
            Self::OutputVideo { .. } => Meter::OutputVideo,
            Self::Credit { .. } => Meter::Credit,
            Self::VideoToken { .. } => Meter::VideoToken,
            Self::OutputVideoToken { .. } => Meter::OutputVideoToken,
            Self::InputPlusOutputSecond { .. } => Meter::InputPlusOutputSecond,
        }
    }

    pub const fn price(&self) -> Nanos {
        match self {
            Self::OutputSecond { price_nanos }
            | Self::OutputVideo { price_nanos }
            | Self::Credit { price_nanos, .. }
            | Self::VideoToken { price_nanos, .. }
            | Self::OutputVideoToken { price_nanos, .. }
            | Self::InputPlusOutputSecond { price_nanos, .. } => *price_nanos,
        }
    }

    /// Thousandths of the unit, for outputs of so many milliseconds each.
    fn quantity(&self, outputs: &[u64], margin: Margin, usage: &Usage) -> Option<u64> {
        let sum = |of: &dyn Fn(u64) -> Option<u64>| {
            outputs
                .iter()
                .try_fold(0u64, |sum, output| sum.checked_add(of(*output)?))
        };
        match self {
            Self::OutputSecond { .. } => sum(&Some),
            Self::OutputVideo { .. } => sum(&|_| Some(1000)),
            Self::Credit {
                credits_per_second, ..
            } => match usage.credits {
                Some(credits) => credits.checked_mul(1000),
                None => sum(&|ms| ms.checked_mul(u64::from(*credits_per_second))),
            },
            Self::VideoToken { count, .. } => match (usage.tokens, margin) {
                (Some(tokens), _) => tokens,
                (None, Margin::None) => sum(&|ms| count.of(ms))?,
                (None, Margin::Reserve) => sum(&|ms| count.at_most(ms))?,
            }
            .checked_mul(1000),
            Self::OutputVideoToken {
                tokens_per_second, ..
            } => sum(&|ms| ms.checked_mul(u64::from(*tokens_per_second))),
            Self::InputPlusOutputSecond {
                input_ms,
                least_times_output,
                ..
            } => sum(&|ms| {
                let least = ms.checked_mul(u64::from(*least_times_output))?;
                Some(ms.checked_add(*input_ms)?.max(least))
            }),
        }
    }
}

impl PriceLine {
    fn of(meter: Meter, price_nanos: Nanos, quantity_thousandths: u64) -> Option<Self> {
        Some(Self {
            meter: meter.as_str().to_owned(),
            price_nanos,
            quantity_thousandths,
            amount_nanos: price_nanos.prorated(quantity_thousandths, 1000)?,
        })
    }
}

/// The sum of `lines`; `None` beyond any amount.
pub fn total(lines: &[PriceLine]) -> Option<Nanos> {
    lines
        .iter()
        .try_fold(Nanos::ZERO, |sum, line| sum.checked_add(line.amount_nanos))
}

/// Milliseconds of each output as ordered.
fn ordered(shape: &Shape, samples: u32) -> Option<Vec<u64>> {
    let ms = u64::from(shape.seconds?) * 1000;
    Some(vec![ms; samples as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(value: i64) -> Nanos {
        Nanos::new(value).unwrap()
    }

    fn cent_a_second() -> PriceRules {
        PriceRules::by_output_second(nanos(10_000_000))
    }

    fn seconds(seconds: u32) -> Shape {
        Shape {
            seconds: Some(seconds),
            ..Shape::default()
        }
    }

    #[test]
    fn a_quote_counts_every_second_of_every_sample() {
        let lines = cent_a_second().quote(&seconds(4), 3).unwrap();
        assert_eq!(total(&lines), Nanos::new(120_000_000));
    }

    #[test]
    fn a_length_nobody_knows_has_no_quote() {
        assert_eq!(cent_a_second().quote(&Shape::default(), 1), None);
    }

    #[test]
    fn reported_usage_wins_over_measured_and_a_reported_cost_over_both() {
        let measured = Measured {
            output_ms: vec![4_000, 4_000],
        };
        let rules = cent_a_second();
        let settle = |usage: &Usage| rules.settle(&seconds(4), &measured, usage);
        assert_eq!(settle(&Usage::default()), Nanos::new(80_000_000));
        let seconds = Usage {
            output_ms: Some(5_500),
            ..Usage::default()
        };
        assert_eq!(settle(&seconds), Nanos::new(110_000_000));
        let cost = Usage {
            cost: Nanos::new(7),
            ..seconds
        };
        assert_eq!(settle(&cost), Nanos::new(7));
    }

    #[test]
    fn where_the_ordered_length_counts_a_longer_file_costs_no_more_and_a_missing_one_nothing() {
        let rules = PriceRules {
            length: Length::Ordered,
            ..PriceRules::by_output_second(nanos(120_000_000))
        };
        let measured = Measured {
            output_ms: vec![8_042; 3],
        };
        assert_eq!(
            rules.settle(&seconds(8), &measured, &Usage::default()),
            Nanos::new(2_880_000_000)
        );
    }

    #[test]
    fn rules_that_an_earlier_release_kept_are_read_as_they_were_meant() {
        let kept = r#"{"meters":[{"meter":"output_second","price_nanos":10000000}]}"#;
        let read: PriceRules = serde_json::from_str(kept).unwrap();
        assert_eq!(read, cent_a_second());
        assert_eq!(serde_json::to_string(&read).unwrap(), kept);
    }

    #[test]
    fn an_amount_beyond_any_is_none_and_not_a_panic() {
        let rules = PriceRules::by_output_second(nanos(i64::MAX));
        assert_eq!(
            rules.quote(&seconds(4), 4).and_then(|lines| total(&lines)),
            None
        );
    }
}

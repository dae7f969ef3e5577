//! Price rules: what a provider charges for an order, before (a quote) and after (a settlement).
//!
//! A job keeps the rules it was quoted with. Not here: markup and rounding (`money`), who pays (`ledger`).

use serde::{Deserialize, Serialize};

use crate::money::Nanos;
use crate::provider::Usage;
use crate::request::Shape;

/// What a provider charges for one model. Meters add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceRules {
    pub meters: Vec<Meter>,
}

/// One thing that is counted and charged for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "meter", rename_all = "snake_case")]
pub enum Meter {
    /// Each second of each output.
    OutputSecond { price_nanos: Nanos },
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

impl PriceRules {
    /// What an order of this shape will cost. `None` where the shape does not tell, or the sum is beyond
    /// any amount.
    pub fn quote(&self, shape: &Shape, samples: u32) -> Option<Vec<PriceLine>> {
        let quantity = u64::from(shape.seconds?)
            .checked_mul(1000)?
            .checked_mul(u64::from(samples))?;
        self.lines(quantity)
    }

    /// What the delivered outputs cost: by what the provider reports, else by what we measured. A cost
    /// named by the provider itself overrides both.
    pub fn settle(&self, measured: &Measured, usage: &Usage) -> Option<Nanos> {
        if let Some(cost) = usage.cost {
            return Some(cost);
        }
        let quantity = match usage.output_ms {
            Some(reported) => {
                reported.checked_mul(u64::try_from(measured.output_ms.len()).ok()?)?
            }
            None => measured
                .output_ms
                .iter()
                .try_fold(0u64, |sum, ms| sum.checked_add(*ms))?,
        };
        self.lines(quantity).and_then(|lines| total(&lines))
    }

    fn lines(&self, quantity_ms: u64) -> Option<Vec<PriceLine>> {
        self.meters
            .iter()
            .map(|meter| match meter {
                Meter::OutputSecond { price_nanos } => Some(PriceLine {
                    meter: "output_second".to_owned(),
                    price_nanos: *price_nanos,
                    quantity_thousandths: quantity_ms,
                    amount_nanos: price_nanos.prorated(quantity_ms, 1000)?,
                }),
            })
            .collect()
    }
}

/// The sum of `lines`; `None` beyond any amount.
pub fn total(lines: &[PriceLine]) -> Option<Nanos> {
    lines
        .iter()
        .try_fold(Nanos::ZERO, |sum, line| sum.checked_add(line.amount_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cent_a_second() -> PriceRules {
        PriceRules {
            meters: vec![Meter::OutputSecond {
                price_nanos: Nanos::new(10_000_000).unwrap(),
            }],
        }
    }

    fn four_seconds() -> Shape {
        Shape {
            seconds: Some(4),
            ..Shape::default()
        }
    }

    #[test]
    fn a_quote_counts_every_second_of_every_sample() {
        let lines = cent_a_second().quote(&four_seconds(), 3).unwrap();
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
        assert_eq!(
            rules.settle(&measured, &Usage::default()),
            Nanos::new(80_000_000)
        );
        let seconds = Usage {
            output_ms: Some(5_500),
            ..Usage::default()
        };
        assert_eq!(rules.settle(&measured, &seconds), Nanos::new(110_000_000));
        let cost = Usage {
            cost: Nanos::new(7),
            ..seconds
        };
        assert_eq!(rules.settle(&measured, &cost), Nanos::new(7));
    }

    #[test]
    fn an_amount_beyond_any_is_none_and_not_a_panic() {
        let rules = PriceRules {
            meters: vec![Meter::OutputSecond {
                price_nanos: Nanos::new(i64::MAX).unwrap(),
            }],
        };
        assert_eq!(
            rules
                .quote(&four_seconds(), 4)
                .and_then(|lines| total(&lines)),
            None
        );
    }
}

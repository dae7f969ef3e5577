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
    // An earlier release called it so.
    #[serde(default, alias = "length", skip_serializing_if = "is_default")]
    pub settle_from: SettleFrom,
    #[serde(default, skip_serializing_if = "is_default")]
    pub charged_on: ChargedOn,
    /// Seconds that are reckoned with where the model chooses the length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_seconds: Option<u32>,
    /// No order costs less.
    #[serde(default, skip_serializing_if = "is_default")]
    pub minimum_nanos: Nanos,
    /// What one unit costs, where the provider reports those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_nanos: Option<Nanos>,
}

/// What replaces the quote once the outputs are there. A cost that the provider itself names replaces anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleFrom {
    /// Whatever the provider reports, else the files' length as we measured it.
    #[default]
    Measured,
    /// Nothing: the provider charges what was ordered, for each output that is delivered.
    #[serde(alias = "ordered")]
    Quote,
    /// Its count of tokens.
    ProviderTokens,
    /// The seconds it says it bills.
    ProviderSeconds,
    /// Its own units, of one price each.
    ProviderUnits,
    /// The cost it names, in dollars.
    ProviderCost,
    /// The cost it names, in ten thousand millionths of a dollar.
    ProviderCostTicks,
}

/// Which ends a provider charges for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargedOn {
    #[default]
    Success,
    /// A result that its moderation withheld may be charged too.
    SuccessOrModerated,
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
            ..Self::none()
        }
    }

    /// Nothing is charged.
    fn none() -> Self {
        Self {
            meters: Vec::new(),
            inputs: Vec::new(),
            settle_from: SettleFrom::default(),
            charged_on: ChargedOn::default(),
            longest_seconds: None,
            minimum_nanos: Nanos::ZERO,
            unit_nanos: None,
        }
    }

    /// What an order of this shape will cost. `None` where the shape does not tell, or the sum is beyond
    /// any amount.
    pub fn quote(&self, shape: &Shape, samples: u32) -> Option<Vec<PriceLine>> {
        let outputs = self.ordered(shape, samples)?;
        self.lines(&outputs, Margin::None, &Usage::default())
    }

    /// What has to be held for it: the quote, and what bills were seen to have on top.
    pub fn reserve(&self, shape: &Shape, samples: u32) -> Option<Nanos> {
        let outputs = self.ordered(shape, samples)?;
        total(&self.lines(&outputs, Margin::Reserve, &Usage::default())?)
    }

    /// What the delivered outputs cost. A cost named by the provider itself overrides everything.
    pub fn settle(&self, shape: &Shape, measured: &Measured, usage: &Usage) -> Option<Nanos> {
        if let Some(cost) = usage.cost {
            return Some(cost);
        }
        let usage = self.settle_from.heeded(usage);
        if let (SettleFrom::ProviderUnits, Some(units), Some(price)) =
            (self.settle_from, usage.credits, self.unit_nanos)
        {
            return price.checked_mul(units);
        }
        let ordered_ms = shape.seconds.map(|seconds| u64::from(seconds) * 1000);
        let every = match self.settle_from {
            SettleFrom::Measured => usage.output_ms,
            _ => usage.output_ms.or(ordered_ms),
        };
        let outputs: Vec<u64> = match every {
            Some(every) => vec![every; measured.output_ms.len()],
            None => measured.output_ms.clone(),
        };
        self.lines(&outputs, Margin::None, &usage)
            .and_then(|lines| total(&lines))
    }

    /// Milliseconds of each output as ordered; the longest where the model chooses. Where the input's length is all
    /// that counts, that of an output need not be known.
    fn ordered(&self, shape: &Shape, samples: u32) -> Option<Vec<u64>> {
        let seconds = shape.seconds.or(self.longest_seconds);
        let seconds = seconds.or(self.meters.is_empty().then_some(0))?;
        Some(vec![u64::from(seconds) * 1000; samples as usize])
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
        let missing = self.minimum_nanos.checked_sub(total(&lines)?);
        if let Some(missing) = missing.filter(|missing| !missing.is_zero()) {
            lines.push(PriceLine {
                meter: "minimum".to_owned(),
                price_nanos: missing,
                quantity_thousandths: 1000,
                amount_nanos: missing,
            });
        }
        Some(lines)
    }
}

impl SettleFrom {
    /// What counts of a report.
    fn heeded(self, usage: &Usage) -> Usage {
        let of =
            |from, value: Option<u64>| value.filter(|_| self == from || self == Self::Measured);
        Usage {
            output_ms: of(Self::ProviderSeconds, usage.output_ms),
            tokens: of(Self::ProviderTokens, usage.tokens),
            credits: of(Self::ProviderUnits, usage.credits),
            cost: usage.cost,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
            } => match usage.tokens {
                Some(tokens) => tokens.checked_mul(1000),
                None => sum(&|ms| ms.checked_mul(u64::from(*tokens_per_second))),
            },
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

/// A cost in ten thousand millionths of a dollar; part of a nano-dollar is a whole one.
pub fn cost_of_ticks(ticks: u64) -> Option<Nanos> {
    const TICKS_A_NANO: u64 = 10;
    Nanos::new(i64::try_from(ticks.div_ceil(TICKS_A_NANO)).ok()?)
}

/// A cost as a provider writes it, `0.8817`; part of a nano-dollar is a whole one. `None` where it is no amount.
pub fn cost_of_text(text: &str) -> Option<Nanos> {
    const DECIMALS: usize = 9;
    let kept = match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > DECIMALS && decimals.is_ascii() => {
            &text[..text.len() - (decimals.len() - DECIMALS)]
        }
        _ => text,
    };
    let rest = &text[kept.len()..];
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let cost: Nanos = kept.parse().ok()?;
    if rest.bytes().all(|byte| byte == b'0') {
        return Some(cost);
    }
    cost.checked_add(Nanos::new(1)?)
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
            settle_from: SettleFrom::Quote,
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
        let kept =
            r#"{"meters":[{"meter":"output_second","price_nanos":10000000}],"length":"ordered"}"#;
        let read: PriceRules = serde_json::from_str(kept).unwrap();
        assert_eq!(read.settle_from, SettleFrom::Quote);
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<PriceRules>(&written).unwrap(), read);
    }

    #[test]
    fn a_length_that_the_model_chooses_is_reckoned_at_the_longest_and_settled_as_it_came_out() {
        let rules = PriceRules {
            settle_from: SettleFrom::Quote,
            longest_seconds: Some(30),
            ..cent_a_second()
        };
        assert_eq!(rules.reserve(&Shape::default(), 1), Nanos::new(300_000_000));
        let measured = Measured {
            output_ms: vec![12_000],
        };
        assert_eq!(
            rules.settle(&Shape::default(), &measured, &Usage::default()),
            Nanos::new(120_000_000)
        );
    }

    #[test]
    fn no_order_costs_less_than_the_minimum() {
        let rules = PriceRules {
            minimum_nanos: nanos(50_000_000),
            ..cent_a_second()
        };
        let quoted = |length| total(&rules.quote(&seconds(length), 1).unwrap());
        assert_eq!(quoted(4), Nanos::new(50_000_000));
        assert_eq!(quoted(6), Nanos::new(60_000_000));
    }

    #[test]
    fn of_a_report_only_what_settles_counts() {
        let usage = Usage {
            output_ms: Some(5_500),
            credits: Some(6),
            ..Usage::default()
        };
        let measured = Measured {
            output_ms: vec![4_040],
        };
        let settled = |settle_from| {
            let rules = PriceRules {
                settle_from,
                unit_nanos: Nanos::new(140_000_000),
                ..cent_a_second()
            };
            let settled = rules.settle(&seconds(4), &measured, &usage);
            settled.map(Nanos::get)
        };
        assert_eq!(settled(SettleFrom::Quote), Some(40_000_000));
        assert_eq!(settled(SettleFrom::ProviderSeconds), Some(55_000_000));
        assert_eq!(settled(SettleFrom::ProviderUnits), Some(840_000_000));
        assert_eq!(settled(SettleFrom::ProviderCost), Some(40_000_000));
    }

    #[test]
    fn a_cost_in_text_or_in_ticks_is_read_to_the_nano_and_never_downwards() {
        assert_eq!(cost_of_text("0.96"), Nanos::new(960_000_000));
        assert_eq!(cost_of_text("0.8817"), Nanos::new(881_700_000));
        assert_eq!(cost_of_text("0.0000000010"), Nanos::new(1));
        assert_eq!(cost_of_text("0.00000000101"), Nanos::new(2));
        for wrong in ["", "-1", "1e3", "0.0000000001x", "0,5", "0.000000000é"] {
            assert_eq!(cost_of_text(wrong), None, "{wrong}");
        }
        assert_eq!(cost_of_ticks(4_000_000_000), Nanos::new(400_000_000));
        assert_eq!(cost_of_ticks(4_000_000_001), Nanos::new(400_000_001));
        assert_eq!(
            cost_of_ticks(u64::MAX),
            Nanos::new(1_844_674_407_370_955_162)
        );
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

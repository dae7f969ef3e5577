//! What a provider charges for a model, whatever is ordered: rules with conditions, of which an order takes those that
//! it meets.

use serde::{Deserialize, Serialize};

use super::{Charge, ChargedOn, PriceLine, PriceRules, SettleFrom, TokenCount, TokenFormula};
use crate::facts::{Condition, Facts, Mode};
use crate::money::Nanos;
use crate::time::UnixTime;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    OutputSecond,
    OutputVideo,
    Credit,
    VideoToken,
    OutputVideoToken,
    InputPlusOutputSecond,
    InputVideoSecond,
    InputImage,
    InputAudioSecond,
    InputToken,
}

impl Meter {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutputSecond => "output_second",
            Self::OutputVideo => "output_video",
            Self::Credit => "credit",
            Self::VideoToken => "video_token",
            Self::OutputVideoToken => "output_video_token",
            Self::InputPlusOutputSecond => "input_plus_output_second",
            Self::InputVideoSecond => "input_video_second",
            Self::InputImage => "input_image",
            Self::InputAudioSecond => "input_audio_second",
            Self::InputToken => "input_token",
        }
    }

    /// Whether it counts what comes out. An order is charged by one of these at most.
    const fn counts_output(self) -> bool {
        match self {
            Self::OutputSecond
            | Self::OutputVideo
            | Self::Credit
            | Self::VideoToken
            | Self::OutputVideoToken
            | Self::InputPlusOutputSecond => true,
            Self::InputVideoSecond
            | Self::InputImage
            | Self::InputAudioSecond
            | Self::InputToken => false,
        }
    }
}

/// A price of one meter, and when it holds: when all conditions do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub meter: Meter,
    pub price_nanos: Nanos,
    pub when: Vec<Condition>,
    /// Of [`Meter::Credit`]: how many a second of output takes.
    pub credits_per_second: Option<u32>,
    /// Of [`Meter::OutputVideoToken`]: how many a second of output takes.
    pub tokens_per_second: Option<u32>,
    /// So many units of each order are free; of meters that count inputs.
    pub free_quantity: u32,
    /// Each input clip counts in whole seconds, upwards.
    pub round_up_each_clip: bool,
    /// Of [`Meter::InputPlusOutputSecond`]: so many times the output at least.
    pub least_times_output: u32,
    /// The first instant it holds; `None`: since ever.
    pub from: Option<UnixTime>,
    /// The first instant it no longer holds; `None`: until further notice.
    pub until: Option<UnixTime>,
}

/// What a provider charges for a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tariff {
    pub rules: Vec<Rule>,
    /// How video tokens are counted, where a rule does.
    pub tokens: Option<TokenFormula>,
    pub settle_from: SettleFrom,
    pub charged_on: ChargedOn,
    /// No order costs less.
    pub minimum: Nanos,
    /// What one unit costs, where the provider reports those.
    pub unit: Option<Nanos>,
}

/// Why a tariff cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffFault {
    #[error(
        "an order can meet two rules of {0}: each pair of them needs a condition that tells them apart"
    )]
    Overlap(&'static str),
    #[error("an order can meet a rule of {0} and one of {1}, which both count what comes out")]
    TwoOutputs(&'static str, &'static str),
    #[error("a rule of {0} needs {1}")]
    Incomplete(&'static str, &'static str),
    #[error("a condition of {0} allows nothing")]
    Empty(&'static str),
}

impl Tariff {
    /// Charged by the second of output alone, as measured.
    pub fn by_output_second(price_nanos: Nanos) -> Self {
        Self {
            rules: vec![Rule::of(Meter::OutputSecond, price_nanos)],
            ..Self::default()
        }
    }

    /// What of it applies to an order at `now`; `None` where it has no price for it.
    pub fn rules_for(&self, facts: &Facts, now: UnixTime) -> Option<PriceRules> {
        let mut meters = Vec::new();
        let mut inputs = Vec::new();
        let mut sound_alone = false;
        for rule in &self.rules {
            if !rule.in_force(now) || !rule.holds_for(facts) {
                continue;
            }
            if rule.meter.counts_output() {
                meters.push(self.charge(rule, facts)?);
            } else {
                sound_alone |= rule.meter == Meter::InputAudioSecond && facts.sound_ms > 0;
                let quantity = rule.input_quantity(facts)?;
                if quantity > 0 {
                    let line = PriceLine::of(rule.meter, rule.price_nanos, quantity)?;
                    inputs.push(line);
                }
            }
        }
        // Where the sound drives the length, its seconds are all that is charged.
        sound_alone &= facts.mode() == Mode::AudioToVideo;
        (!meters.is_empty() || sound_alone).then(|| PriceRules {
            meters,
            inputs,
            settle_from: self.settle_from,
            charged_on: self.charged_on,
            longest_seconds: facts.shape.seconds.filter(|_| facts.duration_auto),
            minimum_nanos: self.minimum,
            unit_nanos: self.unit,
        })
    }

    fn charge(&self, rule: &Rule, facts: &Facts) -> Option<Charge> {
        let price_nanos = rule.price_nanos;
        let input_ms = || clips(facts);
        Some(match rule.meter {
            Meter::OutputSecond => Charge::OutputSecond { price_nanos },
            Meter::OutputVideo => Charge::OutputVideo { price_nanos },
            Meter::Credit => Charge::Credit {
                price_nanos,
                credits_per_second: rule.credits_per_second?,
            },
            Meter::VideoToken => Charge::VideoToken {
                price_nanos,
                count: TokenCount {
                    formula: self.tokens?,
                    size: facts.shape.size?,
                    fps: facts.shape.fps?,
                    input_ms: input_ms()?,
                },
            },
            Meter::OutputVideoToken => Charge::OutputVideoToken {
                price_nanos,
                tokens_per_second: rule.tokens_per_second?,
            },
            Meter::InputPlusOutputSecond => Charge::InputPlusOutputSecond {
                price_nanos,
                input_ms: input_ms()?,
                least_times_output: rule.least_times_output,
            },
            Meter::InputVideoSecond
            | Meter::InputImage
            | Meter::InputAudioSecond
            | Meter::InputToken => return None,
        })
    }

    /// Everything that keeps it from being meant.
    pub fn faults(&self) -> Vec<TariffFault> {
        let mut faults = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            faults.extend(rule.faults(self.tokens));
            for other in self.rules[..at].iter().filter(|other| rule.meets(other)) {
                let (one, two) = (other.meter, rule.meter);
                if one == two {
                    faults.push(TariffFault::Overlap(one.as_str()));
                } else if one.counts_output() && two.counts_output() {
                    faults.push(TariffFault::TwoOutputs(one.as_str(), two.as_str()));
                }
            }
        }
        faults
    }
}

impl Rule {
    /// Without a condition.
    pub fn of(meter: Meter, price_nanos: Nanos) -> Self {
        Self {
            meter,
            price_nanos,
            when: Vec::new(),
            credits_per_second: None,
            tokens_per_second: None,
            free_quantity: 0,
            round_up_each_clip: false,
            least_times_output: 1,
            from: None,
            until: None,
        }
    }

    /// Whether it holds on this day at all.
    pub fn in_force(&self, now: UnixTime) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    fn holds_for(&self, facts: &Facts) -> bool {
        self.when.iter().all(|condition| facts.meet(condition))
    }

    /// Whether some order meets both.
    fn meets(&self, other: &Self) -> bool {
        let ends_before = |one: &Self, two: &Self| {
            let ends = one.until.zip(two.from);
            ends.is_some_and(|(until, from)| until <= from)
        };
        if ends_before(self, other) || ends_before(other, self) {
            return false;
        }
        self.when.iter().all(|condition| {
            other
                .when
                .iter()
                .filter(|theirs| theirs.fact == condition.fact)
                .all(|theirs| {
                    theirs
                        .among
                        .iter()
                        .any(|value| condition.among.contains(value))
                })
        })
    }

    /// Thousandths of the unit.
    fn input_quantity(&self, facts: &Facts) -> Option<u64> {
        let counted = match self.meter {
            Meter::InputVideoSecond | Meter::InputImage | Meter::InputAudioSecond
                if self.price_nanos.is_zero() =>
            {
                0
            }
            Meter::InputVideoSecond if clips(facts).is_none() => return None,
            Meter::InputVideoSecond if self.round_up_each_clip => facts
                .clips_ms
                .iter()
                .try_fold(0u64, |sum, ms| sum.checked_add(ms.div_ceil(1000) * 1000))?,
            Meter::InputVideoSecond => clips(facts)?,
            Meter::InputImage => u64::from(facts.images) * 1000,
            Meter::InputAudioSecond => facts.sound_ms,
            Meter::InputToken => u64::from(facts.prompt_tokens) * 1000,
            Meter::OutputSecond
            | Meter::OutputVideo
            | Meter::Credit
            | Meter::VideoToken
            | Meter::OutputVideoToken
            | Meter::InputPlusOutputSecond => return None,
        };
        Some(counted.saturating_sub(u64::from(self.free_quantity) * 1000))
    }

    fn faults(&self, tokens: Option<TokenFormula>) -> Vec<TariffFault> {
        let meter = self.meter.as_str();
        let mut faults = Vec::new();
        let needs = match self.meter {
            Meter::Credit if self.credits_per_second.is_none() => Some("credits_per_second"),
            Meter::OutputVideoToken if self.tokens_per_second.is_none() => {
                Some("tokens_per_second")
            }
            Meter::VideoToken if tokens.is_none() => Some("a formula for tokens"),
            _ => None,
        };
        faults.extend(needs.map(|needed| TariffFault::Incomplete(meter, needed)));
        if self.when.iter().any(|condition| condition.among.is_empty()) {
            faults.push(TariffFault::Empty(meter));
        }
        faults
    }
}

/// Milliseconds of all input clips; `None` where there is one that nobody has said the length of.
fn clips(facts: &Facts) -> Option<u64> {
    if facts.clips_ms.contains(&0) {
        return None;
    }
    let mut clips = facts.clips_ms.iter();
    clips.try_fold(0u64, |sum, clip| sum.checked_add(*clip))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Measured, total};
    use super::*;
    use crate::facts::{Fact, FactValue};
    use crate::frame_size::FrameSize;
    use crate::provider::Usage;
    use crate::request::Shape;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    fn rule(meter: Meter, price: i64) -> Rule {
        Rule::of(meter, Nanos::new(price).unwrap())
    }

    fn when<const N: usize>(rule: Rule, fact: Fact, among: [FactValue; N]) -> Rule {
        let mut when = rule.when;
        when.push(Condition {
            fact,
            among: among.into(),
        });
        Rule { when, ..rule }
    }

    fn word(text: &str) -> FactValue {
        FactValue::Word(text.into())
    }

    fn tariff(rules: Vec<Rule>) -> Tariff {
        Tariff {
            rules,
            settle_from: SettleFrom::Quote,
            ..Tariff::default()
        }
    }

    fn facts(resolution: &str, seconds: u32, audio: bool) -> Facts {
        Facts {
            shape: Shape {
                seconds: Some(seconds),
                audio: Some(audio),
                size: Some(FrameSize::new(1280, 720)),
                resolution: Some(resolution.into()),
                fps: Some(24),
                ..Shape::default()
            },
            ..Facts::default()
        }
    }

    /// What an order of so many outputs is quoted, in nano-dollars.
    fn quoted(tariff: &Tariff, facts: &Facts, samples: u32) -> Option<i64> {
        assert_eq!(tariff.faults(), []);
        let rules = tariff.rules_for(facts, NOW)?;
        let lines = rules.quote(&facts.shape, samples)?;
        total(&lines).map(Nanos::get)
    }

    #[test]
    fn a_rule_holds_where_all_its_conditions_do() {
        let veo = tariff(vec![
            when(
                when(
                    rule(Meter::OutputSecond, 80_000_000),
                    Fact::Audio,
                    [FactValue::Flag(false)],
                ),
                Fact::Resolution,
                [word("720p")],
            ),
            when(
                when(
                    rule(Meter::OutputSecond, 100_000_000),
                    Fact::Audio,
                    [FactValue::Flag(true)],
                ),
                Fact::Resolution,
                [word("720p"), word("1080p")],
            ),
        ]);
        assert_eq!(quoted(&veo, &facts("720p", 6, false), 1), Some(480_000_000));
        assert_eq!(quoted(&veo, &facts("720p", 6, true), 1), Some(600_000_000));
        assert_eq!(
            quoted(&veo, &facts("1080p", 8, true), 4),
            Some(3_200_000_000)
        );
        assert_eq!(
            quoted(&veo, &facts("1080p", 8, false), 1),
            None,
            "no price is no zero"
        );
    }

    #[test]
    fn credits_bundles_and_tokens_are_counted_each_their_way() {
        let credits = tariff(vec![Rule {
            credits_per_second: Some(12),
            ..rule(Meter::Credit, 10_000_000)
        }]);
        assert_eq!(
            quoted(&credits, &facts("720p", 7, false), 1),
            Some(840_000_000)
        );
        let bundle = tariff(vec![when(
            rule(Meter::OutputVideo, 560_000_000),
            Fact::Duration,
            [FactValue::Number(10)],
        )]);
        assert_eq!(
            quoted(&bundle, &facts("768p", 10, false), 1),
            Some(560_000_000)
        );
        assert_eq!(quoted(&bundle, &facts("768p", 6, false), 1), None);
        let tokens = Tariff {
            tokens: Some(TokenFormula::SeedanceV2),
            ..tariff(vec![rule(Meter::VideoToken, 10_700)])
        };
        let order = facts("720p", 5, false);
        assert_eq!(quoted(&tokens, &order, 1), Some(1_155_600_000));
        let rules = tokens.rules_for(&order, NOW).unwrap();
        assert_eq!(
            rules.reserve(&order.shape, 1).map(Nanos::get),
            Some(1_165_230_000)
        );
    }

    #[test]
    fn inputs_are_charged_beside_the_output_and_the_free_ones_are_not() {
        let h3 = tariff(vec![
            rule(Meter::OutputSecond, 80_000_000),
            rule(Meter::InputVideoSecond, 80_000_000),
            Rule {
                free_quantity: 5,
                ..rule(Meter::InputImage, 40_000_000)
            },
        ]);
        let order = Facts {
            clips_ms: vec![6_000],
            images: 7,
            sound_ms: 4_000,
            ..facts("768p", 8, false)
        };
        assert_eq!(quoted(&h3, &order, 1), Some(1_200_000_000));
        let edit = tariff(vec![Rule {
            least_times_output: 2,
            ..rule(Meter::InputPlusOutputSecond, 141_000_000)
        }]);
        let order = Facts {
            clips_ms: vec![6_000],
            ..facts("1080p", 10, false)
        };
        assert_eq!(quoted(&edit, &order, 1), Some(2_820_000_000));
        let clips = tariff(vec![
            rule(Meter::OutputSecond, 1),
            Rule {
                round_up_each_clip: true,
                ..rule(Meter::InputVideoSecond, 1_000)
            },
        ]);
        let order = Facts {
            clips_ms: vec![1_001, 2_000],
            ..facts("720p", 1, false)
        };
        assert_eq!(quoted(&clips, &order, 1), Some(4_001));
    }

    #[test]
    fn where_sound_drives_the_length_its_seconds_are_the_price() {
        let ltx = tariff(vec![when(
            rule(Meter::InputAudioSecond, 170_000_000),
            Fact::Mode,
            [word("audio-to-video")],
        )]);
        let mut order = Facts {
            sound_ms: 10_000,
            ..facts("1080p", 10, true)
        };
        order.shape.mode = Some(Mode::AudioToVideo);
        assert_eq!(quoted(&ltx, &order, 1), Some(1_700_000_000));
        assert_eq!(quoted(&ltx, &facts("1080p", 10, true), 1), None);
    }

    #[test]
    fn a_clip_of_unknown_length_has_no_price_where_its_seconds_count() {
        let edit = tariff(vec![
            rule(Meter::OutputSecond, 1),
            rule(Meter::InputVideoSecond, 1),
        ]);
        let order = Facts {
            clips_ms: vec![0],
            ..facts("720p", 5, false)
        };
        assert_eq!(quoted(&edit, &order, 1), None);
        assert_eq!(quoted(&edit, &facts("720p", 5, false), 1), Some(5));
    }

    #[test]
    fn a_price_that_changes_on_a_day_is_two_rules_of_which_one_is_in_force() {
        let changed = tariff(vec![
            Rule {
                until: Some(NOW),
                ..rule(Meter::OutputSecond, 1)
            },
            Rule {
                from: Some(NOW),
                ..rule(Meter::OutputSecond, 2)
            },
        ]);
        assert_eq!(changed.faults(), []);
        let price = |at| {
            changed
                .rules_for(&facts("720p", 1, false), at)
                .unwrap()
                .meters[0]
                .price()
        };
        assert_eq!(price(UnixTime::from_millis(NOW.millis() - 1)).get(), 1);
        assert_eq!(price(NOW).get(), 2);
        let early = Rule {
            from: None,
            ..changed.rules[1].clone()
        };
        let both = tariff(vec![changed.rules[0].clone(), early]);
        assert_eq!(both.faults().len(), 1);
    }

    #[test]
    fn rules_that_one_order_can_meet_together_are_a_fault() {
        let audio = |price, flag| {
            when(
                rule(Meter::OutputSecond, price),
                Fact::Audio,
                [FactValue::Flag(flag)],
            )
        };
        assert_eq!(tariff(vec![audio(1, true), audio(2, false)]).faults(), []);
        assert_eq!(
            tariff(vec![audio(1, true), rule(Meter::OutputSecond, 2)]).faults(),
            [TariffFault::Overlap("output_second")]
        );
        assert_eq!(
            tariff(vec![audio(1, true), rule(Meter::OutputVideo, 2)]).faults(),
            [TariffFault::TwoOutputs("output_second", "output_video")]
        );
        assert_eq!(
            tariff(vec![rule(Meter::Credit, 1)]).faults(),
            [TariffFault::Incomplete("credit", "credits_per_second")]
        );
        assert_eq!(
            tariff(vec![when(rule(Meter::OutputVideo, 1), Fact::Tier, [])]).faults(),
            [TariffFault::Empty("output_video")]
        );
    }

    prop_compose! {
        fn any_rule()(
            meter in prop_oneof![Just(Meter::OutputSecond), Just(Meter::OutputVideo)],
            price in 0i64..1_000_000,
            audio in proptest::option::of(any::<bool>()),
            seconds in proptest::option::of(proptest::collection::vec(1u32..6, 1..3)),
        ) -> Rule {
            let mut made = rule(meter, price);
            if let Some(audio) = audio {
                made = when(made, Fact::Audio, [FactValue::Flag(audio)]);
            }
            if let Some(seconds) = seconds {
                made.when.push(Condition {
                    fact: Fact::Duration,
                    among: seconds.into_iter().map(FactValue::Number).collect(),
                });
            }
            made
        }
    }

    proptest! {
        /// A longer video is never cheaper, nothing costs more than is held for it, and what was ordered and delivered
        /// is settled at the quote.
        #[test]
        fn money_grows_with_the_length_and_stays_within_what_is_held(
            meter in prop_oneof![
                Just(Meter::OutputSecond), Just(Meter::OutputVideo), Just(Meter::Credit), Just(Meter::VideoToken),
                Just(Meter::OutputVideoToken), Just(Meter::InputPlusOutputSecond)
            ],
            formula in prop_oneof![
                Just(TokenFormula::SeedanceV1), Just(TokenFormula::SeedanceV2), Just(TokenFormula::SeedanceV2NoFloor)
            ],
            price in 0i64..1_000_000_000,
            clip in proptest::option::of(1u64..60_000),
            (seconds, samples) in (1u32..60, 1u32..5),
            minimum in 0i64..2_000_000_000,
        ) {
            let tariff = Tariff {
                tokens: Some(formula),
                minimum: Nanos::new(minimum).unwrap(),
                ..tariff(vec![Rule {
                    credits_per_second: Some(12),
                    tokens_per_second: Some(5_792),
                    least_times_output: 2,
                    ..rule(meter, price)
                }])
            };
            let order = |seconds| Facts { clips_ms: clip.into_iter().collect(), ..facts("720p", seconds, true) };
            let quote = quoted(&tariff, &order(seconds), samples).unwrap();
            prop_assert!(quote <= quoted(&tariff, &order(seconds + 1), samples).unwrap());
            let order = order(seconds);
            let rules = tariff.rules_for(&order, NOW).unwrap();
            prop_assert!(quote <= rules.reserve(&order.shape, samples).unwrap().get());
            let delivered = Measured { output_ms: vec![u64::from(seconds) * 1000 + 41; samples as usize] };
            let settled = rules.settle(&order.shape, &delivered, &Usage::default());
            prop_assert_eq!(settled.map(Nanos::get), Some(quote));
        }

        /// A tariff is without fault exactly if no order is charged for its output twice.
        #[test]
        fn no_order_is_charged_twice_by_a_sound_tariff(rules in proptest::collection::vec(any_rule(), 1..5)) {
            let tariff = tariff(rules);
            let most = [false, true]
                .into_iter()
                .flat_map(|audio| (1..6).map(move |seconds| facts("720p", seconds, audio)))
                .filter_map(|order| tariff.rules_for(&order, NOW))
                .map(|rules| rules.meters.len())
                .max();
            prop_assert_eq!(tariff.faults().is_empty(), most.is_none_or(|most| most <= 1));
        }
    }
}

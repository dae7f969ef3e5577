//! Money: integer nano-dollars, never a float.
//!
//! [`Nanos`] is an amount and never negative; [`Delta`] is a ledger entry or a balance. Markup and its
//! rounding live here, because they are the only places where a division happens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Thousand-millionths of a US dollar: an amount, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Nanos(i64);

/// A signed change of an account, or its balance, in nano-dollars.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Delta(pub i64);

/// Hundredths of a per cent of a provider's price: a markup, or a fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BasisPoints(pub u32);

impl BasisPoints {
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Which way the last nano-dollar of a markup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// For holds: never too little.
    Up,
    /// For settlement: to the nearest, a half upwards.
    HalfUp,
}

/// A text that is not an amount of dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount in US dollars: digits, then at most 9 decimals, up to 9000000000")]
pub struct InvalidAmount(pub String);

impl Nanos {
    pub const ZERO: Self = Self(0);
    pub const PER_DOLLAR: i64 = 1_000_000_000;

    /// `None` if the amount is negative.
    pub const fn new(nanos: i64) -> Option<Self> {
        if nanos < 0 { None } else { Some(Self(nanos)) }
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or the largest amount there is. For comparing with limits; money that moves is added exactly.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `None` if the result would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::new)
    }

    pub fn checked_mul(self, factor: u64) -> Option<Self> {
        i64::try_from(factor)
            .ok()
            .and_then(|factor| self.0.checked_mul(factor))
            .map(Self)
    }

    /// This price times `quantity / per`, a half nano rounded upwards: a price per second, a quantity in
    /// milliseconds, `per` 1000.
    pub fn prorated(self, quantity: u64, per: u64) -> Option<Self> {
        let exact = i128::from(self.0).checked_mul(i128::from(quantity))?;
        divide(exact, i128::from(per), Rounding::HalfUp)
    }

    /// This amount with `markup` on top.
    pub fn marked_up(self, markup: BasisPoints, rounding: Rounding) -> Option<Self> {
        divide(
            i128::from(self.0) * (10_000 + i128::from(markup.0)),
            10_000,
            rounding,
        )
    }

    /// `share` of this amount.
    pub fn share(self, share: BasisPoints, rounding: Rounding) -> Option<Self> {
        divide(i128::from(self.0) * i128::from(share.0), 10_000, rounding)
    }

    pub const fn as_delta(self) -> Delta {
        Delta(self.0)
    }
}

fn divide(dividend: i128, divisor: i128, rounding: Rounding) -> Option<Nanos> {
    let add = match rounding {
        Rounding::Up => divisor - 1,
        Rounding::HalfUp => divisor / 2,
    };
    i64::try_from((dividend + add) / divisor)
        .ok()
        .and_then(Nanos::new)
}

/// Dollars: at least 2 and at most 9 decimals, trailing zeros trimmed.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % Self::PER_DOLLAR);
        let kept = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / Self::PER_DOLLAR, &decimals[..kept])
    }
}

impl FromStr for Nanos {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        parse(text).ok_or_else(|| InvalidAmount(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Nanos> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 9 {
        return None;
    }
    let fraction = if decimals.is_empty() {
        0
    } else {
        decimals.parse::<i64>().ok()? * 10i64.pow(9 - decimals.len() as u32)
    };
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(Nanos::PER_DOLLAR)?
        .checked_add(fraction)
        .and_then(Nanos::new)
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nanos = i64::deserialize(deserializer)?;
        Self::new(nanos).ok_or_else(|| serde::de::Error::custom("an amount is never negative"))
    }
}

/// Dollars, as [`Nanos`] shows them, with a minus where it is negative.
impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        // Only the least number there is has no positive twin.
        write!(f, "{sign}{}", Nanos(self.0.saturating_abs()))
    }
}

impl FromStr for Delta {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        match text.strip_prefix('-') {
            Some(rest) => rest
                .parse::<Nanos>()
                .map(|nanos| nanos.as_delta().negated()),
            None => text.parse::<Nanos>().map(Nanos::as_delta),
        }
        .map_err(|_| InvalidAmount(text.chars().take(64).collect()))
    }
}

impl Delta {
    pub const ZERO: Self = Self(0);

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(value: i64) -> Nanos {
        Nanos::new(value).unwrap()
    }

    #[test]
    fn dollars_show_two_to_nine_decimals() {
        for (value, shown) in [
            (0, "0.00"),
            (40_000_000, "0.04"),
            (1, "0.000000001"),
            (1_500_000_000, "1.50"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(nanos(value).to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.0000000001",
            "9300000000",
            "0x10",
            "1,5",
            "NaN",
            " 1",
        ] {
            assert!(
                text.parse::<Nanos>().is_err(),
                "{text:?} was taken for an amount"
            );
        }
    }

    #[test]
    fn a_hold_rounds_up_and_a_settlement_to_the_nearest() {
        let markup = BasisPoints(1);
        assert_eq!(
            nanos(4_999).marked_up(markup, Rounding::Up),
            Some(nanos(5_000))
        );
        assert_eq!(
            nanos(4_999).marked_up(markup, Rounding::HalfUp),
            Some(nanos(4_999))
        );
        assert_eq!(
            nanos(5_000).marked_up(markup, Rounding::HalfUp),
            Some(nanos(5_001))
        );
    }

    proptest! {
        #[test]
        fn an_amount_is_read_back_as_it_was_shown(value in 0..=i64::MAX) {
            prop_assert_eq!(nanos(value).to_string().parse(), Ok(nanos(value)));
        }

        #[test]
        fn a_change_is_read_back_as_it_was_shown(value in -i64::MAX..=i64::MAX) {
            prop_assert_eq!(Delta(value).to_string().parse(), Ok(Delta(value)));
        }

        #[test]
        fn a_marked_up_hold_never_falls_short_of_the_settlement(value in 0i64..1_000_000_000_000, markup in 0u32..100_000) {
            let hold = nanos(value).marked_up(BasisPoints(markup), Rounding::Up).unwrap();
            let settled = nanos(value).marked_up(BasisPoints(markup), Rounding::HalfUp).unwrap();
            prop_assert!(hold >= settled && settled >= nanos(value) && hold.get() - settled.get() <= 1);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.]{0,40}") {
            let _ = text.parse::<Nanos>();
        }
    }
}

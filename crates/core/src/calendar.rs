//! The UTC calendar: days, and the periods in which a key's spending is counted.
//!
//! Not here: which day it is (`engine::clock`).

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

const DAY_MILLIS: i64 = 86_400_000;
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// A UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// A text that is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day of the form YYYY-MM-DD")]
pub struct InvalidDay(pub String);

impl Day {
    /// The day `at` lies in.
    pub fn of(at: UnixTime) -> Self {
        Self::of_number(at.millis().div_euclid(DAY_MILLIS))
    }

    /// The day so many days after 1970-01-01; the last one there is where the number is beyond it.
    pub fn of_number(number: i64) -> Self {
        let span = jiff::Span::new().try_days(number);
        Self(span.map_or(Date::MAX, |span| EPOCH.saturating_add(span)))
    }

    /// Days since 1970-01-01.
    pub fn number(self) -> i64 {
        self.0.duration_since(EPOCH).as_hours() / 24
    }

    /// Its first instant.
    pub fn start(self) -> UnixTime {
        UnixTime::from_millis(self.number() * DAY_MILLIS)
    }

    /// The first instant of the day after.
    pub fn end(self) -> UnixTime {
        UnixTime::from_millis((self.number() + 1) * DAY_MILLIS)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let invalid = || InvalidDay(text.chars().take(64).collect());
        let day: Date = text.parse().map_err(|_| invalid())?;
        // The calendar reads other spellings too; one is enough.
        (day.to_string() == text)
            .then_some(Self(day))
            .ok_or_else(invalid)
    }
}

/// How often a key's limit begins anew, at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitReset {
    Daily,
    /// On Mondays.
    Weekly,
    /// On the first of the month.
    Monthly,
}

/// From one reset to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub start: UnixTime,
    /// The first instant that is no longer of it.
    pub end: UnixTime,
}

impl LimitReset {
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Monthly];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reset| reset.as_str() == text)
    }

    /// The period `at` lies in.
    pub fn period(self, at: UnixTime) -> Period {
        let today = Day::of(at);
        match self {
            Self::Daily => Period {
                start: today.start(),
                end: today.end(),
            },
            Self::Weekly => {
                let since_monday = i64::from(today.0.weekday().since(Weekday::Monday));
                let monday = Day::of_number(today.number() - since_monday);
                Period {
                    start: monday.start(),
                    end: Day::of_number(monday.number() + 7).start(),
                }
            }
            Self::Monthly => Period {
                start: Day(today.0.first_of_month()).start(),
                end: Day(today.0.last_of_month()).end(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> UnixTime {
        text.parse::<Day>().unwrap().start()
    }

    #[test]
    fn a_day_is_written_as_it_is_read_and_only_so() {
        assert_eq!(
            Day::of(UnixTime::from_seconds(1_795_420_800)).to_string(),
            "2026-11-23"
        );
        assert_eq!(at("1970-01-01").millis(), 0);
        for text in [
            "",
            "2026-2-1",
            "20261123",
            "2026-02-30",
            "2026-11-23T00:00:00",
            " 2026-11-23",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text:?} was taken for a day");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        // 2026-11-24 is a Tuesday.
        let noon = at("2026-11-24").plus(std::time::Duration::from_secs(43_200));
        let period = |reset: LimitReset| {
            let period = reset.period(noon);
            (period.start, period.end)
        };
        assert_eq!(
            period(LimitReset::Daily),
            (at("2026-11-24"), at("2026-11-25"))
        );
        assert_eq!(
            period(LimitReset::Weekly),
            (at("2026-11-23"), at("2026-11-30"))
        );
        assert_eq!(
            period(LimitReset::Monthly),
            (at("2026-11-01"), at("2026-12-01"))
        );
        assert_eq!(
            LimitReset::Monthly.period(at("2028-02-29")).end,
            at("2028-03-01")
        );
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(seconds in 0i64..10_000_000_000) {
            let now = UnixTime::from_seconds(seconds);
            for reset in LimitReset::ALL {
                let period = reset.period(now);
                prop_assert!(period.start <= now && now < period.end);
                prop_assert_eq!(reset.period(period.start), period);
                prop_assert_eq!(reset.period(period.end).start, period.end);
                prop_assert_eq!(Day::of(period.start).start(), period.start, "a period begins at midnight");
            }
        }

        #[test]
        fn no_instant_makes_the_calendar_panic(millis: i64) {
            let _ = Day::of(UnixTime::from_millis(millis)).to_string();
        }
    }
}

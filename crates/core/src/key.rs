//! API keys: their form, their role, and what they may do.
//!
//! Only the secret's SHA-256 is ever stored; hashing and comparing are `engine::keys`' business.

use serde::{Deserialize, Serialize};

use crate::calendar::LimitReset;
use crate::id::{KeyId, WorkspaceId};
use crate::money::Nanos;
use crate::time::UnixTime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at its workspace.
    Read,
    /// Creates, cancels and deletes in its workspace.
    Member,
    /// Everything, operator's calls included.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Read, Self::Member, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// What an operator decides about a key, when it is made and afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTerms {
    pub name: String,
    pub role: Role,
    /// The most its jobs may hold and have captured since the last reset.
    pub limit: Option<Nanos>,
    /// When the limit begins anew; never where it is `None`.
    pub limit_reset: Option<LimitReset>,
    /// From then on it opens nothing; its jobs run on.
    pub expires_at: Option<UnixTime>,
    /// It opens nothing until it is enabled again; its jobs run on.
    pub disabled: bool,
    /// The most jobs of its own that may be under way.
    pub max_in_flight: Option<u32>,
}

/// Some of the terms, to be changed; `None` leaves one as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyChange {
    pub name: Option<String>,
    pub role: Option<Role>,
    pub limit: Option<Option<Nanos>>,
    pub limit_reset: Option<Option<LimitReset>>,
    pub expires_at: Option<Option<UnixTime>>,
    pub disabled: Option<bool>,
    pub max_in_flight: Option<Option<u32>>,
}

/// A limit cannot begin anew where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reset needs a limit")]
pub struct ResetWithoutLimit;

/// A key as stored: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    /// The public half in the key's text: `[a-z0-9]{1,26}`, unique.
    pub kid: String,
    pub workspace: WorkspaceId,
    pub terms: KeyTerms,
    pub created_at: UnixTime,
    pub revoked_at: Option<UnixTime>,
    /// Until then the secret before the last rotation works too.
    pub previous_until: Option<UnixTime>,
}

/// Why a key that is genuine opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfForce {
    Revoked,
    Disabled,
    Expired,
}

/// What a key's jobs have under way and have spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyStanding {
    pub in_flight: u64,
    pub held: Nanos,
    /// Captured since `counted_from`.
    pub captured: Nanos,
    /// The start of the period of the last capture.
    pub counted_from: UnixTime,
}

/// Why a key may not make one more job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    InFlight {
        most: u32,
    },
    Limit {
        limit: Nanos,
        used: Nanos,
        /// When the job would fit: `None` where the limit never begins anew, or is smaller than the hold.
        resets_at: Option<UnixTime>,
    },
}

impl KeyTerms {
    /// A key without any limit.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            limit: None,
            limit_reset: None,
            expires_at: None,
            disabled: false,
            max_in_flight: None,
        }
    }

    pub fn checked(self) -> Result<Self, ResetWithoutLimit> {
        if self.limit.is_none() && self.limit_reset.is_some() {
            return Err(ResetWithoutLimit);
        }
        Ok(self)
    }

    /// These terms after `change`.
    pub fn changed(&self, change: &KeyChange) -> Result<Self, ResetWithoutLimit> {
        let limit = change.limit.unwrap_or(self.limit);
        // Without a limit there is nothing to reset; only a client that asks for both is told.
        let kept_reset = self.limit_reset.filter(|_| limit.is_some());
        Self {
            name: change.name.clone().unwrap_or_else(|| self.name.clone()),
            role: change.role.unwrap_or(self.role),
            limit,
            limit_reset: change.limit_reset.unwrap_or(kept_reset),
            expires_at: change.expires_at.unwrap_or(self.expires_at),
            disabled: change.disabled.unwrap_or(self.disabled),
            max_in_flight: change.max_in_flight.unwrap_or(self.max_in_flight),
        }
        .checked()
    }

    /// The start of the period that `at` counts in: the beginning of time where nothing ever resets.
    pub fn period_start(&self, at: UnixTime) -> UnixTime {
        self.limit_reset
            .map_or(UnixTime::from_seconds(0), |reset| reset.period(at).start)
    }

    pub fn resets_at(&self, now: UnixTime) -> Option<UnixTime> {
        self.limit_reset.map(|reset| reset.period(now).end)
    }

    /// What of the limit is used at `now`.
    pub fn used(&self, standing: &KeyStanding, now: UnixTime) -> Nanos {
        let captured = standing.captured_since(self.period_start(now));
        standing.held.saturating_add(captured)
    }

    /// Whether one more job that holds `hold` fits.
    pub fn admit(
        &self,
        standing: &KeyStanding,
        hold: Nanos,
        now: UnixTime,
    ) -> Result<(), KeyRefusal> {
        if let Some(most) = self.max_in_flight
            && standing.in_flight >= u64::from(most)
        {
            return Err(KeyRefusal::InFlight { most });
        }
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let used = self.used(standing, now);
        if used.saturating_add(hold) <= limit {
            return Ok(());
        }
        Err(KeyRefusal::Limit {
            limit,
            used,
            resets_at: self.resets_at(now).filter(|_| hold <= limit),
        })
    }
}

impl KeyStanding {
    /// What was captured since `period_start`, which is never before the period counted last.
    fn captured_since(&self, period_start: UnixTime) -> Nanos {
        if self.counted_from < period_start {
            Nanos::ZERO
        } else {
            self.captured
        }
    }

    /// With `amount` captured in the period that begins at `period_start`. A capture of a period that is over by now,
    /// committed late, counts for nothing any more.
    #[must_use]
    pub fn capturing(self, amount: Nanos, period_start: UnixTime) -> Self {
        if period_start < self.counted_from {
            return self;
        }
        Self {
            captured: self.captured_since(period_start).saturating_add(amount),
            counted_from: period_start,
            ..self
        }
    }
}

impl Key {
    /// Whether it opens anything at `now`.
    pub fn in_force(&self, now: UnixTime) -> Result<(), OutOfForce> {
        if self.revoked_at.is_some() {
            Err(OutOfForce::Revoked)
        } else if self.terms.disabled {
            Err(OutOfForce::Disabled)
        } else if self.terms.expires_at.is_some_and(|end| end <= now) {
            Err(OutOfForce::Expired)
        } else {
            Ok(())
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub created_at: UnixTime,
}

/// A key's text, taken apart: `fg_<kid>_<secret>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyText<'a> {
    pub kid: &'a str,
    pub secret: &'a str,
}

impl<'a> KeyText<'a> {
    /// `None` unless the kid is `[a-z0-9]{1,26}` and the secret `[A-Za-z0-9_-]{32,128}`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kid, secret) = text.strip_prefix("fg_")?.split_once('_')?;
        let kid_fits = (1..=26).contains(&kid.len())
            && kid
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let secret_fits = (32..=128).contains(&secret.len())
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (kid_fits && secret_fits).then_some(Self { kid, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limit: i64, reset: Option<LimitReset>) -> KeyTerms {
        KeyTerms {
            limit: Nanos::new(limit),
            limit_reset: reset,
            ..KeyTerms::new("k", Role::Member)
        }
    }

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    #[test]
    fn a_limit_counts_what_is_held_and_what_was_captured() {
        let terms = limited(100, None);
        let standing = KeyStanding {
            held: Nanos::new(40).unwrap(),
            ..KeyStanding::default()
        }
        .capturing(Nanos::new(30).unwrap(), terms.period_start(NOW));
        assert_eq!(terms.admit(&standing, Nanos::new(30).unwrap(), NOW), Ok(()));
        assert_eq!(
            terms.admit(&standing, Nanos::new(31).unwrap(), NOW),
            Err(KeyRefusal::Limit {
                limit: Nanos::new(100).unwrap(),
                used: Nanos::new(70).unwrap(),
                resets_at: None
            })
        );
    }

    #[test]
    fn what_was_captured_before_the_reset_no_longer_counts_and_what_is_held_does() {
        let terms = limited(100, Some(LimitReset::Daily));
        let standing = KeyStanding {
            held: Nanos::new(10).unwrap(),
            ..KeyStanding::default()
        }
        .capturing(Nanos::new(90).unwrap(), terms.period_start(NOW));
        assert!(terms.admit(&standing, Nanos::new(1).unwrap(), NOW).is_err());
        let tomorrow = terms.resets_at(NOW).unwrap();
        let refused = |hold| terms.admit(&standing, Nanos::new(hold).unwrap(), NOW);
        let resets_at = |refusal| match refusal {
            Err(KeyRefusal::Limit { resets_at, .. }) => resets_at,
            other => panic!("{other:?}"),
        };
        assert_eq!(resets_at(refused(100)), Some(tomorrow));
        assert_eq!(
            resets_at(refused(101)),
            None,
            "no day is long enough for it"
        );
        assert_eq!(terms.used(&standing, tomorrow), Nanos::new(10).unwrap());
        let later = standing.capturing(Nanos::new(5).unwrap(), tomorrow);
        assert_eq!(later.captured, Nanos::new(5).unwrap());
        let late = later.capturing(Nanos::new(9).unwrap(), terms.period_start(NOW));
        assert_eq!(late, later);
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let terms = limited(100, Some(LimitReset::Weekly));
        let change = KeyChange {
            disabled: Some(true),
            ..KeyChange::default()
        };
        assert_eq!(
            terms.changed(&change),
            Ok(KeyTerms {
                disabled: true,
                ..terms.clone()
            })
        );
        let unlimited = KeyChange {
            limit: Some(None),
            ..KeyChange::default()
        };
        assert_eq!(terms.changed(&unlimited).unwrap().limit_reset, None);
        let senseless = KeyChange {
            limit_reset: Some(Some(LimitReset::Daily)),
            ..unlimited
        };
        assert_eq!(terms.changed(&senseless), Err(ResetWithoutLimit));
    }

    #[test]
    fn a_key_is_taken_apart_at_the_right_underscores() {
        let secret = "A_b-".repeat(8);
        let text = format!("fg_01abc_{secret}");
        assert_eq!(
            KeyText::parse(&text),
            Some(KeyText {
                kid: "01abc",
                secret: &secret
            })
        );
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let secret = "s".repeat(32);
        for text in [
            String::new(),
            format!("sk_abc_{secret}"),
            format!("fg__{secret}"),
            format!("fg_ABC_{secret}"),
            format!("fg_{}_{secret}", "a".repeat(27)),
            format!("fg_abc_{}", "s".repeat(31)),
            format!("fg_abc_{}", "s".repeat(129)),
            format!("fg_abc_{}é", "s".repeat(32)),
        ] {
            assert_eq!(KeyText::parse(&text), None, "{text:?} was taken for a key");
        }
    }
}

//! The double-entry ledger's rules: which accounts there are and how each posting balances.
//!
//! An entry is positive on the account that receives. Every posting sums to zero because every
//! constructor here moves an amount from one account to another.
//! Not here: when to post (`job`), keeping balances (`store`).

use serde::{Deserialize, Serialize};

use crate::id::HoldId;
use crate::money::{Delta, Nanos};

/// An account. The workspace's two belong to the posting's workspace; the others to the operator and the
/// world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Account {
    #[serde(rename = "ws:available")]
    Available,
    #[serde(rename = "ws:held")]
    Held,
    #[serde(rename = "operator:revenue")]
    Revenue,
    #[serde(rename = "operator:provider_cost")]
    ProviderCost,
    #[serde(rename = "external:providers")]
    Providers,
    #[serde(rename = "external:funding")]
    Funding,
}

impl Account {
    pub const ALL: [Self; 6] = [
        Self::Available,
        Self::Held,
        Self::Revenue,
        Self::ProviderCost,
        Self::Providers,
        Self::Funding,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "ws:available",
            Self::Held => "ws:held",
            Self::Revenue => "operator:revenue",
            Self::ProviderCost => "operator:provider_cost",
            Self::Providers => "external:providers",
            Self::Funding => "external:funding",
        }
    }

    /// Whether each workspace has its own.
    pub const fn of_workspace(self) -> bool {
        matches!(self, Self::Available | Self::Held)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostingKind {
    TopUp,
    /// What an operator takes back.
    Adjustment,
    Hold,
    Capture,
    Release,
    /// What was charged beyond the hold.
    Overage,
    ProviderCost,
}

impl PostingKind {
    pub const ALL: [Self; 7] = [
        Self::TopUp,
        Self::Adjustment,
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::Overage,
        Self::ProviderCost,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Adjustment => "adjustment",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Overage => "overage",
            Self::ProviderCost => "provider_cost",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub account: Account,
    pub amount: Delta,
}

/// Entries that belong together and sum to zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub kind: PostingKind,
    /// Set for what opens or closes a hold; the store lets each hold be closed once.
    pub hold: Option<HoldId>,
    entries: Vec<Entry>,
}

impl Posting {
    /// funding → available.
    pub fn top_up(amount: Nanos) -> Self {
        Self::moving(
            PostingKind::TopUp,
            None,
            amount,
            Account::Funding,
            Account::Available,
        )
    }

    /// available → funding.
    pub fn adjustment(amount: Nanos) -> Self {
        Self::moving(
            PostingKind::Adjustment,
            None,
            amount,
            Account::Available,
            Account::Funding,
        )
    }

    /// available → held.
    pub fn hold(hold: HoldId, amount: Nanos) -> Self {
        Self::moving(
            PostingKind::Hold,
            Some(hold),
            amount,
            Account::Available,
            Account::Held,
        )
    }

    /// held → available, all of it.
    pub fn release(hold: HoldId, held: Nanos) -> Self {
        Self::moving(
            PostingKind::Release,
            Some(hold),
            held,
            Account::Held,
            Account::Available,
        )
    }

    /// held → revenue, at most what is held; the rest of the hold goes back to available.
    pub fn capture(hold: HoldId, held: Nanos, charge: Nanos) -> Self {
        let captured = charge.min(held);
        let mut posting = Self::moving(
            PostingKind::Capture,
            Some(hold),
            captured,
            Account::Held,
            Account::Revenue,
        );
        let rest = Nanos::new(held.get() - captured.get()).unwrap_or(Nanos::ZERO);
        if !rest.is_zero() {
            posting.entries.push(Entry {
                account: Account::Held,
                amount: rest.as_delta().negated(),
            });
            posting.entries.push(Entry {
                account: Account::Available,
                amount: rest.as_delta(),
            });
        }
        posting
    }

    /// available → revenue, for what was charged beyond the hold.
    pub fn overage(amount: Nanos) -> Self {
        Self::moving(
            PostingKind::Overage,
            None,
            amount,
            Account::Available,
            Account::Revenue,
        )
    }

    /// providers → provider cost.
    pub fn provider_cost(amount: Nanos) -> Self {
        Self::moving(
            PostingKind::ProviderCost,
            None,
            amount,
            Account::Providers,
            Account::ProviderCost,
        )
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What this posting changes on `account`.
    pub fn effect_on(&self, account: Account) -> Delta {
        Delta(
            self.entries
                .iter()
                .filter(|entry| entry.account == account)
                .map(|entry| entry.amount.0)
                .sum(),
        )
    }

    fn moving(
        kind: PostingKind,
        hold: Option<HoldId>,
        amount: Nanos,
        from: Account,
        to: Account,
    ) -> Self {
        Self {
            kind,
            hold,
            entries: vec![
                Entry {
                    account: from,
                    amount: amount.as_delta().negated(),
                },
                Entry {
                    account: to,
                    amount: amount.as_delta(),
                },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn every_posting_sums_to_zero(held in 0i64..=i64::MAX / 4, charge in 0i64..=i64::MAX / 4) {
            let hold = HoldId::from_uuid(Uuid::nil());
            let (held, charge) = (Nanos::new(held).unwrap(), Nanos::new(charge).unwrap());
            for posting in [
                Posting::top_up(held), Posting::adjustment(held), Posting::hold(hold, held), Posting::release(hold, held),
                Posting::capture(hold, held, charge), Posting::overage(charge), Posting::provider_cost(charge),
            ] {
                prop_assert_eq!(posting.entries().iter().map(|entry| i128::from(entry.amount.0)).sum::<i128>(), 0);
            }
        }

        #[test]
        fn whatever_closes_a_hold_empties_it(held in 0i64..=i64::MAX / 4, charge in 0i64..=i64::MAX / 4) {
            let hold = HoldId::from_uuid(Uuid::nil());
            let (held, charge) = (Nanos::new(held).unwrap(), Nanos::new(charge).unwrap());
            let opened = Posting::hold(hold, held).effect_on(Account::Held);
            for closing in [Posting::release(hold, held), Posting::capture(hold, held, charge)] {
                prop_assert_eq!(opened.checked_add(closing.effect_on(Account::Held)), Some(Delta::ZERO));
            }
        }
    }
}

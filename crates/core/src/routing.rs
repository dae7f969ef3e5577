//! Routing: which providers may run a request, and in which order they are asked.
//!
//! Not here: whether a provider can do it (`catalogue`), whether it is healthy or configured (the engine
//! says so in [`Offer`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::money::Nanos;
use crate::request::{ProviderName, ProviderPreference, Sort};

/// Who pays the provider: whose credential is used there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    Operator,
    Workspace,
}

/// A provider that could run the request, as far as its model and parameters go.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer<T> {
    pub provider: ProviderName,
    /// What the provider would charge; `None` where it has no price.
    pub cost: Option<Nanos>,
    /// What would be held for it, markup and reserve included.
    pub hold: Option<Nanos>,
    pub healthy: bool,
    /// How long such a job takes there; `None` where nobody knows yet.
    pub expected: Option<Duration>,
    pub payer: Payer,
    /// Whatever the caller keeps with it.
    pub with: T,
}

/// A provider that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub provider: ProviderName,
    pub reason: String,
}

/// What limits the choice beyond the client's preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Candidates whose hold is higher leave the route.
    pub max_cost: Option<Nanos>,
    /// Whether a candidate without a price may stay.
    pub unpriced: Unpriced,
    /// The same for one whose provider the workspace pays itself.
    pub unpriced_byok: Unpriced,
}

impl Limits {
    const fn unpriced(&self, payer: Payer) -> Unpriced {
        match payer {
            Payer::Operator => self.unpriced,
            Payer::Workspace => self.unpriced_byok,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpriced {
    Allowed,
    Refused,
}

/// The offers that stay, in the order they will be asked, and the others with the reason they left.
///
/// Where one stays whose provider the workspace pays itself, those leave that the operator would pay: a job never goes
/// from a workspace's own credential to the operator's. Whoever wants those all the same leaves the others out by
/// `only` or `ignore`.
pub fn route<T>(
    offers: Vec<Offer<T>>,
    preference: &ProviderPreference,
    limits: Limits,
) -> (Vec<Offer<T>>, Vec<Dropped>) {
    let mut kept = Vec::new();
    let mut dropped = Vec::new();
    for offer in offers {
        match objection(&offer, preference, limits) {
            None => kept.push(offer),
            Some(reason) => dropped.push(Dropped {
                provider: offer.provider,
                reason: reason.to_owned(),
            }),
        }
    }
    if kept.iter().any(|offer| offer.payer == Payer::Workspace) {
        for offer in kept.extract_if(.., |offer| offer.payer == Payer::Operator) {
            dropped.push(Dropped {
                provider: offer.provider,
                reason: "the workspace has no credential of its own for it, and has for others"
                    .to_owned(),
            });
        }
    }
    // The sort is stable: what is equal stays in the catalogue's order.
    kept.sort_by_key(|offer| {
        let wished = preference
            .order
            .iter()
            .position(|name| *name == offer.provider)
            .unwrap_or(usize::MAX);
        let cost = offer.cost.map_or(i64::MAX, Nanos::get);
        // Where nothing else is wished, time does not count.
        let time = match preference.sort {
            Some(Sort::Latency) => offer.expected.unwrap_or(Duration::MAX),
            Some(Sort::Price) | None => Duration::ZERO,
        };
        (!offer.healthy, wished, time, cost)
    });
    if !preference.allow_fallbacks && kept.len() > 1 {
        dropped.extend(kept.drain(1..).map(|offer| Dropped {
            provider: offer.provider,
            reason: "provider.allow_fallbacks is false".to_owned(),
        }));
    }
    (kept, dropped)
}

fn objection<T>(
    offer: &Offer<T>,
    preference: &ProviderPreference,
    limits: Limits,
) -> Option<&'static str> {
    let dearer = |most: Option<Nanos>, price: Option<Nanos>| {
        most.is_some_and(|most| price.is_none_or(|price| price > most))
    };
    if !preference.only.is_empty() && !preference.only.contains(&offer.provider) {
        Some("not in provider.only")
    } else if preference.ignore.contains(&offer.provider) {
        Some("in provider.ignore")
    } else if offer.cost.is_none() && limits.unpriced(offer.payer) == Unpriced::Refused {
        Some("has no price, and money is held here")
    } else if dearer(preference.max_price, offer.cost) {
        Some("dearer than provider.max_price")
    } else if dearer(limits.max_cost, offer.hold) {
        Some("dearer than max_cost")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(name: &str, cost: i64) -> Offer<()> {
        let cost = Nanos::new(cost);
        Offer {
            provider: ProviderName(name.to_owned()),
            cost,
            hold: cost,
            healthy: true,
            expected: None,
            payer: Payer::Operator,
            with: (),
        }
    }

    fn names(offers: &[Offer<()>]) -> Vec<&str> {
        offers
            .iter()
            .map(|offer| offer.provider.0.as_str())
            .collect()
    }

    const OPEN: Limits = Limits {
        max_cost: None,
        unpriced: Unpriced::Allowed,
        unpriced_byok: Unpriced::Allowed,
    };

    #[test]
    fn the_cheapest_is_asked_first_and_the_unhealthy_last() {
        let ill = Offer {
            healthy: false,
            ..offer("ill", 1)
        };
        let (kept, _) = route(
            vec![ill, offer("dear", 9), offer("cheap", 2)],
            &ProviderPreference::default(),
            OPEN,
        );
        assert_eq!(names(&kept), ["cheap", "dear", "ill"]);
    }

    #[test]
    fn the_fastest_is_asked_first_where_that_is_wished_and_the_unknown_after_it() {
        let preference = ProviderPreference {
            sort: Some(Sort::Latency),
            ..Default::default()
        };
        let taking = |name, cost, seconds| Offer {
            expected: Some(Duration::from_secs(seconds)),
            ..offer(name, cost)
        };
        let offers = vec![
            offer("unknown", 1),
            taking("slow", 2, 90),
            taking("fast and dear", 9, 30),
            taking("fast", 3, 30),
        ];
        let (kept, _) = route(offers, &preference, OPEN);
        assert_eq!(names(&kept), ["fast", "fast and dear", "slow", "unknown"]);
    }

    #[test]
    fn the_clients_order_comes_before_the_price() {
        let preference = ProviderPreference {
            order: vec![ProviderName("dear".into())],
            ..Default::default()
        };
        let (kept, _) = route(vec![offer("cheap", 2), offer("dear", 9)], &preference, OPEN);
        assert_eq!(names(&kept), ["dear", "cheap"]);
    }

    #[test]
    fn whoever_leaves_is_named_with_the_reason() {
        let preference = ProviderPreference {
            ignore: vec![ProviderName("a".into())],
            max_price: Nanos::new(5),
            ..Default::default()
        };
        let limits = Limits {
            max_cost: Nanos::new(3),
            unpriced: Unpriced::Refused,
            unpriced_byok: Unpriced::Allowed,
        };
        let unpriced = Offer {
            cost: None,
            hold: None,
            ..offer("c", 0)
        };
        let (kept, dropped) = route(
            vec![
                offer("a", 1),
                offer("b", 9),
                unpriced,
                offer("d", 4),
                offer("e", 3),
            ],
            &preference,
            limits,
        );
        assert_eq!(names(&kept), ["e"]);
        let reasons: Vec<_> = dropped.iter().map(|drop| drop.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "in provider.ignore",
                "dearer than provider.max_price",
                "has no price, and money is held here",
                "dearer than max_cost"
            ]
        );
    }

    fn own(name: &str, cost: i64) -> Offer<()> {
        Offer {
            payer: Payer::Workspace,
            ..offer(name, cost)
        }
    }

    #[test]
    fn where_the_workspace_pays_one_the_operators_leave() {
        let order = ProviderPreference {
            order: vec![ProviderName("theirs".into())],
            ..Default::default()
        };
        let offers = || vec![offer("theirs", 1), own("ours", 9), own("dear", 10)];
        let (kept, dropped) = route(offers(), &order, OPEN);
        assert_eq!(names(&kept), ["ours", "dear"]);
        assert_eq!(dropped.len(), 1);
        assert_eq!(dropped[0].provider.0, "theirs");

        let only = ProviderPreference {
            only: vec![ProviderName("theirs".into())],
            ..Default::default()
        };
        let (kept, _) = route(offers(), &only, OPEN);
        assert_eq!(names(&kept), ["theirs"]);
    }

    #[test]
    fn no_price_is_needed_where_the_workspace_pays() {
        let unpriced = |offer| Offer {
            cost: None,
            ..offer
        };
        let limits = Limits {
            unpriced: Unpriced::Refused,
            ..OPEN
        };
        let offers = vec![unpriced(own("ours", 0)), unpriced(offer("theirs", 0))];
        let (kept, _) = route(offers, &ProviderPreference::default(), limits);
        assert_eq!(names(&kept), ["ours"]);
    }

    proptest! {
        #[test]
        fn no_route_has_two_payers(
            offers in prop::collection::vec((0usize..6, 0i64..9, any::<bool>(), any::<bool>()), 0..8),
            only in prop::collection::vec(0usize..6, 0..3),
            allow_fallbacks: bool,
        ) {
            let name = |number: usize| ProviderName(format!("p{number}"));
            let offers: Vec<_> = offers.into_iter().map(|(number, cost, ours, healthy)| Offer {
                provider: name(number),
                healthy,
                payer: if ours { Payer::Workspace } else { Payer::Operator },
                ..offer("", cost)
            }).collect();
            let count = offers.len();
            let preference = ProviderPreference {
                only: only.into_iter().map(name).collect(),
                allow_fallbacks,
                ..Default::default()
            };
            let (kept, dropped) = route(offers, &preference, OPEN);
            prop_assert_eq!(kept.len() + dropped.len(), count, "each stays or is named");
            prop_assert!(kept.windows(2).all(|pair| pair[0].payer == pair[1].payer));
        }
    }

    #[test]
    fn without_fallbacks_only_the_first_stays() {
        let preference = ProviderPreference {
            allow_fallbacks: false,
            ..Default::default()
        };
        let (kept, dropped) = route(vec![offer("a", 2), offer("b", 1)], &preference, OPEN);
        assert_eq!((names(&kept), dropped.len()), (vec!["b"], 1));
    }
}

//! The plan of a job: which model, which providers in which order, at what price.

use filmgate_catalogue::{Model, ModelStatus, Pair};
use filmgate_core::job::{Candidate, Mode, Quoted, Terms};
use filmgate_core::money::{Nanos, Rounding};
use filmgate_core::pricing::{PriceLine, total};
use filmgate_core::provider::Proposal;
use filmgate_core::request::{ModelId, ProviderName, Refusal, Request, Shape, SoftParameter};
use filmgate_core::routing::{Dropped, Limits, Offer, Payer, Unpriced, route};

use super::AdmitError;
use crate::Parts;
use crate::health::Topic;
use crate::provider_keys::OwnAccounts;
use crate::upstream::Account;

/// What a job is admitted with.
pub(super) struct Plan {
    /// The canonical id, whatever alias was sent.
    pub(super) model: ModelId,
    pub(super) route: Vec<Candidate>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) terms: Terms,
    pub(super) hold: Option<Nanos>,
    pub(super) quoted: Option<Quoted>,
    pub(super) lines: Vec<PriceLine>,
}

impl Parts {
    pub(super) fn plan(&self, request: &Request, own: &OwnAccounts) -> Result<Plan, AdmitError> {
        let model = self.model(request)?;
        let terms = self.billing.terms(&self.config, self.retention);
        let (offers, mut dropped) = self.offers(model, request, terms, own)?;
        let priced: Vec<Option<Nanos>> = offers.iter().map(|offer| offer.hold).collect();
        let unpriced = if terms.mode == Mode::Prepaid {
            Unpriced::Refused
        } else {
            Unpriced::Allowed
        };
        // A fee of nothing needs no price.
        let unpriced_byok = if terms.byok_fee.is_zero() {
            Unpriced::Allowed
        } else {
            unpriced
        };
        let (kept, left) = route(
            offers,
            &request.provider,
            Limits {
                max_cost: request.max_cost,
                unpriced,
                unpriced_byok,
            },
        );
        dropped.extend(left);
        let Some(head) = kept.first() else {
            return Err(match request.max_cost {
                Some(max_cost)
                    if dropped
                        .iter()
                        .any(|drop| drop.reason == "dearer than max_cost") =>
                {
                    AdmitError::MaxCostExceeded {
                        max_cost,
                        lowest_hold: priced.into_iter().flatten().min(),
                    }
                }
                _ => AdmitError::NoProvider {
                    model: model.id.clone(),
                    dropped,
                },
            });
        };
        let quoted = head.cost.and_then(|provider_cost| {
            Some(Quoted {
                provider_cost,
                user_charge: terms.charge(provider_cost, head.payer, Rounding::HalfUp)?,
            })
        });
        let lines = head.with.1.clone();
        let hold = kept
            .iter()
            .filter_map(|offer| offer.hold)
            .max()
            .filter(|hold| !hold.is_zero());
        let route = kept.into_iter().map(|offer| offer.with.0).collect();
        Ok(Plan {
            model: model.id.clone(),
            route,
            dropped,
            terms,
            hold,
            quoted,
            lines,
        })
    }

    fn model(&self, request: &Request) -> Result<&Model, AdmitError> {
        let now = self.clock.now();
        let model = self.catalogue.find(&request.model).ok_or_else(|| {
            let nearest = self.catalogue.nearest(&request.model.0, now);
            AdmitError::UnknownModel {
                sent: request.model.clone(),
                nearest: nearest.map(|model| model.id.clone()),
            }
        })?;
        if model.status(now) == ModelStatus::Retired {
            let nearest = self.catalogue.replacement(model, now);
            return Err(AdmitError::Retired {
                model: model.id.clone(),
                since: model.retires_on,
                nearest: nearest.map(|model| model.id.clone()),
            });
        }
        Ok(model)
    }

    /// An offer of every configured provider that takes the request. Where none does, the first one's reasons
    /// are the answer.
    #[expect(
        clippy::type_complexity,
        reason = "an offer with what becomes of it, used once"
    )]
    fn offers(
        &self,
        model: &Model,
        request: &Request,
        terms: Terms,
        own: &OwnAccounts,
    ) -> Result<(Vec<Offer<(Candidate, Vec<PriceLine>)>>, Vec<Dropped>), AdmitError> {
        let mut offers = Vec::new();
        let mut dropped = Vec::new();
        let mut first_refusals: Option<Vec<Refusal>> = None;
        for pair in &model.pairs {
            if let Some(ended) = pair.retires_on.filter(|_| pair.has_ended(self.clock.now())) {
                dropped.push(Dropped {
                    provider: pair.provider.clone(),
                    reason: format!("no longer has this model since {ended}"),
                });
                continue;
            }
            let Some(account) = self.accounts.get(&pair.provider) else {
                dropped.push(Dropped {
                    provider: pair.provider.clone(),
                    reason: "not configured here".to_owned(),
                });
                continue;
            };
            let credential = own.get(&pair.provider).copied();
            if credential.is_none() && account.credential.is_none() {
                dropped.push(Dropped {
                    provider: pair.provider.clone(),
                    reason: "needs a credential of the workspace's own, which has none".to_owned(),
                });
                continue;
            }
            match fitting(pair, account, request) {
                Ok((request, shape, left_out)) => {
                    let facts = pair.facts(&request, &shape);
                    let candidate = Candidate {
                        provider: pair.provider.clone(),
                        native_model: pair.native_model(&facts).to_owned(),
                        price: pair.tariff.rules_for(&facts, self.clock.now()),
                        shape,
                        quote: None,
                        submit_repeat: account.provider.protocol().submit_repeat,
                        left_out,
                        credential,
                    };
                    let account = candidate.account();
                    let offer = offer(pair, candidate, &request, terms);
                    offers.push(self.as_it_stands(&account, offer));
                }
                Err(refusals) => {
                    let reason = refusals
                        .iter()
                        .map(|refusal| format!("does not take {}", refusal.field))
                        .collect::<Vec<_>>()
                        .join(", ");
                    dropped.push(Dropped {
                        provider: pair.provider.clone(),
                        reason,
                    });
                    first_refusals.get_or_insert(refusals);
                }
            }
        }
        match first_refusals {
            Some(refusals) if offers.is_empty() => Err(AdmitError::Refused {
                nearest: self.taking(model, request),
                model: model.id.clone(),
                refusals,
            }),
            _ => Ok((offers, dropped)),
        }
    }
}

impl Parts {
    /// The nearest other model that takes the request as it is.
    fn taking(&self, refused: &Model, request: &Request) -> Option<ModelId> {
        let now = self.clock.now();
        let runs = |pair: &Pair| {
            let account = self.accounts.get(&pair.provider);
            account.is_some_and(|account| taken_as_it_is(pair, account, request).is_ok())
        };
        let nearest = self.catalogue.nearest_taking(request, refused, now, runs);
        nearest.map(|model| model.id.clone())
    }

    /// The offer, with how its provider has done lately.
    fn as_it_stands<T>(
        &self,
        account: &ProviderName,
        offer: Offer<(Candidate, T)>,
    ) -> Offer<(Candidate, T)> {
        let native_model = &offer.with.0.native_model;
        let topic = Topic::Submit(native_model.clone());
        let now = self.clock.now();
        Offer {
            healthy: !self.health.is_ill(account, &topic, now),
            expected: self.cadence.usual(&offer.provider, native_model),
            ..offer
        }
    }
}

/// What `pair` would make of the request: of all of it, or, where the client allows that, of it without those soft parameters
/// that this provider has not.
fn fitting(
    pair: &Pair,
    account: &Account,
    request: &Request,
) -> Result<(Request, Shape, Vec<SoftParameter>), Vec<Refusal>> {
    let refusals = match taken_as_it_is(pair, account, request) {
        Ok(shape) => return Ok((request.clone(), shape, Vec::new())),
        Err(refusals) if request.provider.require_parameters => return Err(refusals),
        Err(refusals) => refusals,
    };
    let soft = SoftParameter::ALL.into_iter().filter(|parameter| {
        refusals
            .iter()
            .any(|refusal| refusal.field == parameter.as_str())
    });
    let left_out: Vec<SoftParameter> = soft.collect();
    let request = request.clone().without(&left_out);
    let shape = taken_as_it_is(pair, account, &request)?;
    Ok((request, shape, left_out))
}

fn taken_as_it_is(
    pair: &Pair,
    account: &Account,
    request: &Request,
) -> Result<Shape, Vec<Refusal>> {
    let shape = pair.capabilities.resolve(request)?;
    let facts = pair.facts(request, &shape);
    let checked = account.provider.check(Proposal {
        native_model: pair.native_model(&facts),
        request,
        shape: &shape,
    });
    checked.map_err(|refusal| vec![refusal])?;
    Ok(shape)
}

fn offer(
    pair: &Pair,
    candidate: Candidate,
    request: &Request,
    terms: Terms,
) -> Offer<(Candidate, Vec<PriceLine>)> {
    let (price, shape, samples) = (&candidate.price, &candidate.shape, request.sample_count);
    let lines = price.as_ref().and_then(|price| price.quote(shape, samples));
    let reserve = price
        .as_ref()
        .and_then(|price| price.reserve(shape, samples));
    let cost = lines.as_deref().and_then(total);
    let payer = candidate.payer();
    let hold = match payer {
        Payer::Workspace if terms.byok_fee.is_zero() => Some(Nanos::ZERO),
        Payer::Workspace | Payer::Operator => {
            reserve.and_then(|cost| terms.charge(cost, payer, Rounding::Up))
        }
    };
    Offer {
        provider: pair.provider.clone(),
        cost,
        hold,
        healthy: true,
        expected: None,
        payer,
        with: (
            Candidate {
                quote: cost,
                ..candidate
            },
            lines.unwrap_or_default(),
        ),
    }
}

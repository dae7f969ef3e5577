//! `GET /v1/videos/models`: what can be asked for, and of whom.

mod detail;
mod filter;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use filmgate_catalogue::{AudioMode, Model, ModelStatus, Pair};
use filmgate_core::facts::{Fact, FactValue};
use filmgate_core::money::Nanos;
use filmgate_core::pricing::Rule;
use filmgate_engine::provider_keys::OwnAccounts;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use self::detail::detail;
use self::filter::Filter;
use super::json;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::query::Query;
use crate::{Api, Shared};

/// All models, each with what it takes and what it costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Always `list`.
    object: &'static str,
    data: Vec<ModelView>,
}

/// One model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// The same as `model`.
    id: String,
    /// Always `model`.
    object: &'static str,
    model: String,
    name: String,
    aliases: Vec<String>,
    /// `active`, `preview`, `deprecated` or `retired`.
    status: &'static str,
    /// The day its maker stops it or has stopped it, as `YYYY-MM-DD`; null where none is known.
    retires_on: Option<String>,
    /// A configured provider has it, and it is not retired.
    available: bool,
    /// `text`, `image`, `video`, `audio`.
    input_types: Vec<&'static str>,
    /// `video`, and `audio` where it can have sound.
    output_types: Vec<&'static str>,
    /// The request fields at least one of its providers takes.
    supported_params: Vec<&'static str>,
    /// The same as `supported_params`.
    supported_parameters: Vec<&'static str>,
    /// For each of them, what it may hold, by the first provider that takes it.
    #[schema(value_type = Object)]
    supported_params_detail: BTreeMap<&'static str, Value>,
    /// The same as `supported_params_detail`.
    #[schema(value_type = Object)]
    supported_parameters_detail: BTreeMap<&'static str, Value>,
    providers: Vec<PairView>,
    /// The lowest price of each meter in nano-dollars, before markup; empty where none is known. Each with its
    /// conditions stands at its provider.
    pricing: Vec<PriceView>,
    /// The same, by meter, as decimal dollars.
    pricing_skus: BTreeMap<String, String>,
}

/// The model at one provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PairView {
    /// As `provider.only` and its kin name it.
    id: String,
    /// It is configured here, with a credential of the operator's or of the caller's workspace, and has the model still.
    available: bool,
    /// The day the provider stops it, as `YYYY-MM-DD`; null where none is known.
    retires_on: Option<String>,
    input_types: Vec<&'static str>,
    output_types: Vec<&'static str>,
    supported_params: Vec<&'static str>,
    supported_parameters: Vec<&'static str>,
    #[schema(value_type = Object)]
    supported_params_detail: BTreeMap<&'static str, Value>,
    #[schema(value_type = Object)]
    supported_parameters_detail: BTreeMap<&'static str, Value>,
    /// The keys of `provider_params` it takes.
    passthrough: Vec<String>,
    /// What is in force, before markup.
    pricing: Vec<PriceView>,
    /// The same as decimal dollars, by meter and conditions, such as `output_second[resolution=1080p]`.
    pricing_skus: BTreeMap<String, String>,
}

/// The price of one meter.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PriceView {
    /// What is counted, such as `output_second`.
    meter: &'static str,
    price_nanos: i64,
    /// Always `usd`.
    currency: &'static str,
    /// What an order has to be for it: each of these among the values; empty: whatever it is.
    #[schema(value_type = Object)]
    when: BTreeMap<Fact, Vec<FactValue>>,
    /// Of `credit`: how many a second of output takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_per_second: Option<u32>,
    /// So many units of each order are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_quantity: Option<u32>,
}

/// List models
///
/// The catalogue, filtered. `available` tells whether a provider is configured here.
#[utoipa::path(
    get,
    path = "/models",
    operation_id = "list_models",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("params" = Option<String>, Query, description = "only models that take all of these request fields; repeated or with commas, aliases too"),
        ("provider" = Option<String>, Query, description = "only models this provider has"),
        ("input_type" = Option<String>, Query, description = "`text`, `image`, `video` or `audio`"),
        ("max_price_per_second" = Option<String>, Query, description = "decimal US dollars for a second of output, before markup"),
    ),
    responses(
        (status = 200, description = "The models", body = ModelList),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn models(
    State(api): State<Shared>,
    Reader(caller): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let filter = Filter::read(&query)?;
    let own = api.engine.own_accounts(caller.workspace).await?;
    let data = api
        .engine
        .catalogue()
        .models()
        .iter()
        .map(|model| ModelView::of(&api, &own, model))
        .filter(|model| filter.fits(model))
        .collect();
    Ok(json(ModelList {
        object: "list",
        data,
    }))
}

impl ModelView {
    fn of(api: &Api, own: &OwnAccounts, model: &Model) -> Self {
        let providers: Vec<PairView> = model
            .pairs
            .iter()
            .map(|pair| PairView::of(api, own, pair))
            .collect();
        let status = model.status(api.engine.now());
        let merged = |of: fn(&PairView) -> &Vec<&'static str>| {
            let mut all = Vec::new();
            for word in providers.iter().flat_map(of) {
                if !all.contains(word) {
                    all.push(*word);
                }
            }
            all
        };
        let mut detail = BTreeMap::new();
        for (name, value) in providers
            .iter()
            .flat_map(|pair| &pair.supported_params_detail)
        {
            detail.entry(*name).or_insert_with(|| value.clone());
        }
        let supported = merged(|pair| &pair.supported_params);
        let pricing = cheapest(&providers);
        Self {
            id: model.id.0.clone(),
            object: "model",
            model: model.id.0.clone(),
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            retires_on: model.retires_on.map(|day| day.to_string()),
            status: match status {
                ModelStatus::Active => "active",
                ModelStatus::Preview => "preview",
                ModelStatus::Deprecated => "deprecated",
                ModelStatus::Retired => "retired",
            },
            available: status != ModelStatus::Retired
                && providers.iter().any(|pair| pair.available),
            input_types: merged(|pair| &pair.input_types),
            output_types: merged(|pair| &pair.output_types),
            supported_parameters: supported.clone(),
            supported_params: supported,
            supported_parameters_detail: detail.clone(),
            supported_params_detail: detail,
            pricing_skus: skus(&pricing),
            pricing,
            providers,
        }
    }
}

impl PairView {
    fn of(api: &Api, own: &OwnAccounts, pair: &Pair) -> Self {
        let capabilities = &pair.capabilities;
        let detail = detail(capabilities);
        let supported: Vec<&'static str> = detail.keys().copied().collect();
        let now = api.engine.now();
        let rules = pair.tariff.rules.iter();
        let pricing: Vec<PriceView> = rules
            .filter(|rule| rule.in_force(now))
            .map(PriceView::of)
            .collect();
        let mut input_types = vec!["text"];
        for slot in &capabilities.inputs {
            if !input_types.contains(&slot.kind.as_str()) {
                input_types.push(slot.kind.as_str());
            }
        }
        let output_types = match capabilities.audio {
            AudioMode::Never => vec!["video"],
            AudioMode::Always | AudioMode::Toggle => vec!["video", "audio"],
        };
        Self {
            id: pair.provider.0.clone(),
            available: !pair.has_ended(now)
                && (api.engine.has_account(&pair.provider) || own.contains_key(&pair.provider)),
            retires_on: pair.retires_on.map(|day| day.to_string()),
            input_types,
            output_types,
            supported_parameters: supported.clone(),
            supported_params: supported,
            supported_parameters_detail: detail.clone(),
            supported_params_detail: detail,
            passthrough: capabilities.passthrough.clone(),
            pricing_skus: skus(&pricing),
            pricing,
        }
    }
}

impl PriceView {
    fn of(rule: &Rule) -> Self {
        let conditions = rule.when.iter();
        Self {
            meter: rule.meter.as_str(),
            price_nanos: rule.price_nanos.get(),
            currency: "usd",
            when: conditions
                .map(|condition| (condition.fact, condition.among.clone()))
                .collect(),
            credits_per_second: rule.credits_per_second,
            free_quantity: Some(rule.free_quantity).filter(|free| *free > 0),
        }
    }

    /// Nano-dollars for a second of output, where it is sold by that.
    fn a_second(&self) -> Option<i64> {
        match (self.meter, self.credits_per_second) {
            ("output_second", _) => Some(self.price_nanos),
            ("credit", Some(credits)) => self.price_nanos.checked_mul(i64::from(credits)),
            _ => None,
        }
    }

    /// The meter, and behind it the conditions.
    fn sku(&self) -> String {
        let mut sku = self.meter.to_owned();
        for (fact, among) in &self.when {
            let among: Vec<String> = among.iter().map(ToString::to_string).collect();
            sku.push_str(&format!("[{}={}]", fact.name(), among.join("|")));
        }
        sku
    }
}

/// The lowest of each meter, without conditions: the others stand at the providers.
fn cheapest(providers: &[PairView]) -> Vec<PriceView> {
    let mut lowest: Vec<PriceView> = Vec::new();
    for price in providers.iter().flat_map(|pair| &pair.pricing) {
        match lowest.iter_mut().find(|known| known.meter == price.meter) {
            Some(known) => known.price_nanos = known.price_nanos.min(price.price_nanos),
            None => lowest.push(PriceView {
                when: BTreeMap::new(),
                credits_per_second: None,
                free_quantity: None,
                ..price.clone()
            }),
        }
    }
    lowest
}

fn skus(pricing: &[PriceView]) -> BTreeMap<String, String> {
    pricing
        .iter()
        .filter_map(|price| {
            let amount = Nanos::new(price.price_nanos)?;
            Some((price.sku(), amount.to_string()))
        })
        .collect()
}

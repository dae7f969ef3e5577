//! The models of a provider: those that an operator declares, and changes to those that this release has.

use figment::value::Value;
use filmgate_catalogue::{
    Adjusted, AudioMode, Catalogue, Declared, DeclaredFault, DeclaredSeed, Price,
};
use filmgate_core::pricing::Meter;
use filmgate_core::request::ProviderName;
use filmgate_providers::openai_compatible::{Flavour, passthrough_objection};

use super::super::keys::Keys;

/// What a provider's section says of models, each with where it stands.
#[derive(Default)]
pub(super) struct Models {
    pub(super) declared: Vec<Declared>,
    declared_at: Vec<String>,
    adjusted: Vec<Adjusted>,
    adjusted_at: Vec<String>,
}

impl Models {
    pub(super) fn join(&mut self, mut other: Self) {
        self.declared.append(&mut other.declared);
        self.declared_at.append(&mut other.declared_at);
        self.adjusted.append(&mut other.adjusted);
        self.adjusted_at.append(&mut other.adjusted_at);
    }

    /// `None`, with the faults noted, where something is wrong with it.
    pub(super) fn join_to(
        &self,
        built_in: &Catalogue,
        faults: &mut Vec<String>,
    ) -> Option<Catalogue> {
        let mut note = |wrong: Vec<DeclaredFault>, places: &[String]| {
            faults.extend(
                wrong
                    .into_iter()
                    .map(|fault| format!("{}.{}: {}", places[fault.at], fault.key, fault.why)),
            );
        };
        let declared = built_in.clone().with(&self.declared);
        let adjusted = built_in.clone().adjusted(&self.adjusted);
        let adjusted = adjusted
            .map_err(|wrong| note(wrong, &self.adjusted_at))
            .ok();
        declared
            .map_err(|wrong| note(wrong, &self.declared_at))
            .ok()
            .and(adjusted)?
            .with(&self.declared)
            .ok()
    }
}

/// The list under `models`: a model that this release has there is changed, any other one is declared.
pub(super) fn models(
    provider: &str,
    built_in: &Catalogue,
    flavour: Option<Flavour>,
    tables: Vec<Value>,
    keys: &mut Keys<'_>,
) -> Models {
    let mut models = Models::default();
    for (at, table) in tables.into_iter().enumerate() {
        let step = format!("models[{at}]");
        let place = format!("{}.{step}", keys.path());
        let Some(mut inner) = keys.inner(&step, table) else {
            continue;
        };
        let id: Option<String> = inner.need("id");
        let known = |id: &String| built_in.has_pair(id, provider);
        match id {
            Some(id) if known(&id) => {
                if let Some(adjusted) = adjusted(id, provider, &mut inner) {
                    models.adjusted.push(adjusted);
                    models.adjusted_at.push(place);
                }
            }
            id => {
                if let Some(model) = model(id, provider, flavour, &mut inner) {
                    models.declared.push(model);
                    models.declared_at.push(place);
                }
            }
        }
        inner.done();
    }
    models
}

/// What is changed about a model that this release has, if all of it could be read.
fn adjusted(id: String, provider: &str, keys: &mut Keys<'_>) -> Option<Adjusted> {
    let before = keys.faults();
    let enabled = keys.take("enabled").unwrap_or(true);
    let native_model = keys.take("native_model_id");
    let retires_on: Option<String> = keys.take("retires_on");
    let retires_on = retires_on.and_then(|text| {
        text.parse()
            .map_err(|error| keys.fault("retires_on", error))
            .ok()
    });
    let prices = prices(keys);
    (keys.faults() == before).then(|| Adjusted {
        id,
        provider: ProviderName(provider.to_owned()),
        enabled,
        native_model,
        retires_on,
        prices,
    })
}

/// A model, if enough of it could be read to be checked by the catalogue.
fn model(
    id: Option<String>,
    provider: &str,
    flavour: Option<Flavour>,
    keys: &mut Keys<'_>,
) -> Option<Declared> {
    let before = keys.faults();
    let native_model = keys.need("native_model_id");
    let durations = keys.need("durations");
    let sizes = keys.need("sizes");
    let name = keys.take("name");
    let audio = keys.take("audio").unwrap_or(AudioMode::Never);
    let seed: DeclaredSeed = keys.take("seed").unwrap_or_default();
    let negative_prompt = keys.take("negative_prompt").unwrap_or(false);
    let first_frame = keys.take("first_frame").unwrap_or(false);
    let max_samples: u32 = keys.take("sample_count").unwrap_or(1);
    let passthrough: Vec<String> = keys.take("passthrough").unwrap_or_default();
    let prices = prices(keys);
    if let Some(flavour) = flavour {
        let word = flavour.as_str();
        if audio == AudioMode::Toggle && !flavour.has_sound_switch() {
            keys.fault(
                "audio",
                format!("\"toggle\" was given, and {word} has no switch for it; never and always are allowed"),
            );
        }
        if max_samples > flavour.most_outputs() {
            keys.fault(
                "sample_count",
                format!(
                    "{max_samples} was given, and {word} hands over {} for each job",
                    flavour.most_outputs()
                ),
            );
        }
    }
    for objection in passthrough
        .iter()
        .filter_map(|key| passthrough_objection(key))
    {
        keys.fault("passthrough", objection);
    }
    if keys.faults() > before {
        return None;
    }
    Some(Declared {
        id: id?,
        name,
        provider: ProviderName(provider.to_owned()),
        native_model: native_model?,
        durations: durations?,
        sizes: sizes?,
        audio,
        seed,
        negative_prompt,
        first_frame,
        max_samples,
        passthrough,
        prices: prices.unwrap_or_default(),
    })
}

/// `price = { output_second = "0.02" }`, text so that no float is involved; or `prices`, as the built-in catalogue has
/// them.
fn prices(keys: &mut Keys<'_>) -> Option<Vec<Price>> {
    if keys.has("price") && keys.has("prices") {
        keys.fault(
            "price",
            "it was given beside prices; one of them is allowed",
        );
    }
    let listed: Option<Vec<Price>> = keys.take("prices");
    let Some(table) = keys.value("price") else {
        return listed;
    };
    let mut inner = keys.inner("price", table)?;
    let mut prices = Vec::new();
    for (key, meter) in [
        ("output_second", Meter::OutputSecond),
        ("output_video", Meter::OutputVideo),
    ] {
        let text: Option<String> = inner.take(key);
        let price =
            text.and_then(|text| text.parse().map_err(|error| inner.fault(key, error)).ok());
        prices.extend(price.map(|price| Price::of(meter, price)));
    }
    inner.done();
    Some(prices)
}

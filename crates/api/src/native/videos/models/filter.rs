//! Which models a client wants to see.

use filmgate_core::money::Nanos;

use super::{ModelView, PairView};
use crate::error::ApiError;
use crate::query::Query;
use crate::request::shortened;

/// The conditions a model has to meet to be listed.
#[derive(Debug)]
pub(super) struct Filter {
    params: Vec<String>,
    provider: Option<String>,
    input_type: Option<String>,
    most_nanos: Option<i64>,
}

impl Filter {
    pub(super) fn read(query: &Query) -> Result<Self, ApiError> {
        let input_type = query.last("input_type").map(str::to_owned);
        if let Some(word) = &input_type
            && !["text", "image", "video", "audio"].contains(&word.as_str())
        {
            return Err(ApiError::validation(
                "input_type",
                format!(
                    "{:?} was sent; allowed are text, image, video and audio",
                    shortened(word)
                ),
            ));
        }
        let most_nanos = query
            .last("max_price_per_second")
            .map(|text| {
                text.parse::<Nanos>().map(Nanos::get).map_err(|_| {
                    ApiError::validation(
                        "max_price_per_second",
                        format!(
                            "{:?} was sent; allowed are US dollars such as 0.25",
                            shortened(text)
                        ),
                    )
                })
            })
            .transpose()?;
        Ok(Self {
            params: query
                .list("params")
                .iter()
                .map(|name| canonical(name).to_owned())
                .collect(),
            provider: query.last("provider").map(str::to_owned),
            input_type,
            most_nanos,
        })
    }

    /// Every condition on one provider, so that a model is not shown for two halves of a wish.
    fn fits_pair(&self, pair: &PairView) -> bool {
        let takes = |name: &String| {
            pair.supported_params
                .iter()
                .any(|param| param.eq_ignore_ascii_case(name))
        };
        self.params.iter().all(takes)
            && self.provider.as_ref().is_none_or(|name| *name == pair.id)
            && self
                .input_type
                .as_ref()
                .is_none_or(|kind| pair.input_types.contains(&kind.as_str()))
            && self.most_nanos.is_none_or(|most| {
                pair.pricing
                    .iter()
                    .any(|price| price.a_second().is_some_and(|nanos| nanos <= most))
            })
    }

    pub(super) fn fits(&self, model: &ModelView) -> bool {
        // What is retired may have no provider any more.
        let anything = self.params.is_empty()
            && self.provider.is_none()
            && self.input_type.is_none()
            && self.most_nanos.is_none();
        anything || model.providers.iter().any(|pair| self.fits_pair(pair))
    }
}

/// The names clients of other APIs know a field by.
fn canonical(name: &str) -> &str {
    match name {
        "seconds" | "duration_seconds" => "duration",
        "n" | "num_videos" | "number_of_videos" => "sample_count",
        "audio" => "generate_audio",
        "input_reference" | "frame_images" | "image" => "input_references",
        other => other,
    }
}

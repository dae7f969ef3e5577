//! What of a job is its owner's: what he put in and got out, and the stored objects it names.

use std::sync::Arc;

use filmgate_core::job::{Admission, Life, State};
use filmgate_core::request::Request;

/// Removes what an owner put in and got out; what the books need stays.
pub(crate) fn redact(admission: &mut Admission, life: &mut Life) {
    let request = Arc::make_mut(&mut admission.request);
    *request = Request {
        prompt: String::new(),
        negative_prompt: None,
        inputs: Vec::new(),
        provider_params: serde_json::Map::new(),
        webhook: None,
        session_id: None,
        metadata: std::collections::BTreeMap::new(),
        ..request.clone()
    };
    if let State::Completed { assets, .. } = &mut life.state {
        assets.clear();
    }
}

/// The inputs' objects. An input that is not put yet has no key.
pub(crate) fn named_by_request(request: &Request) -> impl Iterator<Item = &str> {
    request
        .inputs
        .iter()
        .map(|input| input.key.as_str())
        .filter(|key| !key.is_empty())
}

/// The outputs' objects, thumbnails included.
pub(crate) fn named_by_life(life: &Life) -> impl Iterator<Item = &str> {
    let assets = match &life.state {
        State::Completed { assets, .. } => assets.as_slice(),
        State::Accepted
        | State::Submitting { .. }
        | State::Running { .. }
        | State::Fetching { .. }
        | State::Failed { .. }
        | State::Cancelled
        | State::Expired { .. } => &[],
    };
    assets.iter().flat_map(|asset| {
        let thumbnail = asset
            .thumbnail
            .as_ref()
            .map(|thumbnail| thumbnail.key.as_str());
        std::iter::once(asset.key.as_str()).chain(thumbnail)
    })
}

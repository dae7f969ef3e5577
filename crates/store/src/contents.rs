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
    // Nothing is left whose time could be over.
    life.bytes_expire_at = None;
    if life.fate.is_none() {
        life.due_at = None;
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

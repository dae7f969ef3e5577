//! A stored request in the words of a create, so that sending it asks for the same again.

use filmgate_core::request::{Request, Sort};
use serde_json::{Map, Value, json};

/// Everything but the inputs: their bytes are told apart, and only `retry` can send them again.
pub(super) fn of(request: &Request) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", json!(request.model));
    put("prompt", json!(request.prompt));
    put("negative_prompt", json!(request.negative_prompt));
    put("duration", json!(request.duration));
    put("size", json!(request.size));
    put("resolution", json!(request.resolution));
    put("aspect_ratio", json!(request.aspect_ratio));
    put("seed", json!(request.seed));
    put("generate_audio", json!(request.generate_audio));
    put("enhance_prompt", json!(request.enhance_prompt));
    put("compression_quality", json!(request.compression_quality));
    put("person_generation", json!(request.person_generation));
    put("resize_mode", json!(request.resize_mode));
    put("quality", json!(request.quality));
    put("sample_count", json!(request.sample_count));
    put("input_video_duration", json!(request.input_video_duration));
    put("input_audio_duration", json!(request.input_audio_duration));
    put("provider", provider(request));
    if !request.provider_params.is_empty() {
        put("provider_params", json!(request.provider_params));
    }
    put("output", json!({"access": request.access.as_str()}));
    if let Some(webhook) = &request.webhook {
        put("webhook", json!(webhook));
    }
    put("session_id", json!(request.session_id));
    put("metadata", json!(request.metadata));
    put(
        "max_cost",
        json!(request.max_cost.map(|cost| cost.to_string())),
    );
    put("expires_after", json!(request.expires_after.as_secs()));
    Value::Object(body)
}

fn provider(request: &Request) -> Value {
    let preference = &request.provider;
    json!({
        "only": preference.only,
        "order": preference.order,
        "ignore": preference.ignore,
        "allow_fallbacks": preference.allow_fallbacks,
        "sort": preference.sort.map(|sort| match sort {
            Sort::Price => "price",
            Sort::Latency => "latency",
        }),
        "max_price": preference.max_price.map(|price| price.to_string()),
        "require_parameters": preference.require_parameters,
    })
}

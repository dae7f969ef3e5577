//! `provider_params` may not say again what the gateway controls: price, route and safety hang on it.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Lower-case and without `-` and `_`, as names are compared.
const CONTROLLED: [&str; 25] = [
    "model",
    "prompt",
    "input",
    "content",
    "request",
    "duration",
    "seconds",
    "durationseconds",
    "size",
    "resolution",
    "aspectratio",
    "ratio",
    "n",
    "samplecount",
    "numsamples",
    "numoutputs",
    "numvideos",
    "numberofvideos",
    "numberofoutputs",
    "numresults",
    "callback",
    "callbackurl",
    "webhook",
    "webhookurl",
    "notifyurl",
];

/// Refuses a controlled name at any depth.
pub(crate) fn check(params: &Map<String, Value>) -> Result<(), ApiError> {
    find(params, "provider_params").map_or(Ok(()), Err)
}

fn find(map: &Map<String, Value>, path: &str) -> Option<ApiError> {
    map.iter().find_map(|(name, value)| {
        let path = format!("{path}.{}", super::shortened(name));
        let plain: String = name
            .chars()
            .filter(|letter| !matches!(letter, '-' | '_'))
            .flat_map(char::to_lowercase)
            .collect();
        if CONTROLLED.contains(&plain.as_str()) {
            return Some(ApiError::validation(
                path,
                "it was sent; allowed are options the gateway does not control itself, so use the request's own fields",
            ));
        }
        within(value, &path)
    })
}

fn within(value: &Value, path: &str) -> Option<ApiError> {
    match value {
        Value::Object(map) => find(map, path),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| within(item, &format!("{path}[{at}]"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(params: Value) -> Option<String> {
        let error = check(params.as_object().unwrap()).err()?;
        Some(error.body("r").details[0].path.clone())
    }

    #[test]
    fn controlled_names_are_refused_however_they_are_written() {
        for name in [
            "Aspect-Ratio",
            "aspectRatio",
            "num_videos",
            "N",
            "webhook_url",
            "Prompt",
        ] {
            assert!(refused(json!({ name: 1 })).is_some(), "{name}");
        }
        assert_eq!(
            refused(json!({"a": [{"b": 1}, {"call-back-url": "x"}]})).as_deref(),
            Some("provider_params.a[1].call-back-url")
        );
    }

    #[test]
    fn other_names_pass() {
        let simulate =
            json!({"simulate": {"render_seconds": 2, "billed_seconds": 3, "progress": false}});
        assert_eq!(refused(simulate), None);
    }
}

//! From a map to a type: the first thing that does not fit is told with its path, what was sent and what is allowed.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::shortened;
use crate::error::ApiError;

pub(crate) fn read<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, ApiError> {
    let value = Value::Object(map);
    serde_path_to_error::deserialize(&value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let path = if path == "." || path.is_empty() {
            "body".to_owned()
        } else {
            path
        };
        ApiError::validation(path, told(at(&value, error.path()), &message))
    })
}

/// serde says `invalid type: string "x", expected a boolean`; we say what was sent and what is allowed.
fn told(sent: Option<&Value>, message: &str) -> String {
    let is_about_value =
        message.starts_with("invalid type") || message.starts_with("invalid value");
    match (sent, message.split_once(", expected ")) {
        (Some(sent), Some((_, allowed))) if is_about_value => {
            format!("{} was sent; allowed is {allowed}", shown(sent))
        }
        _ => shortened(message),
    }
}

/// What was sent, short enough for a message.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", shortened(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn at<'a>(root: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    use serde_path_to_error::Segment;
    path.iter().try_fold(root, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

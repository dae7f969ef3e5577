//! Options of one server that a client may set: knobs of the model, never what the gateway decides itself, and never a
//! place on the server's disk or in its network.

use filmgate_core::request::Refusal;
use serde_json::{Map, Value};

/// Lower-case and without `-` and `_`, as names are compared.
const DECIDED_HERE: [&str; 25] = [
    "model",
    "prompt",
    "negativeprompt",
    "seconds",
    "duration",
    "numframes",
    "frames",
    "size",
    "width",
    "height",
    "resolution",
    "aspectratio",
    "shortedge",
    "n",
    "numoutputs",
    "numoutputsperprompt",
    "seed",
    "generatesound",
    "generateaudio",
    "mask",
    "sourcevideo",
    "sourceaudio",
    "callback",
    "webhook",
    "customllmprovider",
];
/// What the names of files, folders and addresses end with. Servers read them from their own disk.
const PLACES: [&str; 12] = [
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "dir",
    "directory",
    "folder",
    "url",
    "urls",
    "reference",
    "references",
];
const MOST_KEY_BYTES: usize = 64;

/// Why an operator may not let clients set `key`; `None` where they may.
pub fn objection(key: &str) -> Option<String> {
    let word = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    if key.is_empty() || key.len() > MOST_KEY_BYTES || !key.bytes().all(word) {
        return Some(format!(
            "{key:?} was given, and 1 to {MOST_KEY_BYTES} letters, digits and _ are allowed"
        ));
    }
    objection_to_name(key).map(|why| format!("{key:?} {why}"))
}

/// Refuses what reaches beyond the model's knobs, at any depth.
pub(super) fn check(params: &Map<String, Value>) -> Result<(), Refusal> {
    find(params, "provider_params").map_or(Ok(()), Err)
}

/// A value as a form field holds it: text as it is, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn objection_to_name(name: &str) -> Option<&'static str> {
    let plain: String = name
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect();
    if DECIDED_HERE.contains(&plain.as_str()) {
        Some("is decided by the request's own fields")
    } else if PLACES.iter().any(|place| plain.ends_with(place)) {
        Some("names a place, which the server would read from its own disk or network")
    } else {
        None
    }
}

fn find(params: &Map<String, Value>, path: &str) -> Option<Refusal> {
    params.iter().find_map(|(name, value)| {
        let path = format!("{path}.{name}");
        if let Some(why) = objection_to_name(name) {
            return Some(Refusal {
                field: path,
                sent: "it".to_owned(),
                allowed: format!("this {why}, so nothing"),
            });
        }
        within(value, &path)
    })
}

fn within(value: &Value, path: &str) -> Option<Refusal> {
    let refuse = |allowed: &str| {
        Some(Refusal {
            field: path.to_owned(),
            sent: "a text".to_owned(),
            allowed: allowed.to_owned(),
        })
    };
    match value {
        Value::Object(map) => find(map, path),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| within(item, &format!("{path}[{at}]"))),
        Value::String(text) if names_a_place(text) => {
            refuse("a text that is no path and no address")
        }
        // The server would take it apart, and what is in it would pass unseen.
        Value::String(text) if text.trim_start().starts_with(['{', '[', '"']) => {
            refuse("the object itself, not its JSON text")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn names_a_place(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['/', '\\', '~', '.'])
        || text.contains("://")
        || text.contains("..")
        || text.contains('\\')
        || text
            .get(..5)
            .is_some_and(|head| matches!(head.to_ascii_lowercase().as_str(), "file:" | "data:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(params: Value) -> Option<String> {
        check(params.as_object().unwrap())
            .err()
            .map(|refusal| refusal.field)
    }

    #[test]
    fn knobs_of_the_model_pass() {
        assert_eq!(
            refused(json!({
                "guidance_scale": 4.5, "num_inference_steps": 30, "fps": 16, "quality": "high",
                "enable_teacache": true, "extra_params": {"flow_shift": 5, "schedule": ["a", 1]},
            })),
            None
        );
        assert_eq!(objection("guidance_scale_2"), None);
    }

    #[test]
    fn what_the_gateway_decides_is_refused_at_any_depth() {
        assert_eq!(
            refused(json!({"extra_params": [{"num-Outputs_per_prompt": 10}]})).as_deref(),
            Some("provider_params.extra_params[0].num-Outputs_per_prompt")
        );
        for key in ["num_frames", "width", "seed", "n", "Model"] {
            assert!(objection(key).unwrap().contains("own fields"), "{key}");
        }
    }

    #[test]
    fn places_on_the_server_are_refused_by_name_and_by_value() {
        for key in [
            "video_path",
            "input_reference",
            "reference_url",
            "frame_interpolation_model_path",
            "output_dir",
        ] {
            assert!(objection(key).unwrap().contains("place"), "{key}");
        }
        for place in [
            "/etc/passwd",
            " ~/x",
            "../x",
            "a/../b",
            "file:x",
            "DATA:image/png;base64,",
            "http://169.254.169.254/",
            "C:\\x",
        ] {
            let field = refused(json!({ "lora": {"name": place} }));
            assert_eq!(
                field.as_deref(),
                Some("provider_params.lora.name"),
                "{place}"
            );
        }
    }

    #[test]
    fn an_object_does_not_pass_as_its_text() {
        let smuggled = json!({"extra_params": " {\"video_path\": \"x\"}"});
        assert_eq!(
            refused(smuggled).as_deref(),
            Some("provider_params.extra_params")
        );
    }

    #[test]
    fn keys_that_make_no_field_are_refused() {
        for key in ["", "a b", "a\"b", "a.b", "é"] {
            assert!(objection(key).unwrap().contains("letters"), "{key}");
        }
    }

    #[test]
    fn values_are_written_as_a_form_holds_them() {
        let shown = [json!("high"), json!(4.5), json!(true), json!({"a": 1})];
        let shown: Vec<_> = shown.iter().map(text).collect();
        assert_eq!(shown, ["high", "4.5", "true", "{\"a\":1}"]);
    }
}

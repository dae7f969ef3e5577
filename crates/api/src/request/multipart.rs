//! A multipart body becomes the same map as a JSON one; its file parts stand beside it.
//!
//! Form fields are text, so each is read by what its field holds: `duration=4` is a number, `prompt=4` a text. Nested
//! values come as JSON text (`provider={"only":["x"]}`) or in brackets (`provider[only][]=x`).

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use serde_json::{Map, Value};

use super::create::Upload;
use super::{json, shortened};
use crate::error::ApiError;

/// More would be a mistake or an attack.
const MOST_PARTS: usize = 256;
const MOST_DEPTH: usize = 16;

/// What the text of a form field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    /// A number or a boolean; what is neither stays text and is refused where it is read.
    Scalar,
    /// An object or a list, as JSON text.
    Nested,
    /// A URL, or an object as JSON text.
    TextOrNested,
}

fn holds(field: &str) -> Holds {
    match field {
        "seed"
        | "generate_audio"
        | "enhance_prompt"
        | "compression_quality"
        | "sample_count"
        | "input_video_duration"
        | "input_audio_duration"
        | "expires_after" => Holds::Scalar,
        "input_references" | "frame_images" | "provider" | "provider_params" | "output"
        | "webhook" | "metadata" => Holds::Nested,
        "input_reference" => Holds::TextOrNested,
        _ => Holds::Text,
    }
}

/// The map and the files of a body whose text fields may have `most` bytes together, `data:` URLs apart.
pub(crate) async fn read(
    content_type: Option<HeaderValue>,
    bytes: Bytes,
    most: u64,
) -> Result<(Map<String, Value>, Vec<Upload>), ApiError> {
    let mut request = Request::new(Body::from(bytes));
    if let Some(value) = content_type {
        request.headers_mut().insert(CONTENT_TYPE, value);
    }
    // The body is in memory already, within its own limit.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|_| unreadable("its content type has no boundary"))?;
    let (mut map, mut uploads) = (Map::new(), Vec::new());
    let (mut parts, mut text_bytes) = (0, 0u64);
    while let Some(part) = multipart
        .next_field()
        .await
        .map_err(|error| unreadable(&error.body_text()))?
    {
        parts += 1;
        if parts > MOST_PARTS {
            return Err(ApiError::validation(
                "body",
                format!("more than {MOST_PARTS} parts were sent; allowed are {MOST_PARTS}"),
            ));
        }
        let name = part
            .name()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| unreadable("a part has no name"))?
            .to_owned();
        let is_file = part.file_name().is_some();
        let content = part
            .bytes()
            .await
            .map_err(|error| unreadable(&error.body_text()))?;
        if is_file {
            uploads.push(upload(name, content)?);
            continue;
        }
        let text = std::str::from_utf8(&content)
            .map_err(|_| ApiError::validation(shortened(&name), "it is not UTF-8"))?;
        if !text.starts_with("data:") {
            text_bytes += content.len() as u64;
            if text_bytes > most {
                return Err(ApiError::too_large(format!(
                    "the text fields have more than the {most} bytes allowed"
                )));
            }
        }
        insert(&mut map, &name, text)?;
    }
    Ok((map, uploads))
}

fn unreadable(why: &str) -> ApiError {
    ApiError::validation(
        "body",
        format!("the multipart body cannot be read: {}", shortened(why)),
    )
}

fn upload(name: String, bytes: Bytes) -> Result<Upload, ApiError> {
    let known = matches!(name.as_str(), "input_reference" | "input_references")
        || name
            .strip_prefix("input_references[")
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|at| at.bytes().all(|byte| byte.is_ascii_digit()));
    if known {
        return Ok(Upload { field: name, bytes });
    }
    Err(ApiError::validation(
        shortened(&name),
        "a file was sent; allowed are files as input_reference and input_references[]",
    ))
}

/// Puts one form field where its name says.
fn insert(map: &mut Map<String, Value>, name: &str, text: &str) -> Result<(), ApiError> {
    let (field, keys) = name_and_keys(name)?;
    let value = value_of(&field, &keys, text)?;
    let twice = || ApiError::validation(shortened(name), "it was sent twice; allowed is once");
    if keys.is_empty() {
        return match map.insert(field, value) {
            Some(_) => Err(twice()),
            None => Ok(()),
        };
    }
    let mut place = map.entry(field).or_insert(Value::Null);
    for key in &keys {
        place = step(place, key).ok_or_else(twice)?;
    }
    if !place.is_null() {
        return Err(twice());
    }
    *place = value;
    Ok(())
}

/// `a[b][][0]` is `a` and the keys `b`, empty and `0`.
fn name_and_keys(name: &str) -> Result<(String, Vec<String>), ApiError> {
    let wrong = || {
        ApiError::validation(
            shortened(name),
            "its brackets do not match; allowed are names such as provider[only][]",
        )
    };
    let Some((field, rest)) = name.split_once('[') else {
        return Ok((name.to_owned(), Vec::new()));
    };
    let inner = rest.strip_suffix(']').ok_or_else(wrong)?;
    let keys: Vec<String> = inner.split("][").map(str::to_owned).collect();
    let plain = keys.iter().all(|key| !key.contains(['[', ']']));
    if field.is_empty() || !plain || keys.len() > MOST_DEPTH {
        return Err(wrong());
    }
    Ok((field.to_owned(), keys))
}

/// One key deeper, making the list or object it needs. `None` where something else is already there.
fn step<'a>(place: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let index = key.parse::<usize>().ok().filter(|at| *at < MOST_PARTS);
    if place.is_null() {
        *place = if key.is_empty() || index == Some(0) {
            Value::Array(Vec::new())
        } else {
            Value::Object(Map::new())
        };
    }
    match place {
        Value::Array(items) => {
            let at = if key.is_empty() { items.len() } else { index? };
            if at > items.len() {
                return None;
            }
            if at == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(at)
        }
        Value::Object(map) => Some(map.entry(key.to_owned()).or_insert(Value::Null)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn value_of(field: &str, keys: &[String], text: &str) -> Result<Value, ApiError> {
    let as_text = || Value::String(text.to_owned());
    if !keys.is_empty() {
        // Of nested fields only these hold anything but text.
        let scalar = field == "provider_params"
            || (field == "provider"
                && matches!(keys[0].as_str(), "allow_fallbacks" | "require_parameters"));
        return Ok(if scalar {
            scalar_of(text).unwrap_or_else(as_text)
        } else {
            as_text()
        });
    }
    let looks_nested = text.trim_start().starts_with(['{', '[']);
    match holds(field) {
        Holds::Scalar => Ok(scalar_of(text).unwrap_or_else(as_text)),
        Holds::Nested => nested(field, text),
        Holds::TextOrNested if looks_nested => nested(field, text),
        Holds::Text | Holds::TextOrNested => Ok(as_text()),
    }
}

fn scalar_of(text: &str) -> Option<Value> {
    let value = json::value(text.as_bytes()).ok()?;
    (value.is_number() || value.is_boolean()).then_some(value)
}

fn nested(field: &str, text: &str) -> Result<Value, ApiError> {
    json::value(text.as_bytes()).map_err(|why| {
        ApiError::validation(field, format!("its text is not JSON: {}", shortened(&why)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(fields: &[(&str, &str)]) -> Result<Value, ApiError> {
        let mut map = Map::new();
        for (name, text) in fields {
            insert(&mut map, name, text)?;
        }
        Ok(Value::Object(map))
    }

    #[test]
    fn types_are_told_from_the_field() {
        let read = map(&[
            ("prompt", "123"),
            ("seconds", "4"),
            ("seed", "7"),
            ("generate_audio", "true"),
            ("max_cost", "0.10"),
            ("metadata[a]", "1"),
            ("provider[only][]", "x"),
            ("provider[only][]", "y"),
            ("provider[allow_fallbacks]", "false"),
            ("provider_params[simulate][render_seconds]", "2"),
            ("input_reference[image_url]", "data:,x"),
            ("input_references[0][type]", "image"),
            ("input_references[0][data]", "eA=="),
            ("output", "{\"access\":\"bytes\"}"),
        ])
        .unwrap();
        assert_eq!(
            read,
            json!({
                "prompt": "123", "seconds": "4", "seed": 7, "generate_audio": true, "max_cost": "0.10",
                "metadata": {"a": "1"},
                "provider": {"only": ["x", "y"], "allow_fallbacks": false},
                "provider_params": {"simulate": {"render_seconds": 2}},
                "input_reference": {"image_url": "data:,x"},
                "input_references": [{"type": "image", "data": "eA=="}],
                "output": {"access": "bytes"},
            })
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(map(&[("prompt", "a"), ("prompt", "b")]).is_err());
        assert!(
            map(&[
                ("metadata", "{}"),
                ("metadata[a]", "b"),
                ("metadata[a]", "c")
            ])
            .is_err()
        );
        assert!(map(&[("prompt", "a"), ("prompt[x]", "b")]).is_err());
        assert!(map(&[("a[", "b")]).is_err());
        assert!(map(&[("metadata", "{")]).is_err());
    }

    proptest! {
        #[test]
        fn no_name_upsets_it(names in prop::collection::vec("[a-c\\[\\]0-9]{0,9}", 0..6), text in "\\PC{0,9}") {
            let mut map = Map::new();
            for name in names {
                let _ = insert(&mut map, &name, &text);
            }
        }
    }
}

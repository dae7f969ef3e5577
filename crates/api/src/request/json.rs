//! JSON, strictly: one object, no name twice, nothing behind it; and bounded before it is parsed.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::shortened;
use crate::error::ApiError;

/// Refuses a body that has more than `most` bytes beside its `data:` URLs.
///
/// Looked at as bytes, before anything is parsed: a few megabytes of brackets would become hundreds in memory.
pub(crate) fn within(bytes: &[u8], most: u64) -> Result<(), ApiError> {
    let mut counted = 0u64;
    let mut rest = bytes;
    while let Some(quote) = rest.iter().position(|byte| *byte == b'"') {
        let (before, text) = rest.split_at(quote + 1);
        let end = end_of_string(text);
        let is_data = text
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"data:"));
        counted += before.len() as u64 + if is_data { 5 } else { end as u64 };
        rest = &text[end..];
    }
    counted += rest.len() as u64;
    if counted <= most {
        return Ok(());
    }
    Err(ApiError::too_large(format!(
        "a JSON body may have {most} bytes beside its data: URLs; send large files as data: URLs or as multipart/form-data"
    )))
}

/// Where the string that begins here ends, its closing quote included.
fn end_of_string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The one object a body consists of.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match value(bytes).map_err(ApiError::invalid_json)? {
        Value::Object(map) => Ok(map),
        other => Err(ApiError::invalid_json(format!(
            "the body is {}; it must be an object",
            kind_of(&other)
        ))),
    }
}

/// Any JSON value, or what is wrong with the text and where.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("the body is empty; it must be a JSON object".to_owned());
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(format!(
            "the body is not UTF-8: byte {} starts no character",
            error.valid_up_to()
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| shortened(&error.to_string()))
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// As `Value`, but a name that stands twice is an error: which of the two was meant, nobody can tell.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(serde::de::Error::custom(format!(
                    "{:?} stands twice in one object",
                    shortened(&name)
                )));
            }
            let value = entries.next_value_seed(Self)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_one_object_is_told_with_its_place() {
        for (text, told) in [
            ("", "empty"),
            ("[]", "a list"),
            ("{\"a\":1} x", "line 1 column"),
            ("{\"a\":1,\"a\":2}", "stands twice"),
            ("{\"a\":}", "column 6"),
            ("{\"a\":1", "EOF"),
        ] {
            let error = object(text.as_bytes()).unwrap_err();
            let told_is = error.body("r").description;
            assert!(told_is.contains(told), "{text}: {told_is}");
            assert_eq!(error.body("r").error, "invalid_json");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
        let deep = "[".repeat(100_000);
        assert!(value(deep.as_bytes()).unwrap_err().contains("recursion"));
    }

    #[test]
    fn only_data_urls_may_be_large() {
        let large = "x".repeat(2000);
        let body = format!("{{\"a\":\"data:{large}\"}}");
        assert!(within(body.as_bytes(), 1000).is_ok());
        let body = format!("{{\"a\":\"{large}\"}}");
        assert!(within(body.as_bytes(), 1000).is_err());
        let body = format!("{{\"a\":\"\\\"data:{large}\"}}");
        assert!(within(body.as_bytes(), 1000).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&bytes);
            let _ = within(&bytes, 10);
        }

        #[test]
        fn no_almost_json_upsets_it(text in "[{}\\[\\]\":,a1\\\\ dt:]{0,80}") {
            let _ = object(text.as_bytes());
            let _ = within(text.as_bytes(), 10);
        }
    }
}

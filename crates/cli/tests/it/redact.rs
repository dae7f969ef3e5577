//! Takes out of an answer what differs from run to run, so that the rest can be compared with a snapshot.

use serde_json::Value;

/// The value with ids, instants, the gateway's address and signed queries replaced by what they are.
pub(crate) fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let redact = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::Number(_) if name == "at" || name.ends_with("_at") => "[instant]".into(),
                    Value::Number(_) if name.ends_with("_ms") => "[milliseconds]".into(),
                    Value::String(_) if name == "kid" => "[kid]".into(),
                    value => redacted(value),
                };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(redact).collect())
        }
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::String(text) => redacted_text(text).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A text with the same things replaced.
pub(crate) fn redacted_text(text: &str) -> String {
    let (text, query) = text
        .split_once("download_token=")
        .map_or((text, ""), |(before, _)| (before, "[signed]"));
    let mut words = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
        } else {
            words.push_str(&known(&word));
            words.push(letter);
            word.clear();
        }
    }
    words.pop();
    let mut out = String::new();
    let mut rest = words.as_str();
    while let Some((before, after)) = rest.split_once("127.0.0.1:") {
        out.push_str(before);
        out.push_str("[gateway]");
        rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
    }
    out + rest + query
}

/// An id by its prefix, a digest by its length, anything else as it is.
fn known(word: &str) -> String {
    const PREFIXES: [&str; 7] = ["video", "req", "gen", "key", "ws", "ast", "hold"];
    if let Some((prefix, suffix)) = word.split_once('_')
        && PREFIXES.contains(&prefix)
        && suffix.len() == 26
    {
        return format!("[{prefix}]");
    }
    let hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    match word.len() {
        64 if hexadecimal => "[sha256]".to_owned(),
        _ if word.starts_with("tc_") && word.len() > 16 => "[native]".to_owned(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_replaced_and_the_rest_stays() {
        let id = format!("video_{}", "0".repeat(26));
        let shown = redacted(&json!({
            "id": id,
            "url": format!("http://127.0.0.1:4711/v1/videos/{id}/content?download_token=1.2&expires_at=3"),
            "created_at": 17,
            "seconds": 1,
        }));
        let expected = json!({
            "id": "[video]",
            "url": "http://[gateway]/v1/videos/[video]/content?[signed]",
            "created_at": "[instant]",
            "seconds": 1,
        });
        assert_eq!(shown, expected);
    }
}

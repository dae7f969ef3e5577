//! What a server says when it refuses or fails, out of every shape these servers say it in.
//!
//! OpenAI's `{"error": {…}}`, the same without its envelope, FastAPI's `{"detail": …}`, and the `error` of a job.

use serde_json::{Map, Value};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// A word, or the HTTP status that some put in its place.
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) message: Option<String>,
}

impl Complaint {
    /// The complaint that an answer's body is; `None` where it is none.
    pub(super) fn of_answer(body: &[u8]) -> Option<Self> {
        let Value::Object(body) = serde_json::from_slice(body).ok()? else {
            return None;
        };
        Self::of_body(&body)
    }

    pub(super) fn of_body(body: &Map<String, Value>) -> Option<Self> {
        match (body.get("error"), body.get("detail")) {
            (Some(error), _) if !error.is_null() => Some(Self::of_error(error)),
            (_, Some(detail)) if !detail.is_null() => Some(Self::of_detail(detail)),
            _ if body.get("object").and_then(Value::as_str) == Some("error") => {
                Some(Self::of_map(body))
            }
            _ => None,
        }
    }

    /// From what stands under `error`: an object, or the words alone.
    pub(super) fn of_error(error: &Value) -> Self {
        match error {
            Value::Object(map) => Self::of_map(map),
            Value::String(message) => Self::saying(message.clone()),
            other => Self::saying(other.to_string()),
        }
    }

    /// The HTTP status that its code is, where it is one.
    pub(super) fn status(&self) -> Option<u16> {
        let status = self.code.as_ref()?.parse().ok()?;
        (400..600).contains(&status).then_some(status)
    }

    fn of_map(map: &Map<String, Value>) -> Self {
        let word = |name: &str| match map.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Self {
            code: word("code"),
            kind: word("type"),
            message: word("message"),
        }
    }

    fn of_detail(detail: &Value) -> Self {
        match detail {
            Value::Array(faults) => {
                let faults: Vec<String> = faults.iter().map(fault).collect();
                Self::saying(faults.join("; "))
            }
            Value::Object(map) => Self::of_body(map).unwrap_or_else(|| Self::of_map(map)),
            other => Self::of_error(other),
        }
    }

    fn saying(message: String) -> Self {
        Self {
            message: Some(message).filter(|message| !message.is_empty()),
            ..Self::default()
        }
    }
}

/// One of FastAPI's faults: where, and what. What was sent is left out, it may be the prompt.
fn fault(fault: &Value) -> String {
    let place = fault.get("loc").and_then(Value::as_array).map(|place| {
        let steps = place.iter().map(|step| match step {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        });
        steps.collect::<Vec<_>>().join(".")
    });
    let what = fault.get("msg").and_then(Value::as_str).unwrap_or("wrong");
    match place {
        Some(place) if !place.is_empty() => format!("{place}: {what}"),
        _ => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Option<(Option<String>, Option<String>)> {
        let complaint = Complaint::of_answer(body.to_string().as_bytes())?;
        Some((complaint.code, complaint.message))
    }

    fn said(code: Option<&str>, message: &str) -> Option<(Option<String>, Option<String>)> {
        Some((code.map(str::to_owned), Some(message.to_owned())))
    }

    #[test]
    fn every_shape_of_an_error_is_read() {
        for (body, expected) in [
            (
                json!({"error": {"message": "m", "type": "t", "param": null, "code": "c"}}),
                said(Some("c"), "m"),
            ),
            (
                json!({"error": {"message": "m", "code": 429}}),
                said(Some("429"), "m"),
            ),
            (json!({"error": "m"}), said(None, "m")),
            (
                json!({"object": "error", "message": "m", "code": 400}),
                said(Some("400"), "m"),
            ),
            (
                json!({"detail": "Video not found"}),
                said(None, "Video not found"),
            ),
            (
                json!({"detail": {"error": {"message": "m"}}}),
                said(None, "m"),
            ),
            (
                json!({"detail": {"message": "m", "code": "c"}}),
                said(Some("c"), "m"),
            ),
            (
                json!({"detail": [{"loc": ["body", "seconds"], "msg": "not a number", "input": "secret"}, {"loc": ["body", 0]}, 7]}),
                said(None, "body.seconds: not a number; body.0: wrong; wrong"),
            ),
        ] {
            assert_eq!(read(body.clone()), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_complaint_is_none() {
        for body in [
            json!({"id": "v", "error": null}),
            json!({}),
            json!([1]),
            json!("m"),
        ] {
            assert_eq!(read(body), None);
        }
        assert_eq!(Complaint::of_answer(b"<html>"), None);
    }

    #[test]
    fn a_code_that_is_a_status_is_one() {
        let status = |code: &str| {
            Complaint {
                code: Some(code.into()),
                ..Complaint::default()
            }
            .status()
        };
        assert_eq!(status("503"), Some(503));
        assert_eq!((status("200"), status("oom")), (None, None));
    }
}

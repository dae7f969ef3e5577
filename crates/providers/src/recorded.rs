//! Recorded messages, for tests: answers that were heard, and bodies with inputs by number.

use std::collections::BTreeMap;

use bytes::Bytes;
use filmgate_core::provider::{Body, Encoding, Part};
use http::Response;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Recorded {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Value,
}

/// The one called `name` of a file of answers.
pub(crate) fn answer(file: &str, name: &str) -> Response<Bytes> {
    let mut all: BTreeMap<String, Recorded> = serde_json::from_str(file).unwrap();
    let recorded = all.remove(name).expect(name);
    let mut answer = Response::builder().status(recorded.status);
    for (name, value) in recorded.headers {
        answer = answer.header(name, value);
    }
    answer.body(recorded.body.to_string().into()).unwrap()
}

pub(crate) fn plain(status: u16, body: &'static str) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    answer.body(Bytes::from_static(body.as_bytes())).unwrap()
}

/// A body's text, in which `<1>` stands for the input number 1 as it is `encoded`.
pub(crate) fn text_of(body: &Body, encoded: Encoding) -> String {
    let Body(parts) = body;
    parts
        .iter()
        .map(|part| match part {
            Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Part::Input { index, encoding } => {
                assert_eq!(*encoding, encoded);
                format!("<{index}>")
            }
            Part::Choice { .. } => panic!("it knows no links"),
        })
        .collect()
}

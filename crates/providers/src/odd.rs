//! Answers as no server should give them, for tests that show that a conversation comes to its end all the same.

use bytes::Bytes;
use http::Response;
use proptest::prelude::*;
use serde_json::Value;

/// JSON that has `words` in all the wrong places.
fn odd_json(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..8).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(entries.collect())
            }),
        ]
    })
}

fn odd_body(words: &'static [&'static str]) -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from),
        odd_json(words).prop_map(|body| body.to_string().into()),
        (odd_json(words), 0usize..200).prop_map(|(body, cut)| {
            let text = body.to_string().into_bytes();
            let cut = cut.min(text.len());
            Bytes::from(text[..cut].to_vec())
        }),
    ]
}

/// An answer that no server should give, made of the words of one.
pub(crate) fn odd_answer(words: &'static [&'static str]) -> impl Strategy<Value = Response<Bytes>> {
    let status = prop_oneof![
        3 => prop::sample::select(vec![200u16, 204, 400, 404, 405, 409, 422, 429, 500, 502, 503]),
        1 => 100u16..1000,
    ];
    (status, odd_body(words), ".{0,20}").prop_map(|(status, body, retry_after)| {
        let mut answer = Response::builder().status(status);
        if let Ok(value) = http::HeaderValue::from_str(&retry_after) {
            answer = answer.header("retry-after", value);
        }
        answer.body(body).unwrap()
    })
}

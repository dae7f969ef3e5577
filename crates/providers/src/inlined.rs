//! JSON with stored inputs in it as base64. The inputs are named and not carried: the engine puts them in.

use filmgate_core::provider::{Body, Encoding, Order, Part};
use serde_json::Value;

/// What stands for an input while the JSON is made, and is cut out of its text.
#[derive(Debug)]
pub(crate) struct Inlined<'a> {
    order: &'a Order,
    marks: Vec<(String, usize)>,
}

impl<'a> Inlined<'a> {
    pub(crate) fn of(order: &'a Order) -> Self {
        Self {
            order,
            marks: Vec::new(),
        }
    }

    /// The `data:` address of the stored input number `index`, to be put into the JSON.
    pub(crate) fn data_url(&mut self, index: usize) -> String {
        let mime_type = &self.order.request.inputs[index].mime_type;
        format!("data:{mime_type};base64,{}", self.base64(index))
    }

    /// The stored input number `index` alone, to be put into the JSON.
    pub(crate) fn base64(&mut self, index: usize) -> String {
        // The attempt's key is minted after the request was read: nobody could have written it into one.
        let mark = format!("<{} {index}>", self.order.attempt_key);
        self.marks.push((mark.clone(), index));
        mark
    }

    pub(crate) fn into_body(self, json: &Value) -> Body {
        let text = json.to_string();
        let mut places: Vec<(usize, usize, usize)> = self
            .marks
            .iter()
            .flat_map(|(mark, index)| {
                text.match_indices(mark.as_str())
                    .map(move |(at, mark)| (at, mark.len(), *index))
            })
            .collect();
        places.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for (at, length, index) in places {
            parts.push(Part::Bytes(text[from..at].to_owned().into()));
            parts.push(Part::Input {
                index,
                encoding: Encoding::Base64,
            });
            from = at + length;
        }
        parts.push(Part::Bytes(text[from..].to_owned().into()));
        Body(parts)
    }
}

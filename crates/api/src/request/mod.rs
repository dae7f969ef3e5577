//! From the bytes of a request to what the engine is asked.
//!
//! A create comes as JSON or as multipart; both become one map ([`json`], [`multipart`]), the map one typed
//! [`create::CreateVideo`], and that the core's request with the bytes of its inputs ([`lower`]).
//!
//! Not here: what a model takes (`catalogue`), what it costs (`engine`).

pub(crate) mod body;
pub(crate) mod create;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod lower;
pub(crate) mod media;
pub(crate) mod multipart;
pub(crate) mod passthrough;
pub(crate) mod reference;
pub(crate) mod typed;
pub(crate) mod webhook;

/// What was sent, for a message: at most 120 characters, the rest as an ellipsis.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    if text.chars().nth(MOST).is_none() {
        return text.to_owned();
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("abc"), "abc");
        let cut = shortened(&"é".repeat(500));
        assert_eq!(cut.chars().count(), 120);
        assert!(cut.ends_with('…'));
    }
}

//! Answers that leave something open: what they say cannot be read, or whether a create was heard cannot be told.

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use http::Response;

use crate::redaction::Redaction;

/// What is kept of a body that nobody can read.
const MOST_KEPT_BYTES: usize = 512;

/// An answer that says nothing its adapter knows.
pub(crate) fn unreadable(answer: &Response<Bytes>, redaction: &Redaction) -> Failure {
    Failure::passing(
        FailureCode::ProviderError,
        "the provider's answer could not be understood",
    )
    .billed(Billed::Unknown)
    .from_provider(
        Some(answer.status().as_u16()),
        None,
        beginning(answer, redaction),
    )
}

/// The same failure of a submit of which nobody can tell whether it was heard.
pub(crate) fn left_open(failure: Failure) -> Failure {
    Failure {
        ambiguous: true,
        retryable: true,
        ..failure.billed(Billed::Unknown)
    }
}

/// What an answer begins with; `None` where it has no body.
pub(crate) fn beginning(answer: &Response<Bytes>, redaction: &Redaction) -> Option<String> {
    // Cut out before it is cut short, lest half a secret stays.
    let text = redaction.apply(&String::from_utf8_lossy(answer.body()));
    let end = text.floor_char_boundary(MOST_KEPT_BYTES);
    Some(text[..end].to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever the text is cut short, no part of a secret stands before the cut.
        #[test]
        fn half_a_secret_is_not_kept_either(before in 0usize..600, letter in prop::char::any()) {
            let secret = "0123456789abcdef";
            let redaction = Redaction::cutting([secret.to_owned()]);
            let body = format!("{}{secret}", letter.to_string().repeat(before));
            let kept = beginning(&Response::new(body.into()), &redaction).unwrap();
            prop_assert!(kept.len() <= MOST_KEPT_BYTES);
            prop_assert!(letter == '0' || !kept.contains("01"), "{}", kept);
        }
    }
}

//! Ids that go into addresses.

use filmgate_core::provider::NativeId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A longer id is none that could be put into an address.
const MOST_ID_BYTES: usize = 2048;
/// What an id keeps in a path: everything else is escaped, whatever the server made it of.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One step of a path.
pub(crate) fn step(native: &NativeId) -> String {
    escaped(&native.0)
}

/// Any text as one step of a path.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, IN_A_PATH).to_string()
}

/// An id that can be put into an address: not empty, and no step up the path, which no escaping would hide.
pub(crate) fn is_id(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.len() <= MOST_ID_BYTES
}

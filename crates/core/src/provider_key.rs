//! A workspace's own credential at a provider.
//!
//! Not here: the secret, which the store keeps sealed and the engine opens for its messages alone.

use crate::id::{ProviderKeyId, WorkspaceId};
use crate::request::ProviderName;
use crate::time::UnixTime;

/// The longest secret there is: a service account's file is a tenth of it.
pub const MOST_SECRET_BYTES: usize = 16 << 10;
/// Characters of a secret that its hint shows.
const HINT_CHARS: usize = 4;
/// A secret with fewer characters has no hint: too much of it would be shown.
const FEWEST_FOR_A_HINT: usize = 16;

/// A credential, without its secret. A workspace has one at a provider that is not deleted, at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKey {
    pub id: ProviderKeyId,
    pub workspace: WorkspaceId,
    pub provider: ProviderName,
    /// For people.
    pub label: String,
    /// The end of the secret, for telling one from another; empty where that would show too much.
    pub hint: String,
    pub created_at: UnixTime,
    pub rotated_at: Option<UnixTime>,
    /// From then on it takes no new jobs; its secret stays until those that are pinned to it are over.
    pub deleted_at: Option<UnixTime>,
}

/// The last characters of `secret`, where they are letters and digits and only a small part of it.
pub fn hint(secret: &str) -> String {
    let count = secret.chars().count();
    if count < FEWEST_FOR_A_HINT {
        return String::new();
    }
    let end: String = secret.chars().skip(count - HINT_CHARS).collect();
    let plain = end.chars().all(|letter| letter.is_ascii_alphanumeric());
    if plain { end } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_hint_is_the_end_of_a_long_secret_and_never_more_than_a_quarter_of_it(secret in "\\PC{0,40}") {
            let hint = hint(&secret);
            prop_assert!(secret.ends_with(&hint));
            prop_assert!(hint.is_empty() || hint.chars().count() == HINT_CHARS);
            prop_assert!(hint.chars().count() * 4 <= secret.chars().count());
        }
    }

    #[test]
    fn a_file_has_no_hint() {
        assert_eq!(hint("key_0123456789abcdef"), "cdef");
        assert_eq!(hint("{ \"private_key\": \"0123456789\" }\n"), "");
    }
}

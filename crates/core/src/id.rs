//! Ids: a prefix and a UUID v7 as 26 lower-case Crockford characters, such as `video_01k9v3q2w8m4t7xh5e0rbn6zcy`.
//!
//! The characters sort as the UUID does, so ids sort by the time they were minted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::UnixTime;

/// Chance for one id, handed in by whoever may ask the operating system for it.
pub type Entropy = [u8; 10];

/// A text that is not the id it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{sent:?} is not an id of the form {prefix}_ and 26 characters of 0-9a-z without i, l, o and u"
)]
pub struct InvalidId {
    pub prefix: &'static str,
    pub sent: String,
}

macro_rules! prefixed_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id of the instant `now`, told apart from its neighbours by `entropy`.
            pub fn mint(now: UnixTime, entropy: Entropy) -> Self {
                let millis = u64::try_from(now.millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// The 26 characters without the prefix.
            pub fn suffix(&self) -> String {
                encode(self.0).as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(encode(self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| InvalidId { prefix: $prefix, sent: text.chars().take(64).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

prefixed_id! {
    /// A job and the videos it makes.
    VideoId = "video";
    /// The audit record of a job.
    GenerationId = "gen";
    /// An API key.
    KeyId = "key";
    /// A workspace's own credential at a provider.
    ProviderKeyId = "pkey";
    /// A workspace: the owner of every other object.
    WorkspaceId = "ws";
    /// Funds set aside for a job.
    HoldId = "hold";
    /// A stored output.
    AssetId = "ast";
    /// A notice to the outside.
    NoticeId = "evt";
    /// A line of the operators' log.
    ActionId = "act";
    /// A request to our API that brought no id of its own.
    RequestId = "req";
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The characters of an id, without an allocation: ids are written many times a request.
struct Encoded([u8; 26]);

impl Encoded {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

fn encode(uuid: Uuid) -> Encoded {
    let mut value = uuid.as_u128();
    let mut text = [0; 26];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    Encoded(text)
}

/// Only the form [`encode`] writes: 26 characters, lower case, no more than 128 bits.
fn decode(text: &str) -> Option<Uuid> {
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes()
        .try_fold(0u128, |value, byte| {
            let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
            Some((value << 5) | digit as u128)
        })
        .map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_as_it_was_written(value: u128) {
            let id = VideoId::from_uuid(Uuid::from_u128(value));
            prop_assert_eq!(id.to_string().parse::<VideoId>(), Ok(id));
        }

        #[test]
        fn texts_sort_as_ids_do(a: u128, b: u128) {
            let (a, b) = (VideoId::from_uuid(Uuid::from_u128(a)), VideoId::from_uuid(Uuid::from_u128(b)));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn no_other_text_is_an_id(text in "\\PC{0,40}") {
            if let Ok(id) = text.parse::<VideoId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let early = VideoId::mint(UnixTime::from_millis(1_795_420_800_000), [255; 10]);
        let late = VideoId::mint(UnixTime::from_millis(1_795_420_800_001), [0; 10]);
        assert!(early < late);
        assert_eq!(early.uuid().get_version_num(), 7);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let key = KeyId::mint(UnixTime::from_seconds(1), [1; 10]);
        assert!(key.to_string().parse::<VideoId>().is_err());
    }
}

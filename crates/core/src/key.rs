//! API keys: their form, their role, and what they may do.
//!
//! Only the secret's SHA-256 is ever stored; hashing and comparing are `engine::keys`' business.

use serde::{Deserialize, Serialize};

use crate::id::{KeyId, WorkspaceId};
use crate::time::UnixTime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at its workspace.
    Read,
    /// Creates, cancels and deletes in its workspace.
    Member,
    /// Everything, operator's calls included.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Read, Self::Member, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A key as stored: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    /// The public half in the key's text: `[a-z0-9]{1,26}`, unique.
    pub kid: String,
    pub workspace: WorkspaceId,
    pub name: String,
    pub role: Role,
    pub created_at: UnixTime,
    pub revoked_at: Option<UnixTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub created_at: UnixTime,
}

/// A key's text, taken apart: `fg_<kid>_<secret>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyText<'a> {
    pub kid: &'a str,
    pub secret: &'a str,
}

impl<'a> KeyText<'a> {
    /// `None` unless the kid is `[a-z0-9]{1,26}` and the secret `[A-Za-z0-9_-]{32,128}`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kid, secret) = text.strip_prefix("fg_")?.split_once('_')?;
        let kid_fits = (1..=26).contains(&kid.len())
            && kid
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let secret_fits = (32..=128).contains(&secret.len())
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (kid_fits && secret_fits).then_some(Self { kid, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_apart_at_the_right_underscores() {
        let secret = "A_b-".repeat(8);
        let text = format!("fg_01abc_{secret}");
        assert_eq!(
            KeyText::parse(&text),
            Some(KeyText {
                kid: "01abc",
                secret: &secret
            })
        );
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let secret = "s".repeat(32);
        for text in [
            String::new(),
            format!("sk_abc_{secret}"),
            format!("fg__{secret}"),
            format!("fg_ABC_{secret}"),
            format!("fg_{}_{secret}", "a".repeat(27)),
            format!("fg_abc_{}", "s".repeat(31)),
            format!("fg_abc_{}", "s".repeat(129)),
            format!("fg_abc_{}é", "s".repeat(32)),
        ] {
            assert_eq!(KeyText::parse(&text), None, "{text:?} was taken for a key");
        }
    }
}

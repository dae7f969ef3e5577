//! Signed links: the right to fetch one object without a key, until an instant.
//!
//! A link carries a token (which key signed it, and what it grants), a signature and its expiry. Everything a check
//! needs is in the link and the keys: nothing is looked up before it holds.
//!
//! Not here: making, sealing and rotating the keys (`store`, `engine`), the rest of the URL (`api`).

use std::fmt;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::time::UnixTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Links of the status object are renewed at this pace, so that every replica shows the same ones.
const BUCKET_SECONDS: i64 = 450;

/// The expiry of links shown at `now`, in unix seconds: between one and two buckets ahead, the same on every replica.
pub fn bucketed_expiry(now: UnixTime) -> i64 {
    (now.seconds().div_euclid(BUCKET_SECONDS) + 2) * BUCKET_SECONDS
}

/// What a link allows to be fetched, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkGrant {
    pub workspace: WorkspaceId,
    pub video: VideoId,
    pub index: u32,
    pub variant: Variant,
    pub disposition: Disposition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    Video,
    Thumbnail,
    /// What the client gave, for the provider that was asked for the job.
    Input,
}

/// Whether a browser saves the object or shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    Attachment,
    Inline,
}

/// The query of a signed link. Its `Display` is the query string; every character in it is safe in a URL as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedQuery {
    pub download_token: String,
    pub download_sig: String,
    /// Unix seconds.
    pub expires_at: i64,
}

/// Why a link does not open anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("the link's signature does not match: use it exactly as it was given")]
    BadSignature,
    #[error("the link has expired: ask for the video's status to get a new one")]
    Expired,
}

/// One key links are signed with.
#[derive(Clone)]
pub struct LinkKey {
    /// Stands in the token of every link made with it.
    pub id: u32,
    pub secret: [u8; 32],
}

/// The key that signs, and those before it.
#[derive(Debug, Clone)]
pub struct LinkKeys {
    pub current: LinkKey,
    /// Each with the instant the last link made with it is over. From then on it opens nothing, whatever a link says.
    pub older: Vec<(LinkKey, UnixTime)>,
}

impl LinkKeys {
    /// A link to `grant` that is good until `expires_at`, in unix seconds.
    pub fn sign(&self, grant: &LinkGrant, expires_at: i64) -> SignedQuery {
        let download_token = token(self.current.id, grant);
        let download_sig = self.current.signature(&download_token, expires_at);
        SignedQuery {
            download_token,
            download_sig,
            expires_at,
        }
    }

    /// What `query`, found on a link to `video`, grants at `now`. The signature is judged first: only who holds a true
    /// link learns that it has expired.
    pub fn verify(
        &self,
        video: VideoId,
        query: &SignedQuery,
        now: UnixTime,
    ) -> Result<LinkGrant, LinkError> {
        let (key_id, grant) = parse_token(&query.download_token).ok_or(LinkError::BadSignature)?;
        let (key, valid_until) = self.find(key_id).ok_or(LinkError::BadSignature)?;
        let expected = key.signature(&query.download_token, query.expires_at);
        let genuine: bool = expected
            .as_bytes()
            .ct_eq(query.download_sig.as_bytes())
            .into();
        if !genuine || grant.video != video {
            return Err(LinkError::BadSignature);
        }
        let over = now.seconds() >= query.expires_at;
        if over || valid_until.is_some_and(|until| now >= until) {
            return Err(LinkError::Expired);
        }
        Ok(grant)
    }

    fn find(&self, id: u32) -> Option<(&LinkKey, Option<UnixTime>)> {
        if self.current.id == id {
            return Some((&self.current, None));
        }
        let (key, until) = self.older.iter().find(|(key, _)| key.id == id)?;
        Some((key, Some(*until)))
    }
}

impl LinkKey {
    /// Lower-case hexadecimal, compared as text: another spelling of the same bytes is another signature.
    fn signature(&self, token: &str, expires_at: i64) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(format!("filmgate download link\n{token}\n{expires_at}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SignedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            download_token,
            download_sig,
            expires_at,
        } = self;
        write!(
            f,
            "download_token={download_token}&download_sig={download_sig}&expires_at={expires_at}"
        )
    }
}

/// A signed link is a secret while it lasts, so it is not printed by accident.
impl fmt::Debug for SignedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedQuery")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// `key.workspace.video.index.variant.disposition`: the signature makes it binding, nothing makes it secret.
fn token(key_id: u32, grant: &LinkGrant) -> String {
    let variant = match grant.variant {
        Variant::Video => "v",
        Variant::Thumbnail => "t",
        Variant::Input => "n",
    };
    let disposition = match grant.disposition {
        Disposition::Attachment => "a",
        Disposition::Inline => "i",
    };
    let LinkGrant {
        workspace,
        video,
        index,
        ..
    } = grant;
    format!("{key_id}.{workspace}.{video}.{index}.{variant}.{disposition}")
}

fn parse_token(token: &str) -> Option<(u32, LinkGrant)> {
    let mut parts = token.split('.');
    let key_id = parts.next()?.parse().ok()?;
    let grant = LinkGrant {
        workspace: parts.next()?.parse().ok()?,
        video: parts.next()?.parse().ok()?,
        index: parts.next()?.parse().ok()?,
        variant: match parts.next()? {
            "v" => Variant::Video,
            "t" => Variant::Thumbnail,
            "n" => Variant::Input,
            _ => return None,
        },
        disposition: match parts.next()? {
            "a" => Disposition::Attachment,
            "i" => Disposition::Inline,
            _ => return None,
        },
    };
    parts.next().is_none().then_some((key_id, grant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    fn key(id: u32) -> LinkKey {
        LinkKey {
            id,
            secret: [id as u8; 32],
        }
    }

    fn keys() -> LinkKeys {
        LinkKeys {
            current: key(7),
            older: Vec::new(),
        }
    }

    prop_compose! {
        fn grants()(workspace: u128, video: u128, index in 0u32..4, variant in prop::sample::select(&[Variant::Video, Variant::Thumbnail, Variant::Input][..]), inline: bool) -> LinkGrant {
            LinkGrant {
                workspace: WorkspaceId::from_uuid(Uuid::from_u128(workspace)),
                video: VideoId::from_uuid(Uuid::from_u128(video)),
                index,
                variant,
                disposition: if inline { Disposition::Inline } else { Disposition::Attachment },
            }
        }
    }

    proptest! {
        #[test]
        fn a_signed_link_grants_what_was_signed_until_it_expires(grant in grants(), seconds in 1i64..4000) {
            let expires_at = NOW.seconds() + seconds;
            let link = keys().sign(&grant, expires_at);
            prop_assert_eq!(keys().verify(grant.video, &link, NOW), Ok(grant));
            let last = UnixTime::from_millis(expires_at * 1000 - 1);
            prop_assert_eq!(keys().verify(grant.video, &link, last), Ok(grant));
            let over = UnixTime::from_seconds(expires_at);
            prop_assert_eq!(keys().verify(grant.video, &link, over), Err(LinkError::Expired));
        }

        #[test]
        fn a_changed_link_opens_nothing(grant in grants(), place: prop::sample::Index, byte in 0x20u8..0x7f) {
            let link = keys().sign(&grant, NOW.seconds() + 900);
            for part in 0..2 {
                let mut changed = link.clone();
                let text = if part == 0 { &mut changed.download_token } else { &mut changed.download_sig };
                let mut bytes = text.clone().into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = byte;
                *text = String::from_utf8(bytes).unwrap();
                if changed != link {
                    prop_assert_eq!(keys().verify(grant.video, &changed, NOW), Err(LinkError::BadSignature));
                }
            }
        }

        #[test]
        fn another_expiry_another_video_or_another_key_opens_nothing(grant in grants(), other: u128, shift in 1i64..1_000_000) {
            let link = keys().sign(&grant, NOW.seconds() + 900);
            for expires_at in [link.expires_at + shift, link.expires_at - shift] {
                let moved = SignedQuery { expires_at, ..link.clone() };
                prop_assert_eq!(keys().verify(grant.video, &moved, NOW), Err(LinkError::BadSignature));
            }
            let other = VideoId::from_uuid(Uuid::from_u128(other));
            prop_assume!(other != grant.video);
            prop_assert_eq!(keys().verify(other, &link, NOW), Err(LinkError::BadSignature));
            let strangers = LinkKeys { current: LinkKey { id: 7, secret: [9; 32] }, older: Vec::new() };
            prop_assert_eq!(strangers.verify(grant.video, &link, NOW), Err(LinkError::BadSignature));
        }

        #[test]
        fn an_older_key_serves_until_its_last_link_is_over(grant in grants()) {
            let until = UnixTime::from_seconds(NOW.seconds() + 900);
            let link = keys().sign(&grant, NOW.seconds() + 5000);
            let rotated = LinkKeys { current: key(8), older: vec![(key(7), until)] };
            prop_assert_eq!(rotated.verify(grant.video, &link, NOW), Ok(grant));
            prop_assert_eq!(rotated.verify(grant.video, &link, until), Err(LinkError::Expired));
            let forgotten = LinkKeys { current: key(8), older: Vec::new() };
            prop_assert_eq!(forgotten.verify(grant.video, &link, NOW), Err(LinkError::BadSignature));
        }

        #[test]
        fn no_text_is_taken_for_a_token_by_chance(download_token in "\\PC{0,80}", download_sig in "[0-9a-f]{64}", expires_at: i64) {
            let link = SignedQuery { download_token, download_sig, expires_at };
            let video = VideoId::from_uuid(Uuid::from_u128(1));
            prop_assert_eq!(keys().verify(video, &link, NOW), Err(LinkError::BadSignature));
        }

        #[test]
        fn shown_links_last_between_one_and_two_buckets(millis in 0i64..4_000_000_000_000) {
            let now = UnixTime::from_millis(millis);
            let left = bucketed_expiry(now) - now.seconds();
            prop_assert!((451..=900).contains(&left), "{} s", left);
        }
    }

    #[test]
    fn neither_keys_nor_links_are_printed() {
        let (workspace, video) = crate::test_media::owner();
        let grant = LinkGrant {
            workspace,
            video,
            index: 0,
            variant: Variant::Video,
            disposition: Disposition::Inline,
        };
        let link = keys().sign(&grant, 900);
        assert!(!format!("{link:?}").contains(&link.download_sig));
        assert_eq!(
            format!("{:?}", keys().current),
            "LinkKey { id: 7, .. }",
            "the secret stays out of logs"
        );
        assert_eq!(
            link.to_string(),
            format!(
                "download_token=7.{workspace}.{video}.0.v.i&download_sig={}&expires_at=900",
                link.download_sig
            )
        );
    }
}

//! A message's body, filled: what an adapter wrote, with the stored inputs in their places.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use filmgate_assets::signed_link::{Disposition, LinkGrant, LinkKeys, Variant};
use filmgate_assets::{Assets, ObjectKey};
use filmgate_core::provider::{Body, Encoding, Part};
use filmgate_core::request::Input;
use filmgate_core::time::UnixTime;
use http_body::{Frame, SizeHint};

use super::LineError;

/// The most an input may have when it is put into a message.
pub(crate) const MOST_INPUT_BYTES: u64 = 64 << 20;

const DAY_SECONDS: i64 = 24 * 3600;

/// The whole of a body, in the pieces it was put together from: sending it, once or again, copies none of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// In one piece.
    pub(crate) fn whole(mut self) -> Bytes {
        match self.0.len() {
            0 => Bytes::new(),
            1 => self.0.pop_front().unwrap_or_default(),
            _ => {
                let mut whole = BytesMut::new();
                self.0
                    .iter()
                    .for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

/// Links to inputs, for providers that fetch them: where this gateway can be reached from outside.
#[derive(Debug, Clone)]
pub struct InputLinks {
    /// Scheme, host and port, with nothing behind them.
    pub origin: String,
    pub keys: Arc<LinkKeys>,
}

impl InputLinks {
    /// A link to the object under `key`; the same for a message that is sent again, as long as no day begins in between.
    fn to(&self, key: &ObjectKey, now: UnixTime) -> Option<String> {
        let (workspace, video, index) = key.as_input()?;
        let grant = LinkGrant {
            workspace,
            video,
            index,
            variant: Variant::Input,
            disposition: Disposition::Attachment,
        };
        let expires_at = (now.seconds().div_euclid(DAY_SECONDS) + 2) * DAY_SECONDS;
        let query = self.keys.sign(&grant, expires_at);
        let origin = &self.origin;
        Some(format!("{origin}/v1/videos/{video}/inputs/{index}?{query}"))
    }
}

/// The whole body of a message, inputs read in or linked to.
pub(crate) async fn fill(
    body: Body,
    inputs: &[Input],
    assets: &Assets,
    links: Option<&InputLinks>,
    now: UnixTime,
) -> Result<Pieces, LineError> {
    let mut pieces = VecDeque::with_capacity(body.0.len());
    let mut parts: VecDeque<Part> = body.0.into();
    while let Some(part) = parts.pop_front() {
        match part {
            Part::Bytes(bytes) => pieces.push_back(bytes),
            Part::Choice { linked, otherwise } => {
                let chosen = if links.is_some() { linked } else { otherwise };
                chosen
                    .into_iter()
                    .rev()
                    .for_each(|part| parts.push_front(part));
            }
            Part::Input {
                index,
                encoding: Encoding::Link,
            } => {
                let key: ObjectKey = inputs[index].key.parse().map_err(LineError::Key)?;
                let link = links.and_then(|links| links.to(&key, now));
                pieces.push_back(link.ok_or(LineError::NoLink)?.into());
            }
            Part::Input { index, encoding } => {
                let key: ObjectKey = inputs[index].key.parse().map_err(LineError::Key)?;
                let bytes = assets
                    .read_all(&key, MOST_INPUT_BYTES)
                    .await
                    .map_err(LineError::Input)?;
                pieces.push_back(match encoding {
                    Encoding::Raw | Encoding::Link => bytes,
                    Encoding::Base64 => base64::engine::general_purpose::STANDARD
                        .encode(&bytes)
                        .into(),
                });
            }
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    Ok(Pieces(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_assets::signed_link::{LinkKey, SignedQuery};
    use filmgate_core::id::{VideoId, WorkspaceId};
    use filmgate_core::request::{InputRole, MediaKind};

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    fn assets(directory: &tempfile::TempDir) -> Assets {
        Assets::open(filmgate_assets::Config {
            url: format!("file:{}", directory.path().join("assets").display()),
            spool_dir: directory.path().join("spool"),
            ..Default::default()
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_part_is_linked_to_or_carried() {
        let directory = tempfile::tempdir().unwrap();
        let assets = assets(&directory);
        let workspace = WorkspaceId::mint(NOW, [1; 10]);
        let video = VideoId::mint(NOW, [2; 10]);
        let key = ObjectKey::input(workspace, video, 0);
        assets
            .put_bytes(&key, Bytes::from_static(b"hi"))
            .await
            .unwrap();
        let input = Input {
            key: key.to_string(),
            ..Input::at_url(MediaKind::Image, InputRole::Reference, String::new())
        };
        let place = |encoding| Part::Input { index: 0, encoding };
        let text = |text: &'static str| Part::Bytes(Bytes::from_static(text.as_bytes()));
        let body = || {
            let linked = vec![text("uri:"), place(Encoding::Link)];
            let otherwise = vec![text("data:"), place(Encoding::Base64)];
            Body(vec![
                text("<"),
                Part::Choice { linked, otherwise },
                text(">"),
            ])
        };
        let inputs = [input];
        let filled = async |body, links| {
            let pieces = fill(body, &inputs, &assets, links, NOW).await?;
            Ok::<_, LineError>(String::from_utf8(pieces.whole().to_vec()).unwrap())
        };
        assert_eq!(filled(body(), None).await.unwrap(), "<data:aGk=>");
        let keys = Arc::new(LinkKeys {
            current: LinkKey {
                id: 1,
                secret: [7; 32],
            },
            older: Vec::new(),
        });
        let links = InputLinks {
            origin: "https://films.example".into(),
            keys: Arc::clone(&keys),
        };
        let linked = filled(body(), Some(&links)).await.unwrap();
        let query = linked
            .strip_prefix(&format!(
                "<uri:https://films.example/v1/videos/{video}/inputs/0?"
            ))
            .and_then(|rest| rest.strip_suffix('>'))
            .unwrap();
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|pair| pair.0 == name).unwrap().1.to_owned()
        };
        let query = SignedQuery {
            download_token: value("download_token"),
            download_sig: value("download_sig"),
            expires_at: value("expires_at").parse().unwrap(),
        };
        let grant = keys.verify(video, &query, NOW).unwrap();
        assert_eq!(
            (grant.workspace, grant.index, grant.variant),
            (workspace, 0, Variant::Input)
        );
        let left = query.expires_at - NOW.seconds();
        assert!((DAY_SECONDS..=2 * DAY_SECONDS).contains(&left), "{left}");
        let bare = Body(vec![place(Encoding::Link)]);
        let refused = filled(bare, None).await;
        assert!(matches!(refused, Err(LineError::NoLink)));
    }
}

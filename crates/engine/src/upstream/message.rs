//! A message's body, filled: what an adapter wrote, with the stored inputs in their places.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use filmgate_assets::{Assets, ObjectKey};
use filmgate_core::provider::{Body, Encoding, Part};
use filmgate_core::request::Input;
use http_body::{Frame, SizeHint};

use super::LineError;

/// The most an input may have when it is put into a message.
pub(crate) const MOST_INPUT_BYTES: u64 = 64 << 20;

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

/// The whole body of a message, inputs read in.
pub(crate) async fn fill(
    body: Body,
    inputs: &[Input],
    assets: &Assets,
) -> Result<Pieces, LineError> {
    let mut pieces = VecDeque::with_capacity(body.0.len());
    for part in body.0 {
        match part {
            Part::Bytes(bytes) => pieces.push_back(bytes),
            Part::Input { index, encoding } => {
                let key: ObjectKey = inputs[index].key.parse().map_err(LineError::Key)?;
                let bytes = assets
                    .read_all(&key, MOST_INPUT_BYTES)
                    .await
                    .map_err(LineError::Input)?;
                pieces.push_back(match encoding {
                    Encoding::Raw => bytes,
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

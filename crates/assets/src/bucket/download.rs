//! Reading from a bucket, as a stream that never ends early without saying so.
//!
//! `object_store` asks again where an answer breaks off soon, from the byte where it did, as long as it is the same object.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt};

use super::Bucket;
use crate::ObjectKey;
use crate::fault::{Fault, is_out_of_range};
use crate::read::{ReadError, Reading, missing_or_failed};

impl Bucket {
    pub(crate) async fn read_range(
        &self,
        key: &ObjectKey,
        wanted: Range<u64>,
    ) -> Result<Reading, ReadError> {
        if wanted.start >= wanted.end {
            return self.read_nothing(key, wanted).await;
        }
        match self.ask_for(key, wanted.clone()).await? {
            Some(got) if got.range == wanted => {
                let length = wanted.end - wanted.start;
                Ok(Reading::from_bucket(length, Arriving::of(got, length)))
            }
            Some(got) => Err(ReadError::OutOfRange {
                key: key.clone(),
                bytes: got.meta.size,
                wanted,
            }),
            None => self.read_nothing(key, wanted).await,
        }
    }

    /// A range is asked for here too: the answer then tells the object's length twice, in its head and by its bytes.
    pub(crate) async fn read_all(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, ReadError> {
        let Some(got) = self.ask_for(key, 0..limit.max(1)).await? else {
            // Nothing of the object is at its beginning.
            self.read_nothing(key, 0..0).await?;
            return Ok(Bytes::new());
        };
        let bytes = got.meta.size;
        if bytes > limit {
            return Err(ReadError::TooLarge {
                key: key.clone(),
                bytes,
                limit,
            });
        }
        let whole = BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(0));
        let whole = Arriving::of(got, bytes).try_fold(whole, async |mut whole, arrived| {
            whole.extend_from_slice(&arrived);
            Ok(whole)
        });
        Ok(whole.await.map_err(ReadError::Fault)?.freeze())
    }

    /// What there is of a range, or none where the object ends before it.
    async fn ask_for(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Option<GetResult>, ReadError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        match self.objects.get_opts(&key.object(), options).await {
            Ok(got) => Ok(Some(got)),
            Err(error) if is_out_of_range(&error) => Ok(None),
            Err(error) => Err(missing_or_failed(key, error)),
        }
    }

    /// A range with nothing in it, which a bucket cannot be asked for: empty, inverted, or past the object's end.
    async fn read_nothing(
        &self,
        key: &ObjectKey,
        wanted: Range<u64>,
    ) -> Result<Reading, ReadError> {
        let object = self.objects.head(&key.object()).await;
        let bytes = object.map_err(|error| missing_or_failed(key, error))?.size;
        if wanted.start == wanted.end && wanted.end <= bytes {
            Ok(Reading::from_bucket(0, Arriving::nothing()))
        } else {
            Err(ReadError::OutOfRange {
                key: key.clone(),
                bytes,
                wanted,
            })
        }
    }
}

/// The bytes of an answer, counted.
pub(crate) struct Arriving {
    bytes: BoxStream<'static, object_store::Result<Bytes>>,
    left: u64,
}

impl Arriving {
    fn of(got: GetResult, length: u64) -> Self {
        Self {
            bytes: got.into_stream(),
            left: length,
        }
    }

    fn nothing() -> Self {
        Self {
            bytes: futures::stream::empty().boxed(),
            left: 0,
        }
    }

    /// After an error there is nothing more.
    fn end(&mut self) {
        *self = Self::nothing();
    }
}

impl Stream for Arriving {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let fault = match ready!(self.bytes.poll_next_unpin(context)) {
            Some(Ok(mut arrived)) => {
                arrived.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= arrived.len() as u64;
                return Poll::Ready(Some(Ok(arrived)));
            }
            Some(Err(error)) => error.into(),
            None => Fault::BrokeOff { missing: self.left },
        };
        self.end();
        Poll::Ready(Some(Err(fault)))
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

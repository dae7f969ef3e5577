//! How long a bucket may do nothing.
//!
//! A limit on a whole exchange would cut a long download that goes well, and none would wait on a dead server for ever.
//! So an answer has to begin within a while, which is longer for a request with a large body, and then has to go on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use tokio::time::Sleep;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A body that is sent more slowly than this counts as stalled.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Makes clients that give up on what has stalled.
#[derive(Debug)]
pub(super) struct Patience {
    stall: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing came for {} s", .0.as_secs())]
struct Stalled(Duration);

impl Patience {
    /// Nothing may come for as long as `stall`.
    pub(super) fn new(stall: Duration) -> Self {
        Self { stall }
    }
}

impl HttpConnector for Patience {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let options = options
            .clone()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_WITHIN);
        Ok(HttpClient::new(PatientClient {
            client: ReqwestConnector::default().connect(&options)?,
            stall: self.stall,
        }))
    }
}

#[derive(Debug)]
struct PatientClient {
    client: HttpClient,
    stall: Duration,
}

#[async_trait::async_trait]
impl HttpService for PatientClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let bytes = request.body().content_length() as u64;
        let within = self.stall + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
        let answer = tokio::time::timeout(within, self.client.execute(request))
            .await
            .unwrap_or_else(|_| Err(stalled(within)))?;
        Ok(answer.map(|body| {
            HttpResponseBody::new(PatientBody {
                body,
                stall: self.stall,
                silence: None,
            })
        }))
    }
}

fn stalled(silence: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Stalled(silence))
}

struct PatientBody {
    body: HttpResponseBody,
    stall: Duration,
    /// Runs while a frame is waited for: a reader that does not ask is not held against the bucket.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Body for PatientBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let stall = self.stall;
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(silence.as_mut().poll(context));
        Poll::Ready(Some(Err(stalled(stall))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

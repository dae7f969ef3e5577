//! Bodies nobody read: a refusal may come before its request was read to the end, and the rest of it would be taken
//! for the next request on the connection. So the connection is closed, and the client is told.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONNECTION;
use http_body::{Frame, SizeHint};

/// Whether a request's body was read to its end.
#[derive(Debug)]
pub(crate) struct Unread(Option<Arc<AtomicBool>>);

struct Watched {
    body: Body,
    ended: Arc<AtomicBool>,
}

impl Unread {
    /// Watches the body of `request`, if it has one.
    pub(crate) fn watch(request: Request) -> (Request, Self) {
        if http_body::Body::is_end_stream(request.body()) {
            return (request, Self(None));
        }
        let ended = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&ended);
        let request = request.map(|body| {
            Body::new(Watched {
                body,
                ended: watched,
            })
        });
        (request, Self(Some(ended)))
    }

    /// Tells the client that the connection ends with `response`, where it does.
    pub(crate) fn announce(self, response: &mut Response) {
        if self.0.is_some_and(|ended| !ended.load(Ordering::Relaxed)) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let over = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        if over {
            self.ended.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Whether an answer that names a new job was written to its end.
//!
//! The handler marks its response; the outermost layer puts the mark around the body. A body that is dropped before
//! its end, because the connection closed, leaves the answer lost; so does a response nobody writes at all.
//!
//! Not here: what a lost answer means for the next create (`core::repeat`).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use filmgate_engine::OpenAnswer;
use http_body::{Frame, SizeHint};

/// On a response until its body is wrapped: extensions must be cloneable, and only one clone matters.
#[derive(Clone)]
struct Mark(Arc<Mutex<Option<OpenAnswer>>>);

struct Watched {
    body: Body,
    answer: Option<OpenAnswer>,
}

/// Says that `response` is the answer.
pub(crate) fn mark(response: &mut Response, answer: OpenAnswer) {
    response
        .extensions_mut()
        .insert(Mark(Arc::new(Mutex::new(Some(answer)))));
}

/// Watches the body of a response that was marked, as the server will write it.
pub(crate) fn watch(mut response: Response) -> Response {
    let Some(Mark(mark)) = response.extensions_mut().remove::<Mark>() else {
        return response;
    };
    let answer = mark.lock().unwrap_or_else(PoisonError::into_inner).take();
    response.map(|body| Body::new(Watched { body, answer }))
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        let over = match &polled {
            None => true,
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if over && let Some(answer) = self.answer.take() {
            answer.given();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

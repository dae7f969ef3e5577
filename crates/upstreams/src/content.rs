//! The bytes of an answer, sent well or badly: whole, in part, cut off, or held back until somebody says so.
//!
//! Not here: what is delivered (`films`), which fault is met (`fault`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http_range_header::parse_range_header;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::emulator::Wanted;
use crate::fault::{ContentFault, Spoilt};
use crate::films::Film;

/// Sent in pieces of this size.
const PIECE_BYTES: usize = 128 << 10;
/// What is sent slowly is sent in so many pieces, this far apart.
const DROPS: usize = 50;
const BETWEEN_DROPS: Duration = Duration::from_millis(5);
/// More than anybody takes in.
const HUGE_BYTES: usize = 256 << 20;
/// Where clouds tell a machine its secrets.
const METADATA: HeaderValue = HeaderValue::from_static("http://169.254.169.254/latest/meta-data/");

/// What a server behind a broken proxy shows.
pub(crate) const PAGE_FOR_PEOPLE: &str =
    "<!doctype html>\n<title>Sign in</title>\n<h1>Sign in to continue</h1>\n";

/// Calls that are stalled wait here.
#[derive(Debug)]
pub(crate) struct Gate {
    released: watch::Sender<()>,
    stop: CancellationToken,
    waiting: AtomicU64,
    changed: watch::Sender<()>,
}

/// Where bytes are counted as they are handed to a connection.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) counters: [Arc<AtomicU64>; 2],
    pub(crate) changed: watch::Sender<()>,
}

/// One more call waits, until this is dropped.
struct Waiting<'a>(&'a Gate);

/// One thing to do on the way through a body.
enum Step {
    Send(Bytes),
    Wait(Arc<Gate>),
    Pause,
    Cut,
}

struct Delivery {
    steps: VecDeque<Step>,
    meter: Option<Meter>,
    sent: bool,
}

impl Gate {
    /// `changed` is told when a call begins or ends to wait, `stop` lets everybody through for good.
    pub(crate) fn new(changed: watch::Sender<()>, stop: CancellationToken) -> Self {
        Self {
            released: watch::Sender::new(()),
            stop,
            waiting: AtomicU64::new(0),
            changed,
        }
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets all through who wait now.
    pub(crate) fn release(&self) {
        self.released.send_replace(());
    }

    /// Waits to be released. Nothing is lost where this is dropped half-way.
    pub(crate) async fn pass(&self) {
        let mut released = self.released.subscribe();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.changed.send_replace(());
        let _waiting = Waiting(self);
        tokio::select! {
            _ = released.changed() => {}
            () = self.stop.cancelled() => {}
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.send_replace(());
    }
}

impl Meter {
    fn count(&self, bytes: usize) {
        for counter in &self.counters {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.changed.send_replace(());
    }
}

/// An answer whose connection is cut before its first byte: the server breaks off while it is still in the buffer.
pub(crate) fn dropped() -> Response {
    body([Step::Cut], None).into_response()
}

/// Well-formed JSON for as long as anybody reads it.
pub(crate) fn huge() -> Body {
    let zeros = Bytes::from("0,".repeat(PIECE_BYTES / 2));
    let steps = std::iter::once(Step::Send(Bytes::from_static(b"[")))
        .chain((0..HUGE_BYTES / PIECE_BYTES).map(|_| Step::Send(zeros.clone())))
        .chain([Step::Send(Bytes::from_static(b"0]"))]);
    body(steps, None)
}

/// The whole text, a few bytes at a time.
pub(crate) fn slow(text: String) -> Body {
    body(drops(&text.into()), None)
}

fn drops(bytes: &Bytes) -> Vec<Step> {
    let drop_bytes = bytes.len().div_ceil(DROPS).max(1);
    let pieces = (0..bytes.len()).step_by(drop_bytes);
    pieces
        .flat_map(|from| {
            let to = bytes.len().min(from + drop_bytes);
            [Step::Send(bytes.slice(from..to)), Step::Pause]
        })
        .collect()
}

/// A file, or the part of it that was asked for, as the fault would have it.
pub(crate) fn deliver(
    film: &Film,
    wanted: &Wanted<'_>,
    fault: Option<&ContentFault>,
    gate: &Arc<Gate>,
    meter: Meter,
) -> Response {
    let whole = film.bytes.len();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    let elsewhere = match fault {
        Some(ContentFault::Redirected) => wanted.address.path_and_query().map(|same| {
            HeaderValue::try_from(same.as_str()).expect("it came in a request's first line")
        }),
        Some(ContentFault::RedirectedInward) => Some(METADATA),
        _ => None,
    };
    if let Some(elsewhere) = elsewhere {
        return (StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response();
    }
    let part = match wanted.range.map(|range| part(range, whole)) {
        None => None,
        Some(Ok(part)) => part,
        Some(Err(())) => {
            headers.insert(
                header::CONTENT_RANGE,
                header_text(format!("bytes */{whole}")),
            );
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
    };
    let (status, bytes) = match part {
        None => (StatusCode::OK, film.bytes.clone()),
        Some((first, last)) => {
            let range = header_text(format!("bytes {first}-{last}/{whole}"));
            headers.insert(header::CONTENT_RANGE, range);
            (StatusCode::PARTIAL_CONTENT, film.bytes.slice(first..=last))
        }
    };
    headers.insert(
        header::ETAG,
        header_text(format!("\"{}\"", &film.sha256[..32])),
    );
    let half = bytes.slice(..bytes.len() / 2);
    let rest = bytes.slice(bytes.len() / 2..);
    let (length, steps) = match fault {
        Some(ContentFault::Spoilt(Spoilt::Slow)) => (Some(bytes.len()), drops(&bytes)),
        None
        | Some(
            ContentFault::Spoilt(_) | ContentFault::Redirected | ContentFault::RedirectedInward,
        ) => (Some(bytes.len()), vec![Step::Send(bytes)]),
        Some(ContentFault::HtmlAsVideo) => {
            let page = Bytes::from_static(PAGE_FOR_PEOPLE.as_bytes());
            (Some(page.len()), vec![Step::Send(page)])
        }
        Some(ContentFault::ShortHonest) => (Some(half.len()), vec![Step::Send(half)]),
        Some(ContentFault::ShortLying) => (Some(bytes.len()), vec![Step::Send(half), Step::Cut]),
        Some(ContentFault::ShortChunked) => (None, vec![Step::Send(half), Step::Cut]),
        Some(ContentFault::StalledHalfway) => (
            Some(bytes.len()),
            vec![
                Step::Send(half),
                Step::Wait(Arc::clone(gate)),
                Step::Send(rest),
            ],
        ),
    };
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    (status, headers, body(steps, Some(meter))).into_response()
}

/// The first and the last byte of a part; `None` for the whole, an error where there is no such part.
fn part(range: &HeaderValue, whole: usize) -> Result<Option<(usize, usize)>, ()> {
    let parsed = range
        .to_str()
        .ok()
        .and_then(|range| parse_range_header(range).ok());
    let Some(parsed) = parsed else {
        return Ok(None);
    };
    let ranges = parsed.validate(whole as u64).map_err(|_| ())?;
    match ranges.as_slice() {
        [one] => Ok(Some((*one.start() as usize, *one.end() as usize))),
        _ => Ok(None),
    }
}

fn body(steps: impl IntoIterator<Item = Step>, meter: Option<Meter>) -> Body {
    let delivery = Delivery {
        steps: steps.into_iter().collect(),
        meter,
        sent: false,
    };
    Body::from_stream(stream::unfold(delivery, |mut delivery| async move {
        let piece = delivery.next().await?;
        Some((piece, delivery))
    }))
}

impl Delivery {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match self.steps.pop_front()? {
                Step::Send(mut bytes) if !bytes.is_empty() => {
                    let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                    self.steps.push_front(Step::Send(bytes));
                    self.sent = true;
                    if let Some(meter) = &self.meter {
                        meter.count(piece.len());
                    }
                    return Some(Ok(piece));
                }
                Step::Send(_) => {}
                Step::Wait(gate) => gate.pass().await,
                Step::Pause => tokio::time::sleep(BETWEEN_DROPS).await,
                Step::Cut => {
                    if self.sent {
                        // The connection sends what it was given before it asks again.
                        tokio::task::yield_now().await;
                    }
                    return Some(Err(io::Error::other("a directive cut the connection")));
                }
            }
        }
    }
}

fn header_text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and hexadecimal stand in a header")
}

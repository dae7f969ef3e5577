//! `GET /v1/async/video/{video_id}/ws`: a video's changes over a WebSocket.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use filmgate_core::id::KeyId;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tracing::Instrument;

use super::follow::{Follower, News, Parting};
use crate::Shared;
use crate::auth::SocketReader;
use crate::connection::Live;
use crate::error::{ApiError, ErrorBody};
use crate::native::{Named, the_job};
use crate::query::Query;
use crate::request::shortened;
use crate::request_id::ThisRequest;

/// A ping is sent so often. Whoever says nothing from one to the next is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long the other side may take to close, once we did.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// What a client has to say is short.
const MOST_MESSAGE_BYTES: usize = 4 << 10;
/// Longer ones are not even received.
const MOST_RECEIVED_BYTES: usize = 64 << 10;

/// Follow a video by WebSocket
///
/// Messages are `{type, data}`: first `job.snapshot`, then `job.updated` with the latest version, at most once in an
/// interval, or `job.deleted`; `data` is the status object. Send `{"type":"ping"}` for a `pong`, `{"type":"refresh"}` for a
/// snapshot; what is not understood is answered by `error` with the envelope of errors as `data`. Closed with 1000 when
/// there is nothing left to tell, 1001 when the server stops, 1008 when the key is no longer in force or asks too often.
#[utoipa::path(
    get,
    path = "/v1/async/video/{video_id}/ws",
    operation_id = "follow_video_by_websocket",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("interval_ms" = Option<u32>, Query, description = "updates come at most once in so many milliseconds, 1000 to 10000; 1000 by default"),
        ("close_on_terminal" = Option<bool>, Query, description = "whether the socket is closed once the status is terminal; `true` by default, `false` to hear what becomes of the money"),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "`filmgate.key.<key>`, for browsers, which let a page set no `Authorization`; with `filmgate` beside it, the key is not echoed"),
    ),
    responses(
        (status = 101, description = "A WebSocket from here on"),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = 426, description = "Not a WebSocket handshake", body = ErrorBody, headers(
            ("Upgrade" = String, description = "`websocket`"),
        )),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn websocket(
    State(api): State<Shared>,
    SocketReader { key, protocol }: SocketReader,
    Named(id): Named,
    live: Live,
    query: Query,
    Extension(request): Extension<ThisRequest>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    the_job(api.engine.find(key.workspace, id).await?)?;
    let mut upgrade = upgrade.map_err(|_| ApiError::websocket_upgrade_required())?;
    let wish = Wish::of(&query)?;
    let follower = Follower::start(&api, &key, id, live)?;
    if let Some(protocol) = protocol {
        upgrade.set_selected_protocol(protocol);
    }
    let here = tracing::Span::current();
    Ok(upgrade
        .max_message_size(MOST_RECEIVED_BYTES)
        .max_frame_size(MOST_RECEIVED_BYTES)
        // Small: there is one of either for each socket. Nothing is gathered before it is written.
        .read_buffer_size(MOST_MESSAGE_BYTES)
        .write_buffer_size(0)
        .on_upgrade(move |socket| {
            let session = Session {
                socket,
                follower,
                key: key.id,
                api,
                wish,
                request,
            };
            session.run().instrument(here)
        }))
}

/// How a client wants to be told.
struct Wish {
    interval: Duration,
    close_on_terminal: bool,
}

impl Wish {
    fn of(query: &Query) -> Result<Self, ApiError> {
        let interval = query.number("interval_ms", 1_000, 10_000)?.unwrap_or(1_000);
        let close_on_terminal = match query.last("close_on_terminal") {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let message = format!(
                    "{:?} was sent; allowed are true and false",
                    shortened(other)
                );
                return Err(ApiError::validation("close_on_terminal", message));
            }
        };
        Ok(Self {
            interval: Duration::from_millis(interval.unsigned_abs()),
            close_on_terminal,
        })
    }
}

/// What a client may say.
enum Said {
    Ping,
    Refresh,
    /// Something else, and what is wrong with it.
    Unclear(ApiError),
    /// A frame of the protocol's own.
    Nothing,
}

/// Whether the client did not know it all yet.
#[derive(PartialEq, Eq)]
enum Told {
    Something,
    Nothing,
}

/// Why a socket is closed.
enum Ending {
    /// There is nothing left to tell.
    Over(&'static str),
    Parting(Parting),
    /// The client does what it may not.
    Refused(u16, &'static str),
    /// The other side is gone, or has closed.
    Gone,
}

impl From<Parting> for Ending {
    fn from(parting: Parting) -> Self {
        Self::Parting(parting)
    }
}

struct Session {
    socket: WebSocket,
    follower: Follower,
    key: KeyId,
    api: Shared,
    wish: Wish,
    request: ThisRequest,
}

impl Session {
    async fn run(mut self) {
        let Err(ending) = self.converse().await;
        let leaving = async {
            if let Some(frame) = ending.frame() {
                // Where the other side is gone, there is nobody to tell.
                let _ = self.socket.send(Message::Close(Some(frame))).await;
            }
            // Until the other side has closed too: what it still sends would otherwise reset the connection, and
            // the reason be lost.
            while let Some(Ok(_)) = self.socket.recv().await {}
        };
        let _ = timeout(LEAVE_WITHIN, leaving).await;
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Ending> {
        self.tell("job.snapshot").await?;
        let mut earliest = Instant::now() + self.wish.interval;
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut due, mut heard) = (false, true);
        loop {
            // Each branch may be dropped half-way: nothing of it is lost.
            tokio::select! {
                signal = self.follower.signal(), if !due => {
                    signal?;
                    due = true;
                }
                () = sleep_until(earliest), if due => {
                    if self.tell("job.updated").await? == Told::Something {
                        earliest = Instant::now() + self.wish.interval;
                    }
                    due = false;
                }
                message = self.socket.recv() => {
                    heard = true;
                    match self.said(message)? {
                        Said::Ping => self.send(envelope("pong", "null")).await?,
                        Said::Refresh => {
                            self.follower.forget();
                            self.tell("job.snapshot").await?;
                            earliest = Instant::now() + self.wish.interval;
                        }
                        Said::Unclear(error) => {
                            let body = error.body(&self.request.0);
                            let body = serde_json::to_string(&body).expect("an envelope is plain data");
                            self.send(envelope("error", &body)).await?;
                        }
                        Said::Nothing => {}
                    }
                }
                _ = pings.tick() => {
                    if !std::mem::take(&mut heard) {
                        return Err(Ending::Gone);
                    }
                    self.deliver(Message::Ping(Default::default())).await?;
                }
                () = self.api.stop.cancelled(), if due => return Err(Parting::Stopping.into()),
            }
        }
    }

    /// Sends what the client does not have, and ends where that is the end.
    async fn tell(&mut self, kind: &str) -> Result<Told, Ending> {
        match self.follower.look().await? {
            None => Ok(Told::Nothing),
            Some(News::Video(now)) => {
                self.send(envelope(kind, now.text())).await?;
                if now.is_terminal() && self.wish.close_on_terminal {
                    return Err(Ending::Over("the video has ended"));
                }
                Ok(Told::Something)
            }
            Some(News::Deleted(gone)) => {
                self.send(envelope("job.deleted", &gone.text())).await?;
                Err(Ending::Over("the video was deleted"))
            }
        }
    }

    fn said(&self, message: Option<Result<Message, axum::Error>>) -> Result<Said, Ending> {
        let text = match message {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Err(Ending::Gone),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(Said::Nothing),
            Some(Ok(Message::Binary(_))) => {
                let why = "only text is understood here";
                return Err(Ending::Refused(close_code::UNSUPPORTED, why));
            }
            Some(Ok(Message::Text(text))) => text,
        };
        if text.len() > MOST_MESSAGE_BYTES {
            let why = "a message has at most 4096 bytes";
            return Err(Ending::Refused(close_code::SIZE, why));
        }
        // Each message counts as a call.
        if self.api.limits.key_rate.count(self.key).is_err() {
            let why = "this key makes more calls than it may";
            return Err(Ending::Refused(close_code::POLICY, why));
        }
        Ok(Said::read(&text))
    }

    async fn send(&mut self, text: String) -> Result<(), Ending> {
        self.deliver(Message::Text(text.into())).await
    }

    async fn deliver(&mut self, message: Message) -> Result<(), Ending> {
        tokio::select! {
            sent = self.socket.send(message) => sent.map_err(|_| Ending::Gone),
            // Dropped half-way, and nothing is sent after it.
            () = self.api.stop.cancelled() => Err(Parting::Stopping.into()),
        }
    }
}

impl Said {
    fn read(text: &str) -> Self {
        let sent = serde_json::from_str::<Value>(text).ok();
        let kind = sent.as_ref().and_then(|sent| sent.get("type")?.as_str());
        match kind {
            Some("ping") => Self::Ping,
            Some("refresh") => Self::Refresh,
            Some(other) => {
                let other = shortened(other);
                let message = format!("{other:?} was sent; allowed are ping and refresh");
                Self::Unclear(ApiError::validation("type", message))
            }
            None => Self::Unclear(ApiError::invalid_json(
                "a message is an object with a type, such as {\"type\":\"refresh\"}",
            )),
        }
    }
}

impl Ending {
    fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Over(reason) => (close_code::NORMAL, *reason),
            Self::Parting(Parting::Stopping) => {
                (close_code::AWAY, "the server stops; connect again")
            }
            Self::Parting(Parting::KeyOutOfForce) => {
                (close_code::POLICY, "this key is no longer in force")
            }
            Self::Parting(Parting::Failed(_)) => {
                (close_code::ERROR, "the gateway failed; connect again")
            }
            Self::Refused(code, reason) => (*code, *reason),
            Self::Gone => return None,
        };
        Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        })
    }
}

/// A message of ours; `data` is JSON already.
fn envelope(kind: &str, data: &str) -> String {
    format!(r#"{{"type":"{kind}","data":{data}}}"#)
}

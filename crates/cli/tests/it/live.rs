//! Following a video from outside: server-sent events and the WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, http::Response};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::gate::{Gate, Home, id_of, is_terminal};
use crate::order::Order;
use crate::status_object;

/// A gateway that falls silent fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream of events, read as it comes.
pub(crate) struct Events {
    response: reqwest::Response,
    text: String,
}

/// One event: its name, its id, its data.
pub(crate) type Event = (String, Option<u64>, Value);

impl Events {
    pub(crate) async fn open(gate: &Gate, path: &str, last: Option<u64>) -> Self {
        let mut call = gate.get(path);
        if let Some(last) = last {
            call = call.header("last-event-id", &last.to_string());
        }
        Self::of(call.open().await)
    }

    /// Those that this response tells.
    pub(crate) fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; `None` where the stream ends as a whole answer does.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = read(event);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let more = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }
}

/// `None` for a comment.
fn read(event: &str) -> Option<Event> {
    let field = |name: &str| {
        event
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let id = field("id").map(|id| id.parse().unwrap());
    let data = serde_json::from_str(field("data")?).unwrap();
    Some((field("event")?.to_owned(), id, data))
}

/// A WebSocket, as a client has it.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a client hears.
#[derive(Debug)]
enum Heard {
    /// A message: its type and data.
    Told(String, Value),
    /// The server closed, with a code and a reason.
    Closed(u16, String),
}

/// How a handshake ended: what the server said to it, and the socket where there is one.
struct Opened {
    said: Response<Option<Vec<u8>>>,
    socket: Option<Socket>,
}

impl Opened {
    #[track_caller]
    fn socket(self) -> Socket {
        let said = self.said;
        self.socket.unwrap_or_else(|| panic!("refused: {said:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let value = self.said.headers().get(name);
        value.map(|value| value.to_str().unwrap())
    }

    /// The refusal, in the one envelope.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Value {
        assert!(self.socket.is_none(), "it was let in");
        assert_eq!(self.said.status(), status);
        let body = self.said.body().as_ref().expect("a refusal has a body");
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["error"], code, "{body:#}");
        body
    }
}

/// Shakes hands at `url` with these headers.
async fn open(url: &str, headers: &[(&'static str, &str)]) -> Opened {
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, said)) => Opened {
            said,
            socket: Some(Socket(socket)),
        },
        Err(Error::Http(said)) => Opened {
            said: *said,
            socket: None,
        },
        Err(other) => panic!("{other}"),
    }
}

/// With the first key.
pub(crate) async fn follow(gate: &Gate, video: &Value, query: &str) -> Socket {
    let url = format!("{}{query}", video["websocket_url"].as_str().unwrap());
    let authorization = format!("Bearer {}", gate.key);
    open(&url, &[("authorization", &authorization)])
        .await
        .socket()
}

impl Socket {
    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn next(&mut self) -> Heard {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.expect("the gateway fell silent") {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let mut names: Vec<&String> = message.as_object().unwrap().keys().collect();
                    names.sort();
                    assert_eq!(names, ["data", "type"]);
                    let kind = message["type"].as_str().unwrap().to_owned();
                    return Heard::Told(kind, message["data"].clone());
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the socket ended without a word: {other:?}"),
            }
        }
    }

    /// The next message, which must be of this type.
    pub(crate) async fn told(&mut self, kind: &str) -> Value {
        match self.next().await {
            Heard::Told(told, data) if told == kind => data,
            other => panic!("{kind} was to come, and {other:?} came"),
        }
    }

    /// The end, which must be of this code.
    async fn closed(&mut self, code: CloseCode) -> String {
        match self.next().await {
            Heard::Closed(told, reason) if told == u16::from(code) => reason,
            other => panic!("{code} was to come, and {other:?} came"),
        }
    }

    /// Follows what is told until it is as wanted.
    pub(crate) async fn until(
        &mut self,
        mut seen: Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        while !wanted(&seen) {
            let later = status_object::whole(self.told("job.updated").await);
            status_object::follows(&seen, &later);
            seen = later;
        }
        seen
    }
}

fn is_processing(video: &Value) -> bool {
    video["status"] == "processing"
}

#[tokio::test]
async fn events_tell_of_a_video_until_it_ends() {
    let gate = Gate::start().await;
    let order = Order::of("told").simulate(json!({"render_seconds": 0.5}));
    let made = gate.create(&order).await;
    let mut events = Events::open(&gate, made["events_url"].as_str().unwrap(), None).await;
    let (name, mut version, data) = events.next().await.unwrap();
    assert_eq!(name, "job.snapshot");
    let mut seen = status_object::whole(data);
    while let Some((name, id, data)) = events.next().await {
        assert_eq!(name, "job.updated");
        assert!(id > version, "{id:?} came after {version:?}");
        let later = status_object::whole(data);
        status_object::follows(&seen, &later);
        (version, seen) = (id, later);
    }
    assert_eq!(seen["status"], "completed");
    let again = gate
        .get(made["events_url"].as_str().unwrap())
        .header("last-event-id", &version.unwrap().to_string())
        .send()
        .await;
    assert_eq!((again.status, again.body.len()), (204, 0));
}

#[tokio::test]
async fn a_server_that_stops_lets_its_followers_go_and_they_come_back() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("lasting").endless()).await;
    let running = gate.wait_processing(id_of(&made)).await;
    let path = format!("/v1/video/generations/{}/events", id_of(&made));
    let mut events = Events::open(&gate, &path, None).await;
    let (_, version, _) = events.next().await.unwrap();
    let mut socket = follow(&gate, &running, "").await;
    socket.told("job.snapshot").await;
    let ((), reason, home) = tokio::join!(
        async { while events.next().await.is_some() {} },
        async {
            loop {
                match socket.next().await {
                    Heard::Told(kind, _) => assert_eq!(kind, "job.updated"),
                    Heard::Closed(code, reason) => {
                        assert_eq!(code, u16::from(CloseCode::Away));
                        break reason;
                    }
                }
            }
        },
        gate.stop(),
    );
    assert!(reason.contains("connect again"), "{reason}");
    let gate = home.start().await;
    let mut events = Events::open(&gate, &path, Some(0)).await;
    let (name, later, _) = events.next().await.unwrap();
    assert_eq!(name, "job.snapshot");
    assert!(later >= version);
    let cancelled = gate.cancel(id_of(&made)).await;
    let mut last = None;
    while let Some((_, _, data)) = events.next().await {
        last = Some(data);
    }
    assert_eq!(last.unwrap()["status"], cancelled["status"]);
}

#[tokio::test]
async fn a_socket_tells_of_a_video_until_it_ends() {
    let gate = Gate::start().await;
    let order = Order::of("told").simulate(json!({"render_seconds": 0.5}));
    let made = gate.create(&order).await;
    let mut socket = follow(&gate, &made, "?interval_ms=1000").await;
    let snapshot = status_object::whole(socket.told("job.snapshot").await);
    let ended = socket.until(snapshot, is_terminal).await;
    assert_eq!(ended["status"], "completed");
    assert!(!socket.closed(CloseCode::Normal).await.is_empty());
    // One that has ended before is told, and that is all.
    let mut socket = follow(&gate, &made, "").await;
    let snapshot = socket.told("job.snapshot").await;
    assert_eq!(snapshot["asset"], ended["asset"]);
    socket.closed(CloseCode::Normal).await;
}

#[tokio::test]
async fn a_socket_that_stays_tells_of_the_money_and_of_the_deletion() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("brief").endless()).await;
    let mut socket = follow(&gate, &made, "?close_on_terminal=false").await;
    let snapshot = socket.told("job.snapshot").await;
    let running = socket.until(snapshot, is_processing).await;
    gate.cancel(id_of(&made)).await;
    let settled = |video: &Value| {
        is_terminal(video)
            && ["settled", "void"]
                .iter()
                .any(|word| video["billing"]["state"] == *word)
    };
    let ended = socket.until(running, settled).await;
    assert_eq!(ended["status"], "cancelled");
    let path = format!("/v1/videos/{}", id_of(&made));
    gate.delete(&path).send().await.expect(200);
    let gone = socket.told("job.deleted").await;
    assert_eq!(
        gone,
        json!({"id": id_of(&made), "object": "video.deleted", "deleted": true})
    );
    socket.closed(CloseCode::Normal).await;
}

#[tokio::test]
async fn a_client_may_ask_and_is_told_what_it_may_not() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("asked").endless()).await;
    let running = gate.wait_processing(id_of(&made)).await;
    let mut socket = follow(&gate, &running, "").await;
    let snapshot = socket.told("job.snapshot").await;
    socket.say(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.told("pong").await, Value::Null);
    socket.say(r#"{"type":"refresh"}"#).await;
    assert_eq!(socket.told("job.snapshot").await["id"], snapshot["id"]);
    for (unclear, code) in [
        (r#"{"type":"cancel"}"#, "validation_error"),
        (r#"{"kind":"ping"}"#, "invalid_json"),
        (r#"["ping"]"#, "invalid_json"),
        ("ping", "invalid_json"),
    ] {
        socket.say(unclear).await;
        let error = socket.told("error").await;
        assert_eq!(error["error"], code, "{unclear}: {error:#}");
        assert!(error["description"].as_str().unwrap().contains("type"));
        assert!(error["request_id"].as_str().unwrap().starts_with("req_"));
    }
    // It is not cut off for that; it is for what no client of ours would send.
    socket.say(r#"{"type":"ping"}"#).await;
    socket.told("pong").await;
    socket.0.send(Message::binary(vec![0; 8])).await.unwrap();
    socket.closed(CloseCode::Unsupported).await;
    let mut socket = follow(&gate, &running, "").await;
    socket.told("job.snapshot").await;
    socket.say(&" ".repeat(5_000)).await;
    socket.closed(CloseCode::Size).await;
}

#[tokio::test]
async fn updates_keep_their_distance_and_a_refresh_does_not() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("calm").endless()).await;
    let running = gate.wait_processing(id_of(&made)).await;
    let mut socket = follow(&gate, &running, "?interval_ms=10000").await;
    socket.told("job.snapshot").await;
    gate.cancel(id_of(&made)).await;
    // The change is known, and told when the interval is over: what is asked for comes before it.
    socket.say(r#"{"type":"ping"}"#).await;
    socket.told("pong").await;
    socket.say(r#"{"type":"refresh"}"#).await;
    assert_eq!(socket.told("job.snapshot").await["status"], "cancelled");
    socket.closed(CloseCode::Normal).await;
}

#[tokio::test]
async fn a_key_comes_in_a_header_or_as_a_subprotocol_and_is_never_logged() {
    let gate = Home::new().environment("RUST_LOG", "trace").start().await;
    let made = gate.create(&Order::of("keyed").endless()).await;
    let url = made["websocket_url"].as_str().unwrap();
    let reader = gate.new_key("read", None).await;
    let carried = format!("filmgate.key.{reader}");
    const OFFER: &str = "sec-websocket-protocol";

    let alone = open(url, &[(OFFER, &carried)]).await;
    assert_eq!(
        alone.header(OFFER),
        Some(carried.as_str()),
        "browsers demand it"
    );
    alone.socket().told("job.snapshot").await;
    let both = open(url, &[(OFFER, &format!("filmgate, {carried}"))]).await;
    assert_eq!(
        both.header(OFFER),
        Some("filmgate"),
        "the key stays where it is"
    );
    both.socket().told("job.snapshot").await;
    let bearer = format!("Bearer {reader}");
    let header = open(url, &[("authorization", &bearer)]).await;
    assert_eq!(header.header(OFFER), None);
    header.socket().told("job.snapshot").await;

    let other = if reader.ends_with('0') { '1' } else { '0' };
    let wrong = format!("filmgate.key.{}{other}", &reader[..reader.len() - 1]);
    let nothing = open(url, &[]).await;
    nothing.refused(401, "unauthorised");
    for offer in [wrong.as_str(), "filmgate.key.", "filmgate"] {
        let refused = open(url, &[(OFFER, offer)]).await;
        refused.refused(401, "unauthorised");
    }
    // The header counts where there is one.
    let refused = open(url, &[(OFFER, &carried), ("authorization", "Bearer no")]).await;
    refused.refused(401, "unauthorised");

    let home = gate.stop().await;
    let secret = reader.rsplit('_').next().unwrap();
    let log = home.log();
    assert!(log.contains("/ws"), "the log is talkative");
    assert!(!log.contains(secret), "the key is in the log");
}

#[tokio::test]
async fn a_key_that_is_revoked_is_shown_the_door() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("watched").endless()).await;
    gate.wait_processing(id_of(&made)).await;
    let key = gate
        .post("/v1/keys")
        .json(&json!({"name": "brief", "role": "read"}))
        .send()
        .await
        .created();
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    let url = made["websocket_url"].as_str().unwrap();
    let mut socket = open(url, &[("authorization", &bearer)]).await.socket();
    socket.told("job.snapshot").await;
    let path = format!("/v1/keys/{}", id_of(&key));
    gate.delete(&path).send().await.expect(200);
    socket.say(r#"{"type":"refresh"}"#).await;
    socket.closed(CloseCode::Policy).await;
    open(url, &[("authorization", &bearer)])
        .await
        .refused(401, "unauthorised");
}

#[tokio::test]
async fn a_handshake_that_asks_for_what_is_not_there_is_refused_by_name() {
    let gate = Gate::configured("[server]\nlive_watchers_per_key = 1").await;
    let made = gate.create(&Order::of("asked").endless()).await;
    let url = made["websocket_url"].as_str().unwrap();
    let authorization = format!("Bearer {}", gate.key);
    let ask = async |url: &str| open(url, &[("authorization", &authorization)]).await;
    for (query, field) in [
        ("interval_ms=999", "interval_ms"),
        ("interval_ms=10001", "interval_ms"),
        ("interval_ms=fast", "interval_ms"),
        ("close_on_terminal=maybe", "close_on_terminal"),
    ] {
        let refused = ask(&format!("{url}?{query}")).await;
        let refused = refused.refused(400, "validation_error");
        assert_eq!(refused["details"][0]["path"], field, "{refused:#}");
    }
    let nobodys = url.replace(id_of(&made), &format!("video_{}", "0".repeat(26)));
    ask(&nobodys).await.refused(404, "not_found");
    let plain = gate.get(&url.replacen("ws:", "http:", 1)).send().await;
    plain.refused(426, "websocket_upgrade_required");
    assert_eq!(plain.header("upgrade"), "websocket");

    let mut first = ask(url).await.socket();
    first.told("job.snapshot").await;
    let second = ask(url).await;
    assert!(second.header("retry-after").is_some());
    let refused = second.refused(429, "rate_limited");
    assert_eq!(refused["reason"], "too_many_watchers");
    let stream = gate.get(made["events_url"].as_str().unwrap()).send().await;
    stream.refused(429, "rate_limited");
    // Whoever leaves makes room, as soon as the server has noticed.
    first.0.close(None).await.unwrap();
    while first.0.next().await.is_some() {}
    let room = async { while ask(url).await.socket.is_none() {} };
    tokio::time::timeout(PATIENCE, room).await.unwrap();
}

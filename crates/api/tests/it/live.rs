//! Following a video: what is told, to whom, and when it ends.

use std::io::ErrorKind;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::response::Response;
use filmgate_api::{Config, Listener, Peer, VideoConfig};
use filmgate_core::id::VideoId;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::{Gate, local};

/// A stream of events, read as it comes.
struct Events {
    body: BodyDataStream,
    text: String,
}

/// One event.
#[derive(Debug, PartialEq)]
struct Told {
    name: String,
    id: Option<u64>,
    data: Value,
}

impl Events {
    fn of(response: Response) -> Self {
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event; `None` where the stream ends.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let told = Told::read(event);
                self.text = rest.to_owned();
                match told {
                    Some(told) => return Some(told),
                    None => continue,
                }
            }
            let more = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    /// The next one, which must be there, of this name.
    async fn named(&mut self, name: &str) -> Told {
        let told = self.next().await.expect("the stream goes on");
        assert_eq!(told.name, name, "{told:?}");
        told
    }
}

impl Told {
    /// `None` for a comment.
    fn read(event: &str) -> Option<Self> {
        let field = |name: &str| {
            event
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        Some(Self {
            name: field("event")?.to_owned(),
            id: field("id").map(|id| id.parse().unwrap()),
            data: serde_json::from_str(field("data")?).unwrap(),
        })
    }
}

/// How a followed video is asked for.
async fn follow(gate: &Gate, id: &str, last: Option<u64>) -> Response {
    let mut call = gate
        .call("GET", &format!("/v1/videos/{id}/events"))
        .key(&gate.reader);
    if let Some(last) = last {
        call = call.header("last-event-id", &last.to_string());
    }
    call.open("").await
}

async fn events(gate: &Gate, id: &str, last: Option<u64>) -> Events {
    let response = follow(gate, id, last).await;
    assert_eq!(response.status(), 200);
    Events::of(response)
}

/// The last that is told of a video, to somebody who knows nothing.
async fn events_to_end(gate: &Gate, id: &str) -> Told {
    let mut events = events(gate, id, None).await;
    let mut last = events.named("job.snapshot").await;
    while let Some(told) = events.next().await {
        last = told;
    }
    last
}

/// A video that ends only when it is told to.
async fn endless(gate: &Gate) -> String {
    let endless = json!({"provider_params": {"simulate": {"render_seconds": 3600}}});
    let made = gate.create(endless).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn cancel(gate: &Gate, id: &str) {
    gate.post(&format!("/v1/videos/{id}/cancel"), json!({}))
        .await
        .expect(200);
}

fn limited(live_watchers_per_key: u32) -> Config {
    Config {
        live_watchers_per_key,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_told_from_its_snapshot_to_its_end() {
    let gate = Gate::open().await;
    let slow = json!({"provider_params": {"simulate": {"render_seconds": 0.3}}});
    let made = gate.create(slow).await;
    let response = gate
        .call("GET", &local(&made["events_url"]))
        .key(&gate.reader)
        .header("accept-encoding", "gzip, br")
        .open("")
        .await;
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(
        header("content-encoding"),
        None,
        "an event is not kept back"
    );
    assert!(header("x-request-id").is_some());
    let mut events = Events::of(response);
    let first = events.named("job.snapshot").await;
    assert_eq!(first.data["id"], made["id"]);
    let mut before = first;
    while let Some(told) = events.next().await {
        assert_eq!(told.name, "job.updated");
        assert!(told.id > before.id, "{told:?} came after {before:?}");
        assert!(told.data["progress"].as_u64() >= before.data["progress"].as_u64());
        before = told;
    }
    assert_eq!(before.data["status"], "completed");
    let shown = gate.finished(made["id"].as_str().unwrap()).await;
    assert_eq!(before.data["asset"], shown["asset"]);
    assert_eq!(before.data["billing"], shown["billing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_what_a_status_answers() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    // Until nothing moves any more.
    let mut told = events(&gate, &id, None).await;
    let mut last = told.named("job.snapshot").await;
    while last.data["status"] != "processing" {
        last = told.named("job.updated").await;
    }
    let alias = format!("/v1/video/generations/{id}/events");
    let again = gate.call("GET", &alias).key(&gate.member).open("").await;
    let again = Events::of(again).named("job.snapshot").await;
    let shown = gate.get(&format!("/v1/videos/{id}")).await.expect(200);
    assert_eq!(again.data, shown.json());
    assert_eq!(
        local(&again.data["events_url"]),
        format!("/v1/videos/{id}/events")
    );
    assert_eq!(
        again.data["websocket_url"],
        format!("ws://films.example:8080/v1/async/video/{id}/ws")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_is_spared_what_he_has() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    let mut first = events(&gate, &id, None).await;
    let mut last = first.named("job.snapshot").await;
    while last.data["status"] != "processing" {
        last = first.named("job.updated").await;
    }
    drop(first);
    let seen = last.id.unwrap();
    let mut back = events(&gate, &id, Some(seen)).await;
    let mut late = events(&gate, &id, Some(seen - 1)).await;
    let snapshot = late.named("job.snapshot").await;
    assert!(snapshot.id >= Some(seen));
    cancel(&gate, &id).await;
    let told = back.named("job.updated").await;
    assert!(told.id > Some(seen), "{told:?}");
    let mut end = told;
    while end.data["status"] != "cancelled" {
        end = back.named("job.updated").await;
    }
    assert_eq!(back.next().await, None, "a terminal video is told and left");
    // The money of a cancelled one may still move, and then there is something to tell again.
    let path = format!("/v1/videos/{id}");
    loop {
        let seen = gate.get(&path).await.expect(200);
        let tag = seen.header("etag").unwrap().to_owned();
        if seen.json()["billing"]["state"] != "pending" {
            break;
        }
        let waiting = gate.call("GET", &format!("{path}?wait=60"));
        let waiting = waiting.key(&gate.member).header("if-none-match", &tag);
        waiting.send().await;
    }
    let settled = events_to_end(&gate, &id).await;
    let nothing = follow(&gate, &id, settled.id).await;
    assert_eq!(
        nothing.status(),
        204,
        "and nobody connects again for nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_late_is_told_the_latest_alone() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    let mut events = events(&gate, &id, None).await;
    events.named("job.snapshot").await;
    cancel(&gate, &id).await;
    gate.call("DELETE", &format!("/v1/videos/{id}"))
        .key(&gate.member)
        .send()
        .await
        .expect(200);
    let gone = events.named("job.deleted").await;
    let expected = json!({"id": id, "object": "video.deleted", "deleted": true});
    assert_eq!((gone.data, gone.id), (expected, None));
    assert_eq!(events.next().await, None);
    let refused = gate.get(&format!("/v1/videos/{id}/events")).await;
    assert_eq!(refused.expect(404).json()["reason"], "video_deleted");
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_before_the_stream_begins() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    let nobodys = format!("video_{}", "0".repeat(26));
    for path in ["/v1/videos/{}/events", "/v1/async/video/{}/ws"] {
        let of = |id: &str| path.replace("{}", id);
        for (path, key) in [
            (of(&nobodys), &gate.member),
            (of("none"), &gate.member),
            (of(&id), &gate.stranger),
        ] {
            let answer = gate.call("GET", &path).key(key).send().await.expect(404);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.json()["reason"], "video_not_found");
        }
        let anonymous = gate.call("GET", &of(&id)).send().await.expect(401);
        assert_eq!(anonymous.json()["error"], "unauthorised");
    }
    let plain = gate.get(&format!("/v1/async/video/{id}/ws")).await;
    let plain = plain.expect(426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("connection"), Some("upgrade"));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    assert_eq!(plain.json()["error"], "websocket_upgrade_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_follows_as_many_videos_at_once_as_it_may() {
    let gate = Gate::with(limited(2), VideoConfig::default()).await;
    let id = endless(&gate).await;
    let first = events(&gate, &id, None).await;
    let _second = events(&gate, &id, None).await;
    let third = gate
        .call("GET", &format!("/v1/videos/{id}/events"))
        .key(&gate.reader)
        .send()
        .await
        .expect(429);
    assert_eq!(third.header("retry-after"), Some("5"));
    let body = third.json();
    assert_eq!(
        (&body["error"], &body["reason"]),
        (&json!("rate_limited"), &json!("too_many_watchers"))
    );
    // Neither another key's followers nor other calls are concerned.
    let other = gate.call("GET", &format!("/v1/videos/{id}/events"));
    let other = other.key(&gate.member).open("").await;
    assert_eq!(other.status(), 200);
    gate.call("GET", &format!("/v1/videos/{id}"))
        .key(&gate.reader)
        .send()
        .await
        .expect(200);
    drop(first);
    events(&gate, &id, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_is_told_nothing_more() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    let mut events = events(&gate, &id, None).await;
    let mut last = events.named("job.snapshot").await;
    while last.data["status"] != "processing" {
        last = events.named("job.updated").await;
    }
    let reader = gate.call("GET", "/v1/key").key(&gate.reader).send().await;
    let key = reader.expect(200).json()["id"].as_str().unwrap().to_owned();
    gate.call("DELETE", &format!("/v1/keys/{key}"))
        .key(&gate.admin)
        .send()
        .await
        .expect(200);
    cancel(&gate, &id).await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_every_stream() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    let mut events = events(&gate, &id, None).await;
    events.named("job.snapshot").await;
    gate.stop.cancel();
    while let Some(told) = events.next().await {
        assert_eq!(told.name, "job.updated", "what came before is told");
    }
}

#[tokio::test]
async fn whoever_follows_has_named_the_video() {
    let gate = Gate::open().await;
    // Without being asked again, an identical create gets the same video as long as nobody named it.
    let retry = async || {
        let again = gate
            .call("POST", "/v1/videos")
            .key(&gate.member)
            .header("x-stainless-retry-count", "1");
        let made = again.json(gate.order(json!({}))).await.expect(202).json();
        made["id"].as_str().unwrap().to_owned()
    };
    let id = gate.create(json!({})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut events = events(&gate, &id, None).await;
    events.named("job.snapshot").await;
    assert_ne!(retry().await, id);
}

/// The handshake's headers.
const HANDSHAKE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What lies between a client and its server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Buffers too small for a status.
    Narrow,
    Wide,
}

/// A client that has asked for `path`, and whose answer has begun to come.
async fn asking(
    gate: &Gate,
    path: &str,
    headers: &str,
    way: Way,
    stop: &CancellationToken,
) -> TcpStream {
    let (server, client) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
    if way == Way::Narrow {
        server.set_send_buffer_size(4_096).unwrap();
        client.set_recv_buffer_size(2_048).unwrap();
    }
    server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = server.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    let app = gate
        .routes
        .clone()
        .into_make_service_with_connect_info::<Peer>();
    let stop = stop.clone().cancelled_owned();
    let served = axum::serve(Listener::new(listener), app).with_graceful_shutdown(stop);
    TaskTracker::new().spawn(async move { served.await.unwrap() });
    let mut client = client.connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: films.example:8080\r\nauthorization: Bearer {}\r\n{headers}\r\n",
        gate.reader
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client.readable().await.unwrap();
    client
}

/// Lets time pass until the only place there is, which is taken, is free again.
async fn place_becomes_free(gate: &Gate, id: &str) -> bool {
    let place = async || follow(gate, id, None).await.status();
    assert_eq!(place().await, 429);
    tokio::time::pause();
    let mut free = false;
    for _ in 0..50 {
        // More than once: what the buffers still take is headway too.
        tokio::time::advance(Duration::from_secs(31)).await;
        free = place().await == 200;
        if free {
            break;
        }
    }
    tokio::time::resume();
    free
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_place() {
    for (path, headers) in [
        ("/v1/videos/{}/events", ""),
        ("/v1/async/video/{}/ws", HANDSHAKE),
    ] {
        let gate = Gate::with(limited(1), VideoConfig::default()).await;
        let metadata: serde_json::Map<String, Value> = (0..16)
            .map(|number| (format!("note{number}"), json!("x".repeat(512))))
            .collect();
        let simulate = json!({"simulate": {"render_seconds": 3600}});
        let made = gate
            .create(json!({"metadata": metadata, "provider_params": simulate}))
            .await;
        let id = made["id"].as_str().unwrap();
        let stop = CancellationToken::new();
        let path = path.replace("{}", id);
        let mut client = asking(&gate, &path, headers, Way::Narrow, &stop).await;
        assert!(place_becomes_free(&gate, id).await, "{path}");
        let mut rest = Vec::new();
        if let Err(error) = client.read_to_end(&mut rest).await {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains(id), "something was on its way: {text}");
        assert!(
            !text.contains("assets_expire_at"),
            "but not all of it: {text}"
        );
        stop.cancel();
    }
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_loses_its_place() {
    let gate = Gate::with(limited(1), VideoConfig::default()).await;
    let id = endless(&gate).await;
    let stop = CancellationToken::new();
    let path = format!("/v1/async/video/{id}/ws");
    let _silent = asking(&gate, &path, HANDSHAKE, Way::Wide, &stop).await;
    assert!(place_becomes_free(&gate, &id).await);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_video_wakes_whoever_waits_for_a_change() {
    let gate = Gate::open().await;
    let id = endless(&gate).await;
    cancel(&gate, &id).await;
    let id: VideoId = id.parse().unwrap();
    let mut watcher = gate.engine.watch(id);
    gate.call("DELETE", &format!("/v1/videos/{id}"))
        .key(&gate.member)
        .send()
        .await
        .expect(200);
    watcher.moved().await;
    assert!(watcher.moved().now_or_never().is_none());
}

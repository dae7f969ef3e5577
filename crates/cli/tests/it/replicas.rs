//! Several gateways over one database and one bucket: what one of them is told, every other knows, and any of them may
//! go at any time.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filmgate_core::time::UnixTime;
use filmgate_upstreams::clock::Clock;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::fleet::{Fleet, PRICE, charged, held_by, obedient, order};
use crate::gate::{Answer, Call, Door, Gate, id_of, is_terminal, sha256};
use crate::live::{Events, follow};
use crate::status_object;

/// Whatever hangs fails its test.
const PATIENCE: Duration = Duration::from_secs(60);
/// A job that runs until it is cancelled.
const STUCK: &str = "#fault=stuck";

/// Stands before the gateways as a load balancer does: every call goes to the next one, however that is.
struct Balancer {
    doors: Mutex<Vec<Door>>,
    turn: AtomicUsize,
}

impl Balancer {
    fn before(gates: &[Gate]) -> Self {
        Self {
            doors: Mutex::new(gates.iter().map(Gate::door).collect()),
            turn: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> Door {
        let doors = self.doors.lock().unwrap();
        doors[self.turn.fetch_add(1, Ordering::Relaxed) % doors.len()].clone()
    }

    fn replace(&self, place: usize, gate: &Gate) {
        self.doors.lock().unwrap()[place] = gate.door();
    }

    /// Asks one after the other until one answers. A gateway that goes says so, or does not answer at all; it does not
    /// break off in the middle of an answer.
    async fn ask(&self, call: impl Fn(&Door) -> Call) -> Answer {
        loop {
            match call(&self.next()).try_send().await {
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => return answer,
                Err(error) => assert!(not_answered(&error), "{error:?}"),
            }
        }
    }

    /// Follows a video by waiting for each change.
    async fn wait_terminal(&self, id: &str) -> Value {
        let path = format!("/v1/videos/{id}?wait=60");
        let mut tag = String::new();
        loop {
            let answer = self
                .ask(|door| {
                    let call = door.call(Method::GET, &path);
                    if tag.is_empty() {
                        call
                    } else {
                        call.header("if-none-match", &tag)
                    }
                })
                .await;
            // Asked again with what the last one told: nothing has changed since a gateway let its waiters go.
            if answer.status == 304 {
                continue;
            }
            let answer = answer.expect(200);
            let video = status_object::whole(answer.json());
            if is_terminal(&video) {
                return video;
            }
            answer.header("etag").clone_into(&mut tag);
        }
    }

    /// Follows a video by its events, from one gateway to the next.
    async fn follow_to_the_end(&self, id: &str) -> Value {
        let path = format!("/v1/video/generations/{id}/events");
        let mut last: Option<(u64, Value)> = None;
        loop {
            let call = self.next().call(Method::GET, &path);
            let call = match &last {
                Some((version, _)) => call.header("last-event-id", &version.to_string()),
                None => call,
            };
            let response = match call.try_open().await {
                Ok(response) if response.status() == 503 => continue,
                Ok(response) => response,
                Err(error) => {
                    assert!(not_answered(&error), "{error:?}");
                    continue;
                }
            };
            let mut events = Events::of(response);
            while let Some((_, version, data)) = events.next().await {
                let video = status_object::whole(data);
                if let Some((known, seen)) = &last {
                    assert!(version >= Some(*known), "{version:?} came after {known}");
                    status_object::follows(seen, &video);
                }
                if is_terminal(&video) {
                    return video;
                }
                last = Some((version.unwrap(), video));
            }
        }
    }
}

/// Refused, or cut off before an answer began.
fn not_answered(error: &reqwest::Error) -> bool {
    !error.is_timeout() && (error.is_connect() || error.is_request())
}

async fn create(gate: &Gate, key: &str, prompt: &str) -> Answer {
    let call = gate.post("/v1/videos").header("idempotency-key", key);
    call.json(order(prompt).body()).send().await
}

async fn stop_all(gates: Vec<Gate>) {
    for gate in gates {
        gate.stop().await.doctor().await.is_closed_and_balanced();
    }
}

#[tokio::test]
async fn what_one_gateway_took_on_is_told_and_served_by_every_other() {
    let fleet = Fleet::on_postgres().await;
    let gates = fleet.gates(3).await;
    let made = gates[0].create(&order("a boat")).await;
    let id = id_of(&made);
    for gate in &gates {
        let video = gate.wait_terminal(id).await;
        assert_eq!(video["status"], "completed", "{video:#}");
        assert_eq!(charged(&video), PRICE);
        let bytes = gate.bytes(&video).await;
        assert_eq!(sha256(&bytes), video["asset"]["sha256"]);
        let link = video["download_url"].as_str().unwrap();
        let fetched = gates[1].get(link).anonymous().send().await.expect(200);
        assert_eq!(fetched.body, bytes, "a link is every gateway's");
    }
    assert_eq!(fleet.provider.emulator.counts().accepted, 1);
    stop_all(gates).await;
    assert_eq!(fleet.shared().bucket.objects().len(), 2);
}

#[tokio::test]
async fn of_three_first_starts_at_once_one_shows_a_key_which_opens_all_three() {
    let fleet = Fleet::on_postgres().await;
    let starting = (0..3).map(|_| fleet.keyless_home().start_keyless());
    let mut gates = join_all(starting).await;
    let shown: Vec<String> = gates
        .iter()
        .map(|gate| gate.key.clone())
        .filter(|key| !key.is_empty())
        .collect();
    assert_eq!(shown.len(), 1, "one gateway makes the first key");
    for gate in &mut gates {
        gate.key.clone_from(&shown[0]);
    }
    for gate in &gates {
        gate.completed(&order("a boat")).await;
        assert_eq!(
            gate.get("/v1/keys").send().await.expect(200).json()["data"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
    let shared = fleet.shared();
    let sql = |statement: &str| shared.cluster.sql(&shared.url, statement);
    assert_eq!(sql("SELECT count(*) FROM workspaces"), "1");
    let stranger = fleet
        .home()
        .environment("FILMGATE_SECURITY__MASTER_KEY", &"ff".repeat(32));
    let refused = stranger.run(&["doctor"]).await.failed();
    assert!(
        refused.out.contains("the master key does not open"),
        "{refused:?}"
    );
    assert_eq!(sql("SELECT bool_and(success) FROM _sqlx_migrations"), "t");
    stop_all(gates).await;
}

/// The watchers' gateway looks by itself every five seconds. Were that what wakes them, these changes, each made when
/// the one before has been seen, would take longer than the test has.
#[tokio::test]
async fn what_one_gateway_changes_wakes_those_who_watch_at_another() {
    const CHANGES: usize = 15;
    // One job has the only place, so that nothing ever moves of those that wait.
    let fleet = Fleet::on_postgres_before(obedient())
        .await
        .with_provider("concurrency = 1");
    let gates = fleet.gates(2).await;
    let (here, there) = (&gates[0], &gates[1]);
    let first = here.create(&order(STUCK)).await;
    here.wait_processing(id_of(&first)).await;
    let mut delays: Vec<[Duration; 3]> = Vec::new();
    let watched = async {
        for number in 0..CHANGES {
            let made = here.create(&order(&format!("boat {number}"))).await;
            let id = id_of(&made);
            let mut events = Events::open(here, made["events_url"].as_str().unwrap(), None).await;
            let (_, version, _) = events.next().await.unwrap();
            let mut socket = follow(here, &made, "?interval_ms=1000").await;
            let snapshot = socket.told("job.snapshot").await;
            let is_cancelled = |video: &Value| video["status"] == "cancelled";
            let begun = Instant::now();
            let (waited, told, socketed, _) = tokio::join!(
                async {
                    here.wait_until(id, is_cancelled).await;
                    begun.elapsed()
                },
                async {
                    let (name, later, video) = events.next().await.unwrap();
                    assert_eq!(
                        (name.as_str(), &video["status"]),
                        ("job.updated", &json!("cancelled"))
                    );
                    assert!(later > version);
                    begun.elapsed()
                },
                async {
                    socket.until(snapshot, is_cancelled).await;
                    begun.elapsed()
                },
                there.cancel(id),
            );
            delays.push([waited, told, socketed]);
        }
    };
    timeout(PATIENCE, watched)
        .await
        .expect("every change is heard of, one after the other");
    for (kind, name) in ["wait", "events", "socket"].iter().enumerate() {
        let mut sorted: Vec<Duration> = delays.iter().map(|delay| delay[kind]).collect();
        sorted.sort_unstable();
        println!(
            "{name}: a change made elsewhere is seen after {:?} at least, {:?} in the middle, {:?} at most",
            sorted[0],
            sorted[sorted.len() / 2],
            sorted[sorted.len() - 1]
        );
    }
    here.cancel(id_of(&first)).await;
    here.wait_settled(id_of(&first)).await;
    stop_all(gates).await;
}

#[tokio::test]
async fn every_gateway_tells_of_a_video_to_its_end_whoever_works_on_it() {
    let fleet = Fleet::on_postgres().await;
    let gates = fleet.gates(3).await;
    let mut all = Vec::new();
    for number in 0..6 {
        all.push(
            gates[number % 3]
                .create(&order(&format!("boat {number}")))
                .await,
        );
    }
    let told = all
        .iter()
        .flat_map(|made| gates.iter().map(move |gate| to_the_end(gate, id_of(made))));
    let ends = timeout(PATIENCE, join_all(told)).await.expect("all end");
    for same in ends.chunks(3) {
        assert_eq!(same[0]["status"], "completed", "{:#}", same[0]);
        for end in same {
            assert_eq!(
                (&end["asset"], &end["billing"]),
                (&same[0]["asset"], &same[0]["billing"])
            );
        }
    }
    assert_eq!(fleet.provider.emulator.counts().accepted, 6);
    stop_all(gates).await;
}

/// Follows a video's events at one gateway.
async fn to_the_end(gate: &Gate, id: &str) -> Value {
    let mut events = Events::open(gate, &format!("/v1/video/generations/{id}/events"), None).await;
    let (_, mut version, data) = events.next().await.unwrap();
    let mut seen = status_object::whole(data);
    while let Some((_, later, data)) = events.next().await {
        assert!(later > version, "{later:?} came after {version:?}");
        let video = status_object::whole(data);
        status_object::follows(&seen, &video);
        (version, seen) = (later, video);
    }
    seen
}

#[tokio::test]
async fn gateways_restarted_one_after_the_other_lose_nothing_that_was_answered() {
    const CLIENTS: usize = 6;
    let fleet = Fleet::on_postgres().await;
    let mut gates = fleet.gates(3).await;
    let balancer = Balancer::before(&gates);
    let enough = AtomicBool::new(false);
    let emulator = &fleet.provider.emulator;
    let clients = join_all((0..CLIENTS).map(|client| used(&balancer, client, &enough)));
    let restarts = async {
        for place in 0..gates.len() {
            under_load(&fleet).await;
            let gate = gates.remove(place).restart().await;
            balancer.replace(place, &gate);
            gates.insert(place, gate);
        }
        under_load(&fleet).await;
        enough.store(true, Ordering::Relaxed);
    };
    let (videos, ()) = timeout(2 * PATIENCE, async { tokio::join!(clients, restarts) })
        .await
        .expect("all is answered in the end");
    let videos: Vec<Value> = videos.into_iter().flatten().collect();
    println!(
        "{} videos were made while three gateways were restarted",
        videos.len()
    );
    let counts = emulator.counts();
    assert_eq!(
        (counts.accepted, counts.duplicates.len()),
        (videos.len() as u64, 0),
        "every job was submitted once: {counts:?}"
    );
    let ids: BTreeSet<&str> = videos.iter().map(id_of).collect();
    assert_eq!(ids.len(), videos.len());
    let sql = |statement: &str| fleet.shared().cluster.sql(&fleet.shared().url, statement);
    assert_eq!(sql("SELECT count(*) FROM jobs"), videos.len().to_string());
    stop_all(gates).await;
}

/// Waits until the provider was given a few more jobs.
async fn under_load(fleet: &Fleet) {
    let emulator = &fleet.provider.emulator;
    let before = emulator.counts().accepted;
    emulator.until(|counts| counts.accepted >= before + 8).await;
}

/// A client that makes one video after the other until it has enough, and takes each home.
async fn used(balancer: &Balancer, client: usize, enough: &AtomicBool) -> Vec<Value> {
    let mut videos = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let key = format!("{client}-{}", videos.len());
        let order = order(&format!("boat {key}"));
        let made = balancer
            .ask(|door| {
                let call = door.call(Method::POST, "/v1/videos");
                call.header("idempotency-key", &key).json(order.body())
            })
            .await;
        let made = made.expect(202).json();
        let video = if client.is_multiple_of(2) {
            balancer.wait_terminal(id_of(&made)).await
        } else {
            balancer.follow_to_the_end(id_of(&made)).await
        };
        assert_eq!(
            (&video["status"], &video["attempts"], charged(&video)),
            (&json!("completed"), &json!(1), PRICE),
            "{video:#}"
        );
        let content = video["content_url"].as_str().unwrap();
        let bytes = balancer.ask(|door| door.call(Method::GET, content)).await;
        assert_eq!(sha256(&bytes.expect(200).body), video["asset"]["sha256"]);
        videos.push(video);
    }
    videos
}

#[tokio::test]
async fn a_gateway_that_stops_brings_downloads_under_way_to_their_end() {
    let fleet = Fleet::on_postgres().await;
    let gate = fleet.gate().await;
    let long = order("a long boat")
        .with("duration", 8)
        .with("size", "1920x1080");
    let video = gate.completed(&long).await;
    let size = video["asset"]["bytes"].as_u64().unwrap();
    let content = video["content_url"].as_str().unwrap();
    let path = &content[content.find("/v1/").unwrap()..];
    let mut download = slow(&gate, path).await;
    let mut received = vec![0; 1];
    download.read_exact(&mut received).await.unwrap();
    let door = gate.door();
    let stopping = gate.stop();
    tokio::pin!(stopping);
    let refused = async {
        let health = || {
            door.call(Method::GET, "/health")
                .header("connection", "close")
        };
        while health().try_send().await.is_ok() {}
    };
    tokio::select! {
        biased;
        _ = &mut stopping => panic!("it left {size} bytes behind"),
        () = refused => {}
    }
    let (home, read) = tokio::join!(stopping, download.read_to_end(&mut received));
    read.unwrap();
    let head = received
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    assert!(received.starts_with(b"HTTP/1.1 200"));
    assert_eq!(sha256(&received[head + 4..]), video["asset"]["sha256"]);
    home.doctor().await.is_closed_and_balanced();
}

/// A download by a client that takes next to nothing until it is read from.
async fn slow(gate: &Gate, path: &str) -> TcpStream {
    let host = gate.address.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(host.parse().unwrap()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        gate.key
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn the_places_at_a_provider_are_shared_by_all_gateways() {
    const JOBS: usize = 30;
    let fleet = Fleet::on_postgres().await.with_provider("concurrency = 3");
    let gates = fleet.gates(3).await;
    let videos = join_all((0..JOBS).map(async |number| {
        let made = gates[number % 3]
            .create(&order(&format!("boat {number}")))
            .await;
        gates[(number + 1) % 3].wait_terminal(id_of(&made)).await
    }));
    for video in videos.await {
        assert_eq!(video["status"], "completed", "{video:#}");
    }
    let counts = fleet.provider.emulator.counts();
    assert_eq!(
        (counts.most_running, counts.accepted),
        (3, JOBS as u64),
        "{counts:?}"
    );
    stop_all(gates).await;
}

#[tokio::test]
async fn a_gateway_that_dies_leaves_its_places_as_they_are() {
    const TURNS: u64 = 10;
    let clock = Clock::standing_at(UnixTime::from_seconds(1_795_420_800));
    let fleet = Fleet::on_postgres_before(held_by(&clock))
        .await
        .with_provider("concurrency = 3");
    let mut gates = fleet.gates(3).await;
    let mut made = Vec::new();
    for number in 0..3 * TURNS {
        made.push(gates[0].create(&order(&format!("boat {number}"))).await);
    }
    let emulator = &fleet.provider.emulator;
    let turns = async {
        for turn in 1..=TURNS {
            emulator.until(|counts| counts.accepted >= 3 * turn).await;
            if turn == TURNS / 2 {
                // All places are taken, and nobody is just submitting: that the provider may have a job which nobody
                // knows of is another sentence.
                while running(&gates[0]).await < 3 {}
                gates.remove(2).kill().await;
                // Its leases would run out by themselves.
                let shared = fleet.shared();
                shared.cluster.sql(
                    &shared.url,
                    "UPDATE work SET lease_until = 0 WHERE lease_until IS NOT NULL",
                );
            }
            clock.advance(Duration::from_secs(1));
        }
    };
    timeout(PATIENCE, turns)
        .await
        .expect("every place is taken again");
    for video in &made {
        let end = gates[1].wait_terminal(id_of(video)).await;
        assert_eq!(end["status"], "completed", "{end:#}");
    }
    let counts = emulator.counts();
    assert_eq!(
        (
            counts.most_running,
            counts.accepted,
            counts.duplicates.len()
        ),
        (3, 3 * TURNS, 0),
        "{counts:?}"
    );
    stop_all(gates).await;
}

/// How many videos a provider has.
async fn running(gate: &Gate) -> usize {
    let list = gate.get("/v1/videos?status=processing").send().await;
    list.expect(200).json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn twins_under_one_idempotency_key_are_one_video_wherever_they_are_sent() {
    const ROUNDS: usize = 8;
    let fleet = Fleet::on_postgres().await;
    let gates = fleet.gates(3).await;
    for round in 0..ROUNDS {
        let key = format!("round-{round}");
        let answers = join_all(gates.iter().map(|gate| create(gate, &key, &key))).await;
        let replayed = answers
            .iter()
            .filter(|answer| answer.find_header("idempotent-replayed").is_some());
        assert_eq!(replayed.count(), 2);
        let ids: BTreeSet<String> = answers
            .into_iter()
            .map(|answer| id_of(&answer.expect(202).json()).to_owned())
            .collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let end = gates[0].wait_terminal(ids.first().unwrap()).await;
        assert_eq!(end["status"], "completed", "{end:#}");
    }
    assert_eq!(fleet.provider.emulator.counts().accepted, ROUNDS as u64);
    assert_eq!(gates[0].video_count().await, ROUNDS);
    stop_all(gates).await;
}

#[tokio::test]
async fn a_retry_that_says_so_finds_its_video_at_another_gateway() {
    let fleet = Fleet::on_postgres().await;
    let gates = fleet.gates(2).await;
    let first = gates[0].create(&order("a boat")).await;
    let retry = gates[1]
        .post("/v1/videos")
        .header("x-stainless-retry-count", "1");
    let again = retry.json(order("a boat").body()).send().await.expect(202);
    assert_eq!(again.header("x-filmgate-replayed"), "true");
    assert_eq!(again.json()["id"], first["id"]);
    gates[1].wait_terminal(id_of(&first)).await;
    assert_eq!(fleet.provider.emulator.counts().accepted, 1);
    stop_all(gates).await;
}

#[tokio::test]
async fn a_retry_that_says_nothing_finds_the_video_whose_gateway_died_before_it_answered() {
    let fleet = Fleet::on_postgres_before(obedient()).await;
    let mut gates = fleet.gates(2).await;
    let dying = gates.remove(0);
    let post = |gate: &Gate| gate.post("/v1/videos").json(order(STUCK).body());
    // Its answer is held back until the video ends, which it does not.
    let unanswered = post(&dying).header("prefer", "wait=60").try_send();
    let death = async {
        // The list names no video to its client, and nobody is just submitting this one.
        while running(&gates[0]).await == 0 {}
        dying.kill().await
    };
    let (unanswered, _home) = tokio::join!(unanswered, death);
    assert!(not_answered(&unanswered.unwrap_err()));
    let shared = fleet.shared();
    let sql = |statement: &str| shared.cluster.sql(&shared.url, statement);
    // Nobody has heard of it for a while.
    sql(
        "UPDATE processes SET seen_at = seen_at - interval '16 seconds' WHERE id IN (SELECT answer_by FROM unacknowledged)",
    );
    let again = post(&gates[0]).send().await.expect(202);
    assert_eq!(again.header("x-filmgate-replayed"), "true");
    assert_eq!(id_of(&again.json()), sql("SELECT id FROM jobs"));
    // What is known to be lost is found once: whoever asks after that wants another one.
    let another = post(&gates[0]).send().await.expect(202);
    assert_eq!(another.find_header("x-filmgate-replayed"), None);
    for answer in [again, another] {
        let id = id_of(&answer.json()).to_owned();
        gates[0].cancel(&id).await;
        gates[0].wait_settled(&id).await;
    }
    stop_all(gates).await;
}

#[tokio::test]
async fn funds_are_spent_once_whichever_gateway_is_asked() {
    const ASKED: usize = 60;
    const COVERED: usize = 20;
    let fleet = Fleet::on_postgres_before(obedient())
        .await
        .configured("[billing]\nmode = \"prepaid\"");
    let gates = fleet.gates(3).await;
    let credit = json!({"amount": "0.40", "reason": "for twenty"});
    gates[0]
        .post("/v1/credits")
        .json(&credit)
        .send()
        .await
        .expect(201);
    let stuck = order(STUCK);
    let answers = join_all((0..ASKED).map(|number| {
        gates[number % 3]
            .post("/v1/videos")
            .json(stuck.body())
            .send()
    }));
    let answers = answers.await;
    let (admitted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 202);
    assert_eq!((admitted.len(), refused.len()), (COVERED, ASKED - COVERED));
    for answer in refused {
        answer.refused(402, "insufficient_funds");
    }
    for gate in &gates {
        let funds = gate.get("/v1/credits").send().await.expect(200).json();
        assert_eq!(
            (&funds["available_nanos"], &funds["reserved_nanos"]),
            (&json!(0), &json!(PRICE * COVERED as i64))
        );
    }
    for (answer, gate) in admitted.iter().zip(gates.iter().cycle()) {
        let id = id_of(&answer.json()).to_owned();
        gate.cancel(&id).await;
        gate.wait_settled(&id).await;
    }
    stop_all(gates).await;
}

//! What a gateway stands on gives way, and comes back: its database, its disk, its bucket, its clock.
//!
//! Whatever happened, every job that was accepted has ended, none was submitted twice, what is called completed is stored
//! whole, and the books are closed.
//!
//! Not here: the gateway's own death (`crash`), trouble at a provider (`own_provider`, the engine's tests).

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filmgate_testbed::s3::{Fault, Kind};
use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::fleet::{Fleet, PRICE, charged, order};
use crate::gate::{Answer, Call, Gate, Home, files_below, id_of, is_terminal, sha256};
use crate::order::{Order, data_url, picture};
use crate::status_object;
use crate::wall_clock::WallClock;

/// Short leases: what a failure leaves behind is soon taken up again.
const SHORT_LEASES: &str = "[engine]\nlease_seconds = 10\ncall_seconds = 1";
/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Refused for now, in the envelope, and without a word about what lies behind.
#[track_caller]
fn refused_for_now(answer: &Answer) {
    match answer.status {
        503 => answer.refused(503, "overloaded"),
        _ => answer.refused(500, "gateway_error"),
    };
    let text = answer.text().to_lowercase();
    for internal in [
        "postgres",
        "sqlx",
        "pool",
        "connection",
        "127.0.0.1",
        "os error",
        "disk",
        "bucket",
        "slowdown",
        "internalerror",
    ] {
        assert!(!text.contains(internal), "something internal shows: {text}");
    }
}

/// Creates as a client does that does not give up: under one key, until it is accepted.
async fn insist(gate: &Gate, key: &str, order: &Order) -> Value {
    let made = answered(|| creation(gate, key, order)).await.expect(202);
    status_object::whole(made.json())
}

fn creation(gate: &Gate, key: &str, order: &Order) -> Call {
    gate.post("/v1/videos")
        .header("idempotency-key", key)
        .json(order.body())
}

/// Asks until it is not told to come again.
async fn answered(call: impl Fn() -> Call) -> Answer {
    let answered = async {
        loop {
            let answer = call().send().await;
            if answer.status < 500 {
                return answer;
            }
            refused_for_now(&answer);
        }
    };
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    answered.expect("nobody is refused for so long")
}

/// Does what blocks on a thread of its own, while `rest` goes on. For tests on several threads.
fn beside<T>(blocking: impl FnOnce() + Send, rest: impl Future<Output = T>) -> T {
    let handle = Handle::current();
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let blocking = scope.spawn(blocking);
            let done = handle.block_on(rest);
            blocking.join().unwrap();
            done
        })
    })
}

/// Every one of these videos ends, and what is completed is there as it is described.
async fn ended(gate: &Gate, videos: &[Value]) -> Vec<Value> {
    let ended = videos.iter().map(async |video| {
        let video = end_of(gate, id_of(video)).await;
        if video["status"] == "completed" {
            is_stored(gate, &video).await;
        }
        video
    });
    join_all(ended).await
}

/// Waits as a client does that does not give up.
async fn end_of(gate: &Gate, id: &str) -> Value {
    let path = format!("/v1/videos/{id}?wait=60");
    let video = answered(|| gate.get(&path)).await.expect(200).json();
    assert!(is_terminal(&video), "{video:#}\n{}", gate.home().log());
    status_object::whole(video)
}

async fn is_stored(gate: &Gate, video: &Value) {
    let content = answered(|| gate.get(video["content_url"].as_str().unwrap())).await;
    let bytes = content.expect(200).body;
    assert_eq!(sha256(&bytes), video["asset"]["sha256"], "{video:#}");
    assert_eq!(charged(video), PRICE, "{video:#}");
}

#[track_caller]
fn all_completed(videos: &[Value]) {
    for video in videos {
        assert_eq!(video["status"], "completed", "{video:#}");
    }
}

/// Stops the gateways: nothing was submitted twice, there are the jobs that were accepted, and all is accounted for.
async fn settled(fleet: &Fleet, gates: Vec<Gate>, accepted: usize) -> Vec<Home> {
    let counts = fleet.provider.emulator.counts();
    assert!(counts.duplicates.is_empty(), "{:?}", counts.duplicates);
    let homes = join_all(gates.into_iter().map(Gate::stop)).await;
    let audit = homes[0].doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!(
        (audit.jobs, audit.under_way),
        (accepted as u64, 0),
        "{audit:?}"
    );
    homes
}

/// Waits until the log has said `words` so often. In between, the gateway is asked how it is.
async fn logged(gate: &Gate, words: &str, times: usize) {
    let said = async {
        while gate.home().log().matches(words).count() < times {
            gate.get("/health").anonymous().send().await.expect(200);
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("the log does not say {words:?} {times} times"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_loses_power_and_comes_back_costs_a_delay() {
    let fleet = Fleet::on_postgres().await.configured(SHORT_LEASES);
    let cluster = &fleet.shared().cluster;
    let gates = fleet.gates(2).await;
    // The provider has begun on all of them, and half of its answers are still to come.
    let order = |number: usize| match number % 4 {
        0 | 1 => order(&format!("job {number} #fault=render=1")),
        _ => order(&format!("job {number} #fault=slow-submit=0.5")),
    };
    let made = (0..8).map(|number| (&gates[number % 2], order(number)));
    let made = made.map(async |(gate, order)| gate.create(&order).await);
    let mut videos = join_all(made).await;
    let emulator = &fleet.provider.emulator;
    emulator.until(|counts| counts.accepted == 8).await;

    beside(|| cluster.kill(), async {});
    let new: Vec<usize> = (8..16).collect();
    let told = join_all(new.iter().map(async |number| {
        let gate = &gates[number % 2];
        let video = &videos[number % 8];
        gate.get("/health").anonymous().send().await.expect(200);
        let ready = gate.get("/ready").anonymous().send();
        let status = gate.get(&format!("/v1/videos/{}", id_of(video))).send();
        let list = gate.get("/v1/videos").send();
        let key = number.to_string();
        let order = order(*number);
        let made = creation(gate, &key, &order).send();
        futures::join!(ready, status, list, made)
    }));
    for (ready, status, list, made) in told.await {
        ready.refused(503, "overloaded");
        for answer in [status, list, made] {
            refused_for_now(&answer);
        }
    }

    let made = join_all(new.iter().map(async |number| {
        insist(&gates[number % 2], &number.to_string(), &order(*number)).await
    }));
    videos.extend(beside(|| cluster.start_again(), made));
    let videos = ended(&gates[0], &videos).await;
    all_completed(&videos);
    settled(&fleet, gates, 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    const JOBS: usize = 40;
    const CUTS: usize = 30;
    let fleet = Fleet::on_postgres().await.configured(SHORT_LEASES);
    let shared = fleet.shared();
    let gates = fleet.gates(2).await;
    let all_made = AtomicBool::new(false);
    let cut = || {
        let mut cuts = 0;
        while cuts < CUTS || !all_made.load(Ordering::Relaxed) {
            shared.cluster.sql(
                &shared.url,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'filmgate'",
            );
            cuts += 1;
        }
    };
    let made = async {
        let made = join_all((0..JOBS).map(async |number| {
            let order = order(&format!("job {number}"));
            insist(&gates[number % 2], &number.to_string(), &order).await
        }));
        let made = made.await;
        all_made.store(true, Ordering::Relaxed);
        made
    };
    let videos = beside(cut, made);
    let videos = ended(&gates[1], &videos).await;
    for video in &videos {
        // Whether a job was begun on can be lost with a connection; then it is not bought for a second time.
        let how = video["error"]["code"].as_str().unwrap_or("completed");
        assert!(
            ["completed", "submission_ambiguous"].contains(&how),
            "{video:#}"
        );
    }
    settled(&fleet, gates, JOBS).await;
}

/// A small file system in memory, gone with this value. Mounting needs root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        mount(&["-t", "tmpfs", "-o", "size=16m", "tmpfs"], disk.path());
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The data directory of `home` is on it.
    fn carry(&self, home: &Home) {
        std::os::unix::fs::symlink(self.path(), home.data()).unwrap();
    }

    /// Takes all that is left of it.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        let full = loop {
            if let Err(full) = std::io::Write::write_all(&mut ballast, &[0; 4096]) {
                break full;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}")], self.path());
    }

    /// Lets nobody open anything for writing. What is open stays so: the kernel makes no file system read-only before
    /// its last writer is gone.
    fn forbid_writing(&self) {
        let itself = self.path().to_str().unwrap();
        mount(&["--bind", itself], self.path());
        self.remount("bind,ro");
    }

    fn allow_writing(&self) {
        assert!(self.unmount(), "writing was forbidden");
    }

    /// Takes away what was mounted last. Lazily: a gateway may be on it.
    fn unmount(&self) -> bool {
        let done = Command::new("umount").arg("-l").arg(self.path()).output();
        done.unwrap().status.success()
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        while self.unmount() {}
    }
}

#[track_caller]
fn mount(what: &[&str], place: &Path) {
    let done = Command::new("mount")
        .args(what)
        .arg(place)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "mount {what:?} failed, and the tests of full and read-only disks need it; run them as root: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// An order whose picture has to be stored before anything else.
fn with_picture() -> Order {
    Order::of("from a picture").with("input_reference", data_url(&picture(7)))
}

/// Jobs that the provider has accepted and not finished.
async fn four_under_way(fleet: &Fleet, gate: &Gate) -> Vec<Value> {
    let mut videos = Vec::new();
    for number in 0..4 {
        let order = order(&format!("job {number} #fault=render=1"));
        videos.push(gate.create(&order).await);
    }
    let emulator = &fleet.provider.emulator;
    emulator.until(|counts| counts.accepted == 4).await;
    videos
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_delays_what_runs() {
    let fleet = Fleet::on_files().await.configured(SHORT_LEASES);
    let disk = SmallDisk::new();
    let home = fleet.home();
    disk.carry(&home);
    let gate = home.start().await;
    let mut videos = four_under_way(&fleet, &gate).await;

    disk.fill();
    let before = gate.home().assets();
    refused_for_now(&creation(&gate, "picture", &with_picture()).send().await);
    assert_eq!(gate.home().assets(), before, "half a picture is kept");
    // There may be room for a few more in the files as they are.
    let mut refused = None;
    for number in 4..200 {
        let key = number.to_string();
        let order = order(&format!("job {number}"));
        let answer = creation(&gate, &key, &order).send().await;
        if answer.status != 202 {
            refused_for_now(&answer);
            refused = Some((key, order));
            break;
        }
        videos.push(answer.json());
    }
    let (key, refused) = refused.expect("a full disk takes no more");
    logged(&gate, "database or disk is full", 4).await;
    for video in &videos {
        let video = gate.status(id_of(video)).await;
        assert!(!is_terminal(&video), "{video:#}");
    }

    disk.make_room();
    videos.push(insist(&gate, &key, &refused).await);
    let videos = ended(&gate, &videos).await;
    all_completed(&videos);
    let homes = settled(&fleet, vec![gate], videos.len()).await;
    let spool = files_below(&homes[0].data().join("spool"));
    assert_eq!(spool, ["lock"], "what was on its way stays");
}

#[tokio::test]
async fn a_bucket_that_fails_delays_what_is_new_and_serves_nothing_half() {
    let lines = format!("{SHORT_LEASES}\n[assets]\nstall_seconds = 1");
    let fleet = Fleet::on_postgres().await.configured(&lines);
    let bucket = &fleet.shared().bucket;
    let faults = bucket.faults();
    let gate = fleet.gate().await;
    let mut videos = Vec::new();
    for (times, fault) in (1..).zip([Fault::InternalError, Fault::SlowDown, Fault::Stall]) {
        faults.always(Kind::Put, fault);
        let made = gate.create(&order(&format!("under {fault:?}"))).await;
        logged(&gate, "output 0 cannot be stored now", times).await;
        let waiting = gate.status(id_of(&made)).await;
        assert_eq!(waiting["status"], "processing", "{waiting:#}");
        faults.clear();
        videos.push(made);
    }
    let videos = ended(&gate, &videos).await;
    all_completed(&videos);

    let video = &videos[0];
    let whole = gate.bytes(video).await;
    for fault in [
        Fault::InternalError,
        Fault::SlowDown,
        Fault::Stall,
        Fault::CutAfter(1000),
        Fault::StallAfter(1000),
        Fault::ShortenedTo(1000),
    ] {
        faults.always(Kind::Get, fault);
        let content = gate.get(video["content_url"].as_str().unwrap());
        match content.try_send().await {
            // It broke off, and the client knows.
            Err(_) => {}
            Ok(answer) if answer.status == 200 => assert_eq!(answer.body, whole, "{fault:?}"),
            Ok(answer) => refused_for_now(&answer),
        }
        faults.clear();
        assert_eq!(gate.bytes(video).await, whole, "after {fault:?}");
    }

    faults.always(Kind::Delete, Fault::InternalError);
    let path = format!("/v1/videos/{}", id_of(video));
    gate.delete(&path).send().await.expect(200);
    gate.get(&path).send().await.refused(404, "not_found");
    faults.clear();
    assert_eq!(bucket.objects().len(), 6, "a film and a picture of each");
    let homes = settled(&fleet, vec![gate], videos.len()).await;
    bucket.age(Duration::from_secs(2 * 24 * 3600));
    let tidied = homes[0].run(&["--json", "tidy"]).await.succeeded().json();
    assert_eq!(tidied["objects"], json!(2), "{tidied:#}");
    let kept = bucket.objects();
    assert_eq!(kept.len(), 4);
    assert!(!kept.iter().any(|key| key.contains(id_of(video))));
}

#[tokio::test]
async fn a_read_only_disk_is_told_at_the_start_and_waited_for_later() {
    let fleet = Fleet::on_files().await.configured(SHORT_LEASES);
    let disk = SmallDisk::new();
    let home = fleet.home();
    disk.carry(&home);
    for used_before in [false, true] {
        disk.remount("ro");
        let refused = home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
        let told = refused.failed().err;
        assert_eq!(told.trim().lines().count(), 1, "{told}");
        assert!(
            told.contains("data directory") && told.contains("Read-only file system"),
            "{told}"
        );
        disk.remount("rw");
        if !used_before {
            home.doctor().await;
        }
    }

    let gate = home.start().await;
    let videos = four_under_way(&fleet, &gate).await;
    disk.forbid_writing();
    let before = gate.home().assets();
    refused_for_now(&creation(&gate, "picture", &with_picture()).send().await);
    logged(&gate, "the spool cannot be written", 4).await;
    for video in &videos {
        let video = gate.status(id_of(video)).await;
        assert_eq!(video["status"], "processing", "{video:#}");
    }
    assert_eq!(gate.home().assets(), before);
    disk.allow_writing();
    let videos = ended(&gate, &videos).await;
    all_completed(&videos);
    settled(&fleet, vec![gate], videos.len()).await;
}

/// What the gateway's wall clock said last, in minutes of the day: its log tells.
fn logged_at(gate: &Gate) -> i64 {
    let log = gate.home().log();
    // As in `2026-01-31T12:34:56.789012Z  INFO …`.
    let time = log.lines().rev().find_map(|line| {
        let (_, time) = line.get(..16)?.split_once('T')?;
        let (hour, minute) = time.split_once(':')?;
        Some(hour.parse::<i64>().ok()? * 60 + minute.parse::<i64>().ok()?)
    });
    time.expect("a line of the log begins with the time")
}

/// The wall clock of the first of these gateways jumps back and forth, and nobody notices.
async fn jumps(fleet: &Fleet, clock: &WallClock, gates: Vec<Gate>) {
    const HOUR: i64 = 3600;
    let gate = &gates[0];
    let first = gate.completed(&order("before")).await;
    let link = first["download_url"].as_str().unwrap();
    let began = logged_at(gate);
    let mut videos = vec![first.clone()];
    for (jump, off_by) in [HOUR, -HOUR, 0].into_iter().enumerate() {
        let under_way = order(&format!("over jump {jump} #fault=render=1"));
        let under_way = gate.create(&under_way).await;
        gate.wait_processing(id_of(&under_way)).await;
        clock.is_off_by(off_by);
        let after = gate.completed(&order(&format!("after jump {jump}"))).await;
        let moved = (logged_at(gate) - began - off_by / 60 + 720).rem_euclid(1440) - 720;
        assert!((0..5).contains(&moved), "the wall clock did not jump");
        gate.get(link).anonymous().send().await.expect(200);
        videos.extend([under_way, after]);
    }
    let videos = ended(&gates[gates.len() - 1], &videos).await;
    all_completed(&videos);
    let mut latest = 0;
    for video in &videos {
        let time = |field: &str| video[field].as_i64().unwrap();
        let (created, completed) = (time("created_at"), time("completed_at"));
        assert!(created >= latest, "{video:#}");
        assert!((created..created + HOUR / 2).contains(&completed));
        assert_eq!(video["attempts"], 1, "{video:#}");
        latest = created;
    }
    for gate in &gates {
        let log = gate.home().log();
        for lost in ["another worker has the job", "was lost"] {
            assert!(!log.contains(lost), "{log}");
        }
    }
    settled(fleet, gates, videos.len()).await;
}

#[tokio::test]
async fn a_wall_clock_that_jumps_moves_nothing() {
    let fleet = Fleet::on_files().await.configured(SHORT_LEASES);
    let clock = WallClock::new();
    let gate = clock.over(fleet.home()).start().await;
    jumps(&fleet, &clock, vec![gate]).await;
}

#[tokio::test]
async fn one_wall_clock_of_several_that_jumps_moves_nothing() {
    let fleet = Fleet::on_postgres().await.configured(SHORT_LEASES);
    let clock = WallClock::new();
    // Buckets refuse who is an hour off, as well they may.
    let assets = tempfile::tempdir().unwrap();
    let assets = format!("file:{}", assets.path().display());
    let home = || fleet.home().environment("FILMGATE_ASSETS__URL", &assets);
    let (jumping, other) = futures::join!(clock.over(home()).start(), home().start());
    jumps(&fleet, &clock, vec![jumping, other]).await;
}

//! Torture: gateways are killed at any moment while clients order and jobs run, and a provider that drops, mangles and
//! shortens what it answers has a whole day of it.
//!
//! The provider counts what it was asked for, so that "nobody paid twice" is its word and not ours. Each test has a
//! small form, and a long one that `bench/torture` runs on the release build.
//!
//! Not here: what one fault does to one job, step by step (`own_provider`, the adapter's own tests), orders of the
//! built-in provider (`crash`).

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use filmgate_core::time::UnixTime;
use filmgate_engine::clock::{Clock, SystemClock};
use futures::future::{join, join_all};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::crash::Chance;
use crate::fleet::{Fleet, Ground, PRICE, charged, order};
use crate::gate::{Call, Gate, Home, files_below, id_of};

/// A job whose worker died is soon taken up again. One that is killed with its workers time and again is no poison
/// here, and a client that hears of nothing asks as often as it likes.
const SETTINGS: &str = "
[engine]
lease_seconds = 2
call_seconds = 5
park_after = 1000
[server]
key_requests_per_second = 0
";
/// A call to the provider is over by then, and whoever made it has said how it went.
const CALL: Duration = Duration::from_secs(5);
/// So many wait at once: fewer than one key may.
const WATCHERS: usize = 50;
/// Longer than an object without a row is left alone.
const LONG_AGO: Duration = Duration::from_secs(2 * 24 * 3600);

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    jobs: usize,
    kills: usize,
}

/// When a process was killed, by this process's clock: it lived before, and did not afterwards.
#[derive(Debug, Clone, Copy)]
struct Kill {
    before: UnixTime,
    after: UnixTime,
}

/// Gateways that die, and clients that do not mind.
struct Arena<'a> {
    fleet: Fleet,
    clock: &'a SystemClock,
    /// In each place the gateway that lives there now.
    gates: RefCell<Vec<Option<Gate>>>,
    kills: RefCell<Vec<Kill>>,
    /// Orders numbered below this are given out.
    given_out: watch::Sender<usize>,
    /// Tells that a gateway is back.
    back: watch::Sender<()>,
}

/// When nobody is killed any more.
struct Aftermath {
    fleet: Fleet,
    gates: Vec<Gate>,
    kills: Vec<Kill>,
}

/// A job's submit, as its timeline and the kills tell of it.
struct Submit {
    /// A kill may have cut it.
    may_be_cut: bool,
    /// Some process was killed in the midst of it.
    spans_a_kill: bool,
    /// It was given up, and not by the process that made it.
    answer_lost: bool,
    timeline: Value,
}

/// What came of all jobs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    completed: usize,
    ambiguous: usize,
    invalid: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_killed_again_and_again_keeps_every_promise() {
    let size = Size { jobs: 60, kills: 6 };
    torture("one gateway", Fleet::on_files().await, 1, size).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_killed_again_and_again_keep_every_promise() {
    let size = Size { jobs: 60, kills: 6 };
    torture("three gateways", Fleet::on_postgres().await, 3, size).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: bench/torture runs it"]
async fn one_gateway_killed_for_minutes_keeps_every_promise() {
    torture("one gateway", Fleet::on_files().await, 1, Size::asked()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: bench/torture runs it"]
async fn three_gateways_killed_for_minutes_keep_every_promise() {
    let fleet = Fleet::on_postgres().await;
    torture("three gateways", fleet, 3, Size::asked()).await;
}

async fn torture(name: &str, fleet: Fleet, replicas: usize, size: Size) {
    let mut chance = Chance::fresh();
    eprintln!("seed {}", chance.0);
    let prompts: Vec<String> = (0..size.jobs)
        .map(|number| prompt(&mut chance, number))
        .collect();
    let clock = SystemClock::start();
    let began = clock.now();
    let arena = Arena::open(fleet.configured(SETTINGS), replicas, &clock).await;
    let clients = prompts.iter().enumerate();
    let clients = clients.map(|(number, prompt)| arena.place(number, prompt));
    let killing = arena.kill_at_any_moment(size, &mut chance);
    let (ids, ()) = join(join_all(clients), killing).await;
    let aftermath = arena.close();

    let ended = ended(&aftermath.gates, &ids).await;
    aftermath.asked_again(&prompts, &ids).await;
    let mut tally = Tally::default();
    for (prompt, video) in prompts.iter().zip(&ended) {
        let submit = aftermath.submit(video).await;
        aftermath.fate(prompt, video, &submit, &mut tally);
    }
    assert!(tally.completed > 0, "nothing was tested");
    let duplicates = aftermath.fleet.provider.emulator.counts().duplicates;
    assert!(duplicates.is_empty(), "{duplicates:?}");
    let kills = aftermath.kills.len();
    adds_up(&aftermath.fleet, aftermath.gates, &ended, &tally).await;
    let seconds = clock.now().since(began).as_secs();
    eprintln!(
        "{name}: {} jobs, {kills} kills, {} completed, {} ambiguous, {} duplicates, {seconds} s",
        ended.len(),
        tally.completed,
        tally.ambiguous,
        duplicates.len(),
    );
}

/// A prompt of its own for each job; some are answered late, and they take more or less time.
fn prompt(chance: &mut Chance, number: usize) -> String {
    let hundredths = |hundredths: u64| hundredths as f64 / 100.0;
    let render = hundredths(chance.below(150));
    let late = match chance.below(2) {
        0 => String::new(),
        _ => format!(" #fault=slow-submit={}", hundredths(1 + chance.below(50))),
    };
    format!("job {number} #fault=render={render}{late}")
}

impl Size {
    /// As large as the environment says.
    fn asked() -> Self {
        Self {
            jobs: asked("FILMGATE_TORTURE_JOBS", 2000),
            kills: asked("FILMGATE_TORTURE_KILLS", 100),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the long form is as large as whoever starts it wants it"
)]
fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |number| {
        let number = number.parse();
        number.unwrap_or_else(|_| panic!("{name} is a whole number"))
    })
}

impl<'a> Arena<'a> {
    async fn open(fleet: Fleet, replicas: usize, clock: &'a SystemClock) -> Self {
        let gates = fleet.gates(replicas).await;
        Self {
            fleet,
            clock,
            gates: RefCell::new(gates.into_iter().map(Some).collect()),
            kills: RefCell::default(),
            given_out: watch::Sender::new(0),
            back: watch::Sender::new(()),
        }
    }

    /// What a client does: it orders under its key, at whatever gateway lives, until it hears a 202.
    async fn place(&self, number: usize, prompt: &str) -> String {
        let mut given_out = self.given_out.subscribe();
        given_out.wait_for(|orders| number < *orders).await.unwrap();
        let order = order(prompt);
        let mut back = self.back.subscribe();
        let mut turn = number;
        loop {
            turn += 1;
            let Some(call) = self.call(turn) else {
                back.changed().await.unwrap();
                continue;
            };
            let call = call.header("idempotency-key", &key(number));
            // Without an answer, the gateway died before it was given whole.
            let Ok(answer) = call.json(order.body()).try_send().await else {
                continue;
            };
            if answer.status == 202 {
                return id_of(&answer.json()).to_owned();
            }
            let again = [409, 503].contains(&answer.status)
                && answer.find_header("x-should-retry") != Some("false");
            assert!(again, "{} {}", answer.status, answer.text());
        }
    }

    /// A create at a gateway that lives, another one each turn.
    fn call(&self, turn: usize) -> Option<Call> {
        let gates = self.gates.borrow();
        let living: Vec<&Gate> = gates.iter().flatten().collect();
        let gate = living.get(turn % living.len().max(1))?;
        Some(gate.post("/v1/videos"))
    }

    /// Gives the orders out, a part of them before each kill.
    async fn kill_at_any_moment(&self, size: Size, chance: &mut Chance) {
        while self.kills.borrow().len() < size.kills {
            let more = size.jobs.div_ceil(size.kills);
            self.given_out.send_modify(|orders| *orders += more);
            // Half of them among the creates, the others among all that follows.
            let most = [100, 1500][usize::from(chance.below(2) == 0)];
            let moment = Duration::from_millis(chance.below(most));
            // Nothing is waited for here: the moment is drawn.
            tokio::time::sleep(moment).await;
            self.kill_some(chance).await;
        }
        self.given_out.send_replace(size.jobs);
    }

    /// Kills one gateway, or of several two at once, and starts as many: each where it was, or in another place with
    /// nothing but what all share.
    async fn kill_some(&self, chance: &mut Chance) {
        let places = self.gates.borrow().len();
        let first = usize::try_from(chance.below(places as u64)).unwrap();
        let victims = match chance.below(3) {
            0 if places > 2 => vec![first, (first + 1) % places],
            _ => vec![first],
        };
        let victims = victims.into_iter().map(|place| {
            let moves = places > 1 && chance.below(2) == 0;
            async move {
                let gate = self.gates.borrow_mut()[place].take();
                let before = self.clock.now();
                let home = gate.expect("it lives").kill().await;
                let after = self.clock.now();
                self.kills.borrow_mut().push(Kill { before, after });
                let home = if moves { self.fleet.home() } else { home };
                let gate = home.start().await;
                self.gates.borrow_mut()[place] = Some(gate);
                self.back.send_replace(());
            }
        });
        join_all(victims).await;
    }

    fn close(self) -> Aftermath {
        let gates = self.gates.into_inner().into_iter();
        Aftermath {
            fleet: self.fleet,
            gates: gates.map(|gate| gate.expect("all live")).collect(),
            kills: self.kills.into_inner(),
        }
    }
}

impl Aftermath {
    /// Whoever orders again under its key hears of the same video.
    async fn asked_again(&self, prompts: &[String], ids: &[String]) {
        let all = prompts.iter().zip(ids).enumerate();
        let asked = stream::iter(all).map(async |(number, (prompt, id))| {
            let create = self.gates[number % self.gates.len()].post("/v1/videos");
            let create = create.header("idempotency-key", &key(number));
            let answer = create.json(order(prompt).body()).send().await.expect(202);
            assert_eq!(answer.header("idempotent-replayed"), "true");
            assert_eq!(id_of(&answer.json()), id);
        });
        asked.buffer_unordered(WATCHERS).collect::<()>().await;
    }

    async fn submit(&self, video: &Value) -> Submit {
        let path = format!("/v1/videos/{}/timeline", id_of(video));
        let timeline = self.gates[0].get(&path).send().await.expect(200).json();
        let events = timeline["data"].as_array().unwrap();
        let submits: Vec<&[Value]> = events
            .windows(2)
            .filter(|pair| pair[0]["to"] == "submitting")
            .collect();
        let [[entered, left]] = submits[..] else {
            panic!("it was not submitted once: {timeline:#}");
        };
        let at = |event: &Value| UnixTime::from_millis(event["at_ms"].as_i64().unwrap());
        let (begin, end) = (at(entered), at(left));
        // Another process's clock differs from ours: on one machine hardly; where it is set by the database's, by as
        // much as it may take to ask for the time.
        let (apart, silence) = match self.fleet.ground {
            // The next process ends the lease as it starts.
            Ground::File => (Duration::from_millis(100), Duration::ZERO),
            // The lease runs out.
            Ground::Shared(_) => (Duration::from_secs(1), CALL),
        };
        let may_be_cut =
            |kill: &Kill| begin <= kill.after.plus(apart) && kill.before <= end.plus(apart);
        let is_spanned =
            |kill: &Kill| begin.plus(apart) < kill.before && kill.after.plus(apart) < end;
        Submit {
            may_be_cut: self.kills.iter().any(may_be_cut),
            spans_a_kill: self.kills.iter().any(is_spanned),
            answer_lost: left["cause"] == "answer_lost" && end.since(begin) >= silence,
            timeline,
        }
    }

    /// A job ended in one of two ways, and in the one that is the truth.
    fn fate(&self, prompt: &str, video: &Value, submit: &Submit, tally: &mut Tally) {
        let counts = self.fleet.provider.emulator.prompt_counts(prompt);
        if video["status"] == "completed" {
            assert_eq!((counts.submits, counts.accepted), (1, 1), "{video:#}");
            assert_eq!(charged(video), PRICE, "{video:#}");
            // With several gateways, the one that was killed may have been another one.
            let heard = matches!(self.fleet.ground, Ground::Shared(_)) || !submit.spans_a_kill;
            assert!(
                heard,
                "a dead process heard the answer: {:#}",
                submit.timeline
            );
            tally.completed += 1;
        } else {
            assert!(counts.submits <= 1 && counts.accepted <= 1, "{counts:?}");
            is_ambiguous(video);
            assert!(
                submit.answer_lost && submit.may_be_cut,
                "no kill cut the submit: {:#}\n{:?}",
                submit.timeline,
                self.kills
            );
            tally.ambiguous += 1;
        }
    }
}

fn key(number: usize) -> String {
    format!("order-{number}")
}

/// The jobs' ends, in their order.
async fn ended(gates: &[Gate], ids: &[String]) -> Vec<Value> {
    let waits = ids.iter().enumerate();
    let waits =
        stream::iter(waits).map(|(number, id)| gates[number % gates.len()].wait_terminal(id));
    waits.buffered(WATCHERS).collect().await
}

/// It failed because nobody knows whether the provider took it: it costs the client nothing.
#[track_caller]
fn is_ambiguous(video: &Value) {
    let billing = &video["billing"];
    assert_eq!(
        (
            &video["status"],
            &video["error"]["code"],
            &billing["provider_may_have_charged"]
        ),
        (
            &json!("failed"),
            &json!("submission_ambiguous"),
            &json!(true)
        ),
        "{video:#}"
    );
    is_released(video);
}

#[track_caller]
fn is_released(video: &Value) {
    let billing = &video["billing"];
    assert_eq!(
        (
            &billing["reservation_status"],
            &billing["total_nanos"],
            &billing["charged"]
        ),
        (&json!("released"), &json!(0), &json!(false)),
        "{video:#}"
    );
}

/// Charges are what was completed, every hold is closed, and of files there is what was delivered: nothing in the spool,
/// and nothing in the asset store that no job names, once it is old enough to be swept.
async fn adds_up(fleet: &Fleet, gates: Vec<Gate>, ended: &[Value], tally: &Tally) {
    let charge = i64::try_from(tally.completed).unwrap() * PRICE;
    assert_eq!(ended.iter().map(charged).sum::<i64>(), charge);
    let get = async |path: &str| gates[0].get(path).send().await.expect(200).json();
    let usage = get("/v1/usage").await;
    assert_eq!(usage["total"]["user_cost_nanos"], charge, "{usage:#}");
    let credits = get("/v1/credits").await;
    let funds = (&credits["balance_nanos"], &credits["reserved_nanos"]);
    assert_eq!(funds, (&json!(-charge), &json!(0)), "{credits:#}");
    let workspace = get("/v1/key").await["workspace_id"].clone();

    let homes = join_all(gates.into_iter().map(Gate::stop)).await;
    let home = &homes[0];
    let objects = |home: &Home| match &fleet.ground {
        Ground::File => home.assets(),
        Ground::Shared(shared) => shared.bucket.objects(),
    };
    match &fleet.ground {
        Ground::File => age(&home.data().join("assets")),
        Ground::Shared(shared) => age(&shared.bucket.bucket()),
    }
    home.run(&["tidy"]).await.succeeded();
    let prefix = match &fleet.ground {
        Ground::File => "",
        Ground::Shared(_) => "fleet/",
    };
    let completed = ended.iter().filter(|video| video["status"] == "completed");
    let mut named: Vec<String> = completed
        .flat_map(|video| {
            let output = format!(
                "{prefix}{}/{}/{}/0",
                workspace.as_str().unwrap(),
                id_of(video),
                video["attempts"]
            );
            [format!("{output}.jpg"), output]
        })
        .collect();
    named.sort();
    assert_eq!(
        objects(home),
        named,
        "what is kept is not what was delivered"
    );

    for home in &homes {
        let left = files_below(&home.data().join("spool"));
        assert!(left.iter().all(|file| file == "lock"), "{left:?}");
    }
    if let Ground::Shared(shared) = &fleet.ground {
        let leases = "SELECT count(*) FROM work WHERE lease_until IS NOT NULL";
        assert_eq!(shared.cluster.sql(&shared.url, leases), "0");
    }
    let audit = home.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!(
        (audit.jobs, audit.under_way),
        (ended.len() as u64, 0),
        "{audit:?}"
    );
}

/// Makes all files below `root` older by two days.
fn age(root: &Path) {
    for file in files_below(root) {
        let file = std::fs::File::options()
            .append(true)
            .open(root.join(file))
            .unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - LONG_AGO).unwrap();
    }
}

/// What is to come of a job on a bad day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Submitted so often, and accepted the last time.
    Completed { submits: u64 },
    /// Accepted, and the gateway cannot know.
    Ambiguous,
    /// Done by the provider, and no video.
    Invalid,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_day_of_the_provider_costs_nobody_twice() {
    drill("bad day, one gateway", Fleet::on_files().await, 32, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_day_of_the_provider_costs_nobody_twice_on_postgres_either() {
    let fleet = Fleet::on_postgres().await;
    drill("bad day, PostgreSQL", fleet, 16, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: bench/torture runs it"]
async fn a_long_bad_day_of_the_provider_costs_nobody_twice() {
    drill("bad day, one gateway", Fleet::on_files().await, 100, 10).await;
    let fleet = Fleet::on_postgres().await;
    drill("bad day, PostgreSQL", fleet, 100, 10).await;
}

async fn drill(name: &str, fleet: Fleet, submits: usize, files: usize) {
    let clock = SystemClock::start();
    let began = clock.now();
    let fleet = fleet.configured(SETTINGS);
    let gates = fleet.gates(1).await;
    let jobs = bad_day(submits, files);
    let created = stream::iter(&jobs)
        .map(async |(prompt, _)| id_of(&gates[0].create(&order(prompt)).await).to_owned());
    let ids: Vec<String> = created.buffered(WATCHERS).collect().await;
    let ended = ended(&gates, &ids).await;

    let mut tally = Tally::default();
    let log = gates[0].home().log();
    for ((prompt, end), video) in jobs.iter().zip(&ended) {
        // Whoever commits an end wakes those who wait for it, and says so.
        let told = format!(
            "video {} is {}",
            id_of(video),
            video["status"].as_str().unwrap()
        );
        assert!(log.contains(&told), "nobody was told that {told}");
        let counts = fleet.provider.emulator.prompt_counts(prompt);
        assert_eq!(
            counts.accepted, 1,
            "{prompt} was bought so often: {video:#}"
        );
        match *end {
            End::Completed { submits } => {
                assert_eq!(counts.submits, submits, "{video:#}");
                assert_eq!(
                    (&video["status"], charged(video)),
                    (&json!("completed"), PRICE),
                    "{video:#}"
                );
                tally.completed += 1;
            }
            End::Ambiguous => {
                assert_eq!(counts.submits, 1, "{video:#}");
                is_ambiguous(video);
                delivers_nothing(&gates[0], video).await;
                tally.ambiguous += 1;
            }
            End::Invalid => {
                assert_eq!(counts.submits, 1, "{video:#}");
                assert_eq!(
                    (&video["status"], &video["error"]["code"]),
                    (&json!("failed"), &json!("output_invalid")),
                    "{video:#}"
                );
                is_released(video);
                delivers_nothing(&gates[0], video).await;
                tally.invalid += 1;
            }
        }
    }
    let duplicates = fleet.provider.emulator.counts().duplicates;
    assert!(duplicates.is_empty(), "{duplicates:?}");
    adds_up(&fleet, gates, &ended, &tally).await;
    let seconds = clock.now().since(began).as_secs();
    eprintln!(
        "{name}: {} jobs, {} completed, {} ambiguous, {} with broken files, {} duplicates, {seconds} s",
        ended.len(),
        tally.completed,
        tally.ambiguous,
        tally.invalid,
        duplicates.len(),
    );
}

/// Prompts that go wrong: so many answers to submits lost and as many mangled, and so many files of each kind of
/// brokenness.
fn bad_day(submits: usize, files: usize) -> Vec<(String, End)> {
    let mut jobs = Vec::new();
    let mut add = |count: usize, directives: &str, end: End| {
        jobs.extend((0..count).map(|number| (format!("job {number} {directives}"), end)));
    };
    add(submits, "#fault=drop-after-accept", End::Ambiguous);
    for mangled in ["answer-empty", "answer-truncated-json", "answer-html"] {
        add(submits / 4, &format!("#fault={mangled}"), End::Ambiguous);
    }
    // An error's envelope is a refusal under any status, and another round begins.
    let twice = End::Completed { submits: 2 };
    add(submits / 4, "#fault=answer-200-error-once", twice);
    for broken in [
        "short-file-honest",
        "short-file-lying",
        "short-chunked",
        "not-a-video",
        "not-a-video-lying",
    ] {
        add(files, &format!("#fault={broken}"), End::Invalid);
    }
    let once = End::Completed { submits: 1 };
    add(files, "#fault=unknown-status-times=3", once);
    add(files, "#fault=submit-429-once", twice);
    add(
        files,
        "#fault=submit-429-retry-after=1-times=2",
        End::Completed { submits: 3 },
    );
    jobs
}

/// Not a byte of it is to be had.
async fn delivers_nothing(gate: &Gate, video: &Value) {
    let content = format!("/v1/videos/{}/content", id_of(video));
    gate.get(&content).send().await.refused(409, "not_ready");
}

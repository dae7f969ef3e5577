//! The plug is pulled: whatever was promised before is kept afterwards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::gate::{Gate, Home, files_below, id_of, sha256};
use crate::order::{Order, data_url, picture};

const ROUNDS: usize = 8;
const JOBS_A_ROUND: usize = 6;

/// Chance that can be repeated: the same seed chooses the same orders and the same moments.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn fresh() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one("a seed"))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % bound
    }

    /// Any kind of job: quick and slow, one output and several, with sound and from a picture, failing and lost.
    fn order(&mut self, number: usize) -> Order {
        let order = Order::of(&format!("job {number}"))
            .with("generate_audio", self.below(2) == 0)
            .with("sample_count", 1 + self.below(2));
        let order = match self.below(3) {
            0 => order.with(
                "input_reference",
                data_url(&picture(u8::try_from(self.below(256)).unwrap())),
            ),
            _ => order,
        };
        let tenths = |chance: &mut Self, most: u64| chance.below(most) as f64 / 10.0;
        let mut day = json!({
            "submit_seconds": tenths(self, 4),
            "queue_seconds": tenths(self, 4),
            "render_seconds": tenths(self, 8),
        });
        match self.below(10) {
            0 => day["fail"] = json!("provider_error"),
            1 => day["corrupt_output"] = json!(true),
            2 => (day["fail"], day["fail_billed"]) = (json!("content_moderated"), json!(true)),
            3 => day["ambiguous_submit"] = json!(true),
            4 => day["billed_seconds"] = json!(7),
            _ => {}
        }
        order.simulate(day)
    }
}

#[tokio::test]
async fn every_promise_outlives_a_pulled_plug() {
    let mut chance = Chance::fresh();
    println!("seed {}", chance.0);
    let mut home = Home::new();
    // Each order under its idempotency key, with the video's id once a 202 was heard.
    let promised: RefCell<BTreeMap<String, Option<String>>> = RefCell::default();
    let mut orders = BTreeMap::new();
    for round in 0..ROUNDS {
        let gate = home.start().await;
        let new: BTreeMap<String, Order> = (0..JOBS_A_ROUND)
            .map(|job| (format!("{round}-{job}"), chance.order(job)))
            .collect();
        promised
            .borrow_mut()
            .extend(new.keys().map(|key| (key.clone(), None)));
        let work = join_all(new.iter().map(async |(key, order)| {
            let made = create(&gate, key, order).await;
            let id = id_of(&made).to_owned();
            promised.borrow_mut().insert(key.clone(), Some(id.clone()));
            gate.wait_terminal(&id).await;
        }));
        // It is pulled at any moment: between the creates, or while the jobs run.
        let moment = Duration::from_millis(chance.below(800));
        tokio::time::timeout(moment, work).await.ok();
        orders.extend(new);
        home = gate.kill().await;
    }

    let gate = home.start().await;
    let ended = join_all(orders.iter().map(async |(key, order)| {
        // Whoever heard nothing asks again, and whoever heard a 202 finds what was promised then.
        let made = create(&gate, key, order).await;
        if let Some(id) = &promised.borrow()[key] {
            assert_eq!(id, id_of(&made), "{key} has become another video");
        }
        let end = gate.wait_terminal(id_of(&made)).await;
        let how = end["error"]["code"].as_str().unwrap_or("completed");
        assert_eq!(how, destined(order), "{end:#}");
        end
    }));
    let ended = ended.await;
    assert_eq!(
        gate.video_count().await,
        ended.len(),
        "an order made two videos"
    );
    keeps_each_output_once(&gate, &ended).await;

    let home = gate.stop().await;
    let audit = home.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!(
        (audit.jobs, audit.under_way),
        (ended.len() as u64, 0),
        "{audit:?}"
    );
    let spool: Vec<String> = files_below(&home.data().join("spool"))
        .into_iter()
        .filter(|file| file != "lock")
        .collect();
    assert_eq!(
        spool,
        Vec::<String>::new(),
        "what was on its way stays there"
    );
}

/// The end an order asks for: the plug being pulled is no reason for another.
fn destined(order: &Order) -> &str {
    let day = &order.body()["provider_params"]["simulate"];
    match day["fail"].as_str() {
        Some(code) => code,
        None if day["corrupt_output"] == true => "output_invalid",
        None if day["ambiguous_submit"] == true => "submission_ambiguous",
        None => "completed",
    }
}

async fn create(gate: &Gate, key: &str, order: &Order) -> Value {
    gate.post("/v1/videos")
        .header("idempotency-key", key)
        .json(order.body())
        .send()
        .await
        .expect(202)
        .json()
}

/// The asset store has the outputs and thumbnails of what was completed, each once and as its status says, and
/// nothing else but what clients gave.
async fn keeps_each_output_once(gate: &Gate, ended: &[Value]) {
    let mut expected = Vec::new();
    for video in ended.iter().filter(|video| video["status"] == "completed") {
        for output in video["outputs"].as_array().unwrap() {
            let bytes = gate
                .get(output["content_url"].as_str().unwrap())
                .send()
                .await
                .expect(200)
                .body;
            assert_eq!(sha256(&bytes), output["sha256"].as_str().unwrap());
            expected.push(format!("{} {}", id_of(video), output["index"]));
            if output["thumbnail_url"].is_string() {
                expected.push(format!("{} {}.jpg", id_of(video), output["index"]));
            }
        }
    }
    // Kept under workspace/video/attempt/index.
    let mut kept: Vec<String> = Vec::new();
    for file in gate.home().assets() {
        let parts: Vec<&str> = file.split('/').collect();
        if parts[2] == "input" {
            continue;
        }
        let output = format!("{} {}", parts[1], parts[3]);
        let owner = ended.iter().find(|video| id_of(video) == parts[1]);
        assert!(
            expected.contains(&output) && !kept.contains(&output),
            "{file} belongs to no output, or to one that is kept already, of {owner:#?}"
        );
        kept.push(output);
    }
    assert_eq!(kept.len(), expected.len(), "an output is not kept");
    assert!(
        !expected.is_empty(),
        "no job was completed, so nothing was tested"
    );
}

#[tokio::test]
async fn a_graceful_stop_in_the_middle_of_renders_is_finished_by_the_next_start() {
    let gate = Gate::start().await;
    let order =
        |number: u32| Order::of(&format!("job {number}")).simulate(json!({"render_seconds": 1}));
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(gate.create(&order(number)).await);
    }
    for video in &made {
        gate.wait_processing(id_of(video)).await;
    }
    let home = gate.stop().await;
    // The claims were given back, not left to run out.
    let audit = home.doctor().await;
    assert_eq!(
        (audit.jobs, audit.under_way, audit.holds_open),
        (4, 4, 4),
        "{audit:?}"
    );
    let gate = home.start().await;
    assert!(
        !gate.home().log().contains("ended the leases"),
        "the first process kept its claims: {}",
        gate.home().log()
    );
    for video in &made {
        let done = gate.wait_terminal(id_of(video)).await;
        assert_eq!(
            (&done["status"], &done["attempts"]),
            (&json!("completed"), &json!(1)),
            "{done:#}"
        );
    }
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn outputs_that_were_on_their_way_twice_when_the_plug_was_pulled_arrive_all_the_same() {
    let order = Order::of("in transit")
        .with("sample_count", 4)
        .with("size", "1280x720");
    let mut gate = Gate::start().await;
    let made = gate.create(&order).await;
    for time in 1..=2 {
        gate = killed_while_fetching(gate, id_of(&made), time)
            .await
            .start()
            .await;
    }
    let done = gate.wait_terminal(id_of(&made)).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    keeps_each_output_once(&gate, &[done]).await;
}

/// Pulls the plug while outputs are on their way to the asset store, for the `time`th time the provider was done.
async fn killed_while_fetching(gate: Gate, id: &str, time: usize) -> Home {
    let path = format!("/v1/videos/{id}");
    let mut seen = gate.get(&path).send().await.expect(200);
    loop {
        let timeline = gate
            .get(&format!("{path}/timeline"))
            .send()
            .await
            .expect(200)
            .json();
        let events = timeline["data"].as_array().unwrap();
        let done = events
            .iter()
            .filter(|event| event["cause"] == "succeeded")
            .count();
        let state = events.last().unwrap()["to"].as_str().unwrap();
        if (done, state) == (time, "fetching") {
            return gate.kill().await;
        }
        let terminal = ["completed", "failed"].contains(&state);
        assert!(!terminal, "nobody saw it being fetched: {timeline:#}");
        let etag = seen.header("etag").to_owned();
        let next = gate
            .get(&format!("{path}?wait=60"))
            .header("if-none-match", &etag);
        seen = next.send().await.expect(200);
    }
}

#[tokio::test]
async fn a_stop_answers_those_who_wait() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("waited for").endless()).await;
    gate.wait_processing(id_of(&made)).await;
    let path = format!("/v1/videos/{}?wait=60", id_of(&made));
    let waiting = gate.get(&path).send();
    let stopped = async {
        // Asked and answered after the one that waits was sent, so that the gateway has that one.
        for _ in 0..5 {
            gate.status(id_of(&made)).await;
        }
        gate.stop().await
    };
    let (answer, home) = futures::join!(waiting, stopped);
    assert_eq!(answer.expect(200).json()["status"], "processing");
    home.doctor().await;
}

#[tokio::test]
async fn a_cancel_whose_fate_is_not_known_yet_is_settled_after_a_crash() {
    let gate = Gate::configured("[billing]\nmarkup_basis_points = 2500").await;
    let order =
        Order::of("given up").simulate(json!({"render_seconds": 0.5, "cancel": "too_late"}));
    let made = gate.create(&order).await;
    gate.wait_processing(id_of(&made)).await;
    let cancelled = gate.cancel(id_of(&made)).await;
    assert_eq!(
        (
            &cancelled["billing"]["state"],
            &cancelled["billing"]["reservation_status"]
        ),
        (&json!("pending"), &json!("held"))
    );
    let gate = gate.kill().await.start().await;
    let settled = gate.wait_settled(id_of(&made)).await;
    assert_eq!(
        (&settled["status"], &settled["billing"]["total_nanos"]),
        (&json!("cancelled"), &json!(12_500_000))
    );
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

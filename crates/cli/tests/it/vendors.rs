//! Vendors behind the gateway: their emulators stand in for them, the real binary speaks to those.
//!
//! Each bad day has a gateway of its own, so that what one does to a provider's standing is no other's business.

use filmgate_upstreams::emulator::Settings;
use filmgate_upstreams::films::Supply;
use filmgate_upstreams::{google_vertex, openai_compatible, runway};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of};
use crate::order::{Order, data_url};

/// Scenarios that run at once.
const AT_ONCE: usize = 6;
const KEY: &str = "key_0123456789abcdef";

/// An emulated vendor, and what a gateway has to know of it.
struct Upstream {
    vendor: Vendor,
    model: &'static str,
    /// What an ordered second costs, in nano-dollars.
    second: i64,
    seconds: i64,
    /// Where a project's videos lie; they come in the answer where it is empty.
    bucket: &'static str,
}

enum Vendor {
    Vertex(google_vertex::Running),
    Runway(runway::Running),
    OpenAi(openai_compatible::Running),
}

/// What the provider was asked for with one prompt.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    submits: u64,
    accepted: u64,
}

impl Upstream {
    async fn runway() -> Self {
        let config = runway::Config {
            api_key: Some(KEY.into()),
            ..runway::Config::default()
        };
        Self {
            vendor: Vendor::Runway(runway::Emulator::start(config).await.unwrap()),
            model: "runway/gen-4.5",
            second: 120_000_000,
            seconds: 2,
            bucket: "",
        }
    }

    /// A project whose videos lie in a bucket.
    async fn vertex() -> Self {
        Self {
            bucket: r#"storage_uri = "gs://films/filmgate/""#,
            ..Self::vertex_without_a_bucket().await
        }
    }

    async fn vertex_without_a_bucket() -> Self {
        let config = google_vertex::Config {
            settings: Settings {
                supply: Supply::OneForAll,
                ..Settings::default()
            },
            ..google_vertex::Config::default()
        };
        Self {
            vendor: Vendor::Vertex(google_vertex::Emulator::start(config).await.unwrap()),
            model: "google/veo-3.1-fast",
            second: 80_000_000,
            seconds: 4,
            bucket: "",
        }
    }

    async fn openai() -> Self {
        let config = openai_compatible::Config {
            api_key: Some(KEY.into()),
            flavour: openai_compatible::Flavour::VllmOmni,
            ..openai_compatible::Config::default()
        };
        Self {
            vendor: Vendor::OpenAi(openai_compatible::Emulator::start(config).await.unwrap()),
            model: "local/wan",
            second: 20_000_000,
            seconds: 1,
            bucket: "",
        }
    }

    fn home(&self) -> Home {
        let lines = match &self.vendor {
            Vendor::Runway(running) => format!(
                r#"
[security]
allow_private_networks = ["127.0.0.0/8"]
[providers.runway]
base_url = "{}"
api_key = "{KEY}"
poll_every = "20ms"
"#,
                running.base_url
            ),
            Vendor::Vertex(running) => {
                let lines = format!(
                    r#"
[security]
allow_private_networks = ["127.0.0.0/8"]
[providers.google-vertex]
base_url = "{}"
credentials = "env:VERTEX_KEY"
{}
poll_every = "20ms"
"#,
                    running.base_url, self.bucket
                );
                let key = running
                    .emulator
                    .service_account(&running.origin)
                    .to_string();
                let home = Home::new().configured(&lines);
                return home.environment("VERTEX_KEY", &key);
            }
            Vendor::OpenAi(running) => format!(
                r#"
[providers.box]
kind = "openai-compatible"
base_url = "{}"
api_key = "{KEY}"
flavour = "vllm-omni"
poll_every = "20ms"
[[providers.box.models]]
id = "local/wan"
native_model_id = "wan"
durations = [1]
sizes = ["320x180"]
price = {{ output_second = "0.02" }}
"#,
                running.base_url
            ),
        };
        Home::new().configured(&lines)
    }

    fn order(&self, prompt: &str) -> Order {
        Order::of(prompt)
            .without("size")
            .with("model", self.model)
            .with("duration", self.seconds)
            .with("generate_audio", false)
    }

    fn asked(&self, prompt: &str) -> Asked {
        let counts = match &self.vendor {
            Vendor::Runway(running) => running.emulator.prompt_counts(prompt),
            Vendor::Vertex(running) => running.emulator.prompt_counts(prompt),
            Vendor::OpenAi(running) => running.emulator.prompt_counts(prompt),
        };
        Asked {
            submits: counts.submits,
            accepted: counts.accepted,
        }
    }
}

/// How a job is to end that met a bad day: `code` is empty where it completes.
struct Day {
    directives: &'static str,
    code: &'static str,
    asked: Asked,
}

const fn day(directives: &'static str, code: &'static str, submits: u64, accepted: u64) -> Day {
    Day {
        directives,
        code,
        asked: Asked { submits, accepted },
    }
}

/// Of every vendor.
const DAYS: &[Day] = &[
    // Before a job is made.
    day("submit-429-retry-after=1-once", "", 2, 1),
    day("submit-429-once", "", 2, 1),
    day("submit-503-once", "", 2, 1),
    day("drop-before-accept-once", "submission_ambiguous", 1, 0),
    day("submit-401", "provider_auth", 1, 0),
    day("submit-403", "provider_permission", 1, 0),
    day("submit-400", "invalid_request", 1, 0),
    day("submit-quota", "provider_quota", 1, 0),
    // A job is made, and nobody tells.
    day("drop-after-accept", "submission_ambiguous", 1, 1),
    day("answer-empty", "submission_ambiguous", 1, 1),
    day("answer-truncated-json", "submission_ambiguous", 1, 1),
    day("answer-html", "submission_ambiguous", 1, 1),
    day("answer-500", "submission_ambiguous", 1, 1),
    day("answer-huge", "submission_ambiguous", 1, 1),
    day("answer-slow", "", 1, 1),
    // Questions about the job.
    day("poll-503-once", "", 1, 1),
    day("poll-429-retry-after=1-times=2", "", 1, 1),
    day("poll-429-once", "", 1, 1),
    day("drop-poll-once", "", 1, 1),
    day("empty-poll-once", "", 1, 1),
    day("malformed-poll-once", "", 1, 1),
    day("html-poll-once", "", 1, 1),
    day("poll-200-error-once", "", 1, 1),
    day("unknown-status-once", "", 1, 1),
    day("huge-poll-once", "", 1, 1),
    day("slow-poll", "", 1, 1),
    // The file.
    day("content-403-once", "", 1, 1),
    day("content-410-once", "", 1, 1),
    day("content-503-once", "", 1, 1),
    day("slow-content", "", 1, 1),
    day("content-redirect-once", "", 1, 1),
    day("content-redirect-inward", "output_unavailable", 1, 1),
    day("drop-content-once", "", 1, 1),
    day("short-file-lying-once", "", 1, 1),
    day("short-chunked-once", "", 1, 1),
    day("empty-content", "output_invalid", 1, 1),
    day("not-a-video", "output_invalid", 1, 1),
    day("not-a-video-lying", "output_invalid", 1, 1),
    day("short-file-honest", "output_invalid", 1, 1),
    day("short-chunked", "output_invalid", 1, 1),
    // The job.
    day("queue=0.2", "", 1, 1),
    day("fail-moderation", "content_moderated", 1, 1),
];

#[expect(clippy::print_stdout, reason = "shown where a day goes wrong")]
async fn lived_through(upstream: &Upstream, day: &Day) {
    let context = day.directives;
    let gate = upstream.home().start().await;
    let prompt = format!("a paper boat #fault={context}");
    let made = gate.create(&upstream.order(&prompt)).await;
    println!("{} meets {context}", id_of(&made));
    let video = if is_hopeless(day) {
        // It would be tried until its time is over: the operator's account is to be mended first.
        let tried = |_: &Value| upstream.asked(&prompt).submits >= day.asked.submits;
        gate.wait_until(id_of(&made), tried).await;
        gate.cancel(id_of(&made)).await
    } else {
        gate.wait_settled(id_of(&made)).await
    };
    let code = video["error"]["code"].as_str().unwrap_or_default();
    let price = upstream.second * upstream.seconds;
    if is_hopeless(day) {
        assert_eq!(video["status"], "cancelled", "{context}");
    } else if day.code.is_empty() {
        assert_eq!(video["status"], "completed", "{context}: {video}");
        assert_eq!(video["billing"]["total_nanos"], price, "{context}");
    } else {
        assert_eq!(
            (&video["status"], code),
            (&json!("failed"), day.code),
            "{context}: {video}"
        );
        assert_eq!(video["error"]["provider"], video["provider"], "{context}");
        let charged = video["billing"]["total_nanos"].as_i64().unwrap();
        assert!(
            charged == 0 || day.code == "content_moderated",
            "{context}: {charged}"
        );
    }
    assert_eq!(upstream.asked(&prompt), day.asked, "{context}");
    for secret in [KEY, "a paper boat"] {
        let error = video["error"].to_string();
        assert!(!error.contains(secret), "{context}: {error}");
    }
    let home = gate.stop().await;
    assert!(!home.log().contains(KEY), "{context}");
    home.doctor().await.is_closed_and_balanced();
}

/// Nobody but the operator can change what the provider says to these.
fn is_hopeless(day: &Day) -> bool {
    matches!(
        day.code,
        "provider_auth" | "provider_permission" | "provider_quota"
    )
}

/// `own` are days that end otherwise there, told apart by their directives.
async fn every_day(upstream: Upstream, own: &[Day]) {
    let common = DAYS.iter().filter(|day| {
        let same = |other: &Day| {
            other.directives.trim_end_matches("-once") == day.directives.trim_end_matches("-once")
        };
        !own.iter().any(same)
    });
    live_through(&upstream, common.chain(own)).await;
}

async fn live_through<'a>(upstream: &Upstream, days: impl Iterator<Item = &'a Day>) {
    futures::stream::iter(days)
        .for_each_concurrent(AT_ONCE, |day| lived_through(upstream, day))
        .await;
}

#[tokio::test]
async fn runway_has_every_bad_day() {
    let own = [
        // The link is renewed again and again before it is given up.
        day("content-redirect", "output_unavailable", 1, 1),
    ];
    every_day(Upstream::runway().await, &own).await;
}

#[tokio::test]
async fn vertex_has_every_bad_day() {
    let own = [
        // Google does not say which of its failures leave nothing behind.
        day("submit-503-once", "submission_ambiguous", 1, 0),
        // What it calls a quota is a pace.
        day("submit-quota-once", "", 2, 1),
        // A token that is refused is replaced, and the message sent once more.
        day("submit-401", "provider_auth", 2, 0),
    ];
    every_day(Upstream::vertex().await, &own).await;
}

#[tokio::test]
async fn vertex_has_bad_days_with_videos_inside_its_answers() {
    let days = [
        // Where nothing stands, there is no video.
        day("empty-content", "output_unavailable", 1, 1),
        day("not-a-video", "output_invalid", 1, 1),
        day("short-file-honest", "output_invalid", 1, 1),
        day("drop-poll-once", "", 1, 1),
        day("malformed-poll-once", "", 1, 1),
        day("html-poll-once", "", 1, 1),
        day("huge-poll-once", "", 1, 1),
        day("slow-poll", "", 1, 1),
        day("filtered=1", "content_moderated", 1, 1),
        // Nothing fetches a file that is in the answer, so it cannot go wrong on the way: such a prompt is taken for none.
        day("content-503", "invalid_request", 0, 0),
        day("short-file-lying", "invalid_request", 0, 0),
        day("content-redirect", "invalid_request", 0, 0),
    ];
    live_through(&Upstream::vertex_without_a_bucket().await, days.iter()).await;
}

/// Tokens that are called in are asked for anew, and no job is the worse for it.
#[tokio::test]
async fn a_token_that_is_refused_is_replaced_by_another() {
    let upstream = Upstream::vertex().await;
    let gate = upstream.home().start().await;
    gate.completed(&upstream.order("a hen")).await;
    let Vendor::Vertex(running) = &upstream.vendor else {
        unreachable!("it was just made")
    };
    assert_eq!(running.emulator.tokens().issued, 1, "one for all messages");
    running.emulator.expire_tokens();
    let video = gate.completed(&upstream.order("a fox")).await;
    assert_eq!(video["attempts"], 1, "no job was refused for it");
    assert_eq!(running.emulator.tokens().issued, 2);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

/// Whole videos inside the answer: several of them, and what the filter kept back is missing and not charged.
#[tokio::test]
async fn videos_inside_an_answer_are_stored_and_filtered_ones_are_missing() {
    let upstream = Upstream::vertex_without_a_bucket().await;
    let gate = upstream.home().start().await;
    let order = upstream
        .order("a hen #fault=filtered=1")
        .with("sample_count", 3);
    let made = gate.create(&order).await;
    let video = gate.wait_settled(id_of(&made)).await;
    assert_eq!(video["status"], "completed", "{video}");
    assert_eq!(video["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(video["outputs_missing"][0]["code"], "content_moderated");
    assert_eq!(video["billing"]["estimated_nanos"], 960_000_000);
    assert_eq!(video["billing"]["total_nanos"], 640_000_000);
    gate.bytes(&video).await;
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn a_server_of_ones_own_has_every_bad_day() {
    // A whole answer of 500 is a refusal there: the server is the operator's own, and a second try costs nobody anything.
    let own = [day("answer-500-once", "", 2, 2)];
    every_day(Upstream::openai().await, &own).await;
}

#[tokio::test]
async fn runways_credits_are_the_price_and_a_cancelled_task_costs_what_it_took() {
    let upstream = Upstream::runway().await;
    let gate = upstream.home().start().await;
    let quote = gate
        .post("/v1/videos/quote")
        .json(upstream.order("a hen").with("duration", 7).body());
    let quote = quote.send().await.expect(200).json();
    assert_eq!(quote["quote_nanos"], 840_000_000);
    assert_eq!(quote["lines"][0]["meter"], "credit");
    let video = gate.completed(&upstream.order("a hen")).await;
    assert_eq!(
        (&video["size"], &video["seconds"], &video["provider"]),
        (&json!("1280x720"), &json!(2.0), &json!("runway"))
    );
    let waiting = gate
        .create(&upstream.order("a fox #fault=queue=3600"))
        .await;
    gate.wait_processing(id_of(&waiting)).await;
    gate.cancel(id_of(&waiting)).await;
    let free = gate.wait_settled(id_of(&waiting)).await;
    assert_eq!(free["billing"]["total_nanos"], 0, "it had not begun");
    let running = gate.create(&upstream.order("an owl #fault=stuck")).await;
    gate.wait_processing(id_of(&running)).await;
    gate.cancel(id_of(&running)).await;
    let charged = gate.wait_settled(id_of(&running)).await;
    assert_eq!(charged["billing"]["charge_reason"], "cancelled_billed");
    assert_eq!(charged["billing"]["total_nanos"], 240_000_000);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

/// What the client says of its clip's length counts for nothing: the file tells.
#[tokio::test]
async fn a_clip_that_comes_as_input_is_measured_and_paid_for_by_its_length() {
    let upstream = Upstream::runway().await;
    let gate = upstream.home().start().await;
    let film = gate
        .completed(&Order::of("a hen").with("duration", 3))
        .await;
    let film = data_url(&gate.bytes(&film).await).replace("image/png", "video/mp4");
    let source = json!({"type": "video_url", "role": "source", "video_url": {"url": film}});
    let order = Order::of("make it night")
        .with("model", "runway/aleph-2")
        .with("input_references", json!([source]))
        .with("input_video_duration", 2)
        .without("duration")
        .without("size");
    let made = gate.create(&order).await;
    let video = gate.wait_settled(id_of(&made)).await;
    assert_eq!(video["status"], "completed", "{video}");
    // 28 credits of a cent for each of three seconds.
    assert_eq!(video["billing"]["estimated_nanos"], 840_000_000);
    assert_eq!(video["billing"]["total_nanos"], 840_000_000);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

/// It is asked once an hour at most: what brings the end sooner is the provider's own call.
#[tokio::test]
async fn a_provider_that_calls_back_is_asked_at_once_and_nobody_else_is_believed() {
    let upstream = Upstream::openai().await;
    let Vendor::OpenAi(running) = &upstream.vendor else {
        unreachable!("it was just made")
    };
    let lines = format!(
        r#"
[providers.box]
kind = "openai-compatible"
base_url = "{}"
api_key = "{KEY}"
poll_every = "1h"
callbacks = true
[[providers.box.models]]
id = "local/wan"
native_model_id = "wan"
durations = [1]
sizes = ["320x180"]
"#,
        running.base_url
    );
    let gate = Gate::configured(&lines).await;
    let made = gate.create(&upstream.order("a hen")).await;
    let video = gate.wait_processing(id_of(&made)).await;
    let jobs = running.emulator.jobs_of("a hen");
    let url = jobs[0].fields["callback_url"].as_str().unwrap().to_owned();
    let path = url[url.find("/v1/callbacks/").unwrap()..].to_owned();
    let native = json!({"id": video["native_video_id"]});
    let call = |path: String, body: &Value| gate.post(&path).anonymous().json(body);
    let forged = format!("{}0", &path[..path.len() - 1]);
    let forged = if forged == path {
        format!("{path}1")
    } else {
        forged
    };
    call(forged, &native).send().await.refused(404, "not_found");
    let elsewhere = path.replace("/box/", "/testcard/");
    call(elsewhere, &native)
        .send()
        .await
        .refused(404, "not_found");
    let other = json!({"id": "video_gen_other"});
    call(path.clone(), &other)
        .send()
        .await
        .refused(404, "not_found");
    call(path.clone(), &json!([]))
        .send()
        .await
        .refused(400, "validation_error");
    assert_eq!(gate.status(id_of(&made)).await["status"], "processing");
    assert_eq!(running.emulator.call_back().await, [204]);
    let video = gate.wait_terminal(id_of(&made)).await;
    assert_eq!(video["status"], "completed");
    assert_eq!(
        running.emulator.call_back().await,
        [204],
        "too late, and heard"
    );
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

/// An operator sees which provider is ill, and why.
#[tokio::test]
async fn operators_see_how_providers_do() {
    let upstream = Upstream::runway().await;
    let gate = upstream.home().start().await;
    let providers = async || gate.get("/v1/providers").send().await.expect(200).json();
    let of = |list: &Value, name: &str| {
        let all = list["data"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["id"] == name).unwrap()
    };
    let fresh = of(&providers().await, "runway");
    assert_eq!(
        (
            &fresh["breaker"],
            &fresh["latency_ms"],
            &fresh["last_failure"]
        ),
        (&json!("closed"), &Value::Null, &Value::Null)
    );
    for number in 0..5 {
        let prompt = format!("hen {number} #fault=submit-500");
        gate.run_to_end(&upstream.order(&prompt)).await;
    }
    let ill = of(&providers().await, "runway");
    assert_eq!(
        (&ill["breaker"], &ill["failures_in_row"]),
        (&json!("open"), &json!(5))
    );
    assert_eq!(ill["last_failure"]["code"], "provider_error");
    assert!(ill["breaker_until"].is_i64());
    let waits = gate.create(&upstream.order("a fox")).await;
    assert_eq!(of(&providers().await, "runway")["slots"]["waiting"], 1);
    gate.cancel(id_of(&waits)).await;
    let shown = gate.run(&["providers"]).await.succeeded();
    assert!(shown.out.contains("open"), "{}", shown.out);
    let quote = gate
        .post("/v1/videos/quote")
        .json(upstream.order("a fox").body());
    assert_eq!(
        quote.send().await.expect(200).json()["route"],
        json!(["runway"])
    );
}

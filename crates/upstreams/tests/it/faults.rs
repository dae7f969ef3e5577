//! Each directive, as a client meets it. Where a client would hide the fault, over a plain connection.

use filmgate_upstreams::PromptCounts;
use filmgate_upstreams::openai_compatible::Flavour;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::pin;

use crate::client::{Answer, Bench};

#[tokio::test]
async fn a_connection_cut_before_the_answer_brings_not_a_byte() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (prompt, accepted) in [
        ("#fault=drop-before-accept", 0),
        ("#fault=drop-after-accept", 1),
    ] {
        assert_eq!(bench.raw_submit(prompt).await, b"");
        let counts = bench.emulator().prompt_counts(prompt);
        assert_eq!((counts.submits, counts.accepted), (1, accepted));
        assert!(bench.submit(prompt).await.unwrap_err().is_request());
    }
}

#[tokio::test]
async fn a_refused_create_makes_no_job() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (directive, status, code) in [
        ("submit-401", 401, json!("invalid_api_key")),
        ("submit-429", 429, json!("rate_limit_exceeded")),
        ("submit-500", 500, Value::Null),
        ("submit-503", 503, Value::Null),
        ("submit-422", 422, Value::Null),
        ("submit-400-moderation", 400, json!("moderation_blocked")),
        ("submit-quota", 429, json!("insufficient_quota")),
        ("answer-200-error", 200, Value::Null),
    ] {
        let prompt = format!("a fox #fault={directive}");
        let refused = bench.submit(&prompt).await.unwrap().expect(status);
        assert!(!refused.headers.contains_key("retry-after"), "{directive}");
        let error = &refused.json()["error"];
        assert_eq!(error["code"], code, "{directive}");
        assert!(error["message"].is_string(), "{directive}");
        let counts = bench.emulator().prompt_counts(&prompt);
        let refused = PromptCounts {
            submits: 1,
            accepted: 0,
        };
        assert_eq!(counts, refused, "{directive}");
    }
    let prompt = "a fox #fault=submit-429-retry-after=3";
    let limited = bench.submit(prompt).await.unwrap().expect(429);
    assert_eq!(limited.header("retry-after"), "3");
}

#[tokio::test]
async fn an_answer_may_be_spoilt_and_the_job_made_all_the_same() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (directive, status) in [
        ("answer-empty", 200),
        ("answer-truncated-json", 200),
        ("answer-html", 200),
        ("answer-500", 500),
        ("answer-504", 504),
    ] {
        let prompt = format!("a fox #fault={directive}");
        let answer = bench.submit(&prompt).await.unwrap().expect(status);
        let id = bench.record(&prompt).id;
        bench.poll(&id).await.unwrap().expect(200);
        let text = String::from_utf8(answer.body).unwrap();
        let told = serde_json::from_str::<Value>(&text);
        match directive {
            "answer-empty" => assert_eq!(text, ""),
            "answer-truncated-json" => {
                assert!(text.starts_with('{') && told.is_err(), "{text}");
            }
            "answer-html" => assert!(text.starts_with("<!doctype html>"), "{text}"),
            _ => assert!(told.unwrap()["error"].is_object(), "{text}"),
        }
    }
}

#[tokio::test]
async fn counted_faults_of_a_create_end_and_then_it_succeeds() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let prompt = "a fox #fault=submit-503-times=2 #fault=drop-after-accept-once";
    bench.submit(prompt).await.unwrap().expect(503);
    bench.submit(prompt).await.unwrap().expect(503);
    assert!(bench.raw_submit(prompt).await.is_empty());
    bench.submit(prompt).await.unwrap().expect(200);
    let counts = bench.emulator().counts();
    assert_eq!((counts.submits, counts.accepted), (4, 2));
    assert_eq!(counts.duplicates, [(prompt.to_owned(), 2)].into());
    // Another prompt has a count of its own.
    let other = "an owl #fault=submit-503-once";
    bench.submit(other).await.unwrap().expect(503);
}

#[tokio::test]
async fn a_job_can_be_asked_for_before_its_create_is_answered() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for prompt in ["#fault=slow-submit=3600", "#fault=answer-stall"] {
        let submit = bench.submit(prompt);
        pin!(submit);
        let polled = async {
            let wished = |prompt| bench.emulator().prompt_counts(prompt).accepted == 1;
            bench.emulator().until(|_| wished(prompt)).await;
            bench.poll(&bench.record(prompt).id).await
        };
        tokio::select! {
            answer = &mut submit => panic!("{prompt} was answered: {answer:?}"),
            polled = polled => polled.unwrap().expect(200),
        };
    }
    bench.create("a fox #fault=slow-submit=0.01").await;
}

#[tokio::test]
async fn what_is_stalled_goes_on_when_it_is_released() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let whole = bench.ended("a fox").await;
    let whole = bench.content(&whole).await.unwrap().body;
    let prompt = "#fault=poll-stall-once #fault=content-stall-once #fault=content-stall-halfway \
                  #fault=delete-stall";
    let id = bench.ended(prompt).await;
    let release = async || {
        let stalled = bench.emulator().until(|counts| counts.stalled == 1).await;
        let released = Answer::read(bench.control(Method::POST, "/release")).await;
        released.unwrap().expect(204);
        stalled
    };

    let (polled, _) = tokio::join!(bench.poll(&id), release());
    assert_eq!(polled.unwrap().expect(200).json()["status"], "completed");
    let (content, counts) = tokio::join!(bench.content(&id), release());
    assert!(content.unwrap().expect(200).body == whole);
    assert_eq!(counts.content_bytes, whole.len() as u64);
    let (content, counts) = tokio::join!(bench.content(&id), release());
    assert!(content.unwrap().expect(200).body == whole);
    let half = whole.len() + whole.len() + whole.len() / 2;
    assert_eq!(counts.content_bytes, half as u64);
    let (deleted, _) = tokio::join!(bench.delete(&id), release());
    deleted.unwrap().expect(200);
    assert_eq!(bench.emulator().counts().stalled, 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_stalls_no_longer() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("#fault=poll-stall").await;
    tokio::select! {
        answer = bench.poll(&id) => panic!("it was answered: {answer:?}"),
        _ = bench.emulator().until(|counts| counts.stalled == 1) => {}
    }
    bench.emulator().until(|counts| counts.stalled == 0).await;
}

#[tokio::test]
async fn a_poll_meets_each_fault_and_then_the_truth() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench
        .create(
            "#fault=poll-ok-once #fault=poll-500-once #fault=poll-429-once \
             #fault=poll-429-retry-after=2-once #fault=empty-poll-once #fault=malformed-poll-once \
             #fault=html-poll-once #fault=poll-200-error-once #fault=unknown-status-times=2 \
             #fault=poll-404-once #fault=drop-poll-once",
        )
        .await;
    let poll = async |status: u16| bench.poll(&id).await.unwrap().expect(status);
    assert_eq!(poll(200).await.json()["status"], "in_progress");
    assert!(poll(500).await.json()["error"].is_object());
    assert!(!poll(429).await.headers.contains_key("retry-after"));
    assert_eq!(poll(429).await.header("retry-after"), "2");
    assert!(poll(200).await.body.is_empty());
    let malformed = poll(200).await;
    assert!(malformed.body.starts_with(b"{"));
    assert!(serde_json::from_slice::<Value>(&malformed.body).is_err());
    assert!(poll(200).await.body.starts_with(b"<!doctype html>"));
    assert!(poll(200).await.json()["error"]["message"].is_string());
    for _ in 0..2 {
        let unknown = poll(200).await.json();
        assert_eq!(unknown["status"], "post_processing");
        assert_eq!(unknown["id"], id);
    }
    poll(404).await;
    let path = format!("GET /v1/videos/{id} HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(bench.raw(&path).await.is_empty());
    bench.advance(10);
    assert_eq!(poll(200).await.json()["status"], "completed");
}

#[tokio::test]
async fn a_status_can_stay_unknown_for_ever() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.ended("#fault=unknown-status").await;
    for _ in 0..3 {
        let polled = bench.poll(&id).await.unwrap().expect(200).json();
        assert_eq!(polled["status"], "post_processing");
    }
    // Nobody was told that it has ended.
    assert_eq!(bench.record("#fault=unknown-status").told_at_ms, None);
}

#[tokio::test]
async fn jobs_end_as_they_were_told_to() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (prompt, status, code) in [
        ("#fault=fail", "failed", json!("video_generation_failed")),
        ("#fault=fail-503", "failed", json!("503")),
        (
            "#fault=fail-moderation",
            "failed",
            json!("moderation_blocked"),
        ),
        ("#fault=stuck", "in_progress", Value::Null),
        ("#fault=render=60", "in_progress", Value::Null),
        ("#fault=queue=60", "queued", Value::Null),
        ("#fault=render=0", "completed", Value::Null),
    ] {
        let id = bench.ended(prompt).await;
        let polled = bench.poll(&id).await.unwrap().expect(200).json();
        assert_eq!(polled["status"], status, "{prompt}");
        assert_eq!(polled["error"]["code"], code, "{prompt}");
        assert_eq!(bench.record(prompt).status, status, "{prompt}");
        if status != "completed" {
            bench.content(&id).await.unwrap().expect(404);
        }
    }
    bench.advance(1_000_000_000);
    let stuck = bench.record("#fault=stuck");
    assert_eq!((stuck.status, stuck.ready_at_ms), ("in_progress", None));
}

#[tokio::test]
async fn a_lost_job_is_unknown_to_every_call() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("#fault=lost").await;
    bench.poll(&id).await.unwrap().expect(404);
    bench.content(&id).await.unwrap().expect(404);
    bench.delete(&id).await.unwrap().expect(404);
    let record = bench.record("#fault=lost");
    assert_eq!((record.status, record.polls), ("lost", 0));
    assert_eq!(bench.emulator().counts().running, 0);
}

#[tokio::test]
async fn progress_can_go_backwards() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("#fault=progress-backwards").await;
    let mut seen = Vec::new();
    for _ in 0..8 {
        let polled = bench.poll(&id).await.unwrap().json();
        seen.push(polled["progress"].as_u64().unwrap());
    }
    assert_eq!(seen, [90, 75, 60, 45, 30, 15, 5, 5]);
    bench.advance(10);
    assert_eq!(bench.poll(&id).await.unwrap().json()["progress"], 100);
}

#[tokio::test]
async fn a_file_that_is_cut_off_says_how_long_it_should_be_or_nothing() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let whole = bench.ended("a fox").await;
    let whole = bench.content(&whole).await.unwrap().body;
    let half = &whole[..whole.len() / 2];

    let lying = bench.ended("#fault=short-file-lying").await;
    let path = format!("/videos/{lying}/content");
    let (head, body) = bench.raw_get(&path).await;
    assert!(head.contains(&format!("content-length: {}", whole.len())));
    assert!(body == half, "{} of {} bytes came", body.len(), whole.len());
    assert!(bench.content(&lying).await.unwrap_err().is_decode());

    let chunked = bench.ended("#fault=short-chunked").await;
    let path = format!("/videos/{chunked}/content");
    let (head, body) = bench.raw_get(&path).await;
    assert!(head.contains("transfer-encoding: chunked"));
    assert!(body.len() > half.len() && !body.ends_with(b"0\r\n\r\n"));
    assert!(bench.content(&chunked).await.unwrap_err().is_decode());
}

#[tokio::test]
async fn a_file_can_be_short_and_say_so() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench
        .ended("#fault=short-file-honest-once #fault=content-ok")
        .await;
    let short = bench.content(&id).await.unwrap().expect(200).body;
    let whole = bench.content(&id).await.unwrap().expect(200).body;
    assert!(short == whole[..whole.len() / 2]);
    assert!(re_mp4::Mp4::read_bytes(&short).is_err());
}

#[tokio::test]
async fn what_is_slow_comes_whole_and_what_is_huge_is_more_than_anybody_takes() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let slow = bench
        .submit("#fault=answer-slow")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(slow.json()["status"], "queued");
    let huge = bench
        .submit("#fault=answer-huge")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(huge.body.len(), (256 << 20) + 3);
    let id = bench.ended("#fault=slow-content-once").await;
    let slow = bench.content(&id).await.unwrap().expect(200).body;
    assert!(slow == bench.content(&id).await.unwrap().expect(200).body);
}

#[tokio::test]
async fn a_file_can_be_said_to_be_elsewhere() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench
        .ended("#fault=content-redirect-once #fault=content-redirect-inward-once")
        .await;
    let there = bench.content(&id).await.unwrap().expect(302);
    assert_eq!(there.header("location"), format!("/v1/videos/{id}/content"));
    let inward = bench.content(&id).await.unwrap().expect(302);
    assert!(inward.header("location").starts_with("http://169.254."));
    bench.content(&id).await.unwrap().expect(200);
}

#[tokio::test]
async fn content_meets_each_fault_and_then_the_file() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench
        .ended(
            "#fault=content-404-once #fault=content-500-times=2 #fault=content-503-retry-after=1-once \
             #fault=empty-content-once #fault=not-a-video-once #fault=not-a-video-lying-once \
             #fault=drop-content-once",
        )
        .await;
    let content = async |status: u16| bench.content(&id).await.unwrap().expect(status);
    content(404).await;
    content(500).await;
    content(500).await;
    assert_eq!(content(503).await.header("retry-after"), "1");
    assert!(content(200).await.body.is_empty());
    for kind in ["text/html; charset=utf-8", "video/mp4"] {
        let page = content(200).await;
        assert_eq!(page.header("content-type"), kind);
        assert!(page.body.starts_with(b"<!doctype html>"));
    }
    let path = format!("GET /v1/videos/{id}/content HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(bench.raw(&path).await.is_empty());
    re_mp4::Mp4::read_bytes(&content(200).await.body).unwrap();
}

#[tokio::test]
async fn a_refused_delete_deletes_nothing_and_a_lost_answer_does() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    let prompt = "#fault=delete-ok-once";
    let id = bench.create(prompt).await;
    bench.delete(&id).await.unwrap().expect(200);

    let prompt = "#fault=delete-409-once #fault=drop-delete";
    let id = bench.create(prompt).await;
    bench.delete(&id).await.unwrap().expect(409);
    assert_eq!(bench.record(prompt).status, "in_progress");
    let request = format!("DELETE /v1/videos/{id} HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(bench.raw(&request).await.is_empty());
    assert_eq!(bench.record(prompt).status, "cancelled");

    let prompt = "#fault=empty-delete";
    let id = bench.create(prompt).await;
    assert!(bench.delete(&id).await.unwrap().expect(200).body.is_empty());
    assert_eq!(bench.record(prompt).status, "cancelled");
}

#[tokio::test]
async fn a_directive_nobody_knows_is_refused_by_name() {
    for flavour in Flavour::ALL {
        let bench = Bench::of(flavour).await;
        let refused = bench.submit("a fox #fault=fial").await.unwrap().expect(400);
        let text = String::from_utf8(refused.body).unwrap();
        assert!(text.contains("#fault=fial was sent"), "{text}");
        assert_eq!(bench.emulator().counts().accepted, 0);
    }
}

#[tokio::test]
async fn faults_for_everybody_come_before_those_of_a_job_and_can_be_cleared() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let set = async |directives: Value| {
        let request = bench.control(Method::POST, "/faults").json(&directives);
        Answer::read(request).await.unwrap()
    };
    let known = bench.create("a fox #fault=poll-418").await;
    let faults =
        json!({"directives": ["poll-503-times=2", "submit-429-retry-after=9", "render=60"]});
    set(faults.clone()).await.expect(204);
    let shown = Answer::read(bench.control(Method::GET, "/faults")).await;
    assert_eq!(shown.unwrap().json(), faults);

    // Whoever is asked for, known or not.
    bench.poll(&known).await.unwrap().expect(503);
    bench.poll("video_unknown").await.unwrap().expect(503);
    bench.poll(&known).await.unwrap().expect(418);
    bench.poll("video_unknown").await.unwrap().expect(404);
    let limited = bench.submit("an owl").await.unwrap().expect(429);
    assert_eq!(limited.header("retry-after"), "9");

    let wrong = set(json!({"directives": ["render=5", "pol-503"]}))
        .await
        .expect(400);
    let message = wrong.json()["error"]["message"].to_string();
    assert!(message.contains("#fault=pol-503 was sent"), "{message}");
    assert_eq!(bench.emulator().faults().len(), 3);

    set(json!({"directives": ["render=60", "content-500"]}))
        .await
        .expect(204);
    let slow = bench.ended("a bear").await;
    let own = bench.ended("a bee #fault=render=1").await;
    assert_eq!(
        bench.poll(&slow).await.unwrap().json()["status"],
        "in_progress"
    );
    bench.content(&own).await.unwrap().expect(500);

    let cleared = Answer::read(bench.control(Method::DELETE, "/faults")).await;
    cleared.unwrap().expect(204);
    bench.content(&own).await.unwrap().expect(200);
}

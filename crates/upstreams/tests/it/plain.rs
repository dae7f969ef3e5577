//! The good road: submit, poll, fetch, list, delete, and what the emulator counted of it.

use std::time::Duration;

use filmgate_upstreams::films::Supply;
use filmgate_upstreams::openai_compatible::{Config, Flavour};
use filmgate_upstreams::{Counts, PromptCounts};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Answer, Bench, SIZE, standing};

#[tokio::test]
async fn a_job_goes_from_queued_to_a_file_that_plays() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let created = bench.submit("a fox").await.unwrap().expect(200).json();
    assert_eq!(created["object"], "video");
    assert_eq!(created["status"], "queued");
    assert_eq!(created["progress"], 0);
    assert_eq!(created["seconds"], "1");
    assert_eq!(created["size"], SIZE);
    assert_eq!(created["created_at"], 1_790_000_000);
    let id = created["id"].as_str().unwrap();

    bench.advance(5);
    let polled = bench.poll(id).await.unwrap().expect(200).json();
    assert_eq!(polled["status"], "in_progress");
    assert_eq!(polled["progress"], 50);
    bench.content(id).await.unwrap().expect(404);

    bench.advance(5);
    let polled = bench.poll(id).await.unwrap().expect(200).json();
    assert_eq!(polled["status"], "completed");
    assert_eq!(polled["progress"], 100);
    assert_eq!(polled["completed_at"], 1_790_000_010);

    let file = bench.content(id).await.unwrap().expect(200);
    assert_eq!(file.header("content-type"), "video/mp4");
    assert_eq!(file.header("content-length"), file.body.len().to_string());
    let mp4 = re_mp4::Mp4::read_bytes(&file.body).unwrap();
    let timescale = u64::from(mp4.moov.mvhd.timescale);
    assert_eq!(mp4.moov.mvhd.duration, timescale);
    let video = mp4.tracks().values().next().unwrap();
    assert_eq!((video.width, video.height), (320, 180));
    let record = bench.record("a fox");
    assert_eq!(record.sha256, Some(hex::encode(Sha256::digest(&file.body))));
}

#[tokio::test]
async fn a_job_waits_before_it_is_begun() {
    let queue = Duration::from_secs(7);
    let mut config = standing(Flavour::OpenAi);
    config.settings.queue = queue;
    let bench = Bench::start(config).await;
    let id = bench.create("a fox").await;
    for (seconds, status, progress) in [
        (6, "queued", 0),
        (2, "in_progress", 10),
        (8, "in_progress", 90),
        (1, "completed", 100),
    ] {
        bench.advance(seconds);
        let polled = bench.poll(&id).await.unwrap().json();
        assert_eq!(polled["status"], status);
        assert_eq!(polled["progress"], progress);
    }
}

#[tokio::test]
async fn parts_of_a_file_are_what_they_say() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.ended("a fox").await;
    let whole = bench.content(&id).await.unwrap().body;
    let path = format!("/videos/{id}/content");
    let part = async |range: &str| {
        let request = bench.request(Method::GET, &path).header("range", range);
        Answer::read(request).await.unwrap()
    };
    let length = whole.len();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-99", 10, 99),
        ("bytes=-7", length - 7, length - 1),
        ("bytes=1000-", 1000, length - 1),
    ] {
        let answer = part(range).await.expect(206);
        assert!(answer.body == whole[first..=last], "{range}");
        let said = format!("bytes {first}-{last}/{length}");
        assert_eq!(answer.header("content-range"), said);
    }
    let past = part(&format!("bytes={length}-")).await.expect(416);
    assert_eq!(past.header("content-range"), format!("bytes */{length}"));
    assert!(part("lines=1-2").await.expect(200).body == whole);
}

#[tokio::test]
async fn lists_go_on_behind_the_last_id() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(bench.create(&format!("fox {number}")).await);
    }
    let page = async |query: String| {
        let page = bench.get(&format!("/videos?{query}")).await.unwrap();
        page.expect(200).json()
    };
    let told = |page: &Value| -> Vec<String> {
        let jobs = page["data"].as_array().unwrap();
        jobs.iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page("limit=2&order=asc".to_owned()).await;
    assert_eq!(told(&first), ids[..2]);
    assert_eq!(first["has_more"], true);
    assert_eq!(first["last_id"], ids[1]);
    let rest = page(format!("limit=3&order=asc&after={}", ids[1])).await;
    assert_eq!(told(&rest), ids[2..]);
    assert_eq!(rest["has_more"], false);

    ids.reverse();
    assert_eq!(told(&page(String::new()).await), ids);
    assert_eq!(told(&page(format!("after={}", ids[3])).await), ids[4..]);
    let empty = page("after=video_unknown".to_owned()).await;
    assert_eq!(empty["data"], json!([]));
    bench.get("/videos?limit=101").await.unwrap().expect(400);
}

#[tokio::test]
async fn a_deleted_job_is_known_to_the_book_alone() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("a fox").await;
    let deleted = bench.delete(&id).await.unwrap().expect(200).json();
    let promised = json!({"id": id, "object": "video.deleted", "deleted": true});
    assert_eq!(deleted, promised);
    bench.poll(&id).await.unwrap().expect(404);
    bench.delete(&id).await.unwrap().expect(404);
    bench.content(&id).await.unwrap().expect(404);
    let record = bench.record("a fox");
    assert!(record.cancelled);
    assert_eq!(record.status, "cancelled");
    assert_eq!(record.deleted_at_ms, Some(1_790_000_000_000));
    assert_eq!(bench.emulator().counts().running, 0);
}

#[tokio::test]
async fn a_remix_is_a_job_of_its_own() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("a fox").await;
    let request = bench
        .request(Method::POST, &format!("/videos/{id}/remix"))
        .json(&json!({"prompt": "a fox at night"}));
    let remixed = Answer::read(request).await.unwrap().expect(200).json();
    assert_eq!(remixed["remixed_from_video_id"], id);
    assert_eq!(remixed["size"], SIZE);
    assert_ne!(remixed["id"], id);
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let bench = Bench::start(Config {
        api_key: Some("right".to_owned()),
        ..standing(Flavour::OpenAi)
    })
    .await;
    let id = bench.create("a fox").await;
    for (method, path) in [
        (Method::POST, "/videos".to_owned()),
        (Method::GET, "/videos".to_owned()),
        (Method::GET, format!("/videos/{id}")),
        (Method::GET, format!("/videos/{id}/content")),
        (Method::DELETE, format!("/videos/{id}")),
    ] {
        for key in [None, Some("wrong"), Some("")] {
            let request = bench.stranger(method.clone(), &path, key);
            let refused = Answer::read(request).await.unwrap().expect(401).json();
            assert_eq!(refused["error"]["code"], "invalid_api_key");
        }
    }
    assert_eq!(bench.emulator().counts().accepted, 1);
    // Whoever tests may always look.
    let counts = Answer::read(bench.control(Method::GET, "/counts")).await;
    counts.unwrap().expect(200);
}

#[tokio::test]
async fn every_call_is_counted() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let fox = bench.create("a fox").await;
    let owl = bench.create("an owl").await;
    bench.create("a fox").await;
    bench.form(&[("size", SIZE)]).send().await.unwrap();
    bench.delete(&owl).await.unwrap();
    bench.advance(10);
    bench.poll(&fox).await.unwrap();
    bench.poll(&fox).await.unwrap();
    bench.get("/videos").await.unwrap();
    let file = bench.content(&fox).await.unwrap().body;

    let counts = Answer::read(bench.control(Method::GET, "/counts")).await;
    assert_eq!(
        counts.unwrap().expect(200).json(),
        json!({
            "submits": 4, "accepted": 3, "duplicates": {"a fox": 2}, "running": 0, "most_running": 3,
            "polls": 2, "lists": 1, "deletes": 1, "contents": 1, "content_bytes": file.len(), "stalled": 0,
        })
    );
    let of_prompt = bench.control(Method::GET, "/counts?prompt=a%20fox");
    assert_eq!(
        Answer::read(of_prompt).await.unwrap().json(),
        json!({"submits": 2, "accepted": 2})
    );
    let nobody = PromptCounts::default();
    assert_eq!(bench.emulator().prompt_counts("a bear"), nobody);

    let jobs = Answer::read(bench.control(Method::GET, "/jobs")).await;
    let jobs = jobs.unwrap().json();
    assert_eq!(jobs.as_array().unwrap().len(), 3);
    let first = &jobs[0];
    assert_eq!(first["id"], fox);
    assert_eq!(first["status"], "completed");
    assert_eq!(first["polls"], 2);
    let end = 1_790_000_010_000_u64;
    assert_eq!(first["polled_at_ms"], json!([end, end]));
    assert_eq!(first["contents"], 1);
    assert_eq!(first["accepted_at_ms"], 1_790_000_000_000_u64);
    assert_eq!(first["ready_at_ms"], 1_790_000_010_000_u64);
    assert_eq!(first["told_at_ms"], 1_790_000_010_000_u64);
    assert_eq!(first["fields"], json!({"seconds": "1", "size": SIZE}));
    assert_eq!(jobs[1]["cancelled"], true);
}

#[tokio::test]
async fn references_are_told_by_their_digests() {
    let bench = Bench::of(Flavour::Sglang).await;
    let picture = vec![7u8; 5_000_000];
    let digest = hex::encode(Sha256::digest(&picture));
    let part = reqwest::multipart::Part::bytes(picture)
        .file_name("first.png")
        .mime_str("image/png")
        .unwrap();
    let form = reqwest::multipart::Form::new()
        .text("prompt", "a fox")
        .part("input_reference", part);
    let request = bench.request(Method::POST, "/videos").multipart(form);
    Answer::read(request).await.unwrap().expect(200);
    let record = serde_json::to_value(bench.record("a fox")).unwrap();
    assert_eq!(record["encoding"], "multipart/form-data");
    assert_eq!(
        record["references"],
        json!([{
            "field": "input_reference", "file_name": "first.png", "content_type": "image/png",
            "url": null, "bytes": 5_000_000, "sha256": digest,
        }])
    );

    let named = json!({
        "prompt": "an owl",
        "reference_url": "http://127.0.0.1/owl.png",
        "image_reference": {"image_url": "data:image/png;base64,b3ds"},
    });
    let request = bench.request(Method::POST, "/videos").json(&named);
    Answer::read(request).await.unwrap().expect(200);
    let record = serde_json::to_value(bench.record("an owl")).unwrap();
    assert_eq!(record["encoding"], "application/json");
    let nothing = Value::Null;
    assert_eq!(
        record["references"],
        json!([
            {
                "field": "image_reference", "file_name": nothing, "content_type": "image/png", "url": nothing,
                "bytes": 3, "sha256": hex::encode(Sha256::digest("owl")),
            },
            {
                "field": "reference_url", "file_name": nothing, "content_type": nothing,
                "url": "http://127.0.0.1/owl.png", "bytes": nothing, "sha256": nothing,
            },
        ])
    );
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_allowed() {
    let mut config = standing(Flavour::OpenAi);
    config.settings.max_running = Some(2);
    let bench = Bench::start(config).await;
    let first = bench.create("one").await;
    bench.create("two").await;
    let refused = bench.submit("three").await.unwrap().expect(429);
    assert_eq!(refused.header("retry-after"), "1");
    bench.delete(&first).await.unwrap().expect(200);
    bench.create("three").await;
    bench.submit("four").await.unwrap().expect(429);
    bench.advance(10);
    bench.create("four").await;
    let counts = bench.emulator().counts();
    assert_eq!((counts.submits, counts.accepted), (6, 4));
    assert_eq!((counts.running, counts.most_running), (1, 2));
}

#[tokio::test]
async fn a_restart_forgets_jobs_and_not_what_happened() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    let id = bench.create("a fox").await;
    let answer = Answer::read(bench.control(Method::POST, "/restart")).await;
    answer.unwrap().expect(204);
    bench.poll(&id).await.unwrap().expect(404);
    assert_eq!(
        bench.get("/videos").await.unwrap().json()["data"],
        json!([])
    );
    let record = bench.record("a fox");
    assert_eq!(record.lost_at_ms, Some(1_790_000_000_000));
    assert_eq!((record.status, record.cancelled), ("lost", false));
    assert_eq!(bench.emulator().counts().running, 0);
    let again = bench.create("a fox").await;
    assert_ne!(again, id);
    assert_eq!(bench.emulator().counts().duplicates["a fox"], 2);
}

#[tokio::test]
async fn time_passes_when_it_is_told_to() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let id = bench.create("a fox").await;
    let step = bench
        .control(Method::POST, "/clock")
        .json(&json!({"advance_seconds": 9.5}));
    Answer::read(step).await.unwrap().expect(204);
    assert_eq!(bench.poll(&id).await.unwrap().json()["progress"], 95);
    let backwards = bench
        .control(Method::POST, "/clock")
        .json(&json!({"advance_seconds": -1}));
    Answer::read(backwards).await.unwrap().expect(400);
}

#[tokio::test]
async fn one_tiny_clip_serves_every_order() {
    let mut config = standing(Flavour::OpenAi);
    config.settings.supply = Supply::OneForAll;
    config.settings.render = Duration::ZERO;
    let bench = Bench::start(config).await;
    let fields = [
        ("prompt", "a fox"),
        ("seconds", "3600"),
        ("size", "7680x4320"),
    ];
    let long = Answer::read(bench.form(&fields)).await.unwrap().expect(200);
    let short = bench.create("an owl").await;
    let long = bench.content(&long.id()).await.unwrap().expect(200);
    let short = bench.content(&short).await.unwrap().expect(200);
    assert!(long.body == short.body && !short.body.is_empty());
}

#[tokio::test]
async fn what_nobody_could_render_is_refused() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (field, value) in [
        ("seconds", "21"),
        ("size", "321x180"),
        ("size", "big"),
        ("seconds", "0"),
    ] {
        let answer = Answer::read(bench.form(&[("prompt", "a fox"), (field, value)])).await;
        let refused = answer.unwrap().expect(400).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
    assert_eq!(bench.emulator().counts().accepted, 0);
}

#[tokio::test]
async fn a_server_that_stops_lets_go_of_everybody() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let stalled = Answer::read(bench.form(&[("prompt", "a fox #fault=answer-stall")]));
    let slow = Answer::read(bench.form(&[("prompt", "an owl #fault=slow-submit=3600")]));
    let address = bench.upstream.origin.replace("http://", "");
    let stopped = async move {
        let wished = |counts: &Counts| (counts.stalled, counts.accepted) == (1, 2);
        bench.emulator().until(wished).await;
        bench.upstream.stop().await;
    };
    let (stalled, slow, ()) = tokio::join!(stalled, slow, stopped);
    stalled.unwrap().expect(200);
    slow.unwrap().expect(200);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

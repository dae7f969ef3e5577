//! References by URL: fetched once by the gateway before the job is made, or refused with nothing left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filmgate_assets::signed_link::{Disposition, LinkGrant, Variant};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::content::keys_of;
use crate::gate::{Gate, id_of, sha256};
use crate::order::{Form, Order, data_url, picture};

/// A server of files on loopback; gone when it is dropped.
struct Files {
    origin: String,
    /// What it was asked for, and by whom as far as that shows.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    _task: JoinSet<()>,
}

impl Files {
    async fn on(address: &str, answer: impl Fn(&str) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let app = Router::new().fallback(move |request: Request| {
            let path = request.uri().to_string();
            let named = ["authorization", "cookie"];
            let known = named
                .iter()
                .any(|name| request.headers().contains_key(*name));
            let response = answer(&path);
            seen.lock().unwrap().push((path, known));
            async move { response }
        });
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            origin,
            asked,
            _task: task,
        }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

const OPENED: &str = "[security]\nallow_private_networks = [\"127.0.0.2\"]";

fn file(kind: &'static str, bytes: impl Into<Bytes>) -> Response {
    ([(CONTENT_TYPE, kind)], bytes.into()).into_response()
}

fn endless() -> Body {
    let pieces = || Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1024]));
    Body::from_stream(futures::stream::repeat_with(pieces))
}

fn by_url(kind: &str, url: &str) -> Order {
    let mut reference = json!({"type": kind});
    reference[kind] = json!({"url": url});
    Order::of("from a file").with("input_references", json!([reference]))
}

async fn refused(gate: &Gate, order: &Order, path: &str) -> String {
    let answer = gate.post("/v1/videos").json(order.body()).send().await;
    answer.refused_field("validation_error", path)
}

/// No job, no money, no file.
async fn nothing_is_left(gate: Gate) {
    assert_eq!(gate.video_count().await, 0);
    assert_eq!(gate.home().assets(), Vec::<String>::new());
    let entries = gate.get("/v1/credits/entries").send().await.expect(200);
    assert_eq!(entries.json()["data"], json!([]));
    let audit = gate.stop().await.doctor().await;
    assert_eq!((audit.jobs, audit.postings), (0, 0));
    audit.is_closed_and_balanced();
}

#[tokio::test]
async fn a_picture_is_fetched_once_and_kept_as_it_came() {
    let files = Files::on("127.0.0.2", |path| match path {
        "/moved?sig=secret" => (StatusCode::FOUND, [(LOCATION, "/p.png?sig=s")]).into_response(),
        _ => file("text/plain", picture(3)),
    })
    .await;
    let gate = Gate::configured(OPENED).await;
    let url = format!("{}/moved?sig=secret", files.origin);
    let done = gate.completed(&by_url("image_url", &url)).await;
    let seen = files.asked.lock().unwrap().clone();
    let expected = ["/moved?sig=secret", "/p.png?sig=s"];
    assert_eq!(seen, expected.map(|path| (path.to_owned(), false)));
    let record = format!(
        "/v1/generations?id={}",
        done["generation_id"].as_str().unwrap()
    );
    let record = gate.get(&record).send().await.expect(200);
    assert_eq!(record.json()["inputs"][0]["sha256"], sha256(&picture(3)));
    assert_eq!(record.json()["inputs"][0]["mime_type"], "image/png");
    assert!(!record.text().contains("secret"), "{}", record.text());
    assert!(!gate.home().log().contains("sig="), "{}", gate.home().log());
    // The same picture however it comes makes the same film.
    let bytes = by_url("image_url", &data_url(&picture(3)));
    let same = gate.completed(&bytes).await;
    assert_eq!(same["outputs"][0]["sha256"], done["outputs"][0]["sha256"]);
    let form = Form::new()
        .text("model", "filmgate/testcard")
        .text("prompt", "from a file")
        .text("duration", "1")
        .text("size", "320x180")
        .file("input_references", "x.png", "image/png", &picture(3));
    let uploaded = gate
        .post("/v1/videos")
        .body(&Form::content_type(), form.finish());
    let uploaded = uploaded.send().await.expect(202).json();
    let uploaded = gate.wait_terminal(id_of(&uploaded)).await;
    assert_eq!(
        uploaded["outputs"][0]["sha256"],
        done["outputs"][0]["sha256"]
    );
    assert_eq!(files.asked(), 2);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn every_short_form_takes_an_address() {
    let files = Files::on("127.0.0.2", |_| file("image/png", picture(3))).await;
    let gate = Gate::configured(OPENED).await;
    let url = format!("{}/p.png", files.origin);
    for order in [
        Order::of("a").with("input_reference", url.clone()),
        Order::of("b").with("input_reference", json!({"image_url": url})),
        Order::of("c").with("frame_images", json!([{"image_url": {"url": url}}])),
        Order::of("d").with("input_references", json!([{"type": "image", "url": url}])),
        Order::of("e").with(
            "input_references",
            json!([{"type": "image_url", "role": "first_frame", "media_url": {"url": url}}]),
        ),
    ] {
        gate.completed(&order).await;
    }
    assert_eq!(files.asked(), 5);
    let untold = Order::of("f").with("input_references", json!([{"media_url": {"url": url}}]));
    refused(&gate, &untold, "input_references[0].type").await;
    assert_eq!(files.asked(), 5);
}

#[tokio::test]
async fn a_replay_fetches_nothing_and_needs_no_file() {
    let there = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&there);
    let files = Files::on("127.0.0.2", move |_| match left.swap(0, Ordering::SeqCst) {
        0 => StatusCode::GONE.into_response(),
        _ => file("image/png", picture(3)),
    })
    .await;
    let gate = Gate::configured(OPENED).await;
    let send = |order: Order| {
        let call = gate.post("/v1/videos").header("idempotency-key", "a-key");
        async move { call.json(order.body()).send().await }
    };
    let order = by_url("image_url", &format!("{}/p.png", files.origin));
    let first = send(order.clone()).await.expect(202).json();
    let again = send(order).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json()["id"], first["id"]);
    assert_eq!(files.asked(), 1);
    // Another address is another request, and is told so before anybody asks there.
    let other = by_url("image_url", &format!("{}/q.png", files.origin));
    send(other).await.refused(409, "idempotency_conflict");
    assert_eq!(files.asked(), 1);
    assert_eq!(gate.video_count().await, 1);
}

/// Whoever heard no answer asks once more, and the address may have died meanwhile.
#[tokio::test]
async fn a_repeat_without_a_key_fetches_nothing_and_needs_no_file() {
    let files = Files::on("127.0.0.2", |_| file("image/png", picture(3))).await;
    let order = by_url("image_url", &format!("{}/p.png", files.origin)).endless();
    let send = |gate: &Gate| gate.post("/v1/videos").json(order.body());
    let gate = Gate::configured(OPENED).await;
    // Its answer is held back until the video ends, which it does not.
    let unanswered = send(&gate).header("prefer", "wait=60").try_send();
    let death = async {
        // The list names no video to its client.
        while gate.video_count().await == 0 {}
        gate.kill().await
    };
    let (unanswered, home) = tokio::join!(unanswered, death);
    assert!(unanswered.is_err());
    assert_eq!(files.asked(), 1);
    drop(files);

    let gate = home.start().await;
    let kept = gate.home().assets();
    let again = send(&gate).send().await.expect(202);
    assert_eq!(again.header("x-filmgate-replayed"), "true");
    // A proxy that sends it once more says so.
    let retried = send(&gate).header("x-stainless-retry-count", "1");
    let retried = retried.send().await.expect(202);
    assert_eq!(retried.header("x-filmgate-replayed"), "true");
    let id = id_of(&again.json()).to_owned();
    assert_eq!(retried.json()["id"], id.as_str());
    assert_eq!((gate.video_count().await, gate.home().assets()), (1, kept));
    // Once the client has named its video, the same request is another one, and has no file.
    gate.cancel(&id).await;
    refused(&gate, &order, "input_references[0]").await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_name_and_nothing_is_left() {
    let files = Files::on("127.0.0.2", |path| match path {
        "/404" => StatusCode::NOT_FOUND.into_response(),
        "/500" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "/204" => StatusCode::NO_CONTENT.into_response(),
        "/empty" => file("image/png", ""),
        "/html" => file("image/png", "<!DOCTYPE html><html></html>"),
        "/sound" => file("image/png", b"RIFF\0\0\0\0WAVEfmt ".to_vec()),
        "/half" => file("image/png", picture(3)[..200].to_vec()),
        "/round" => (StatusCode::FOUND, [(LOCATION, "/round")]).into_response(),
        "/inside" => {
            let inside = "http://127.0.0.1:1/";
            (StatusCode::FOUND, [(LOCATION, inside)]).into_response()
        }
        "/metadata" => {
            let inside = "http://169.254.169.254/latest/meta-data/";
            (StatusCode::FOUND, [(LOCATION, inside)]).into_response()
        }
        "/large" => file("image/png", vec![0; 100_001]),
        "/endless" => endless().into_response(),
        "/announced" => ([(CONTENT_LENGTH, "100001")], endless()).into_response(),
        _ => file("image/png", picture(3)),
    })
    .await;
    let lines = format!("{OPENED}\n[engine.inputs]\nimage_bytes = 100000\nvideo_bytes = 100000");
    let gate = Gate::configured(&lines).await;
    for (path, told) in [
        ("/404", "answered with status 404"),
        ("/500", "answered with status 500"),
        ("/204", "answered with status 204"),
        ("/empty", "is empty"),
        ("/html", "is no media taken here"),
        ("/sound", "this one is audio/wav"),
        ("/half", "cannot be decoded"),
        ("/round", "could not be fetched: "),
        ("/inside", "may not be fetched: it is not public"),
        ("/metadata", "may not be fetched: it is not public"),
        ("/large", "has more than 100000 bytes"),
        ("/endless", "has more than 100000 bytes"),
        ("/announced", "has more than 100000 bytes"),
    ] {
        let url = format!("{}{path}", files.origin);
        let message = refused(&gate, &by_url("image_url", &url), "input_references[0]").await;
        assert!(message.contains(told), "{path}: {message}");
        assert!(
            path == "/half" || message.contains(&files.origin),
            "{message}"
        );
        assert!(
            !message.contains(path),
            "more than the host is told: {message}"
        );
        assert!(message.contains("allowed"), "{message}");
    }
    nothing_is_left(gate).await;
}

#[tokio::test]
async fn what_was_stored_for_a_job_that_cannot_be_paid_goes() {
    let files = Files::on("127.0.0.2", |_| file("image/png", picture(3))).await;
    let gate = Gate::configured(&format!("{OPENED}\n[billing]\nmode = \"prepaid\"")).await;
    let order = by_url("image_url", &format!("{}/p.png", files.origin));
    let poor = gate.post("/v1/videos").json(order.body()).send().await;
    poor.refused(402, "insufficient_funds");
    assert_eq!(files.asked(), 1);
    nothing_is_left(gate).await;
}

#[tokio::test]
async fn addresses_of_the_inside_are_not_asked() {
    let inside = Files::on("127.0.0.1", |_| file("image/png", picture(3))).await;
    let port = inside.origin.rsplit(':').next().unwrap().to_owned();
    let shut = Gate::start().await;
    for url in [
        format!("http://127.0.0.1:{port}/p.png"),
        format!("https://127.0.0.1:{port}/p.png"),
        format!("https://2130706433:{port}/p.png"),
        format!("https://[::ffff:127.0.0.1]:{port}/p.png"),
        format!("https://localhost:{port}/p.png"),
        format!("https://user:secret@127.0.0.1:{port}/p.png"),
        "http://example.org/p.png".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://metadata.google.internal/".to_owned(),
    ] {
        let order = by_url("image_url", &url);
        let message = refused(&shut, &order, "input_references[0]").await;
        assert!(message.contains("may not be fetched"), "{url}: {message}");
        assert!(!message.contains("secret"), "{message}");
        // A quote asks nobody and says the same.
        let quote = shut
            .post("/v1/videos/quote")
            .json(order.body())
            .send()
            .await;
        quote.refused_field("validation_error", "input_references[0]");
    }
    nothing_is_left(shut).await;
    // What is opened is one address.
    let gate = Gate::configured(OPENED).await;
    let order = by_url("image_url", &format!("{}/p.png", inside.origin));
    refused(&gate, &order, "input_references[0]").await;
    nothing_is_left(gate).await;
    assert_eq!(inside.asked(), 0);
}

#[tokio::test]
async fn nobody_is_asked_for_a_request_that_is_refused_anyway() {
    let files = Files::on("127.0.0.2", |_| file("image/png", picture(3))).await;
    let gate = Gate::configured(OPENED).await;
    let url = format!("{}/p.png", files.origin);
    let anonymous = gate.post("/v1/videos").anonymous();
    let anonymous = anonymous
        .json(by_url("image_url", &url).body())
        .send()
        .await;
    anonymous.refused(401, "unauthorised");
    refused(
        &gate,
        &by_url("image_url", &url).with("duration", 99),
        "duration",
    )
    .await;
    refused(&gate, &by_url("video_url", &url), "input_references[0]").await;
    let cheap = by_url("image_url", &url).with("max_cost", "0.000001");
    let cheap = gate.post("/v1/videos").json(cheap.body()).send().await;
    cheap.refused(402, "max_cost_exceeded");
    let quote = by_url("image_url", &url);
    let quote = gate
        .post("/v1/videos/quote")
        .json(quote.body())
        .send()
        .await;
    assert!(quote.expect(200).json()["quote_nanos"].is_number());
    assert_eq!(files.asked(), 0);
    nothing_is_left(gate).await;
}

#[tokio::test]
async fn a_retry_takes_the_bytes_that_were_kept() {
    let files = Files::on("127.0.0.2", |_| file("image/png", picture(3))).await;
    let gate = Gate::configured(OPENED).await;
    let order = by_url("image_url", &format!("{}/p.png", files.origin)).endless();
    let first = gate.create(&order).await;
    gate.cancel(id_of(&first)).await;
    let retry = gate.post(&format!("/v1/videos/{}/retry", id_of(&first)));
    let second: Value = retry.send().await.expect(202).json();
    assert_ne!(second["id"], first["id"]);
    assert_eq!(files.asked(), 1);
    let kept = gate.home().assets();
    assert_eq!(
        kept.iter().filter(|file| file.contains("/input/")).count(),
        2
    );
}

#[tokio::test]
async fn a_provider_fetches_an_input_by_its_link_and_nothing_else() {
    let gate = Gate::start().await;
    let done = gate
        .completed(&by_url("image_url", &data_url(&picture(3))))
        .await;
    let id = id_of(&done).to_owned();
    let kept = gate.home().assets().remove(0);
    let workspace = kept.split('/').next().unwrap().to_owned();
    let home = gate.stop().await;
    let keys = keys_of(&home).await;
    let link = |index, variant, seconds: i64| {
        let grant = LinkGrant {
            workspace: workspace.parse().unwrap(),
            video: id.parse().unwrap(),
            index,
            variant,
            disposition: Disposition::Attachment,
        };
        keys.sign(&grant, done["created_at"].as_i64().unwrap() + seconds)
    };
    let gate = home.start().await;
    let path = format!("/v1/videos/{id}/inputs/0");
    let fetch = |path: &str, query: String| gate.get(&format!("{path}?{query}")).anonymous().send();
    let good = link(0, Variant::Input, 3600).to_string();
    let answer = fetch(&path, good.clone()).await.expect(200);
    assert_eq!(answer.body, picture(3));
    assert_eq!(answer.header("content-type"), "image/png");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let head = format!("{path}?{good}");
    let head = gate
        .call(reqwest::Method::HEAD, &head)
        .anonymous()
        .send()
        .await;
    // Providers look at the head first, and leave alone what does not say its kind and length.
    let head = head.expect(200);
    assert_eq!(head.body, "");
    assert_eq!(head.header("content-type"), "image/png");
    let length = picture(3).len().to_string();
    assert_eq!(head.header("content-length"), length);
    // A link of one kind opens nothing of another, and no key is a link.
    let of_output = link(0, Variant::Video, 3600).to_string();
    fetch(&path, of_output).await.refused(403, "forbidden");
    let content = format!("/v1/videos/{id}/content");
    fetch(&content, good.clone())
        .await
        .refused(404, "not_found");
    let other = format!("/v1/videos/{id}/inputs/1");
    fetch(&other, good.clone()).await.refused(403, "forbidden");
    let absent = link(1, Variant::Input, 3600).to_string();
    fetch(&other, absent).await.refused(404, "not_found");
    let over = link(0, Variant::Input, -3600).to_string();
    fetch(&path, over).await.refused(410, "link_expired");
    gate.get(&path).send().await.refused(403, "forbidden");
    let gone = gate.delete(&format!("/v1/videos/{id}")).send().await;
    gone.expect(200);
    fetch(&path, good).await.refused(404, "not_found");
}

//! The adapter and the service together, driven as an engine would drive them, on a clock that stands
//! still unless everybody waits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{
    CancelOutcome, Delivery, Encoding, NativeId, Observation, Order, Part, Provider, Recovered,
    Secret, Source, Step, Submitted, Talk, Token,
};
use filmgate_core::request::{Input, InputRole, MediaKind, ModelId, ProviderName, Request, Shape};
use filmgate_testcard::{Testcard, TestcardService};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

/// A little engine: one order, one service, and the files that the order's inputs name.
struct Stage {
    testcard: Testcard,
    service: TestcardService,
    order: Order,
    files: Vec<Vec<u8>>,
}

impl Stage {
    fn new(simulate: Value) -> Self {
        let mut request = Request::new(ModelId("filmgate/testcard".to_owned()), "a fox");
        request
            .provider_params
            .insert("simulate".to_owned(), simulate);
        Self {
            testcard: Testcard::new(ProviderName("testcard".to_owned())),
            service: TestcardService::new(1),
            order: Order {
                native_model: "testcard".to_owned(),
                request: request.into(),
                shape: Shape {
                    seconds: Some(1),
                    size: Some(FrameSize::new(320, 180)),
                    audio: Some(true),
                    ..Shape::default()
                },
                attempt_key: "attempt-1".to_owned(),
                callback_url: None,
            },
            files: Vec::new(),
        }
    }

    fn edit(mut self, edit: impl FnOnce(&mut Request)) -> Self {
        let mut request = Request::clone(&self.order.request);
        edit(&mut request);
        self.order.request = request.into();
        self
    }

    fn first_frame(mut self, file: Vec<u8>) -> Self {
        let sha256 = hex::encode(Sha256::digest(&file));
        let bytes = file.len() as u64;
        self.files.push(file);
        self.edit(|request| {
            request.inputs.push(Input {
                kind: MediaKind::Image,
                role: InputRole::FirstFrame,
                reference_type: None,
                key: "inputs/0".to_owned(),
                mime_type: "image/png".to_owned(),
                bytes,
                sha256,
                url: None,
                duration_ms: None,
            });
        })
    }

    /// Forgets everything, as a process that starts anew.
    fn restart(&mut self) {
        self.service = TestcardService::new(1);
    }

    /// Carries the conversation's messages to the service; a body that breaks off is a lost answer.
    async fn hold<T>(&self, mut talk: Talk<T>) -> Result<T, Failure> {
        let mut heard = None;
        loop {
            let message = match talk.next(heard.take()) {
                Step::Send { message, .. } => message,
                Step::Done(value) => return Ok(value),
                Step::Failed(failure) => return Err(failure),
            };
            let (head, body) = message.into_parts();
            let body: Vec<u8> = body.0.iter().flat_map(|part| self.bytes(part)).collect();
            let request = http::Request::from_parts(head, Bytes::from(body));
            let answer = self.service.clone().oneshot(request).await.unwrap();
            let (head, body) = answer.into_parts();
            match body.collect().await {
                Ok(whole) => heard = Some(http::Response::from_parts(head, whole.to_bytes())),
                Err(_) => return Err(Failure::lost_answer("the answer was lost")),
            }
        }
    }

    fn bytes(&self, part: &Part) -> Vec<u8> {
        match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            Part::Input { index, encoding } => match encoding {
                Encoding::Raw => self.files[*index].clone(),
                Encoding::Base64 => base64::engine::general_purpose::STANDARD
                    .encode(&self.files[*index])
                    .into_bytes(),
                Encoding::Link => panic!("it knows no links"),
            },
            Part::Choice { .. } => panic!("it knows no links"),
        }
    }

    async fn submit(&self) -> NativeId {
        self.try_submit().await.unwrap().native
    }

    async fn try_submit(&self) -> Result<Submitted, Failure> {
        self.hold(self.testcard.submit(&self.order, &token())).await
    }

    async fn recover(&self) -> Recovered {
        self.hold(self.testcard.recover(&self.order, &token()))
            .await
            .unwrap()
    }

    async fn poll(&self, native: &NativeId) -> Observation {
        self.hold(self.testcard.poll(&self.order, native, &token()))
            .await
            .unwrap()
    }

    async fn cancel(&self, native: &NativeId) -> CancelOutcome {
        self.hold(self.testcard.cancel(&self.order, native, &token()))
            .await
            .unwrap()
    }

    async fn ended(&self, native: &NativeId) -> Observation {
        loop {
            match self.poll(native).await {
                Observation::Running { .. } => sleep(Duration::from_millis(50)).await,
                ended => return ended,
            }
        }
    }

    async fn delivered(&self) -> Delivery {
        let native = self.submit().await;
        match self.ended(&native).await {
            Observation::Succeeded(delivery) => delivery,
            other => panic!("not delivered but {other:?}"),
        }
    }

    async fn files(&self, delivery: &Delivery) -> Vec<Bytes> {
        let mut files = Vec::new();
        for source in &delivery.outputs {
            let Source::Url { url, .. } = source else {
                panic!("the testcard names addresses, and named {source:?}");
            };
            let request = http::Request::get(url).body(Bytes::new()).unwrap();
            let answer = self.service.clone().oneshot(request).await.unwrap();
            let announced: usize = answer.headers()["content-length"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            let file = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(file.len(), announced);
            files.push(file);
        }
        files
    }
}

fn token() -> Token {
    Token {
        secret: Secret::new(""),
        expires_in: None,
    }
}

fn running(progress: u8) -> Observation {
    Observation::Running {
        progress: Some(progress),
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_delivered_as_a_playable_file() {
    let stage = Stage::new(json!({}));
    let delivery = stage.delivered().await;
    assert_eq!(delivery.usage.output_ms, Some(1000));
    let files = stage.files(&delivery).await;
    let mp4 = re_mp4::Mp4::read_bytes(&files[0]).unwrap();
    assert_eq!(mp4.tracks().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_samples_of_one_order_differ() {
    let stage = Stage::new(json!({})).edit(|request| request.sample_count = 3);
    let files = stage.files(&stage.delivered().await).await;
    assert_eq!(files.len(), 3);
    assert!(files[0] != files[1] && files[1] != files[2] && files[0] != files[2]);
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_changes_the_picture() {
    let mut png = Vec::new();
    image::RgbImage::from_pixel(64, 36, image::Rgb([200, 30, 30]))
        .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .unwrap();
    let plain = Stage::new(json!({}));
    let pictured = Stage::new(json!({})).first_frame(png);
    let without = plain.files(&plain.delivered().await).await;
    let with = pictured.files(&pictured.delivered().await).await;
    assert!(with != without);
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_that_is_no_picture_is_refused() {
    let stage = Stage::new(json!({})).first_frame(b"not a picture".to_vec());
    let failure = stage.try_submit().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::InvalidRequest);
    assert!(failure.message.contains("PNG, JPEG or WebP"));
}

#[tokio::test(start_paused = true)]
async fn a_poll_after_a_restart_finishes_the_job_with_the_same_bytes() {
    let mut stage = Stage::new(json!({"render_seconds": 5}));
    let delivery = stage.delivered().await;
    let before = stage.files(&delivery).await;
    stage.restart();
    assert_eq!(stage.recover().await, Recovered::Absent);
    let native = stage.submit().await;
    stage.restart();
    let seen = stage.poll(&native).await;
    assert_eq!(seen, Observation::Running { progress: None });
    let Observation::Succeeded(again) = stage.ended(&native).await else {
        panic!("not delivered");
    };
    assert_eq!(again, delivery);
    assert!(stage.files(&again).await == before);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_a_restart_goes_as_the_order_says() {
    let mut stage = Stage::new(json!({"cancel": "too_late", "render_seconds": 5}));
    let native = stage.submit().await;
    stage.restart();
    assert_eq!(stage.cancel(&native).await, CancelOutcome::TooLate);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_submit_comes_late_and_a_look_up_finds_the_job_before() {
    let stage = Stage::new(json!({"submit_seconds": 30}));
    let begun = Instant::now();
    let early = async {
        sleep(Duration::from_secs(1)).await;
        stage.recover().await
    };
    let (native, found) = tokio::join!(stage.submit(), early);
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert_eq!(found, Recovered::Found(Submitted { native }));
}

#[tokio::test(start_paused = true)]
async fn progress_follows_the_simulated_times() {
    let stage = Stage::new(json!({"queue_seconds": 10, "render_seconds": 100}));
    let native = stage.submit().await;
    assert_eq!(stage.poll(&native).await, running(0));
    sleep(Duration::from_secs(9)).await;
    assert_eq!(stage.poll(&native).await, running(0));
    sleep(Duration::from_secs(51)).await;
    assert_eq!(stage.poll(&native).await, running(50));
    sleep(Duration::from_secs(51)).await;
    assert!(matches!(
        stage.poll(&native).await,
        Observation::Succeeded(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn progress_is_not_told_when_the_order_says_so() {
    let stage = Stage::new(json!({"render_seconds": 100, "progress": false}));
    let native = stage.submit().await;
    sleep(Duration::from_secs(50)).await;
    assert_eq!(
        stage.poll(&native).await,
        Observation::Running { progress: None }
    );
}

#[tokio::test(start_paused = true)]
async fn a_render_fails_where_it_was_told_to() {
    let stage = Stage::new(json!({
        "fail": "content_moderated", "fail_after_percent": 30, "render_seconds": 100,
    }));
    let native = stage.submit().await;
    sleep(Duration::from_secs(29)).await;
    assert_eq!(stage.poll(&native).await, running(29));
    sleep(Duration::from_secs(2)).await;
    let Observation::Failed(failure, usage) = stage.poll(&native).await else {
        panic!("it did not fail");
    };
    assert_eq!(failure.code, FailureCode::ContentModerated);
    assert_eq!((failure.billed, usage.output_ms), (Billed::No, None));
}

#[tokio::test(start_paused = true)]
async fn every_failure_can_be_asked_for_and_billed() {
    for code in FailureCode::ALL {
        let stage = Stage::new(json!({"fail": code, "fail_billed": true}));
        let native = stage.submit().await;
        let Observation::Failed(failure, usage) = stage.ended(&native).await else {
            panic!("it did not fail");
        };
        assert_eq!((failure.code, failure.billed), (code, Billed::Yes));
        assert_eq!(usage.output_ms, Some(500));
    }
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_submit_is_never_heard_of_again() {
    let stage = Stage::new(json!({"ambiguous_submit": true}));
    assert!(stage.try_submit().await.unwrap_err().ambiguous);
    assert_eq!(stage.recover().await, Recovered::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_stops_the_render_for_free() {
    let stage = Stage::new(json!({"render_seconds": 100, "billed_seconds": 9}));
    let native = stage.submit().await;
    let cancelled = stage.cancel(&native).await;
    assert!(
        matches!(cancelled, CancelOutcome::Cancelled(Billed::No, usage) if usage.output_ms.is_none())
    );
    assert_eq!(stage.cancel(&native).await, cancelled);
    assert!(matches!(
        stage.poll(&native).await,
        Observation::Cancelled(Billed::No, _)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_billed_cancel_tells_the_time_rendered_or_the_time_it_was_told_to() {
    for (simulate, billed_ms) in [
        (json!({"cancel": "billed", "render_seconds": 100}), 500),
        (
            json!({"cancel": "billed", "render_seconds": 100, "billed_seconds": 7.5}),
            7500,
        ),
    ] {
        let stage = Stage::new(simulate);
        let native = stage.submit().await;
        sleep(Duration::from_secs(50)).await;
        let CancelOutcome::Cancelled(Billed::Yes, usage) = stage.cancel(&native).await else {
            panic!("it was not billed");
        };
        assert_eq!(usage.output_ms, Some(billed_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_is_refused_lets_the_render_go_on_to_its_end() {
    for (word, outcome) in [
        ("too_late", CancelOutcome::TooLate),
        ("unsupported", CancelOutcome::Unsupported),
    ] {
        let stage = Stage::new(json!({"cancel": word, "render_seconds": 10}));
        let native = stage.submit().await;
        assert_eq!(stage.cancel(&native).await, outcome);
        assert!(matches!(
            stage.ended(&native).await,
            Observation::Succeeded(_)
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_a_finished_render_is_too_late() {
    let stage = Stage::new(json!({}));
    let native = stage.submit().await;
    stage.ended(&native).await;
    assert_eq!(stage.cancel(&native).await, CancelOutcome::TooLate);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_output_is_as_long_as_it_says_and_names_samples_outside_of_itself() {
    let stage = Stage::new(json!({"corrupt_output": true}));
    let files = stage.files(&stage.delivered().await).await;
    let broken = match re_mp4::Mp4::read_bytes(&files[0]) {
        Err(_) => true,
        Ok(mp4) => mp4
            .tracks()
            .values()
            .flat_map(|track| &track.samples)
            .any(|sample| sample.byte_range().end > files[0].len()),
    };
    assert!(broken);
}

#[tokio::test(start_paused = true)]
async fn missing_outputs_are_told_with_a_reason() {
    for (missing, kept) in [(1, 2), (4, 0)] {
        let stage = Stage::new(json!({"missing_outputs": missing}))
            .edit(|request| request.sample_count = 3);
        let delivery = stage.delivered().await;
        assert_eq!(delivery.outputs.len(), kept);
        assert_eq!(delivery.missing.len(), 3 - kept);
        assert!(
            delivery
                .missing
                .iter()
                .all(|missing| missing.code == FailureCode::OutputUnavailable)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_reported_is_the_usage_asked_for() {
    let stage = Stage::new(json!({"billed_seconds": 40}));
    assert_eq!(stage.delivered().await.usage.output_ms, Some(40_000));
}

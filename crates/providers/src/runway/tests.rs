//! The conversations, played with recorded answers.

use std::collections::BTreeMap;
use std::time::Duration;

use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{Delivery, Encoding, Part, Secret, Source, Step, Usage};
use filmgate_core::request::{Input, InputRole, MediaKind, ModelId, Shape};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::odd::odd_answer;

const TASK: &str = "17f20503-6c24-4c16-946b-35dbbce2af2f";

#[derive(Deserialize)]
struct Recorded {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Value,
}

fn recorded(name: &str) -> Response<Bytes> {
    let text = include_str!("../../recorded/runway/answers.json");
    let mut all: BTreeMap<String, Recorded> = serde_json::from_str(text).unwrap();
    let recorded = all.remove(name).expect(name);
    let mut answer = Response::builder().status(recorded.status);
    for (name, value) in recorded.headers {
        answer = answer.header(name, value);
    }
    answer.body(recorded.body.to_string().into()).unwrap()
}

fn plain(status: u16, body: &'static str) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    answer.body(Bytes::from_static(body.as_bytes())).unwrap()
}

fn adapter() -> Runway {
    let base = Url::parse("http://127.0.0.1:9/").unwrap();
    Runway::new(ProviderName("runway".into()), &base)
}

fn token() -> Token {
    Token {
        secret: Secret::new("key_secret"),
        expires_in: None,
    }
}

fn order_of(native_model: &str, seconds: u32, change: impl FnOnce(&mut VideoRequest)) -> Order {
    let mut request = VideoRequest::new(ModelId("m".into()), "a fox in the snow");
    change(&mut request);
    Order {
        native_model: native_model.into(),
        shape: Shape {
            seconds: Some(seconds),
            size: Some(FrameSize::new(1280, 720)),
            audio: Some(request.generate_audio.unwrap_or(false)),
        },
        request: request.into(),
        attempt_key: "video_1-1".into(),
        callback_url: None,
    }
}

fn order() -> Order {
    order_of("gen4.5", 5, |_| {})
}

fn picture(role: InputRole) -> Input {
    Input {
        kind: MediaKind::Image,
        role,
        reference_type: None,
        key: "inputs/1".into(),
        mime_type: "image/png".into(),
        bytes: 9,
        sha256: String::new(),
        url: None,
        duration_ms: None,
    }
}

fn play<T>(
    mut talk: Talk<T>,
    answers: impl IntoIterator<Item = Response<Bytes>>,
) -> (Result<T, Failure>, Vec<String>) {
    let mut answers = answers.into_iter();
    let (mut sent, mut heard) = (Vec::new(), None);
    loop {
        match talk.next(heard.take()) {
            Step::Send { message, .. } => {
                assert_eq!(message.headers()["authorization"], "Bearer key_secret");
                assert_eq!(message.headers()["x-runway-version"], "2024-11-06");
                sent.push(format!("{} {}", message.method(), message.uri().path()));
                heard = Some(answers.next().expect("an answer was recorded"));
            }
            Step::Done(value) => return (Ok(value), sent),
            Step::Failed(failure) => return (Err(failure), sent),
        }
    }
}

fn submit(answer: Response<Bytes>) -> Result<Submitted, Failure> {
    play(adapter().submit(&order(), &token()), [answer]).0
}

fn poll(answer: Response<Bytes>) -> Result<Observation, Failure> {
    let native = NativeId(TASK.into());
    let (seen, sent) = play(adapter().poll(&order(), &native, &token()), [answer]);
    assert_eq!(sent, [format!("GET /v1/tasks/{TASK}")]);
    seen
}

fn failed(name: &str) -> (Failure, Usage) {
    match poll(recorded(name)) {
        Ok(Observation::Failed(failure, usage)) => (failure, usage),
        other => panic!("{name}: {other:?}"),
    }
}

/// Where a create goes, and its body with inputs by number.
fn created(order: &Order) -> (String, Value) {
    let Step::Send { message, repeat } = adapter().submit(order, &token()).next(None) else {
        panic!("a create is one message")
    };
    assert_eq!(repeat, Repeat::MayBuyTwice);
    let Body(parts) = message.body();
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Part::Input { index, encoding } => {
                assert_eq!(*encoding, Encoding::Base64);
                format!("<{index}>")
            }
            Part::Choice { .. } => panic!("it knows no links"),
        })
        .collect();
    (
        message.uri().path().to_owned(),
        serde_json::from_str(&text).unwrap(),
    )
}

fn as_the_sdk_sends(name: &str) -> Value {
    let text = include_str!("../../recorded/runway/requests.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[name].clone()
}

#[test]
fn an_order_is_what_the_sdk_sends_for_it() {
    let text = order_of("gen4.5", 5, |request| {
        request.prompt = "drifting fog".into();
        request.seed = Some(7);
    });
    let expected = as_the_sdk_sends("text_to_video");
    assert_eq!(created(&text), ("/v1/text_to_video".into(), expected));
    let frames = order_of("veo3.1", 8, |request| {
        request.prompt = "morph".into();
        request.generate_audio = Some(true);
        request.inputs = vec![
            picture(InputRole::FirstFrame),
            picture(InputRole::LastFrame),
        ];
    });
    let expected = as_the_sdk_sends("image_to_video");
    assert_eq!(created(&frames), ("/v1/image_to_video".into(), expected));
}

#[test]
fn a_text_that_looks_like_an_input_is_a_text() {
    let order = order_of("gen4.5", 5, |request| {
        request.prompt = "<video_1-2 0> \"</data:image/png;base64,".into();
        request.inputs = vec![picture(InputRole::FirstFrame)];
    });
    let (_, body) = created(&order);
    assert_eq!(body["promptText"], order.request.prompt.as_str());
    assert_eq!(body["promptImage"][0]["uri"], "data:image/png;base64,<0>");
}

#[test]
fn what_only_this_api_refuses_is_refused_before_money_moves() {
    let refused = |change: fn(&mut VideoRequest)| {
        let mut request = VideoRequest::new(ModelId("m".into()), "a fox");
        change(&mut request);
        adapter().check(&request).map_err(|refusal| refusal.field)
    };
    let moderation = |level: &str| json!({"publicFigureThreshold": level});
    assert_eq!(refused(|_| {}), Ok(()));
    assert_eq!(
        refused(|request| request.prompt = " ".into()),
        Err("prompt".into())
    );
    let gif = |request: &mut VideoRequest| {
        request.inputs = vec![Input {
            mime_type: "image/gif".into(),
            ..picture(InputRole::FirstFrame)
        }];
    };
    assert_eq!(refused(gif), Err("input_references[0]".into()));
    let large = |request: &mut VideoRequest| {
        request.inputs = vec![Input {
            bytes: 3_750_001,
            ..picture(InputRole::FirstFrame)
        }];
    };
    assert_eq!(refused(large), Err("input_references[0]".into()));
    for (level, taken) in [("low", true), ("auto", true), ("none", false)] {
        let mut request = VideoRequest::new(ModelId("m".into()), "a fox");
        let name = "contentModeration".to_owned();
        request.provider_params.insert(name, moderation(level));
        assert_eq!(adapter().check(&request).is_ok(), taken, "{level}");
    }
}

#[test]
fn a_create_is_taken_refused_or_left_open() {
    for name in ["created", "created, as before"] {
        let native = NativeId(TASK.into());
        assert_eq!(submit(recorded(name)), Ok(Submitted { native }));
    }
    for (name, code, retryable) in [
        ("bad request", FailureCode::InvalidRequest, false),
        ("no credits", FailureCode::ProviderQuota, true),
        ("bad key", FailureCode::ProviderAuth, true),
        ("daily quota", FailureCode::RateLimited, true),
    ] {
        let failure = submit(recorded(name)).unwrap_err();
        assert_eq!(
            (failure.code, failure.retryable),
            (code, retryable),
            "{name}"
        );
        assert!(!failure.ambiguous && failure.billed == Billed::No, "{name}");
    }
    let failure = submit(recorded("bad request")).unwrap_err();
    assert!(
        failure.message.contains("ratio: bad ratio"),
        "{}",
        failure.message
    );
    let wait = submit(recorded("daily quota")).unwrap_err().retry_after;
    assert_eq!(wait, Some(Duration::from_secs(3600)));
    assert!(
        !submit(plain(503, "busy")).unwrap_err().ambiguous,
        "load shedding"
    );
    assert!(
        !submit(plain(200, "{\"error\": \"no\"}"))
            .unwrap_err()
            .ambiguous
    );
    for (status, body) in [
        (200, ""),
        (200, "{\"id\": \"17f2"),
        (200, "{\"id\": \"..\"}"),
        (200, "<html>"),
        (500, "{\"error\": \"broke\"}"),
        (502, ""),
        (504, ""),
    ] {
        let failure = submit(plain(status, body)).unwrap_err();
        assert!(failure.ambiguous, "{status} {body}");
        assert_eq!(failure.billed, Billed::Unknown);
    }
}

#[test]
fn a_poll_tells_how_the_task_stands() {
    let running = |progress| Ok(Observation::Running { progress });
    assert_eq!(poll(recorded("pending")), running(None));
    assert_eq!(poll(recorded("throttled")), running(None));
    assert_eq!(poll(recorded("running")), running(Some(42)));
    let usage = Usage {
        credits: Some(60),
        ..Usage::default()
    };
    let outputs = vec![Source::Url {
        url: "https://cdn.example/o.mp4?_jwt=made-up".into(),
        send_credential: false,
    }];
    let delivery = Delivery {
        outputs,
        missing: Vec::new(),
        usage,
    };
    assert_eq!(
        poll(recorded("succeeded")),
        Ok(Observation::Succeeded(delivery))
    );
    let nothing = Usage {
        credits: Some(0),
        ..Usage::default()
    };
    assert_eq!(
        poll(recorded("cancelled")),
        Ok(Observation::Cancelled(Billed::No, nothing))
    );
    assert_eq!(
        poll(plain(404, "{\"error\": \"none\"}")),
        Ok(Observation::Unknown)
    );
}

#[test]
fn a_task_without_an_output_is_told_as_that() {
    let answer = plain(
        200,
        r#"{"id": "x", "status": "SUCCEEDED", "output": ["ftp://x"]}"#,
    );
    let Ok(Observation::Succeeded(delivery)) = poll(answer) else {
        panic!("it succeeded")
    };
    assert_eq!((delivery.outputs.len(), delivery.missing.len()), (0, 1));
}

#[test]
fn a_failed_task_is_classified_by_its_code_and_billed_by_its_cost() {
    let (failure, usage) = failed("moderated");
    assert_eq!(
        (failure.code, failure.retryable),
        (FailureCode::ContentModerated, false)
    );
    assert_eq!((failure.billed, usage.credits), (Billed::Yes, Some(12)));
    assert_eq!(failure.provider_code.as_deref(), Some("SAFETY.INPUT.TEXT"));
    let said = failure.provider_message.unwrap();
    assert_eq!(said, "blocked: …", "the prompt is cut out");
    let (failure, _) = failed("bad output");
    assert_eq!(
        (failure.code, failure.retryable),
        (FailureCode::ProviderError, true)
    );
    assert_eq!(failure.billed, Billed::No);
    assert_eq!(failed("bad asset").0.code, FailureCode::InvalidRequest);
    assert!(failed("failed without a word").0.retryable);
    // Nobody has seen such a code, and it may be one of safety all the same.
    let answer = plain(
        200,
        r#"{"status": "FAILED", "failureCode": "SAFETYNET", "failure": "x"}"#,
    );
    let Ok(Observation::Failed(failure, _)) = poll(answer) else {
        panic!("it failed")
    };
    assert_eq!(failure.code, FailureCode::ProviderError);
    assert_eq!(failure.billed, Billed::Unknown, "it tells no cost");
}

#[test]
fn a_poll_that_cannot_be_read_says_nothing_about_the_task() {
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (200, "<html>"),
        (200, r#"{"status": "DREAMING"}"#),
        (200, r#"{"error": "no"}"#),
        (429, ""),
        (500, ""),
        (302, ""),
    ] {
        let failure = poll(plain(status, body)).unwrap_err();
        assert!(
            failure.retryable && !failure.ambiguous,
            "{status} {body}: {failure:?}"
        );
    }
}

#[test]
fn a_task_that_ended_is_left_alone_and_one_under_way_is_deleted() {
    let cancel = |answers: Vec<Response<Bytes>>| {
        let native = NativeId(TASK.into());
        let (outcome, sent) = play(adapter().cancel(&order(), &native, &token()), answers);
        (outcome.unwrap(), sent.len())
    };
    let deleted = || plain(204, "");
    let free = CancelOutcome::Cancelled(Billed::No, Usage::default());
    assert_eq!(
        cancel(vec![recorded("pending"), deleted()]),
        (free.clone(), 2)
    );
    assert_eq!(
        cancel(vec![recorded("throttled"), plain(404, "")]),
        (free, 2)
    );
    let estimate = Usage {
        credits: Some(60),
        ..Usage::default()
    };
    let charged = CancelOutcome::Cancelled(Billed::Yes, estimate);
    assert_eq!(cancel(vec![recorded("running"), deleted()]), (charged, 2));
    for name in ["succeeded", "moderated", "cancelled"] {
        assert_eq!(
            cancel(vec![recorded(name)]),
            (CancelOutcome::TooLate, 1),
            "{name}"
        );
    }
    let gone = CancelOutcome::Cancelled(Billed::Unknown, Usage::default());
    assert_eq!(cancel(vec![plain(404, "")]), (gone, 1));
}

/// The words of the API.
const WORDS: &[&str] = &[
    "id",
    "status",
    "PENDING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "output",
    "cost",
    "estimatedCost",
    "credits",
    "failure",
    "failureCode",
    "SAFETY.INPUT",
    "error",
    "issues",
    "path",
    "message",
    "progress",
    "://",
    "https://x",
];

proptest! {
    #[test]
    fn whatever_is_answered_a_conversation_comes_to_its_end(
        answers in prop::collection::vec(odd_answer(WORDS), 3),
        id in ".{0,40}",
    ) {
        let (order, native) = (order(), NativeId(id));
        if let Ok(submitted) = play(adapter().submit(&order, &token()), answers.clone()).0 {
            prop_assert!(!submitted.native.0.is_empty());
        }
        match play(adapter().poll(&order, &native, &token()), answers.clone()).0 {
            Ok(Observation::Succeeded(delivery)) => {
                prop_assert_eq!(delivery.outputs.len() + delivery.missing.len(), 1);
            }
            Ok(_) => {}
            Err(failure) => prop_assert!(!failure.ambiguous),
        }
        drop(play(adapter().cancel(&order, &native, &token()), answers));
    }

    #[test]
    fn whatever_is_said_no_secret_is_kept(words in ".{0,40}", status in 200u16..600) {
        let body = json!({"error": format!("{words}key_secret{words}")}).to_string();
        let answer = Response::builder().status(status).body(body.into()).unwrap();
        if let Err(failure) = submit(answer) {
            let kept = format!("{failure:?}");
            prop_assert!(!kept.contains("key_secret"));
        }
    }
}

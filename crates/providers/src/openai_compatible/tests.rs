//! The conversations, played with recorded answers.

use std::time::Duration;

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{
    Body, CancelOutcome, Delivery, NativeId, Observation, Order, Part, Provider, Secret, Source,
    Step, Submitted, Talk, Token, Usage,
};
use filmgate_core::request::{
    Input, InputRole, MediaKind, ModelId, ProviderName, Request as VideoRequest, Shape,
};
use http::{Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::odd::odd_answer;
use crate::recorded::{self, plain};

/// An answer that a server of `flavour` gives.
fn recorded(flavour: Flavour, name: &str) -> Response<Bytes> {
    let text = match flavour {
        Flavour::OpenAi => include_str!("../../recorded/openai-compatible/openai.json"),
        Flavour::VllmOmni => include_str!("../../recorded/openai-compatible/vllm-omni.json"),
        Flavour::SgLang => include_str!("../../recorded/openai-compatible/sglang.json"),
        Flavour::LiteLlm => include_str!("../../recorded/openai-compatible/litellm.json"),
    };
    recorded::answer(text, name)
}

fn of_json(status: u16, body: Value) -> Response<Bytes> {
    let mut answer = plain(status, "");
    *answer.body_mut() = body.to_string().into();
    answer
}

fn told_apart() -> OpenAiCompatible {
    let base = Url::parse("http://10.0.0.5:8000/v1/").unwrap();
    OpenAiCompatible::new(ProviderName("gpu-box".into()), &base, None)
}

fn said_to_be(flavour: Flavour) -> OpenAiCompatible {
    OpenAiCompatible {
        flavour: Some(flavour),
        ..told_apart()
    }
}

fn token() -> Token {
    Token {
        secret: Secret::new("sk-secret-key"),
        expires_in: None,
    }
}

fn order_of(change: impl FnOnce(&mut VideoRequest)) -> Order {
    let mut request = VideoRequest::new(ModelId("local/wan".into()), "a fox in the snow");
    change(&mut request);
    Order {
        native_model: "Wan-AI/Wan2.2-T2V-A14B".into(),
        request: request.into(),
        shape: Shape {
            seconds: Some(4),
            size: Some(FrameSize::new(832, 480)),
            audio: Some(false),
            ..Shape::default()
        },
        attempt_key: "video_1-1".into(),
        callback_url: None,
    }
}

fn order() -> Order {
    order_of(|_| {})
}

/// Plays answers to a conversation; tells what it came to and what it sent.
fn play<T>(
    mut talk: Talk<T>,
    answers: impl IntoIterator<Item = Response<Bytes>>,
) -> (Result<T, Failure>, Vec<String>) {
    let mut answers = answers.into_iter();
    let mut sent = Vec::new();
    let mut heard = None;
    loop {
        match talk.next(heard.take()) {
            Step::Send { message, .. } => {
                assert_eq!(message.headers()["authorization"], "Bearer sk-secret-key");
                sent.push(format!("{} {}", message.method(), message.uri()));
                heard = Some(answers.next().expect("an answer was recorded"));
            }
            Step::Done(value) => return (Ok(value), sent),
            Step::Failed(failure) => return (Err(failure), sent),
        }
    }
}

fn submitted(answer: Response<Bytes>) -> Result<Submitted, Failure> {
    play(told_apart().submit(&order(), &token()), [answer]).0
}

/// The id that a recorded answer names.
fn native(flavour: Flavour) -> NativeId {
    submitted(recorded(flavour, "create")).unwrap().native
}

fn polled(flavour: Flavour, name: &str) -> Result<Observation, Failure> {
    poll_of(&order(), flavour, recorded(flavour, name))
}

fn poll_of(
    order: &Order,
    flavour: Flavour,
    answer: Response<Bytes>,
) -> Result<Observation, Failure> {
    let talk = told_apart().poll(order, &native(flavour), &token());
    play(talk, [answer]).0
}

fn cancelled(
    flavour: Flavour,
    answers: impl IntoIterator<Item = Response<Bytes>>,
) -> (Result<CancelOutcome, Failure>, usize) {
    let talk = told_apart().cancel(&order(), &native(flavour), &token());
    let (outcome, sent) = play(talk, answers);
    (outcome, sent.len())
}

/// The fields of a form, and its files by name, type and number.
fn fields(message: &Request<Body>) -> Vec<(String, String)> {
    let content_type = message.headers()["content-type"].to_str().unwrap();
    let boundary = content_type.split_once("boundary=").unwrap().1;
    let Body(parts) = message.body();
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Part::Input { index, .. } => format!("<input {index}>"),
            Part::Choice { .. } => panic!("it knows no links"),
        })
        .collect();
    fields_of(&text, boundary)
}

fn fields_of(text: &str, boundary: &str) -> Vec<(String, String)> {
    let text = text.strip_prefix(&format!("--{boundary}\r\n")).unwrap();
    let text = text
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap();
    let between = format!("\r\n--{boundary}\r\n");
    let parts = text.split(&between).map(|part| {
        let (head, value) = part.split_once("\r\n\r\n").unwrap();
        (head.replace("\r\n", " | "), value.to_owned())
    });
    parts.collect()
}

fn created(order: &Order) -> Request<Body> {
    let adapter = told_apart().with_sound_switches([order.native_model.clone()]);
    match adapter.submit(order, &token()).next(None) {
        Step::Send { message, repeat } => {
            assert_eq!(repeat, Repeat::MayBuyTwice);
            message
        }
        other => panic!("{other:?}"),
    }
}

fn first_frame() -> Input {
    Input {
        kind: MediaKind::Image,
        role: InputRole::FirstFrame,
        reference_type: None,
        key: "inputs/1".into(),
        mime_type: "image/png".into(),
        bytes: 9,
        sha256: String::new(),
        url: None,
        duration_ms: None,
    }
}

#[test]
fn a_create_is_a_form_with_what_was_asked_for_and_no_more() {
    let message = created(&order());
    assert_eq!(message.method(), "POST");
    assert_eq!(message.uri(), "http://10.0.0.5:8000/v1/videos");
    let form_data = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let field = |name: &str, value: &str| (form_data(name), value.to_owned());
    let plain = [
        field("model", "Wan-AI/Wan2.2-T2V-A14B"),
        field("prompt", "a fox in the snow"),
        field("seconds", "4"),
        field("size", "832x480"),
    ];
    assert_eq!(fields(&message), plain);

    let everything = created(&order_of(|request| {
        request.negative_prompt = Some("rain".into());
        request.seed = Some(7);
        request.generate_audio = Some(false);
        request.sample_count = 2;
        request.inputs = vec![first_frame()];
        let knobs = json!({"guidance_scale": 4.5, "lora": {"name": "x"}});
        request.provider_params = knobs.as_object().unwrap().clone();
    }));
    let more = [
        field("negative_prompt", "rain"),
        field("seed", "7"),
        field("generate_sound", "false"),
        field("num_outputs_per_prompt", "2"),
        field("guidance_scale", "4.5"),
        field("lora", "{\"name\":\"x\"}"),
        (
            form_data("input_reference; filename=\"first_frame.png\" | Content-Type: image/png")
                .replace("input_reference;", "input_reference\";")
                .replace("image/png\"", "image/png"),
            "<input 0>".to_owned(),
        ),
    ];
    assert_eq!(fields(&everything), [&plain[..], &more[..]].concat());
}

#[test]
fn a_model_without_a_sound_switch_is_not_told_of_sound() {
    let order = order_of(|request| request.generate_audio = Some(true));
    let Step::Send { message, .. } = told_apart().submit(&order, &token()).next(None) else {
        panic!("nothing was sent");
    };
    let fields = fields(&message);
    assert!(
        fields.iter().all(|(head, _)| !head.contains("sound")),
        "{fields:?}"
    );
}

#[test]
fn the_form_is_what_the_sdk_sends_for_the_same_wish() {
    let recorded = include_str!("../../recorded/openai-compatible/openai-sdk.create.http");
    let (head, body) = recorded.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/videos HTTP/1.1\r\n"));
    let boundary = head
        .split_once("boundary=")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    let mut theirs = fields_of(body, boundary);
    let mut ours = fields(&created(&order_of(|request| {
        request.inputs = vec![first_frame()]
    })));
    for form in [&mut theirs, &mut ours] {
        form.sort();
        // The file's own name and bytes are its sender's.
        let file = form.iter_mut().find(|(head, _)| head.contains("filename"));
        let file = file.expect("a file was sent");
        assert!(file.0.ends_with("Content-Type: image/png"), "{}", file.0);
        *file = ("the file".into(), String::new());
    }
    assert_eq!(ours, theirs);
}

#[test]
fn inputs_that_the_dialect_has_no_field_for_are_refused_before_anything_is_sent() {
    let last_frame = Input {
        role: InputRole::LastFrame,
        ..first_frame()
    };
    for inputs in [vec![last_frame], vec![first_frame(), first_frame()]] {
        let order = order_of(|request| request.inputs = inputs);
        let (result, sent) = play(told_apart().submit(&order, &token()), []);
        assert_eq!(result.unwrap_err().code, FailureCode::InvalidRequest);
        assert!(sent.is_empty());
    }
}

#[test]
fn a_server_without_a_key_is_sent_none() {
    let token = Token {
        secret: Secret::new(""),
        expires_in: None,
    };
    let Step::Send { message, .. } = told_apart().submit(&order(), &token).next(None) else {
        panic!("nothing was sent");
    };
    assert_eq!(message.headers().get("authorization"), None);
}

#[test]
fn every_flavour_answers_a_create_with_an_id_that_is_kept_as_it_is() {
    for flavour in Flavour::ALL {
        let expected: Value = serde_json::from_slice(recorded(flavour, "create").body()).unwrap();
        assert_eq!(native(flavour).0, expected["id"]);
    }
}

#[test]
fn an_id_is_escaped_and_one_that_would_lead_elsewhere_is_none() {
    let native = NativeId("a/../b?c#d é==".into());
    let talk = told_apart().poll(&order(), &native, &token());
    let (_, sent) = play(talk, [plain(404, "")]);
    let address = "http://10.0.0.5:8000/v1/videos/a%2F..%2Fb%3Fc%23d%20%C3%A9%3D%3D";
    assert_eq!(sent, [format!("GET {address}")]);
    for id in ["", ".", "..", &"x".repeat(3000)] {
        let answer = of_json(
            200,
            json!({"id": id, "object": "video", "status": "queued"}),
        );
        assert!(submitted(answer).unwrap_err().ambiguous, "{id:?}");
    }
}

#[test]
fn a_refused_create_says_why_and_may_be_sent_elsewhere_where_that_helps() {
    use FailureCode::*;
    for (flavour, name, code, retryable) in [
        (Flavour::OpenAi, "bad_key", ProviderAuth, true),
        (Flavour::OpenAi, "not_allowed", ProviderPermission, true),
        (Flavour::OpenAi, "rate_limited", RateLimited, true),
        (Flavour::OpenAi, "no_funds", ProviderQuota, true),
        (Flavour::OpenAi, "no_model", ModelUnavailable, true),
        (Flavour::OpenAi, "bad_value", InvalidRequest, false),
        (Flavour::OpenAi, "trouble", ProviderError, true),
        (Flavour::VllmOmni, "mismatch", ModelUnavailable, true),
        (Flavour::VllmOmni, "invalid", InvalidRequest, false),
        (Flavour::VllmOmni, "engine_dead", ProviderError, true),
        (Flavour::SgLang, "no_prompt", InvalidRequest, false),
        (Flavour::LiteLlm, "policy", ContentModerated, false),
        (Flavour::LiteLlm, "rate_limited", RateLimited, true),
    ] {
        let failure = submitted(recorded(flavour, name)).unwrap_err();
        assert_eq!(
            (failure.code, failure.retryable),
            (code, retryable),
            "{name}"
        );
        assert_eq!(
            (failure.ambiguous, failure.billed),
            (false, Billed::No),
            "{name}"
        );
        assert!(failure.provider_message.is_some(), "{name}");
    }
}

#[test]
fn what_the_server_asks_to_wait_is_kept_in_seconds_or_as_a_date() {
    let wait = |flavour| {
        let failure = submitted(recorded(flavour, "rate_limited")).unwrap_err();
        failure.retry_after
    };
    assert_eq!(wait(Flavour::LiteLlm), Some(Duration::from_secs(3)));
    assert_eq!(wait(Flavour::OpenAi), Some(Duration::from_secs(20)));
}

#[test]
fn what_is_kept_of_a_servers_words_has_neither_key_nor_prompt() {
    let bad_key = submitted(recorded(Flavour::OpenAi, "bad_key")).unwrap_err();
    assert_eq!(
        bad_key.provider_message.as_deref(),
        Some("Incorrect API key provided: ….")
    );
    let invalid = submitted(recorded(Flavour::VllmOmni, "invalid")).unwrap_err();
    assert_eq!(
        invalid.message,
        "the provider refused the request: seconds: String should match pattern '^[1-9]\\d*$'; body.prompt: Field required"
    );
    let echoed = submitted(plain(418, "no a fox in the snow here")).unwrap_err();
    assert_eq!(echoed.provider_message.as_deref(), Some("no … here"));
}

#[test]
fn an_answer_that_names_no_job_leaves_a_create_open() {
    for answer in [
        plain(200, ""),
        plain(200, "{"),
        plain(200, "[]"),
        plain(200, "<html>"),
        plain(201, "{\"object\":\"video\"}"),
        plain(502, "<html>Bad Gateway</html>"),
        plain(504, ""),
        plain(524, ""),
        of_json(200, json!({"id": 7})),
        recorded(Flavour::LiteLlm, "upstream_lost"),
        recorded(Flavour::LiteLlm, "upstream_slow"),
    ] {
        let failure = submitted(answer).unwrap_err();
        assert_eq!((failure.ambiguous, failure.billed), (true, Billed::Unknown));
    }
}

#[test]
fn a_whole_answer_of_a_server_in_trouble_is_a_refusal_and_so_is_an_error_under_a_success() {
    for status in [500, 501, 503, 507] {
        let failure = submitted(plain(status, "Internal Server Error")).unwrap_err();
        assert_eq!((failure.retryable, failure.ambiguous), (true, false));
        assert_eq!(failure.code, FailureCode::ProviderError);
    }
    let inside = of_json(200, json!({"error": {"code": 429, "message": "slow down"}}));
    let failure = submitted(inside).unwrap_err();
    assert_eq!(
        (failure.code, failure.ambiguous),
        (FailureCode::RateLimited, false)
    );
    let moved = submitted(plain(307, "")).unwrap_err();
    assert!(moved.message.contains("redirect") && !moved.ambiguous);
}

#[test]
fn a_running_job_tells_its_progress_where_that_means_something() {
    for (flavour, progress) in [
        (Flavour::OpenAi, Some(33)),
        (Flavour::VllmOmni, None),
        (Flavour::SgLang, Some(41)),
        (Flavour::LiteLlm, None),
    ] {
        assert_eq!(
            polled(flavour, "running"),
            Ok(Observation::Running { progress })
        );
    }
    for (said, shown) in [(json!(250.7), 100), (json!(-3), 0), (json!(12.9), 12)] {
        let answer =
            json!({"id": "v", "object": "video", "status": "in_progress", "progress": said});
        let seen = poll_of(&order(), Flavour::OpenAi, of_json(200, answer));
        let progress = Some(shown);
        assert_eq!(seen, Ok(Observation::Running { progress }));
    }
}

fn delivery(order: &Order, flavour: Flavour, name: &str) -> Delivery {
    match poll_of(order, flavour, recorded(flavour, name)) {
        Ok(Observation::Succeeded(delivery)) => delivery,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_output_is_fetched_from_the_server_with_the_credential() {
    for flavour in Flavour::ALL {
        let delivery = delivery(&order(), flavour, "completed");
        let [
            Source::Url {
                url,
                send_credential: true,
            },
        ] = &delivery.outputs[..]
        else {
            panic!("{delivery:?}")
        };
        let id = path::step(&native(flavour));
        assert_eq!(*url, format!("http://10.0.0.5:8000/v1/videos/{id}/content"));
        assert!(delivery.missing.is_empty());
        let usage = if flavour == Flavour::LiteLlm {
            Some(4_000)
        } else {
            None
        };
        assert_eq!(delivery.usage.output_ms, usage);
    }
}

fn address(source: &Source) -> &str {
    match source {
        Source::Url { url, .. } => url,
        Source::Body { .. } => panic!("this server names addresses"),
    }
}

#[test]
fn several_outputs_are_told_apart_by_their_number_and_absent_ones_are_missing() {
    let three = order_of(|request| request.sample_count = 3);
    let delivery = delivery(&three, Flavour::SgLang, "completed");
    let ends: Vec<&str> = delivery
        .outputs
        .iter()
        .map(|source| address(source).rsplit('/').next().unwrap())
        .collect();
    assert_eq!(ends, ["content?variant=0", "content?variant=1"]);
    assert_eq!(delivery.missing.len(), 1);
    assert!(delivery.missing[0].message.contains("made 2 of 3"));
}

#[test]
fn an_output_in_a_bucket_is_fetched_from_there_without_the_credential() {
    let delivery = delivery(&order(), Flavour::SgLang, "completed_in_a_bucket");
    let bucket = Source::Url {
        url: "https://bucket.example/0b6c9f0e.mp4?sig=1".into(),
        send_credential: false,
    };
    assert_eq!(delivery.outputs, [bucket]);
}

#[test]
fn an_address_of_a_server_that_keeps_its_outputs_itself_is_not_followed() {
    let completed = json!({"id": "v", "object": "video", "status": "completed", "url": "https://elsewhere.example/v.mp4"});
    let seen = poll_of(&order(), Flavour::OpenAi, of_json(200, completed));
    let Ok(Observation::Succeeded(delivery)) = seen else {
        panic!("{seen:?}")
    };
    let url = address(&delivery.outputs[0]);
    assert!(url.starts_with("http://10.0.0.5:8000/"), "{url}");
}

#[test]
fn a_failed_job_is_read_under_whatever_status_it_comes_and_is_not_billed() {
    use FailureCode::*;
    for (flavour, name, code, status) in [
        (Flavour::OpenAi, "moderated", ContentModerated, 200),
        (Flavour::VllmOmni, "failed", ProviderError, 500),
        (Flavour::VllmOmni, "failed_by_request", InvalidRequest, 400),
        (Flavour::SgLang, "failed", ProviderError, 200),
    ] {
        let Ok(Observation::Failed(failure, _)) = polled(flavour, name) else {
            panic!("{name} is no failure")
        };
        assert_eq!((failure.code, failure.billed), (code, Billed::No), "{name}");
        assert_eq!(failure.provider_status, Some(status), "{name}");
        assert_eq!(failure.retryable, code.may_pass());
        assert!(!failure.provider_message.unwrap().contains("fox"), "{name}");
    }
}

#[test]
fn a_job_nobody_knows_is_unknown() {
    for flavour in [Flavour::OpenAi, Flavour::VllmOmni, Flavour::SgLang] {
        assert_eq!(polled(flavour, "not_found"), Ok(Observation::Unknown));
    }
    let html = poll_of(&order(), Flavour::OpenAi, plain(404, "<html>"));
    assert_eq!(html, Ok(Observation::Unknown));
}

#[test]
fn an_answer_that_tells_nothing_is_worth_another_poll() {
    let video = |status: &str| json!({"id": "v", "object": "video", "status": status});
    for answer in [
        plain(200, ""),
        plain(200, "{\"id\":"),
        plain(200, "[\"completed\"]"),
        plain(502, "<html>"),
        plain(500, "Internal Server Error"),
        of_json(200, video("dreaming")),
        of_json(200, video("")),
        of_json(200, json!({"error": {"message": "try later"}})),
        of_json(
            200,
            json!({"object": "list", "data": [], "status": "completed", "id": "v"}),
        ),
        recorded(Flavour::OpenAi, "bad_key"),
        recorded(Flavour::OpenAi, "rate_limited"),
    ] {
        let failure = poll_of(&order(), Flavour::OpenAi, answer).unwrap_err();
        assert!(!failure.ambiguous);
    }
    let dreaming = poll_of(&order(), Flavour::OpenAi, of_json(200, video("dreaming")));
    assert!(dreaming.unwrap_err().message.contains("\"dreaming\""));
}

#[test]
fn a_job_that_ended_over_there_is_billed_where_a_vendor_may_stand_behind() {
    for (flavour, billed) in [
        (Flavour::OpenAi, Billed::Unknown),
        (Flavour::VllmOmni, Billed::No),
    ] {
        let answer =
            |status: &str| of_json(200, json!({"id": "v", "object": "video", "status": status}));
        let usage = Usage::default();
        assert_eq!(
            poll_of(&order(), flavour, answer("cancelled")),
            Ok(Observation::Cancelled(billed, usage))
        );
        assert_eq!(
            poll_of(&order(), flavour, answer("expired")),
            Ok(Observation::Expired(billed, usage))
        );
    }
}

fn stopped(billed: Billed) -> Result<CancelOutcome, Failure> {
    Ok(CancelOutcome::Cancelled(billed, Usage::default()))
}

#[test]
fn a_cancel_looks_first_and_then_deletes() {
    for (flavour, billed) in [
        (Flavour::VllmOmni, Billed::No),
        (Flavour::SgLang, Billed::No),
        (Flavour::OpenAi, Billed::Unknown),
    ] {
        let answers = ["running", "deleted"].map(|name| recorded(flavour, name));
        assert_eq!(
            cancelled(flavour, answers),
            (stopped(billed), 2),
            "{flavour:?}"
        );
    }
    let native = native(Flavour::VllmOmni);
    let talk = told_apart().cancel(&order(), &native, &token());
    let answers = ["running", "deleted"].map(|name| recorded(Flavour::VllmOmni, name));
    let (_, sent) = play(talk, answers);
    let address = format!("http://10.0.0.5:8000/v1/videos/{}", native.0);
    assert_eq!(
        sent,
        [format!("GET {address}"), format!("DELETE {address}")]
    );
}

#[test]
fn a_job_that_has_ended_is_not_deleted() {
    for (flavour, name) in [
        (Flavour::VllmOmni, "completed"),
        (Flavour::SgLang, "completed"),
        (Flavour::VllmOmni, "failed"),
        (Flavour::OpenAi, "not_found"),
    ] {
        let outcome = cancelled(flavour, [recorded(flavour, name)]);
        assert_eq!(outcome, (Ok(CancelOutcome::TooLate), 1), "{name}");
    }
    // It kept the job in memory and has forgotten it: nothing will come of it, and nobody sends a bill.
    let lost = cancelled(
        Flavour::VllmOmni,
        [recorded(Flavour::VllmOmni, "not_found")],
    );
    assert_eq!(lost, (stopped(Billed::No), 1));
}

#[test]
fn a_cancel_that_takes_its_time_is_asked_for_again_and_then_put_off() {
    let answer = |name| recorded(Flavour::VllmOmni, name);
    let settled = ["running", "settling", "settling", "deleted"].map(answer);
    assert_eq!(
        cancelled(Flavour::VllmOmni, settled),
        (stopped(Billed::No), 4)
    );
    let never = ["running", "settling", "settling", "settling"].map(answer);
    let (outcome, sent) = cancelled(Flavour::VllmOmni, never);
    assert!(outcome.unwrap_err().retryable);
    assert_eq!(sent, 4);
}

#[test]
fn a_delete_that_was_answered_before_is_done() {
    let answers = ["running", "not_found"].map(|name| recorded(Flavour::VllmOmni, name));
    assert_eq!(
        cancelled(Flavour::VllmOmni, answers),
        (stopped(Billed::No), 2)
    );
}

#[test]
fn a_server_without_the_route_cannot_cancel() {
    let proxy = cancelled(Flavour::LiteLlm, [recorded(Flavour::LiteLlm, "running")]);
    assert_eq!(proxy, (Ok(CancelOutcome::Unsupported), 1));
    for refusal in [recorded(Flavour::LiteLlm, "no_such_route"), plain(404, "")] {
        let answers = [recorded(Flavour::OpenAi, "running"), refusal];
        let outcome = cancelled(Flavour::OpenAi, answers);
        assert_eq!(outcome, (Ok(CancelOutcome::Unsupported), 2));
    }
    assert!(!said_to_be(Flavour::LiteLlm).protocol().can_cancel);
    assert!(told_apart().protocol().can_cancel);
}

#[test]
fn a_delete_that_says_it_did_not_is_too_late_and_one_that_says_nothing_is_put_off() {
    let after = |answer| {
        cancelled(
            Flavour::OpenAi,
            [recorded(Flavour::OpenAi, "running"), answer],
        )
        .0
    };
    assert_eq!(
        after(of_json(200, json!({"deleted": false}))),
        Ok(CancelOutcome::TooLate)
    );
    assert_eq!(
        after(recorded(Flavour::OpenAi, "completed")),
        Ok(CancelOutcome::TooLate)
    );
    assert_eq!(after(plain(204, "")), stopped(Billed::Unknown));
    for answer in [plain(200, ""), plain(200, "[]"), plain(500, "")] {
        assert!(after(answer).unwrap_err().retryable);
    }
}

#[test]
fn what_the_operator_says_the_server_is_counts_more_than_what_it_looks_like() {
    let adapter = said_to_be(Flavour::SgLang);
    let talk = adapter.cancel(&order(), &NativeId("v".into()), &token());
    let (outcome, _) = play(talk, [plain(404, "")]);
    assert_eq!(outcome, stopped(Billed::No));
}

#[test]
fn a_request_that_reaches_beyond_the_model_is_refused_before_money_moves() {
    let refused = |change: fn(&mut VideoRequest)| {
        let order = order_of(change);
        told_apart()
            .check(order.proposal())
            .map_err(|refusal| refusal.field)
    };
    assert_eq!(refused(|_| {}), Ok(()));
    assert_eq!(
        refused(|request| request.prompt = " ".into()),
        Err("prompt".into())
    );
    assert_eq!(
        refused(|request| {
            let params = &mut request.provider_params;
            params.insert("video_path".into(), json!("x"));
        }),
        Err("provider_params.video_path".into())
    );
}

#[test]
fn a_base_that_is_no_plain_address_is_refused() {
    let fault = |text: &str| check_base_url(&Url::parse(text).unwrap()).err();
    assert_eq!(fault("http://10.0.0.5:8000/v1"), None);
    assert_eq!(fault("https://[::1]/"), None);
    for (text, part) in [
        ("ftp://h/", "http or https"),
        ("mailto:a@h", "http or https"),
        ("http://u:p@h/", "api_key"),
        ("http://h/?q", "query"),
        ("http://h/#f", "fragment"),
    ] {
        assert!(fault(text).unwrap().contains(part), "{text}");
    }
}

/// The words of the dialect.
const WORDS: &[&str] = &[
    "id",
    "object",
    "video",
    "status",
    "completed",
    "failed",
    "deleted",
    "error",
    "detail",
    "message",
    "code",
    "progress",
    "num_outputs",
    "urls",
    "url",
    "usage",
    "duration_seconds",
    "video_gen_1",
    "loc",
    "msg",
    "://",
    "",
];

proptest! {
    #[test]
    fn whatever_is_answered_a_conversation_comes_to_its_end(
        answers in prop::collection::vec(odd_answer(WORDS), 5),
        id in ".{0,40}",
        flavour in prop::option::of(prop::sample::select(Flavour::ALL.to_vec())),
        samples in 0u32..5,
    ) {
        let adapter = OpenAiCompatible { flavour, ..told_apart() };
        let order = order_of(|request| request.sample_count = samples);
        let native = NativeId(id);
        if let Ok(submitted) = play(adapter.submit(&order, &token()), answers.clone()).0 {
            prop_assert!(!submitted.native.0.is_empty());
        }
        match play(adapter.poll(&order, &native, &token()), answers.clone()).0 {
            Ok(Observation::Succeeded(delivery)) => {
                let told = delivery.outputs.len() + delivery.missing.len();
                prop_assert_eq!(told, samples.max(1) as usize);
                for source in &delivery.outputs {
                    prop_assert!(address(source).starts_with("http"));
                }
            }
            Ok(_) => {}
            Err(failure) => prop_assert!(!failure.ambiguous),
        }
        for answer in &answers {
            let body = answer.body().clone();
            drop(adapter.read_callback(&Callback { headers: http::HeaderMap::new(), body }));
        }
        drop(play(adapter.cancel(&order, &native, &token()), answers));
    }

    #[test]
    fn whatever_a_server_says_no_secret_is_kept(body in ".{0,40}", status in 200u16..600) {
        let answer = of_json(status, json!({"error": {"message": format!("{body}sk-secret-key{body}"), "code": 7}}));
        let failure = submitted(answer).unwrap_err();
        let kept = format!("{failure:?}");
        prop_assert!(!kept.contains("sk-secret-key"));
    }
}

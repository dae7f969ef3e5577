//! The conversations, played with recorded answers.

use std::time::Duration;

use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{Delivery, Encoding, Secret, Source, Step, Usage};
use filmgate_core::request::{
    Input, InputRole, MediaKind, ModelId, Request as VideoRequest, Shape,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::odd::odd_answer;
use crate::recorded::{self, plain, text_of};

const TASK: &str = "17f20503-6c24-4c16-946b-35dbbce2af2f";

fn recorded(name: &str) -> Response<Bytes> {
    recorded::answer(include_str!("../../recorded/runway/answers.json"), name)
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
            ..Shape::default()
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

fn clip() -> Input {
    Input {
        kind: MediaKind::Video,
        mime_type: "video/mp4".into(),
        ..picture(InputRole::Source)
    }
}

fn sound() -> Input {
    Input {
        kind: MediaKind::Audio,
        mime_type: "audio/mpeg".into(),
        ..picture(InputRole::Reference)
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
                let own = message.uri().host() == Some("127.0.0.1");
                let proof = message.headers().get("authorization");
                assert_eq!(proof.is_some_and(|proof| proof == "Bearer key_secret"), own);
                assert_eq!(message.headers().contains_key("x-runway-version"), own);
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
    let text = text_of(message.body(), Encoding::Base64);
    (
        message.uri().path().to_owned(),
        serde_json::from_str(&text).unwrap(),
    )
}

/// What a model is sent for 8 seconds of 1280x720 with these inputs, without its name and prompt.
fn sent(native_model: &str, inputs: Vec<Input>) -> (String, Value) {
    let (path, mut body) = created(&order_of(native_model, 8, |request| {
        request.inputs = inputs;
    }));
    let fields = body.as_object_mut().unwrap();
    assert_eq!(fields.remove("model").unwrap(), native_model);
    assert_eq!(fields.remove("promptText").unwrap(), "a fox in the snow");
    (path, body)
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
fn each_model_is_told_size_sound_and_files_in_its_own_words() {
    let first = || vec![picture(InputRole::FirstFrame)];
    let reference = || picture(InputRole::Reference);
    let video = |at: usize| format!("data:video/mp4;base64,<{at}>");
    let image = |at: usize| format!("data:image/png;base64,<{at}>");
    let frame = json!([{"uri": image(0), "position": "first"}]);
    let pixels = json!({"duration": 8, "ratio": "1280:720"});
    let with = |body: &Value, more: Value| {
        let mut body = body.clone();
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    };
    for (model, inputs, path, expected) in [
        ("gemini_omni_flash", vec![], "text", pixels.clone()),
        (
            "klingO3_pro",
            vec![],
            "text",
            with(&pixels, json!({"audio": false})),
        ),
        (
            "hailuo3",
            vec![reference(), sound()],
            "text",
            json!({
                "duration": 8, "ratio": "16:9", "resolution": "720p",
                "references": [{"uri": image(0)}],
                "referenceAudio": [{"type": "audio", "uri": "data:audio/mpeg;base64,<1>"}],
            }),
        ),
        (
            "grok_imagine_1_5",
            first(),
            "image",
            json!({"duration": 8, "resolution": "720p", "promptImage": frame}),
        ),
        (
            "kling_4",
            first(),
            "image",
            json!({"duration": 8, "ratio": "auto_720p", "promptImage": frame}),
        ),
        (
            "kling2.5_turbo_pro",
            first(),
            "image",
            json!({"duration": 8, "promptImage": frame}),
        ),
        (
            "aleph2",
            vec![clip()],
            "video",
            json!({"videoUri": video(0)}),
        ),
        (
            "klingO3_4k",
            vec![clip(), reference()],
            "video",
            json!({"promptVideo": video(0), "references": [{"uri": image(1)}]}),
        ),
        (
            "gemini_omni_flash_1.1",
            vec![clip()],
            "video",
            with(&pixels, json!({"videoUri": video(0)})),
        ),
        (
            "seedance2_5",
            vec![
                clip(),
                Input {
                    role: InputRole::Reference,
                    ..clip()
                },
            ],
            "video",
            with(
                &pixels,
                json!({
                    "audio": false, "promptVideo": video(0),
                    "referenceVideos": [{"type": "video", "uri": video(1)}],
                }),
            ),
        ),
        (
            "a_model_of_tomorrow",
            first(),
            "image",
            with(&pixels, json!({"audio": false, "promptImage": frame})),
        ),
    ] {
        let expected = (format!("/v1/{path}_to_video"), expected);
        assert_eq!(sent(model, inputs), expected, "{model}");
    }
}

#[test]
fn a_resolution_is_said_by_the_name_it_has_there() {
    for (asked, name) in [("1440p", "2k"), ("768p", "768p")] {
        let order = order_of("hailuo3", 8, |request| {
            request.resolution = Some(asked.into());
        });
        assert_eq!(created(&order).1["resolution"], name);
    }
}

#[test]
fn a_performance_is_a_character_and_a_clip_and_has_no_prompt() {
    let performance = order_of("act_two", 5, |request| {
        request.prompt = "not told".into();
        request.seed = Some(7);
        for (name, value) in [
            ("bodyControl", json!(true)),
            ("expressionIntensity", json!(4)),
        ] {
            request.provider_params.insert(name.into(), value);
        }
        request.inputs = vec![clip(), picture(InputRole::Reference)];
    });
    let expected = as_the_sdk_sends("character_performance");
    let created_of = ("/v1/character_performance".into(), expected);
    assert_eq!(created(&performance), created_of);
    let animated = order_of("act_two", 5, |request| {
        request.prompt = String::new();
        request.inputs = vec![
            Input {
                role: InputRole::Reference,
                ..clip()
            },
            clip(),
        ];
    });
    let (_, body) = created(&animated);
    let video =
        |at: usize| json!({"type": "video", "uri": format!("data:video/mp4;base64,<{at}>")});
    assert_eq!(
        (&body["character"], &body["reference"]),
        (&video(0), &video(1))
    );
    for (name, value) in [
        ("bodyControl", json!("yes")),
        ("expressionIntensity", json!(6)),
        ("expressionIntensity", json!(1.5)),
    ] {
        let order = order_of("act_two", 5, |request| {
            request.provider_params.insert(name.into(), value);
            request.inputs = vec![clip(), picture(InputRole::Reference)];
        });
        let refusal = adapter().check(order.proposal()).unwrap_err();
        assert_eq!(refusal.field, format!("provider_params.{name}"));
    }
}

#[test]
fn what_a_model_does_not_make_is_not_bought() {
    let last = || {
        vec![
            picture(InputRole::FirstFrame),
            picture(InputRole::LastFrame),
        ]
    };
    let references = || vec![picture(InputRole::Reference); 2];
    for (model, inputs) in [
        ("gen4_turbo", vec![]),
        ("gen4.5", last()),
        ("gen4.5", vec![clip()]),
        ("aleph2", vec![picture(InputRole::FirstFrame)]),
        ("veo3.1", vec![picture(InputRole::Reference)]),
        ("veo3.1", vec![picture(InputRole::LastFrame)]),
        ("seedance2", vec![clip(), picture(InputRole::FirstFrame)]),
        ("seedance2", vec![clip(), clip()]),
        ("seedance2", vec![picture(InputRole::Mask)]),
        ("kling3.0_pro", vec![sound()]),
        ("act_two", vec![]),
        ("act_two", vec![clip()]),
        ("act_two", vec![clip(), sound()]),
        ("act_two", vec![picture(InputRole::Reference)]),
        ("act_two", [vec![clip()], references()].concat()),
    ] {
        let order = order_of(model, 8, |request| request.inputs = inputs);
        let refusal = adapter().check(order.proposal()).expect_err(model);
        assert!(refusal.field.starts_with("input_references"), "{model}");
        let (refused, sent) = play(adapter().submit(&order, &token()), []);
        assert_eq!(refused.unwrap_err().code, FailureCode::InvalidRequest);
        assert!(sent.is_empty());
    }
}

fn order_with_large_files() -> Order {
    order_of("seedance2", 8, |request| {
        request.inputs = vec![
            Input {
                bytes: 12_000_001,
                ..clip()
            },
            picture(InputRole::Reference),
            Input {
                bytes: 3_750_001,
                ..picture(InputRole::Reference)
            },
        ];
    })
}

#[test]
fn what_is_too_large_for_a_message_is_uploaded_first_and_without_the_key() {
    let place = |name: &str| {
        let body = json!({
            "uploadUrl": "https://store.example/bucket", "fields": {"key": name, "policy": "p"},
            "runwayUri": format!("runway://{name}"),
        });
        Response::new(Bytes::from(body.to_string()))
    };
    let mut talk = adapter().submit(&order_with_large_files(), &token());
    let mut next = |answer| match talk.next(answer) {
        Step::Send { message, repeat } => (message, repeat),
        other => panic!("{other:?}"),
    };
    for (at, (name, input)) in [("a", 0), ("b", 2)].into_iter().enumerate() {
        let before = (at > 0).then(|| plain(204, ""));
        let (message, repeat) = next(before);
        assert_eq!(
            (message.uri().path(), repeat),
            ("/v1/uploads", Repeat::Safe)
        );
        let asked = text_of(message.body(), Encoding::Raw);
        let asked: Value = serde_json::from_str(&asked).unwrap();
        assert_eq!(asked["type"], "ephemeral");
        let (message, repeat) = next(Some(place(name)));
        assert_eq!(repeat, Repeat::Safe);
        assert_eq!(message.uri(), "https://store.example/bucket");
        let names: Vec<_> = message.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["content-type"]);
        let form = text_of(message.body(), Encoding::Raw);
        let places = [
            "name=\"key\"",
            "name=\"policy\"",
            "name=\"file\"",
            &format!("<{input}>"),
        ]
        .map(|part| form.find(part).expect("it is in the form"));
        assert!(places.is_sorted(), "{form}");
    }
    let (message, repeat) = next(Some(plain(204, "")));
    assert_eq!(repeat, Repeat::MayBuyTwice);
    let body: Value = serde_json::from_str(&text_of(message.body(), Encoding::Base64)).unwrap();
    assert_eq!(body["promptVideo"], "runway://a");
    assert_eq!(
        body["references"],
        json!([{"uri": "data:image/png;base64,<1>"}, {"uri": "runway://b"}])
    );
}

#[test]
fn an_upload_that_fails_bought_nothing() {
    let good =
        r#"{"uploadUrl": "https://store.example/b", "fields": {}, "runwayUri": "runway://a"}"#;
    for answers in [
        vec![plain(500, "")],
        vec![plain(200, "{}")],
        vec![plain(
            200,
            r#"{"uploadUrl": "file:///etc/passwd", "fields": {}, "runwayUri": "runway://a"}"#,
        )],
        vec![plain(
            200,
            r#"{"uploadUrl": "https://s.example/", "fields": {}, "runwayUri": "https://a"}"#,
        )],
        vec![plain(200, good), plain(403, "<Error/>")],
    ] {
        let (result, _) = play(
            adapter().submit(&order_with_large_files(), &token()),
            answers,
        );
        let failure = result.unwrap_err();
        assert!(
            !failure.ambiguous && failure.billed == Billed::No,
            "{failure:?}"
        );
    }
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
        let order = order_of("seedance2", 8, change);
        let checked = adapter().check(order.proposal());
        checked.map_err(|refusal| refusal.field)
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
            bytes: 200_000_001,
            ..picture(InputRole::FirstFrame)
        }];
    };
    assert_eq!(refused(large), Err("input_references[0]".into()));
    let frame_of_film = |request: &mut VideoRequest| {
        request.inputs = vec![Input {
            role: InputRole::FirstFrame,
            ..clip()
        }];
    };
    assert_eq!(
        refused(frame_of_film),
        Err("input_references[0].role".into())
    );
    let mode = |request: &mut VideoRequest| {
        let name = "mode".to_owned();
        request.provider_params.insert(name, json!("invent"));
    };
    assert_eq!(refused(mode), Err("provider_params.mode".into()));
    let unknown = |request: &mut VideoRequest| {
        let name = "cfgScale".to_owned();
        request.provider_params.insert(name, json!(0.5));
    };
    assert_eq!(refused(unknown), Err("provider_params.cfgScale".into()));
    for (level, taken) in [("low", true), ("auto", true), ("none", false)] {
        let order = order_of("gen4.5", 5, |request| {
            let name = "contentModeration".to_owned();
            request.provider_params.insert(name, moderation(level));
        });
        let checked = adapter().check(order.proposal());
        assert_eq!(checked.is_ok(), taken, "{level}");
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
    "uploadUrl",
    "fields",
    "runwayUri",
    "runway://x",
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
        drop(play(adapter().cancel(&order, &native, &token()), answers.clone()));
        let answers = answers.iter().cycle().cloned();
        drop(play(adapter().submit(&order_with_large_files(), &token()), answers));
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

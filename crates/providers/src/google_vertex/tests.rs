//! The conversations, played with recorded answers.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use filmgate_core::failure::Billed;
use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{Delivery, Encoding, Secret, Source, Step, Usage};
use filmgate_core::request::{
    Input, InputRole, MediaKind, ModelId, Request as VideoRequest, Shape,
};
use proptest::prelude::*;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};

use super::*;
use crate::odd::odd_answer;
use crate::recorded::{self, plain, text_of};

const OPERATION: &str = "projects/proj-1/locations/us-central1/publishers/google/models/veo-3.1-generate-001/operations/op-1";
const MODEL: &str =
    "/v1/projects/proj-1/locations/us-central1/publishers/google/models/veo-3.1-generate-001";
const KEY: &[u8] = include_bytes!("../../recorded/google_vertex/key.der");

fn recorded(name: &str) -> Response<Bytes> {
    recorded::answer(
        include_str!("../../recorded/google_vertex/answers.json"),
        name,
    )
}

fn site() -> Site {
    Site {
        project: "proj-1".into(),
        location: "us-central1".into(),
        base_url: None,
        storage_uri: None,
    }
}

fn adapter() -> GoogleVertex {
    GoogleVertex::new(ProviderName("google-vertex".into()), site())
}

fn token() -> Token {
    Token {
        secret: Secret::new("ya29.secret"),
        expires_in: None,
    }
}

fn key_file(change: impl FnOnce(&mut Value)) -> String {
    let key = STANDARD.encode(KEY);
    let mut file = json!({
        "type": "service_account",
        "project_id": "proj-1",
        "private_key_id": "k1",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
        "client_email": "films@proj-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    change(&mut file);
    file.to_string()
}

fn authorise(adapter: &GoogleVertex, file: String) -> Talk<Token> {
    let credential = Credential {
        secret: Secret::new(file),
    };
    adapter.authorise(&credential, UnixTime::from_seconds(1_800_000_000))
}

fn order_of(native_model: &str, seconds: u32, change: impl FnOnce(&mut VideoRequest)) -> Order {
    let mut request = VideoRequest::new(ModelId("m".into()), "a fox in the snow");
    change(&mut request);
    Order {
        native_model: native_model.into(),
        shape: Shape {
            seconds: Some(seconds),
            size: Some(request.size.unwrap_or(FrameSize::new(1280, 720))),
            audio: Some(request.generate_audio.unwrap_or(true)),
            ..Shape::default()
        },
        request: request.into(),
        attempt_key: "video_1-1".into(),
        callback_url: None,
    }
}

fn order() -> Order {
    order_of("veo-3.1-generate-001", 8, |request| {
        request.sample_count = 2
    })
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

fn play<T>(
    mut talk: Talk<T>,
    answers: impl IntoIterator<Item = Response<Bytes>>,
) -> (Result<T, Failure>, Vec<String>) {
    let mut answers = answers.into_iter();
    let (mut sent, mut heard) = (Vec::new(), None);
    loop {
        match talk.next(heard.take()) {
            Step::Send { message, .. } => {
                sent.push(format!("{} {}", message.method(), message.uri()));
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
    let native = NativeId(OPERATION.into());
    let (seen, sent) = play(adapter().poll(&order(), &native, &token()), [answer]);
    let host = "https://us-central1-aiplatform.googleapis.com";
    assert_eq!(sent, [format!("POST {host}{MODEL}:fetchPredictOperation")]);
    seen
}

fn delivered(name: &str) -> Delivery {
    match poll(recorded(name)) {
        Ok(Observation::Succeeded(delivery)) => delivery,
        other => panic!("{name}: {other:?}"),
    }
}

fn failed(name: &str) -> Failure {
    match poll(recorded(name)) {
        Ok(Observation::Failed(failure, _)) => failure,
        other => panic!("{name}: {other:?}"),
    }
}

/// The body of a create, with inputs by number.
fn created(adapter: &GoogleVertex, order: &Order) -> Value {
    let Step::Send { message, repeat } = adapter.submit(order, &token()).next(None) else {
        panic!("a create is one message")
    };
    assert_eq!(repeat, Repeat::MayBuyTwice);
    assert_eq!(message.headers()["authorization"], "Bearer ya29.secret");
    let path = message.uri().path();
    assert_eq!(path, format!("{MODEL}:predictLongRunning"));
    serde_json::from_str(&text_of(message.body(), Encoding::Base64)).unwrap()
}

fn as_the_sdk_sends(name: &str) -> Value {
    let text = include_str!("../../recorded/google_vertex/requests.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[name].clone()
}

#[test]
fn a_sound_key_of_a_workspace_is_refused_because_the_configured_project_would_be_billed() {
    let credential = Credential {
        secret: Secret::new(key_file(|_| {})),
    };
    let refused = adapter().check_credential(&credential).unwrap_err();
    assert!(refused.contains("project"), "{refused}");
}

#[test]
fn a_key_signs_for_a_token_as_googles_library_does() {
    let mut talk = authorise(&adapter(), key_file(|_| {}));
    let Step::Send { message, repeat } = talk.next(None) else {
        panic!("a token is asked for")
    };
    assert_eq!(repeat, Repeat::Safe);
    assert_eq!(message.uri(), "https://oauth2.googleapis.com/token");
    assert!(!message.headers().contains_key("authorization"));
    let text = text_of(message.body(), Encoding::Base64);
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let assertion = &form["assertion"];
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(
        read(head),
        json!({"typ": "JWT", "alg": "RS256", "kid": "k1"})
    );
    assert_eq!(
        read(claims),
        json!({
            "iss": "films@proj-1.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_800_000_000,
            "exp": 1_800_003_600,
        })
    );
    let pair = RsaKeyPair::from_pkcs8(KEY).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(signed.as_bytes(), &signature)
        .unwrap();

    let Step::Done(token) = talk.next(Some(recorded("token"))) else {
        panic!("it is a token")
    };
    assert_eq!(token.secret, Secret::new("ya29.made-up"));
    assert_eq!(token.expires_in, Some(Duration::from_secs(3599)));
}

#[test]
fn a_key_that_cannot_be_used_fails_before_anything_is_sent() {
    for file in [
        "no json".to_owned(),
        key_file(|file| file["type"] = json!("authorized_user")),
        key_file(|file| file["client_email"] = json!("")),
        key_file(|file| file["private_key"] = json!("-----BEGIN PRIVATE KEY-----\nAAAA\n")),
        key_file(|file| file["token_uri"] = json!("https://tokens.example/token")),
        key_file(|file| file["token_uri"] = json!("http://oauth2.googleapis.com/token")),
        key_file(|file| file["token_uri"] = json!("https://oauth2.googleapis.com:8443/token")),
        key_file(|file| file["token_uri"] = json!("https://u:p@oauth2.googleapis.com/token")),
        key_file(|file| file["token_uri"] = json!("https://oauth2.googleapis.com.example/")),
    ] {
        let (result, sent) = play(authorise(&adapter(), file.clone()), []);
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.code, sent.len()),
            (FailureCode::ProviderAuth, 0),
            "{file}"
        );
        assert!(!failure.ambiguous);
    }
}

#[test]
fn whoever_stands_in_for_google_gives_the_tokens_and_keeps_the_outputs() {
    let stand_in = Site {
        base_url: Some(Url::parse("http://127.0.0.1:9/").unwrap()),
        ..site()
    };
    assert_eq!(stand_in.further(), []);
    let adapter = GoogleVertex::new(ProviderName("v".into()), stand_in);
    let own = key_file(|file| file["token_uri"] = json!("http://127.0.0.1:9/token"));
    let (result, sent) = play(authorise(&adapter, own), [recorded("token")]);
    assert!(result.is_ok());
    assert_eq!(sent, ["POST http://127.0.0.1:9/token"]);
    let (result, sent) = play(authorise(&adapter, key_file(|_| {})), []);
    assert_eq!((result.is_err(), sent.len()), (true, 0));
    let native = NativeId(OPERATION.into());
    let talk = adapter.poll(&order(), &native, &token());
    let Ok(Observation::Succeeded(delivery)) = play(talk, [recorded("in a bucket")]).0 else {
        panic!("it succeeded")
    };
    let Source::Url { url, .. } = &delivery.outputs[0] else {
        panic!("it is in a bucket")
    };
    assert!(
        url.starts_with("http://127.0.0.1:9/storage/v1/b/films/o/"),
        "{url}"
    );

    let googles = Site {
        base_url: Some(Url::parse("https://europe-west4-aiplatform.googleapis.com").unwrap()),
        ..site()
    };
    assert_eq!(googles.further(), site().further());
    assert!(googles.further().iter().all(|url| url.scheme() == "https"));
    let global = Site {
        location: "global".into(),
        ..site()
    };
    assert_eq!(global.base().as_str(), "https://aiplatform.googleapis.com/");
}

#[test]
fn what_makes_no_site_is_told_under_its_key() {
    let wrong = Site {
        project: "../x".into(),
        location: "us central1".into(),
        base_url: None,
        storage_uri: Some("s3://films/".into()),
    };
    let keys: Vec<_> = wrong.faults().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["project", "location", "storage_uri"]);
    assert_eq!(site().faults(), []);
}

#[test]
fn a_token_endpoint_that_refuses_is_told_from_one_in_trouble() {
    let ask = |answer| {
        let (result, _) = play(authorise(&adapter(), key_file(|_| {})), [answer]);
        result.unwrap_err()
    };
    let failure = ask(recorded("deleted key"));
    assert_eq!(failure.code, FailureCode::ProviderAuth);
    assert!(failure.message.contains("invalid_grant"), "{failure:?}");
    assert_eq!(
        failure.provider_message.as_deref(),
        Some("Invalid JWT Signature.")
    );
    for (status, body, code) in [
        (429, "", FailureCode::RateLimited),
        (
            503,
            "{\"error\": \"internal_failure\"}",
            FailureCode::ProviderError,
        ),
        (200, "{\"id_token\": \"x\"}", FailureCode::ProviderError),
        (
            200,
            "{\"access_token\": \"a\\nb\"}",
            FailureCode::ProviderError,
        ),
        (403, "<html>", FailureCode::ProviderAuth),
    ] {
        let failure = ask(plain(status, body));
        assert_eq!((failure.code, failure.ambiguous), (code, false), "{body}");
    }
}

#[test]
fn an_order_is_what_the_sdk_sends_for_it() {
    let text = order_of("veo-3.1-generate-001", 8, |request| {
        request.prompt = "sand dunes".into();
        request.sample_count = 2;
        request.seed = Some(7);
        request.size = Some(FrameSize::new(1920, 1080));
        request.person_generation = Some("allow_adult".into());
        request.negative_prompt = Some("blur".into());
        request.enhance_prompt = Some(true);
        request.compression_quality = Some(80);
    });
    let bucket = Site {
        storage_uri: Some("gs://films/p/".into()),
        ..site()
    };
    let with_bucket = GoogleVertex::new(ProviderName("v".into()), bucket);
    assert_eq!(created(&with_bucket, &text), as_the_sdk_sends("text"));
    let frames = order_of("veo-3.1-generate-001", 6, |request| {
        request.prompt = "morph".into();
        request.size = Some(FrameSize::new(720, 1280));
        request.generate_audio = Some(false);
        request.resize_mode = Some("pad".into());
        request.inputs = vec![
            picture(InputRole::FirstFrame),
            picture(InputRole::LastFrame),
        ];
    });
    let expected = as_the_sdk_sends("first and last frame");
    assert_eq!(created(&adapter(), &frames), expected);
    let references = order_of("veo-3.1-generate-001", 8, |request| {
        request.prompt = "they meet".into();
        let asset = Some("ASSET".to_owned());
        request.inputs = vec![
            picture(InputRole::Reference),
            Input {
                reference_type: asset,
                ..picture(InputRole::Reference)
            },
        ];
    });
    assert_eq!(
        created(&adapter(), &references),
        as_the_sdk_sends("references")
    );
    let extension = order_of("veo-3.1-generate-001", 7, |request| {
        request.prompt = "and on".into();
        request.inputs = vec![clip()];
    });
    assert_eq!(
        created(&adapter(), &extension),
        as_the_sdk_sends("extension")
    );
}

#[test]
fn veo_2_is_told_nothing_of_sound_and_takes_styles() {
    let styled = |model: &str| {
        order_of(model, 8, |request| {
            request.inputs = vec![Input {
                reference_type: Some("style".into()),
                ..picture(InputRole::Reference)
            }];
        })
    };
    let talk = adapter()
        .submit(&styled("veo-2.0-generate-001"), &token())
        .next(None);
    let Step::Send { message, .. } = talk else {
        panic!("a create is one message")
    };
    let body: Value = serde_json::from_str(&text_of(message.body(), Encoding::Base64)).unwrap();
    assert_eq!(body["parameters"].get("generateAudio"), None);
    assert_eq!(
        body["instances"][0]["referenceImages"][0]["referenceType"],
        "style"
    );
    let order = styled("veo-3.1-generate-001");
    let refusal = adapter().check(order.proposal()).unwrap_err();
    assert_eq!(refusal.field, "input_references[0].reference_type");
    let (refused, sent) = play(adapter().submit(&order, &token()), []);
    assert_eq!(refused.unwrap_err().code, FailureCode::InvalidRequest);
    assert!(sent.is_empty());
}

#[test]
fn what_only_this_api_refuses_is_refused_before_money_moves() {
    let refused = |change: &dyn Fn(&mut VideoRequest)| {
        let order = order_of("veo-3.1-generate-001", 8, change);
        let checked = adapter().check(order.proposal());
        checked.err().map(|refusal| refusal.field)
    };
    let inputs = |inputs: Vec<Input>| refused(&move |request| request.inputs = inputs.clone());
    let (first, last) = (InputRole::FirstFrame, InputRole::LastFrame);
    let reference = || picture(InputRole::Reference);
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(inputs(vec![picture(first), picture(last)]), None);
    assert_eq!(inputs(vec![reference(), reference(), reference()]), None);
    assert_eq!(inputs(vec![clip()]), None);

    let all = Some("input_references".to_owned());
    assert_eq!(inputs(vec![picture(last)]), all);
    assert_eq!(inputs(vec![picture(first), picture(first)]), all);
    assert_eq!(inputs(vec![picture(first), reference()]), all);
    assert_eq!(inputs(vec![clip(), picture(first)]), all);
    assert_eq!(inputs((0..4).map(|_| reference()).collect()), all);
    let large = |bytes| Input {
        bytes,
        ..reference()
    };
    assert_eq!(inputs(vec![large(7_500_000), large(7_500_000)]), None);
    assert_eq!(inputs(vec![large(7_500_000), large(7_500_001)]), all);
    assert_eq!(inputs(vec![large(u64::MAX), large(u64::MAX)]), all);
    let mut webp = reference();
    webp.mime_type = "image/webp".into();
    assert_eq!(inputs(vec![webp]).as_deref(), Some("input_references[0]"));
    let role = Some("input_references[0].role");
    assert_eq!(inputs(vec![picture(InputRole::Mask)]).as_deref(), role);
    assert_eq!(inputs(vec![picture(InputRole::Source)]).as_deref(), role);
    let mut typed = picture(first);
    typed.reference_type = Some("asset".into());
    assert_eq!(
        inputs(vec![typed]).as_deref(),
        Some("input_references[0].reference_type")
    );

    let text = |text: &str| Some(text.to_owned());
    let field = |change: &dyn Fn(&mut VideoRequest)| refused(change).unwrap_or_default();
    assert_eq!(field(&|request| request.prompt = " ".into()), "prompt");
    assert_eq!(field(&|request| request.seed = Some(-1)), "seed");
    assert_eq!(field(&|request| request.seed = Some(1 << 32)), "seed");
    assert_eq!(field(&|request| request.sample_count = 5), "sample_count");
    let persons = |request: &mut VideoRequest| request.person_generation = text("everybody");
    assert_eq!(field(&persons), "person_generation");
    let alone = |request: &mut VideoRequest| request.resize_mode = text("pad");
    assert_eq!(field(&alone), "resize_mode");
    let stretched = |request: &mut VideoRequest| {
        request.resize_mode = text("stretch");
        request.inputs = vec![picture(first)];
    };
    assert_eq!(field(&stretched), "resize_mode");
    for (name, value, taken) in [
        ("labels", json!({"team": "films", "empty": ""}), true),
        ("labels", json!({"Team": "films"}), false),
        ("labels", json!({"team": 1}), false),
        ("labels", json!(["team"]), false),
        ("storageUri", json!("gs://elsewhere/"), false),
        ("pubsubTopic", json!("projects/x/topics/y"), false),
    ] {
        let given = |request: &mut VideoRequest| {
            request.provider_params.insert(name.into(), value.clone());
        };
        assert_eq!(refused(&given).is_none(), taken, "{name} {value}");
    }
}

#[test]
fn a_size_that_has_no_name_is_not_bought() {
    let order = order_of("veo-3.1-generate-001", 8, |request| {
        request.size = Some(FrameSize::new(1280, 721));
    });
    let refusal = adapter().check(order.proposal()).unwrap_err();
    assert_eq!(refusal.field, "size");
    let (refused, sent) = play(adapter().submit(&order, &token()), []);
    assert_eq!(refused.unwrap_err().code, FailureCode::InvalidRequest);
    assert!(sent.is_empty());
}

#[test]
fn a_create_is_taken_refused_or_left_open() {
    let native = NativeId(OPERATION.into());
    assert_eq!(submit(recorded("begun")), Ok(Submitted { native }));
    for (name, code, retryable) in [
        ("bad field", FailureCode::InvalidRequest, false),
        ("refused prompt", FailureCode::ContentModerated, false),
        ("billing off", FailureCode::ProviderPermission, true),
        ("old token", FailureCode::ProviderAuth, true),
        ("no right", FailureCode::ProviderPermission, true),
        ("no model", FailureCode::ModelUnavailable, true),
        ("quota", FailureCode::RateLimited, true),
    ] {
        let failure = submit(recorded(name)).unwrap_err();
        let told = (failure.code, failure.retryable);
        assert_eq!(told, (code, retryable), "{name}");
        assert!(!failure.ambiguous && failure.billed == Billed::No, "{name}");
    }
    let failure = submit(recorded("bad field")).unwrap_err();
    assert!(failure.message.contains("4, 6 or 8"), "{}", failure.message);
    assert_eq!(failure.provider_code.as_deref(), Some("INVALID_ARGUMENT"));
    let failure = submit(recorded("refused prompt")).unwrap_err();
    assert!(
        failure.message.ends_with(": violence"),
        "{}",
        failure.message
    );
    let wait = submit(recorded("quota")).unwrap_err().retry_after;
    assert_eq!(wait, Some(Duration::from_millis(3500)));
    let under_200 = r#"{"error": {"code": 429, "message": "later"}}"#;
    let failure = submit(plain(200, under_200)).unwrap_err();
    let told = (failure.code, failure.ambiguous);
    assert_eq!(told, (FailureCode::RateLimited, false));
    let elsewhere =
        r#"{"name": "projects/p/locations/l/publishers/google/models/../operations/1"}"#;
    for (status, body) in [
        (200, ""),
        (200, "{\"name\": \"projects/p"),
        (200, "{\"name\": \"operations/1\"}"),
        (200, elsewhere),
        (200, "<html>"),
        (408, ""),
        (499, ""),
        (500, "{\"error\": {\"code\": 500}}"),
        (503, ""),
        (504, ""),
    ] {
        let failure = submit(plain(status, body)).unwrap_err();
        assert!(failure.ambiguous, "{status} {body}");
        assert_eq!(failure.billed, Billed::Unknown);
    }
    assert!(submit(recorded("unavailable")).unwrap_err().ambiguous);
}

#[test]
fn a_poll_tells_how_the_operation_stands() {
    let running = Ok(Observation::Running { progress: None });
    assert_eq!(poll(recorded("running")), running);
    let at = |pointer: &str| Source::Body {
        pointer: pointer.into(),
    };
    assert_eq!(
        delivered("inline").outputs,
        [
            at("/response/videos/0/bytesBase64Encoded"),
            at("/response/videos/1/bytesBase64Encoded")
        ]
    );
    let object = |name: &str| Source::Url {
        url: format!("https://storage.googleapis.com/storage/v1/b/films/o/{name}?alt=media"),
        send_credential: true,
    };
    let in_a_bucket = delivered("in a bucket");
    assert_eq!(in_a_bucket.outputs, [object("a%20b%2F1%2Fsample_0.mp4")]);
    let codes: Vec<_> = in_a_bucket
        .missing
        .iter()
        .map(|output| output.code)
        .collect();
    assert_eq!(codes, [FailureCode::OutputUnavailable], "two were ordered");
    assert_eq!(
        delivered("the older shape").outputs,
        [object("1%2Fsample_0.mp4"), object("1%2Fsample_1.mp4")]
    );
    assert_eq!(
        poll(recorded("cancelled")),
        Ok(Observation::Cancelled(Billed::Unknown, Usage::default()))
    );
    assert_eq!(poll(recorded("no model")), Ok(Observation::Unknown));
}

#[test]
fn what_the_filter_kept_back_is_told_as_that() {
    let delivery = delivered("one kept back");
    assert_eq!(delivery.outputs.len(), 1);
    let missing = &delivery.missing[0];
    assert_eq!(missing.code, FailureCode::ContentModerated);
    assert!(
        missing.message.ends_with("celebrities"),
        "{}",
        missing.message
    );
    let failure = failed("all kept back");
    let told = (failure.code, failure.retryable, failure.billed);
    assert_eq!(told, (FailureCode::ContentModerated, false, Billed::No));
    assert!(
        failure.message.ends_with(": children"),
        "{}",
        failure.message
    );
    assert_eq!(failure.provider_code.as_deref(), Some("58061214"));
    let said = failure.provider_message.unwrap();
    assert_eq!(said, "… may not be shown. Support codes: 58061214");
}

#[test]
fn an_operation_that_failed_is_classified_by_its_status() {
    for (name, code, retryable) in [
        (
            "a picture that is refused",
            FailureCode::ContentModerated,
            false,
        ),
        (
            "a field that is refused",
            FailureCode::InvalidRequest,
            false,
        ),
        ("broken", FailureCode::ProviderError, true),
    ] {
        let failure = failed(name);
        let told = (failure.code, failure.retryable, failure.billed);
        assert_eq!(told, (code, retryable, Billed::No), "{name}");
    }
    for (status, code) in [
        (4, FailureCode::ProviderTimeout),
        (7, FailureCode::ProviderPermission),
        (8, FailureCode::RateLimited),
        (14, FailureCode::ProviderError),
    ] {
        let body = json!({"name": OPERATION, "done": true, "error": {"code": status}});
        let answer = Response::new(Bytes::from(body.to_string()));
        let Ok(Observation::Failed(failure, _)) = poll(answer) else {
            panic!("it failed")
        };
        assert_eq!(failure.code, code);
    }
}

#[test]
fn a_poll_that_cannot_be_read_says_nothing_about_the_operation() {
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (200, "<html>"),
        (200, r#"{"name": "x", "done": "yes"}"#),
        (200, r#"{"name": "x", "done": true}"#),
        (200, r#"{"error": {"code": 500}}"#),
        (401, ""),
        (429, ""),
        (500, ""),
        (302, ""),
    ] {
        let failure = poll(plain(status, body)).unwrap_err();
        let passes = failure.retryable && !failure.ambiguous;
        assert!(passes, "{status} {body}: {failure:?}");
    }
}

#[test]
fn an_operation_that_ended_without_a_video_is_told_as_that() {
    let answer = plain(
        200,
        r#"{"name": "x", "done": true, "response": {"videos": [{"gcsUri": "s3://x/y"}]}}"#,
    );
    let Ok(Observation::Succeeded(delivery)) = poll(answer) else {
        panic!("it succeeded")
    };
    assert_eq!((delivery.outputs.len(), delivery.missing.len()), (0, 2));
}

#[test]
fn nothing_can_be_cancelled() {
    let native = NativeId(OPERATION.into());
    let (outcome, sent) = play(adapter().cancel(&order(), &native, &token()), []);
    assert_eq!((outcome, sent.len()), (Ok(CancelOutcome::Unsupported), 0));
    assert!(!adapter().protocol().can_cancel);
}

/// The words of the API.
const WORDS: &[&str] = &[
    "name",
    OPERATION,
    "done",
    "error",
    "code",
    "message",
    "status",
    "details",
    "INVALID_ARGUMENT",
    "@type",
    "google.rpc.RetryInfo",
    "retryDelay",
    "1e300s",
    "response",
    "videos",
    "generatedSamples",
    "video",
    "uri",
    "gcsUri",
    "gs://b/o",
    "https://x",
    "bytesBase64Encoded",
    "raiMediaFilteredCount",
    "raiMediaFilteredReasons",
    "58061214",
    "access_token",
    "expires_in",
    "error_description",
];

proptest! {
    #[test]
    fn whatever_is_answered_a_conversation_comes_to_its_end(
        answer in odd_answer(WORDS),
        id in ".{0,40}",
    ) {
        let (order, native) = (order(), NativeId(id));
        let once = || [answer.clone()];
        if let Ok(submitted) = play(adapter().submit(&order, &token()), once()).0 {
            prop_assert!(operation::model_of(&submitted.native.0).is_some());
        }
        match play(adapter().poll(&order, &native, &token()), once()).0 {
            Ok(Observation::Succeeded(delivery)) => {
                prop_assert_eq!(delivery.outputs.len() + delivery.missing.len(), 2);
            }
            Ok(_) => {}
            Err(failure) => prop_assert!(!failure.ambiguous),
        }
        drop(play(authorise(&adapter(), key_file(|_| {})), once()));
    }

    #[test]
    fn whatever_is_said_no_secret_and_no_prompt_is_kept(
        words in ".{0,40}",
        prompt in "[a-z]{8}[ -~é\n]{4,20}[a-z]",
        status in 200u16..600,
        as_text in any::<bool>(),
    ) {
        let order = order_of("veo-3.1-generate-001", 8, |request| request.prompt = prompt.clone());
        let said = format!("{words}ya29.secret{words}{prompt}{words}");
        let body = if as_text {
            json!([said]).to_string()
        } else {
            json!({"error": {"message": said, "status": said}}).to_string()
        };
        let answer = Response::builder().status(status).body(Bytes::from(body)).unwrap();
        let native = NativeId(OPERATION.into());
        let told = [
            play(adapter().submit(&order, &token()), [answer.clone()]).0.err(),
            play(adapter().poll(&order, &native, &token()), [answer]).0.err(),
        ];
        for failure in told.into_iter().flatten() {
            for text in [Some(failure.message), failure.provider_code, failure.provider_message] {
                let text = text.unwrap_or_default();
                prop_assert!(!text.contains("ya29.secret") && !text.contains(&prompt), "{}", text);
                prop_assert!(!text.contains(&prompt[..8]), "{}", text);
            }
        }
    }

    #[test]
    fn of_a_token_that_is_not_understood_nothing_is_kept(token in "[a-zA-Z0-9]{20}") {
        let body = json!({"token": token, "access_token": [token]}).to_string();
        let answer = Response::new(Bytes::from(body));
        let (result, _) = play(authorise(&adapter(), key_file(|_| {})), [answer]);
        let kept = format!("{:?}", result.unwrap_err());
        prop_assert!(!kept.contains(&token));
    }
}

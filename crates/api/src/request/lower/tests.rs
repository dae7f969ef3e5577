use filmgate_core::request::{InputRole, MediaKind};
use filmgate_engine::Given;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::request::json;

/// One transparent pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn lower(change: Value) -> Result<Lowered, ApiError> {
    let mut body = json!({"model": "testcard", "prompt": "a boat"});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    Create::read(body.as_object().unwrap().clone(), Vec::new())?.lower()
}

fn refused(change: Value) -> (String, String, String) {
    let body = lower(change.clone())
        .map(|_| ())
        .expect_err(&change.to_string())
        .body("r");
    let detail = &body.details[0];
    (
        body.error.clone(),
        detail.path.clone(),
        detail.message.clone(),
    )
}

#[test]
fn a_length_may_have_any_of_its_names_but_one_value() {
    for (body, seconds) in [
        (json!({"duration": 4}), 4),
        (json!({"seconds": "4"}), 4),
        (json!({"duration_seconds": 4.0}), 4),
        (
            json!({"duration": 4, "seconds": "4", "duration_seconds": 4}),
            4,
        ),
    ] {
        assert_eq!(lower(body).unwrap().ask.request.duration, Some(seconds));
    }
    let (_, path, message) = refused(json!({"duration": 4, "seconds": "5"}));
    assert_eq!(path, "duration");
    assert!(message.contains("duration 4 and seconds 5"), "{message}");
    assert_eq!(refused(json!({"duration": 121})).1, "duration");
    assert_eq!(refused(json!({"seconds": 0})).1, "seconds");
}

#[test]
fn every_form_of_a_reference_leads_to_the_same_input() {
    let url = format!("data:image/png;base64,{PNG}");
    for body in [
        json!({"input_reference": url}),
        json!({"input_reference": {"image_url": url}}),
        json!({"input_reference": {"image_url": {"url": url}}}),
        json!({"frame_images": [{"type": "image_url", "image_url": {"url": url}, "frame_type": "first_frame"}]}),
        json!({"input_references": [{"type": "image_url", "role": "first_frame", "image_url": {"url": url}}]}),
        json!({"input_references": [{"type": "image_url", "role": "first_frame", "media_url": {"url": url}}]}),
        json!({"input_references": [{"type": "image", "url": url}]}),
        json!({"input_references": [{"type": "image", "data": PNG}]}),
        json!({"input_references": [{"image_url": url}]}),
    ] {
        let lowered = lower(body.clone()).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        let input = &lowered.ask.request.inputs[0];
        assert_eq!(
            (input.kind, input.role, input.mime_type.as_str()),
            (MediaKind::Image, InputRole::FirstFrame, "image/png"),
            "{body}"
        );
        let Given::Bytes(bytes) = &lowered.ask.inputs[0] else {
            panic!("it came with the request")
        };
        assert_eq!(input.bytes, bytes.len() as u64);
    }
}

#[test]
fn roles_are_as_said_or_as_most_mean_them() {
    let image = |role: Option<&str>| json!({"type": "image", "data": PNG, "role": role});
    let roles = |references: Value| -> Vec<InputRole> {
        let lowered = lower(json!({ "input_references": references })).unwrap();
        let inputs = lowered.ask.request.inputs;
        inputs.iter().map(|input| input.role).collect()
    };
    use InputRole::{FirstFrame, LastFrame, Mask, Reference};
    assert_eq!(roles(json!([image(None)])), [FirstFrame]);
    assert_eq!(
        roles(json!([image(None), image(None)])),
        [Reference, Reference]
    );
    assert_eq!(
        roles(json!([image(Some("first_frame")), image(None)])),
        [FirstFrame, Reference]
    );
    assert_eq!(
        roles(json!([image(Some("last_frame")), {"type": "mask", "data": PNG}])),
        [LastFrame, Mask]
    );
}

#[test]
fn an_address_is_left_to_be_fetched() {
    let url = "https://files.example/a.png?sig=x";
    for (body, kind, role) in [
        (
            json!({"input_reference": url}),
            MediaKind::Image,
            InputRole::FirstFrame,
        ),
        (
            json!({"input_references": [{"type": "image_url", "image_url": url}]}),
            MediaKind::Image,
            InputRole::FirstFrame,
        ),
        (
            json!({"input_references": [{"type": "video", "url": url}]}),
            MediaKind::Video,
            InputRole::Source,
        ),
        (
            json!({"input_references": [{"audio_url": {"url": url}}]}),
            MediaKind::Audio,
            InputRole::Reference,
        ),
        (
            json!({"frame_images": [{"frame_type": "last_frame", "image_url": url}]}),
            MediaKind::Image,
            InputRole::LastFrame,
        ),
    ] {
        let lowered = lower(body.clone()).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        let input = &lowered.ask.request.inputs[0];
        assert_eq!((input.kind, input.role), (kind, role), "{body}");
        assert_eq!(input.elsewhere(), Some(url));
        assert!(matches!(lowered.ask.inputs[..], [Given::Elsewhere]));
    }
}

#[test]
fn references_that_cannot_be_taken_are_refused_by_name() {
    for (reference, error, path) in [
        (
            json!({"type": "image_url", "image_url": {"url": "https://"}}),
            "validation_error",
            "input_references[0].image_url",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": format!("https://a.example/{}", "x".repeat(8192))}}),
            "validation_error",
            "input_references[0].image_url",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "ftp://example.org/a.png"}}),
            "validation_error",
            "input_references[0].image_url",
        ),
        (
            json!({"url": "https://example.org/a.png"}),
            "validation_error",
            "input_references[0].type",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "file_01k9"}}),
            "not_supported",
            "input_references[0].image_url",
        ),
        (
            json!({"type": "image", "asset_id": "file_01k9"}),
            "not_supported",
            "input_references[0].asset_id",
        ),
        (
            json!({"type": "video", "data": PNG}),
            "validation_error",
            "input_references[0].data",
        ),
        (
            json!({"type": "image", "data": "aGk="}),
            "validation_error",
            "input_references[0].data",
        ),
        (
            json!({"type": "image"}),
            "validation_error",
            "input_references[0]",
        ),
        (
            json!({"type": "image", "data": PNG, "url": "data:,x"}),
            "validation_error",
            "input_references[0]",
        ),
        (
            json!({"type": "picture", "data": PNG}),
            "validation_error",
            "input_references[0].type",
        ),
        (
            json!({"type": "image", "data": PNG, "role": "hero"}),
            "validation_error",
            "input_references[0].role",
        ),
        (
            json!({"type": "video_url", "image_url": {"url": "data:,x"}}),
            "validation_error",
            "input_references[0].image_url",
        ),
    ] {
        let (is, at, _) = refused(json!({ "input_references": [reference] }));
        assert_eq!((is.as_str(), at.as_str()), (error, path), "{reference}");
    }
    let many: Vec<Value> = (0..17)
        .map(|_| json!({"type": "image", "data": PNG}))
        .collect();
    assert_eq!(
        refused(json!({ "input_references": many })).1,
        "input_references"
    );
}

#[test]
fn limits_are_kept_and_named() {
    for (body, path) in [
        (json!({"prompt": "x".repeat(32_001)}), "prompt"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"model": null}), "model"),
        (json!({"session_id": "x".repeat(129)}), "session_id"),
        (json!({"metadata": {"k": "x".repeat(513)}}), "metadata.k"),
        (json!({"metadata": {"x".repeat(65): "v"}}), "metadata"),
        (json!({"expires_after": 59}), "expires_after"),
        (json!({"expires_after": 86_401}), "expires_after"),
        (json!({"sample_count": 5}), "sample_count"),
        (json!({"compression_quality": 101}), "compression_quality"),
        (json!({"max_cost": "-1"}), "max_cost"),
        (json!({"output": {"access": "none"}}), "output.access"),
        (json!({"size": "big"}), "size"),
        (
            json!({"callback_url": "https://127.0.0.1/"}),
            "callback_url",
        ),
        (
            json!({"webhook": {"url": "http://example.org/"}}),
            "webhook.url",
        ),
        (json!({"webhook": {}}), "webhook.url"),
        (
            json!({"webhook": {"url": "https://a.example/"}, "callback_url": "https://b.example/"}),
            "webhook.url",
        ),
        (json!({"provider_params": {"n": 2}}), "provider_params.n"),
        (json!({"provider": {"sort": "age"}}), "provider.sort"),
    ] {
        let (error, at, _) = refused(body.clone());
        assert_eq!(
            (error.as_str(), at.as_str()),
            ("validation_error", path),
            "{body}"
        );
    }
    for (body, path) in [
        (
            json!({"webhook": {"url": "https://a.example/", "secret": "s"}}),
            "webhook.secret",
        ),
        (
            json!({"webhook": {"endpoint_id": "we_1"}}),
            "webhook.endpoint_id",
        ),
    ] {
        let (error, at, _) = refused(body);
        assert_eq!((error.as_str(), at.as_str()), ("not_supported", path));
    }
    assert!(lower(json!({"prompt": "é".repeat(32_000)})).is_ok());
    let request = lower(json!({"max_cost": 0.1, "expires_after": 60}))
        .unwrap()
        .ask
        .request;
    assert_eq!(request.max_cost.unwrap().get(), 100_000_000);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "data:[a-z/;,=]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(type|role|url|data|image_url|only|x)", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_the_parser_panic(
        name in prop::sample::select(crate::request::create::NAMES.to_vec()),
        value in any_json(),
    ) {
        let text = json!({"model": "m", "prompt": "p", name: value}).to_string();
        if let Ok(map) = json::object(text.as_bytes()) {
            let _ = Create::read(map, Vec::new()).and_then(Create::lower);
        }
    }
}

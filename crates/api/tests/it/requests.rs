use serde_json::{Value, json};

use crate::gate::Gate;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_video_however_often_it_is_sent() {
    let gate = Gate::open().await;
    let keyed = |key: &str, body: Value| {
        let call = gate.call("POST", "/v1/videos").key(&gate.member);
        let call = call.header("idempotency-key", key);
        async move { call.json(body).await }
    };
    let order = gate.order(json!({}));
    let first = keyed("k", order.clone()).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = keyed("k", order.clone()).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let same = gate.order(json!({"duration": null, "seconds": "1"}));
    keyed("k", same).await.expect(202);
    let other = keyed("k", gate.order(json!({"prompt": "other"})))
        .await
        .expect(409);
    assert_eq!(other.header("x-should-retry"), Some("false"));
    assert_eq!(other.json()["error"], "idempotency_conflict");
    keyed("a b", order).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_waits_as_long_as_preferred() {
    let gate = Gate::open().await;
    let done = gate
        .call("POST", "/v1/videos")
        .key(&gate.member)
        .header("prefer", "wait=60")
        .json(gate.order(json!({})))
        .await
        .expect(202);
    assert_eq!(done.header("preference-applied"), Some("wait=60"));
    assert_eq!(done.json()["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_a_file_is_as_good_as_json() {
    let gate = Gate::open().await;
    let png = image();
    let mut body = Vec::new();
    for (name, value) in [
        ("model", "testcard"),
        ("prompt", "a boat"),
        ("seconds", "1"),
        ("size", "320x180"),
        ("metadata[a]", "1"),
        ("generate_audio", "true"),
    ] {
        body.extend(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    body.extend(b"--B\r\nContent-Disposition: form-data; name=\"input_reference\"; filename=\"upload\"\r\nContent-Type: application/octet-stream\r\n\r\n");
    body.extend(&png);
    body.extend(b"\r\n--B--\r\n");
    let send = |body: Vec<u8>| {
        let call = gate.call("POST", "/v1/videos").key(&gate.member);
        let call = call.header("content-type", "multipart/form-data; boundary=B");
        async move { call.body(body).await }
    };
    let made = send(body.clone()).await.expect(202).json();
    assert_eq!(made["metadata"], json!({"a": "1"}));
    assert_eq!(made["audio"], true);
    let done = gate.finished(made["id"].as_str().unwrap()).await;
    assert_eq!(done["status"], "completed", "{done}");
    body.truncate(body.len() - 20);
    let error = send(body).await.expect(400).json();
    assert_eq!(error["error"], "validation_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_field_what_was_sent_and_what_is_allowed() {
    let gate = Gate::open().await;
    for (change, error, path, said) in [
        (
            json!({"model": "filmgate/testcart"}),
            "unsupported_model_or_endpoint",
            "model",
            "filmgate/testcard",
        ),
        (
            json!({"duration": 21}),
            "validation_error",
            "duration",
            "1 to 20",
        ),
        (
            json!({"resolution": "720p"}),
            "validation_error",
            "size",
            "320x180 and 720p",
        ),
        (
            json!({"seed": -1}),
            "validation_error",
            "seed",
            "-1 was sent",
        ),
        (
            json!({"promt": "x"}),
            "validation_error",
            "promt",
            "allowed are model",
        ),
        (
            json!({"max_cost": "0.001"}),
            "max_cost_exceeded",
            "max_cost",
            "0.01 USD",
        ),
        (
            json!({"negative_prompt": "rain"}),
            "validation_error",
            "negative_prompt",
            "no such parameter",
        ),
        (
            json!({"provider_params": {"simulate": {"aspect_ratio": "1:1"}}}),
            "validation_error",
            "provider_params.simulate.aspect_ratio",
            "request's own",
        ),
        (
            json!({"provider": {"only": ["nobody"]}}),
            "unsupported_model_or_endpoint",
            "provider",
            "not in provider.only",
        ),
    ] {
        let order = gate.order(change.clone());
        for route in ["/v1/videos", "/v1/videos/quote"] {
            let refused = gate.post(route, order.clone()).await.json();
            assert_eq!(refused["error"], error, "{change}: {refused}");
            assert_eq!(refused["details"][0]["path"], path, "{refused}");
            assert!(
                refused["details"][0]["message"]
                    .as_str()
                    .unwrap()
                    .contains(said),
                "{refused}"
            );
        }
    }
    let page = gate.get("/v1/videos").await.expect(200).json();
    assert_eq!(page["data"], json!([]), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_tells_the_price_and_makes_nothing() {
    let gate = Gate::open().await;
    let quote = gate
        .post("/v1/videos/quote", gate.order(json!({"duration": 4})))
        .await
        .expect(200)
        .json();
    assert_eq!(quote["quote_nanos"], 40_000_000);
    assert_eq!(quote["hold_nanos"], 40_000_000);
    assert_eq!(quote["route"], json!(["testcard"]));
    assert_eq!(quote["lines"][0]["meter"], "output_second");
    let models = gate
        .get("/v1/videos/models?params=seconds,seed&input_type=image")
        .await;
    let models = models.expect(200).json();
    assert_eq!(models["data"][0]["model"], "filmgate/testcard");
    assert_eq!(models["data"][0]["available"], true);
    for none in ["provider=x", "max_price_per_second=0.001"] {
        let models = gate.get(&format!("/v1/videos/models?{none}")).await;
        assert_eq!(models.expect(200).json()["data"], json!([]), "{none}");
    }
    for others in ["params=negative_prompt", "input_type=audio"] {
        let models = gate.get(&format!("/v1/videos/models?{others}")).await;
        let models = models.expect(200).json();
        let models = models["data"].as_array().unwrap();
        assert!(!models.is_empty(), "{others}");
        let mut ids = models.iter().map(|model| &model["model"]);
        assert!(ids.all(|id| id != "filmgate/testcard"), "{others}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_tell_their_prices_with_the_conditions_and_when_they_end() {
    let gate = Gate::open().await;
    let listed = gate.get("/v1/videos/models").await.expect(200).json();
    let listed = listed["data"].as_array().unwrap();
    let model = |id: &str| listed.iter().find(|model| model["id"] == id).unwrap();
    let veo = model("google/veo-3.1-fast");
    assert_eq!(
        (&veo["status"], &veo["available"]),
        (&json!("active"), &json!(false))
    );
    let providers = veo["providers"].as_array().unwrap();
    let vertex = providers.iter().find(|pair| pair["id"] == "google-vertex");
    let vertex = vertex.unwrap();
    let skus = vertex["pricing_skus"].as_object().unwrap();
    assert_eq!(skus.len(), vertex["pricing"].as_array().unwrap().len());
    let (_, quiet) = skus
        .iter()
        .find(|(sku, _)| sku.contains("[resolution=720p]") && sku.contains("[audio=false]"))
        .unwrap();
    assert_eq!(quiet, "0.08");
    let sora = model("openai/sora-2");
    assert_eq!(
        (&sora["status"], &sora["retires_on"]),
        (&json!("retired"), &json!("2026-09-24"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_model_is_refused_with_the_day_and_the_nearest_there_is() {
    let gate = Gate::open().await;
    let order = gate.order(json!({"model": "google/veo-3"}));
    let error = gate.post("/v1/videos", order).await.expect(400).json();
    assert_eq!(error["error"], "unsupported_model_or_endpoint");
    assert_eq!(error["reason"], "model_retired");
    let told = error["description"].as_str().unwrap();
    assert!(
        told.contains("2026-06-30") && told.contains("google/veo-3.1"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_nearest_model_that_takes_the_request() {
    let gate = Gate::open().await;
    let order = json!({"model": "testcard", "prompt": "a paper boat", "duration": 30});
    let error = gate.post("/v1/videos", order).await.expect(400).json();
    assert_eq!(error["details"][0]["path"], "duration");
    let taker = error["details"][1]["message"].as_str().unwrap();
    let (taker, _) = taker.split_once(" would take").unwrap();
    let listed = gate.get("/v1/videos/models").await.expect(200).json();
    let mut listed = listed["data"].as_array().unwrap().iter();
    let taker = listed.find(|model| model["id"] == taker).unwrap();
    let most = &taker["supported_params_detail"]["duration"]["max"];
    assert!(most.as_u64() >= Some(30), "{taker}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_beside_their_data_urls() {
    let gate = Gate::open().await;
    let padding = "x".repeat(2 << 20);
    let large = gate.order(json!({"metadata": {"a": padding}}));
    let error = gate.post("/v1/videos", large).await.expect(413).json();
    assert_eq!(error["error"], "payload_too_large");
    let data = format!("data:image/png;base64,{}", "A".repeat(2 << 20));
    let order = gate.order(json!({"input_reference": data}));
    let error = gate.post("/v1/videos", order).await.expect(400).json();
    assert_eq!(error["details"][0]["path"], "input_reference");
}

/// A white PNG of one pixel.
fn image() -> Vec<u8> {
    const HEX: &str = "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082";
    (0..HEX.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&HEX[at..at + 2], 16).unwrap())
        .collect()
}

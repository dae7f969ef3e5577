//! What one server does and another does not.

use filmgate_upstreams::openai_compatible::{Config, Flavour, Storage};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Bench, SIZE, escaped, standing};

async fn post_json(bench: &Bench, body: Value) -> Answer {
    let request = bench.request(Method::POST, "/videos").json(&body);
    Answer::read(request).await.unwrap()
}

async fn serving(flavour: Flavour, model: &str) -> Bench {
    Bench::start(Config {
        models: vec![model.to_owned()],
        ..standing(flavour)
    })
    .await
}

#[tokio::test]
async fn vllm_omni_takes_forms_alone_and_checks_their_fields() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    let refused = post_json(&bench, json!({"prompt": "a fox"}))
        .await
        .expect(422);
    assert_eq!(
        refused.json()["detail"][0]["loc"],
        json!(["body", "prompt"])
    );
    for (field, value) in [
        ("seconds", "0"),
        ("seconds", "four"),
        ("size", "large"),
        ("num_outputs_per_prompt", "11"),
    ] {
        let answer = Answer::read(bench.form(&[("prompt", "a fox"), (field, value)])).await;
        let refused = answer.unwrap().expect(422).json();
        assert_eq!(refused["detail"][0]["loc"][1], field);
    }
    let picture = r#"{"image_url": "https://127.0.0.1/a.png"}"#;
    for (other, value) in [
        ("video_reference", r#"{"video_url": "x"}"#),
        ("input_references", "x"),
    ] {
        let fields = [
            ("prompt", "a fox"),
            ("image_reference", picture),
            (other, value),
        ];
        let answer = Answer::read(bench.form(&fields)).await;
        let refused = answer.unwrap().expect(400).json();
        assert!(refused["detail"].as_str().unwrap().starts_with("Provide"));
    }
    assert_eq!(bench.emulator().counts().accepted, 0);
}

#[tokio::test]
async fn vllm_omni_serves_one_model_by_its_exact_name() {
    let bench = serving(Flavour::VllmOmni, "Wan-AI/Wan2.2").await;
    let wrong = Answer::read(bench.form(&[("prompt", "a fox"), ("model", "wan")])).await;
    let message = "Model mismatch: request specifies 'wan' but server is running 'Wan-AI/Wan2.2'.";
    assert_eq!(
        wrong.unwrap().expect(400).json(),
        json!({"detail": message})
    );
    for fields in [
        vec![("prompt", "a fox"), ("model", "Wan-AI/Wan2.2")],
        vec![("prompt", "a fox")],
    ] {
        let taken = Answer::read(bench.form(&fields))
            .await
            .unwrap()
            .expect(200)
            .json();
        assert_eq!(taken["model"], "Wan-AI/Wan2.2");
        assert_eq!(taken["size"], Value::Null);
        assert_eq!(taken["seconds"], "4");
        assert_eq!(taken["quality"], "default");
    }
    let models = bench.get("/models").await.unwrap().expect(200).json();
    assert_eq!(models["data"][0]["id"], "Wan-AI/Wan2.2");
}

#[tokio::test]
async fn vllm_omni_tells_nothing_of_the_way() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    let id = bench.create("a fox").await;
    assert!(id.starts_with("video_gen_"));
    bench.advance(9);
    let running = bench.poll(&id).await.unwrap().expect(200).json();
    assert_eq!(running["status"], "in_progress");
    assert_eq!(running["progress"], 0);
    assert_eq!(running["file_name"], Value::Null);
    bench.advance(1);
    let completed = bench.poll(&id).await.unwrap().expect(200).json();
    assert_eq!(completed["progress"], 100);
    assert_eq!(completed["file_name"], format!("{id}.mp4"));
    assert_eq!(completed["inference_time_s"], 10.0);
    assert_eq!(completed["num_frames"], 24);
    let fields = [
        ("prompt", "an owl"),
        ("num_frames", "50"),
        ("fps", "25"),
        ("size", SIZE),
    ];
    let other = Answer::read(bench.form(&fields)).await.unwrap().expect(200);
    assert_eq!(other.json()["seconds"], "2");
}

#[tokio::test]
async fn a_poll_of_a_job_that_failed_is_an_error_with_the_job_in_it() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    for (directive, status) in [
        ("fail", 500),
        ("fail-404", 404),
        ("fail-429", 429),
        ("fail-moderation", 400),
    ] {
        let id = bench.ended(&format!("#fault={directive}")).await;
        let failed = bench.poll(&id).await.unwrap().expect(status).json();
        assert_eq!(failed["object"], "video");
        assert_eq!(failed["id"], id);
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["error"]["code"], status);
        bench.content(&id).await.unwrap().expect(422);
    }
    // A list tells of them without being an error itself.
    bench.get("/videos").await.unwrap().expect(200);
    let unknown = bench.poll("video_gen_unknown").await.unwrap().expect(404);
    assert!(unknown.json()["object"].is_null() && unknown.json()["detail"].is_string());
}

#[tokio::test]
async fn vllm_omni_stops_the_work_of_a_deleted_job() {
    let bench = Bench::of(Flavour::VllmOmni).await;
    let id = bench.create("a fox").await;
    let deleted = bench.delete(&id).await.unwrap().expect(200).json();
    assert_eq!(
        deleted,
        json!({"id": id, "object": "video.deleted", "deleted": true})
    );
    assert_eq!(bench.emulator().counts().running, 0);
    assert!(bench.record("a fox").cancelled);
}

#[tokio::test]
async fn sglang_goes_on_with_the_work_of_a_deleted_job() {
    let bench = Bench::of(Flavour::Sglang).await;
    let id = bench.create("a fox").await;
    let deleted = bench.delete(&id).await.unwrap().expect(200).json();
    assert_eq!(
        (&deleted["object"], &deleted["status"]),
        (&json!("video"), &json!("deleted"))
    );
    let unknown = bench.poll(&id).await.unwrap().expect(404).json();
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .starts_with("Video not found")
    );
    assert_eq!(bench.emulator().counts().running, 1);
    assert!(!bench.record("a fox").cancelled);
    bench.advance(10);
    assert_eq!(bench.emulator().counts().running, 0);
    assert_eq!(bench.record("a fox").status, "completed");
}

#[tokio::test]
async fn sglang_takes_json_with_extras_in_it_and_any_model() {
    let bench = serving(Flavour::Sglang, "wan").await;
    let body = json!({
        "prompt": "a fox", "model": "whatever", "seconds": 9,
        "extra_body": {"seconds": 1, "size": SIZE}, "extra_params": "{\"seed\": 7}",
    });
    let created = post_json(&bench, body).await.expect(200).json();
    assert_eq!(created["model"], "whatever");
    assert_eq!(
        (&created["seconds"], &created["size"]),
        (&json!("1"), &json!(SIZE))
    );
    assert_eq!(created["quality"], "standard");
    assert!(
        created["file_path"]
            .as_str()
            .unwrap()
            .starts_with("outputs/")
    );
    assert_eq!(bench.record("a fox").fields["seed"], 7);
    let nameless = post_json(&bench, json!({"prompt": "an owl"})).await;
    assert_eq!(nameless.expect(200).json()["model"], "sora-2");
    let promptless = post_json(&bench, json!({"size": SIZE})).await.expect(400);
    assert!(promptless.json()["detail"].is_string());
}

#[tokio::test]
async fn sglang_tells_a_failure_without_a_code() {
    let bench = Bench::of(Flavour::Sglang).await;
    let id = bench.create("#fault=fail").await;
    bench.advance(5);
    assert_eq!(bench.poll(&id).await.unwrap().json()["progress"], 50);
    bench.advance(5);
    let failed = bench.poll(&id).await.unwrap().expect(200).json();
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"], json!({"message": "CUDA out of memory"}));
    bench.content(&id).await.unwrap().expect(404);
}

#[tokio::test]
async fn sglang_delivers_each_output_by_its_index() {
    let bench = Bench::of(Flavour::Sglang).await;
    let body = json!({"prompt": "a fox", "seconds": 1, "size": SIZE, "n": 3});
    let created = post_json(&bench, body).await.expect(200);
    assert_eq!(created.json()["num_outputs"], 3);
    assert_eq!(created.json()["file_paths"].as_array().unwrap().len(), 3);
    bench.advance(10);
    let mut files = Vec::new();
    for variant in [
        "",
        "?variant=0",
        "?variant=video",
        "?variant=1",
        "?variant=2",
    ] {
        let path = format!("/videos/{}/content{variant}", created.id());
        files.push(bench.get(&path).await.unwrap().expect(200).body);
    }
    assert!(files[0] == files[1] && files[1] == files[2]);
    assert!(files[2] != files[3] && files[3] != files[4] && files[2] != files[4]);
    let path = format!("/videos/{}/content?variant=3", created.id());
    bench.get(&path).await.unwrap().expect(404);
}

#[tokio::test]
async fn sglang_uploads_and_tells_where_to() {
    let bench = Bench::start(Config {
        storage: Storage::Cloud,
        ..standing(Flavour::Sglang)
    })
    .await;
    let body = json!({
        "prompt": "a fox #fault=content-500-once", "seconds": 1, "size": SIZE, "num_outputs_per_prompt": 2,
    });
    let created = post_json(&bench, body).await.expect(200);
    assert_eq!(created.json()["url"], Value::Null);
    bench.content(&created.id()).await.unwrap().expect(404);
    bench.advance(10);
    let completed = bench.poll(&created.id()).await.unwrap().json();
    assert_eq!(completed["url"], completed["urls"][0]);
    let refused = bench
        .content(&created.id())
        .await
        .unwrap()
        .expect(400)
        .json();
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("cloud storage")
    );
    let fetch = async |url: &Value| {
        let path = url
            .as_str()
            .unwrap()
            .strip_prefix(&bench.upstream.origin)
            .unwrap();
        let request = bench.request(Method::GET, &format!("/..{path}"));
        Answer::read(request).await.unwrap()
    };
    let first = fetch(&completed["urls"][0]).await.expect(200).body;
    let second = fetch(&completed["urls"][1]).await.expect(200).body;
    assert!(first != second);
    fetch(&json!(format!(
        "{}/bucket/{}/2.mp4",
        bench.upstream.origin,
        created.id()
    )))
    .await
    .expect(404);
}

#[tokio::test]
async fn sglang_lists_without_saying_whether_there_is_more() {
    let bench = Bench::of(Flavour::Sglang).await;
    bench.create("a fox").await;
    let page = bench
        .get("/videos?limit=1")
        .await
        .unwrap()
        .expect(200)
        .json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert!(page.get("has_more").is_none());
    bench.get("/videos?limit=101").await.unwrap().expect(422);
}

#[tokio::test]
async fn litellm_has_long_ids_with_its_route_inside() {
    let bench = serving(Flavour::Litellm, "wan").await;
    let fields = [
        ("prompt", "a fox"),
        ("model", "wan"),
        ("seconds", "1"),
        ("size", SIZE),
    ];
    let created = Answer::read(bench.form(&fields)).await.unwrap().expect(200);
    let id = created.id();
    assert!(id.starts_with("video_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm") && id.len() > 120);
    // With and without the version, escaped and as it is.
    for path in [
        format!("/videos/{}", escaped(&id)),
        format!("/videos/{id}"),
        format!("/../videos/{}", escaped(&id)),
    ] {
        assert_eq!(bench.get(&path).await.unwrap().expect(200).id(), id);
    }
    let wrong = Answer::read(bench.form(&[("prompt", "a fox"), ("model", "van")])).await;
    let error = wrong.unwrap().expect(400).json()["error"].clone();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("400"), &Value::Null)
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("litellm.BadRequestError: ")
    );
}

#[tokio::test]
async fn litellm_leaves_out_what_it_was_not_told() {
    let bench = Bench::of(Flavour::Litellm).await;
    let created = Answer::read(bench.form(&[("prompt", "a fox")])).await;
    let created = created.unwrap().expect(200).json();
    for field in [
        "size",
        "seconds",
        "model",
        "progress",
        "error",
        "completed_at",
    ] {
        assert_eq!(created[field], Value::Null, "{field}");
    }
    assert_eq!(created["usage"], json!({"duration_seconds": 4.0}));
    assert_eq!(created.get("prompt"), None);
}

#[tokio::test]
async fn litellm_deletes_nothing_and_serves_no_parts() {
    let bench = Bench::of(Flavour::Litellm).await;
    let id = bench.ended("a fox").await;
    let refused = bench.delete(&id).await.unwrap().expect(405);
    assert_eq!(refused.json()["error"]["code"], "405");
    assert_eq!(bench.emulator().counts().deletes, 0);
    let request = bench
        .request(Method::GET, &format!("/videos/{}/content", escaped(&id)))
        .header("range", "bytes=0-9");
    let file = Answer::read(request).await.unwrap().expect(200);
    assert!(file.body.len() > 10);
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=video.mp4"
    );
}

#[tokio::test]
async fn each_server_says_no_in_its_own_words() {
    let statuses = [401, 404, 429, 500, 503];
    for flavour in Flavour::ALL {
        let bench = Bench::of(flavour).await;
        for status in statuses {
            let prompt = format!("a fox #fault=submit-{status}");
            let body = bench.submit(&prompt).await.unwrap().expect(status).json();
            match (flavour, status) {
                (Flavour::OpenAi, _) => assert!(body["error"]["type"].is_string(), "{body}"),
                (Flavour::Litellm, _) => {
                    assert_eq!(body["error"]["code"], status.to_string());
                }
                (_, 401) => assert_eq!(body, json!({"error": "Unauthorized"})),
                _ => assert!(body["detail"].is_string(), "{body}"),
            }
        }
        let prompt = "a fox #fault=submit-400-moderation";
        let body = bench.submit(prompt).await.unwrap().expect(400);
        let text = String::from_utf8(body.body).unwrap();
        let word = match flavour {
            Flavour::OpenAi => "moderation_blocked",
            Flavour::Litellm => "ContentPolicyViolationError",
            Flavour::VllmOmni | Flavour::Sglang => "content_policy_violation",
        };
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn every_failure_for_its_content_can_be_told_from_a_breakdown() {
    for flavour in Flavour::ALL {
        let bench = Bench::of(flavour).await;
        let moderated = bench.ended("#fault=fail-moderation").await;
        let broken = bench.ended("#fault=fail").await;
        let text = async |id: &str| {
            let polled = bench.poll(id).await.unwrap().json();
            assert_eq!(polled["status"], "failed");
            polled["error"].to_string()
        };
        assert!(text(&moderated).await.contains("content_policy_violation"));
        assert!(!text(&broken).await.contains("content_policy_violation"));
    }
}

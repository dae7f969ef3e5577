//! The road of a video: created, watched, listed, cancelled, deleted, tried again, and told of afterwards.

use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Gate, id_of, sha256};
use crate::order::{Form, Order, data_url, picture};
use crate::redact::redacted;
use crate::status_object;

// Create and status.

#[tokio::test]
async fn a_video_goes_from_order_to_bytes() {
    let gate = Gate::start().await;
    let order = Order::of("a paper boat")
        .with("generate_audio", true)
        .with("session_id", "tuesday")
        .with("metadata", json!({"shot": "12b"}));
    let answer = gate
        .post("/v1/videos")
        .header("x-request-id", "from-the-client.1")
        .json(order.body())
        .send()
        .await;
    let made = status_object::whole(answer.expect(202).json());
    assert!(
        ["queued", "processing"]
            .iter()
            .any(|status| made["status"] == *status),
        "{made:#}"
    );
    assert_eq!(
        (&made["seconds"], &made["size"], &made["audio"]),
        (&json!(1.0), &json!("320x180"), &json!(true))
    );

    let mut done = gate.wait_terminal(id_of(&made)).await;
    assert_eq!(done["request_id"], "from-the-client.1");
    assert_eq!(
        sha256(&gate.bytes(&done).await),
        done["asset"]["sha256"].as_str().unwrap()
    );
    // Links are good for one to two buckets of 450 seconds.
    let lasts = done["expires_at"].as_i64().unwrap() - done["completed_at"].as_i64().unwrap();
    assert!((1..=1800).contains(&lasts), "{lasts} s");
    // How many bytes there are is the encoder's business.
    done["asset"]["bytes"] = json!("[bytes]");
    done["outputs"][0]["bytes"] = json!("[bytes]");
    assert_json_snapshot!("a_completed_video", redacted(&done));
}

#[tokio::test]
async fn an_order_that_says_nothing_but_the_model_and_the_prompt_gets_the_models_choice() {
    let gate = Gate::start().await;
    let order = Order::of("defaults")
        .without("duration")
        .without("size")
        .endless();
    let made = gate.create(&order).await;
    let resolved = (
        &made["seconds"],
        &made["size"],
        &made["audio"],
        &made["output_access"],
    );
    assert_eq!(
        resolved,
        (
            &json!(4.0),
            &json!("1280x720"),
            &json!(false),
            &json!("both")
        )
    );
}

#[tokio::test]
async fn a_size_may_stand_beside_the_names_it_agrees_with() {
    let gate = Gate::start().await;
    let order = Order::of("agreed")
        .with("resolution", "180P")
        .with("aspect_ratio", "16:9");
    let quote = gate
        .post("/v1/videos/quote")
        .json(order.body())
        .send()
        .await;
    quote.expect(200);
    let lengths = order.with("seconds", "1").with("duration_seconds", 1.0);
    gate.post("/v1/videos/quote")
        .json(lengths.body())
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn a_request_id_that_breaks_the_rules_is_replaced() {
    let gate = Gate::start().await;
    for (sent, kept) in [
        ("a.b_C-9", true),
        ("with space", false),
        (&"x".repeat(129), false),
        (&"x".repeat(128), true),
    ] {
        let answer = gate
            .get("/v1/videos")
            .header("x-request-id", sent)
            .send()
            .await
            .expect(200);
        assert_eq!(answer.header("x-request-id") == sent, kept, "{sent}");
        assert!(kept || answer.header("x-request-id").starts_with("req_"));
    }
}

#[tokio::test]
async fn each_status_on_the_way_shows_what_is_known_then() {
    let gate = Gate::start().await;
    // The provider's answer to the submit is late: nobody has taken the job on yet.
    let queued = gate
        .create(&Order::of("slow to accept").simulate(json!({"submit_seconds": 3600})))
        .await;
    let queued = gate
        .wait_until(id_of(&queued), |video| video["attempts"] == 1)
        .await;
    assert_eq!(
        (&queued["status"], &queued["started_at"]),
        (&json!("queued"), &Value::Null)
    );
    assert_eq!(queued["provider"], "testcard", "the head of the route");

    // Accepted, not begun.
    let waiting = gate
        .create(&Order::of("slow to begin").simulate(json!({"queue_seconds": 3600})))
        .await;
    let waiting = gate
        .wait_until(id_of(&waiting), |video| video["progress"] == 0)
        .await;
    assert_eq!(waiting["status"], "processing");
    assert_eq!(waiting["attempts"], 1);

    let failed = gate
        .run_to_end(&Order::of("fails").simulate(json!({"fail": "content_moderated"})))
        .await;
    assert_eq!(failed["status"], "failed");
    let cancelled = gate.cancel(id_of(&waiting)).await;
    assert_eq!(cancelled["status"], "cancelled");

    let listed = gate.get("/v1/videos").send().await.expect(200).json();
    for video in listed["data"].as_array().unwrap() {
        status_object::whole(video.clone());
    }
    assert_json_snapshot!("a_queued_video", redacted(&queued));
    assert_json_snapshot!("a_failed_video", redacted(&failed));
}

#[tokio::test]
async fn progress_comes_from_the_provider_and_only_goes_up() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("steady").simulate(json!({"render_seconds": 0.6})))
        .await;
    let id = id_of(&made);
    // `wait_until` checks each pair of status objects on the way.
    let on_the_way = gate
        .wait_until(id, |video| video["progress"].as_u64() > Some(0))
        .await;
    assert_eq!(on_the_way["progress_source"], "provider");
    assert!(on_the_way["observed_at"].is_i64());
    let done = gate.wait_terminal(id).await;
    assert_eq!(done["progress"], 100);
}

#[tokio::test]
async fn a_provider_that_tells_no_progress_is_estimated_or_left_blank() {
    let gate = Gate::start().await;
    let silent = Order::of("silent").simulate(json!({"progress": false, "render_seconds": 0.6}));
    let made = gate.create(&silent).await;
    let first = gate.wait_processing(id_of(&made)).await;
    assert_ne!(first["progress_source"], "provider");
    assert_eq!(
        gate.wait_terminal(id_of(&made)).await["status"],
        "completed"
    );
}

#[tokio::test]
async fn every_failure_a_provider_can_tell_is_told_under_its_own_code() {
    let gate = Gate::start().await;
    let codes = [
        ("content_moderated", "user", false),
        ("invalid_request", "user", false),
        ("provider_auth", "upstream", false),
        ("provider_permission", "upstream", false),
        ("provider_quota", "upstream", true),
        ("rate_limited", "upstream", true),
        ("model_unavailable", "upstream", true),
        ("provider_error", "upstream", true),
        ("provider_timeout", "upstream", true),
        ("output_invalid", "upstream", true),
    ];
    let orders = codes.iter().map(|(code, ..)| {
        let order = Order::of(code).simulate(json!({"fail": code, "fail_after_percent": 0}));
        let gate = &gate;
        async move { gate.run_to_end(&order).await }
    });
    for (failed, (code, kind, _)) in futures::future::join_all(orders).await.iter().zip(codes) {
        let error = &failed["error"];
        assert_eq!(
            (&failed["status"], &error["code"], &error["type"]),
            (&json!("failed"), &json!(code), &json!(kind))
        );
        assert_eq!(error["provider"], "testcard");
        let attempts = error["attempts"].as_array().unwrap();
        assert_eq!(
            (attempts.len(), &attempts[0]["code"]),
            (1, &json!(code)),
            "{failed:#}"
        );
    }
}

// Waiting.

#[tokio::test]
async fn wait_without_an_etag_answers_when_the_video_is_over() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("waited for").simulate(json!({"render_seconds": 0.3})))
        .await;
    let path = format!("/v1/videos/{}", id_of(&made));
    let waited = gate
        .get(&format!("{path}?wait=60"))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(waited["status"], "completed");
    // More than sixty counts as sixty, and what is over is answered at once.
    for wait in ["0", "61", "99999999999999999999999"] {
        gate.get(&format!("{path}?wait={wait}"))
            .send()
            .await
            .expect(200);
    }
    let order = Order::of("preferred").simulate(json!({"render_seconds": 0.3}));
    let made = gate.create(&order).await;
    let path = format!("/v1/videos/{}", id_of(&made));
    let preferred = gate.get(&path).header("prefer", "wait=60").send().await;
    assert_eq!(preferred.expect(200).json()["status"], "completed");
}

#[tokio::test]
async fn wait_with_a_matching_etag_answers_at_the_next_change() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("watched").simulate(json!({"queue_seconds": 3600})))
        .await;
    let path = format!("/v1/videos/{}", id_of(&made));
    gate.wait_until(id_of(&made), |video| video["progress"] == 0)
        .await;
    let seen = gate.get(&path).send().await.expect(200);
    let watching = gate
        .get(&format!("{path}?wait=60"))
        .header("if-none-match", seen.header("etag"))
        .send();
    let (changed, cancelled) = futures::join!(watching, gate.cancel(id_of(&made)));
    let changed = changed.expect(200);
    assert_eq!(changed.json()["status"], cancelled["status"]);
    assert_ne!(changed.header("etag"), seen.header("etag"));
    // One that does not match is answered at once, terminal or not.
    let endless = gate.create(&Order::of("endless").endless()).await;
    let other = gate
        .get(&format!("/v1/videos/{}?wait=60", id_of(&endless)))
        .header("if-none-match", "\"another\"");
    other.send().await.expect(200);
}

#[tokio::test]
async fn a_wait_that_is_no_number_of_seconds_is_refused_and_such_a_preference_ignored() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("endless").endless()).await;
    let path = format!("/v1/videos/{}", id_of(&made));
    for wait in ["soon", "", "-1", "1.5", "1s"] {
        let message = gate
            .get(&format!("{path}?wait={wait}"))
            .send()
            .await
            .refused_field("validation_error", "wait");
        assert!(message.contains("60"), "{message}");
        gate.get(&path)
            .header("prefer", &format!("wait={wait}"))
            .send()
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_create_can_be_answered_when_the_video_is_over() {
    let gate = Gate::start().await;
    let answer = gate
        .post("/v1/videos")
        .header("prefer", "wait=60")
        .json(Order::of("at once").body())
        .send()
        .await;
    let answer = answer.expect(202);
    assert_eq!(answer.header("preference-applied"), "wait=60");
    assert_eq!(status_object::whole(answer.json())["status"], "completed");
    let hurried = gate
        .post("/v1/videos")
        .json(Order::of("hurried").endless().body())
        .send()
        .await
        .expect(202);
    assert_eq!(hurried.find_header("preference-applied"), None);
    let status = hurried.json();
    assert_eq!(
        hurried.header("retry-after"),
        status["poll_after_seconds"].to_string()
    );
}

#[tokio::test]
async fn an_unchanged_status_is_a_304_and_a_changed_one_is_not() {
    let gate = Gate::start().await;
    let done = gate.completed(&Order::of("finished")).await;
    let path = format!("/v1/videos/{}", id_of(&done));
    let seen = gate.get(&path).send().await.expect(200);
    assert_eq!(
        seen.find_header("retry-after"),
        None,
        "nothing is left to wait for"
    );
    let endless = gate.create(&Order::of("endless").endless()).await;
    let waiting = gate
        .get(&format!("/v1/videos/{}", id_of(&endless)))
        .send()
        .await
        .expect(200);
    let poll_after = waiting.json()["poll_after_seconds"].to_string();
    assert_eq!(waiting.header("retry-after"), poll_after);
    let etag = seen.header("etag");
    assert!(
        etag.starts_with('"') && etag.ends_with('"'),
        "{etag} is not strong"
    );
    for known in [
        etag,
        &format!("W/{etag}"),
        &format!("\"other\", {etag}"),
        "*",
    ] {
        let unchanged = gate
            .get(&path)
            .header("if-none-match", known)
            .send()
            .await
            .expect(304);
        assert_eq!((unchanged.header("etag"), unchanged.body.len()), (etag, 0));
    }
    gate.get(&path)
        .header("if-none-match", "\"other\"")
        .send()
        .await
        .expect(200);
    // What is named with a strong tag is never compressed.
    let plain = gate
        .get(&path)
        .header("accept-encoding", "gzip, br")
        .send()
        .await
        .expect(200);
    assert_eq!(plain.find_header("content-encoding"), None);
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let gate = Gate::start().await;
    let done = gate.completed(&Order::of("headed")).await;
    for path in [
        format!("/v1/videos/{}", id_of(&done)),
        "/v1/videos".to_owned(),
        "/v1/videos/models".to_owned(),
    ] {
        let get = gate.get(&path).send().await.expect(200);
        let head = gate.call(Method::HEAD, &path).send().await.expect(200);
        assert_eq!(head.body.len(), 0);
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.find_header("etag"), get.find_header("etag"));
    }
}

// References.

#[tokio::test]
async fn a_first_frame_can_come_as_a_file_part() {
    let gate = Gate::start().await;
    let send = |shade: u8| {
        let form = Form::new()
            .text("model", "filmgate/testcard")
            .text("prompt", "from a picture")
            .text("seconds", "1")
            .text("size", "320x180")
            .text("seed", "7")
            .text("metadata[shot]", "12b")
            .file("input_reference", "first.png", "image/png", &picture(shade));
        gate.post("/v1/videos")
            .header("prefer", "wait=60")
            .body(&Form::content_type(), form.finish())
            .send()
    };
    let (light, dark) = futures::join!(send(250), send(5));
    let (light, dark) = (light.expect(202).json(), dark.expect(202).json());
    assert_eq!(
        (&light["status"], &light["metadata"]["shot"]),
        (&json!("completed"), &json!("12b")),
        "{light:#}"
    );
    assert_ne!(
        light["asset"]["sha256"], dark["asset"]["sha256"],
        "the picture is not shown"
    );

    // The same picture written as a data: URL makes the same video.
    let order = Order::of("from a picture")
        .with("seed", 7)
        .with("input_reference", data_url(&picture(250)));
    let same = gate.completed(&order).await;
    assert_eq!(same["asset"]["sha256"], light["asset"]["sha256"]);
}

#[tokio::test]
async fn a_prompt_may_be_missing_beside_a_picture_and_not_otherwise() {
    let gate = Gate::start().await;
    let order = Order::of("").without("prompt").with(
        "input_references",
        json!([{"type": "image_url", "role": "first_frame", "image_url": {"url": data_url(&picture(90))}}]),
    );
    gate.completed(&order).await;
    let bare = Order::of("").without("prompt");
    gate.post("/v1/videos")
        .json(bare.body())
        .send()
        .await
        .refused_field("validation_error", "prompt");
}

#[tokio::test]
async fn a_reference_by_file_id_is_for_a_later_version() {
    let gate = Gate::start().await;
    let by = |place: Value| {
        let mut reference = json!({"type": "image_url", "role": "first_frame"});
        for (name, value) in place.as_object().unwrap() {
            reference[name] = value.clone();
        }
        Order::of("later").with("input_references", json!([reference]))
    };
    let by_id = by(json!({"asset_id": format!("file_{}", "0".repeat(26))}));
    let refused = gate
        .post("/v1/videos")
        .json(by_id.body())
        .send()
        .await
        .refused(400, "not_supported");
    assert!(
        refused["details"][0]["path"]
            .as_str()
            .unwrap()
            .starts_with("input_references[0]"),
        "{refused:#}"
    );
    // Whatever is no picture is refused for what it is.
    let text = by(json!({"image_url": {"url": "data:image/png;base64,aGVsbG8="}}));
    gate.post("/v1/videos")
        .json(text.body())
        .send()
        .await
        .refused(400, "validation_error");
    assert_eq!(gate.video_count().await, 0);
    assert_eq!(
        gate.home().assets(),
        Vec::<String>::new(),
        "a refused picture stays"
    );
}

#[tokio::test]
async fn a_picture_the_gateway_made_can_be_the_first_frame_of_the_next_video() {
    let gate = Gate::start().await;
    let first = gate.completed(&Order::of("first")).await;
    let thumbnail = first["outputs"][0]["thumbnail_url"].as_str().unwrap();
    let jpeg = gate.get(thumbnail).send().await.expect(200).body;
    let order = Order::of("second").with("seed", 1);
    let plain = gate.completed(&order).await;
    let shown = gate
        .completed(&order.with("input_reference", data_url(&jpeg)))
        .await;
    assert_ne!(shown["asset"]["sha256"], plain["asset"]["sha256"]);
}

#[tokio::test]
async fn a_picture_that_cannot_be_shown_is_refused_before_it_costs_anything() {
    let gate = Gate::start().await;
    let whole = picture(9);
    let torn = whole[..whole.len() / 2].to_vec();
    // Says that it is 60 000 pixels wide.
    let mut vast = whole.clone();
    vast[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    let nothing = Vec::new();
    for bytes in [torn, vast, nothing, b"<svg/>".to_vec()] {
        let order = Order::of("refused").with("input_reference", data_url(&bytes));
        let refused = gate.post("/v1/videos").json(order.body()).send().await;
        let body = refused.refused(400, "validation_error");
        let path = body["details"][0]["path"].as_str().unwrap();
        assert!(path.starts_with("input_reference"), "{body:#}");
    }
    assert_eq!(gate.video_count().await, 0);
    assert_eq!(gate.home().assets(), Vec::<String>::new());
}

// Outputs.

#[tokio::test]
async fn several_samples_are_several_outputs_of_one_job() {
    let gate = Gate::start().await;
    let done = gate
        .completed(&Order::of("three of it").with("sample_count", 3))
        .await;
    let outputs = done["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 3);
    for output in outputs {
        let bytes = gate
            .get(output["content_url"].as_str().unwrap())
            .send()
            .await
            .expect(200)
            .body;
        assert_eq!(sha256(&bytes), output["sha256"].as_str().unwrap());
    }
    let mut digests: Vec<&str> = outputs
        .iter()
        .map(|output| output["sha256"].as_str().unwrap())
        .collect();
    digests.dedup();
    assert_eq!(digests.len(), 3, "samples are the same");
}

#[tokio::test]
async fn what_the_provider_did_not_deliver_is_told_and_not_charged() {
    let gate = Gate::start().await;
    let order = Order::of("two of three")
        .with("sample_count", 3)
        .simulate(json!({"missing_outputs": 1}));
    let done = gate.completed(&order).await;
    assert_eq!(done["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(
        done["outputs_missing"].as_array().unwrap().len(),
        1,
        "{done:#}"
    );
    assert_eq!(done["billing"]["total_nanos"], 20_000_000);
    // All of them missing is a failure.
    let none = Order::of("none of two")
        .with("sample_count", 2)
        .simulate(json!({"missing_outputs": 2}));
    let failed = gate.run_to_end(&none).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("output_unavailable"))
    );
}

#[tokio::test]
async fn an_output_that_is_no_whole_video_is_never_shown_as_completed() {
    let gate = Gate::start().await;
    let failed = gate
        .run_to_end(&Order::of("torn").simulate(json!({"corrupt_output": true})))
        .await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("output_invalid"))
    );
    assert_eq!(
        gate.home().assets(),
        Vec::<String>::new(),
        "the torn file is kept"
    );
}

#[tokio::test]
async fn the_same_order_makes_the_same_bytes_and_another_seed_others() {
    let gate = Gate::start().await;
    let order = |seed: u32| Order::of("again").with("seed", seed);
    let one = gate.completed(&order(1)).await;
    let same = gate.completed(&order(1)).await;
    let other = gate.completed(&order(2)).await;
    assert_ne!(one["id"], same["id"]);
    assert_eq!(one["asset"]["sha256"], same["asset"]["sha256"]);
    assert_ne!(one["asset"]["sha256"], other["asset"]["sha256"]);
}

#[tokio::test]
async fn links_follow_the_access_that_was_asked_for() {
    let gate = Gate::start().await;
    for access in ["bytes", "signed_url", "both"] {
        // Which fields are there is checked of every status object.
        let done = gate
            .completed(&Order::of(access).with("output", json!({"access": access})))
            .await;
        assert_eq!(done["output_access"], access);
        let link = done
            .get("download_url")
            .or(done.get("content_url"))
            .unwrap()
            .as_str()
            .unwrap();
        assert_eq!(
            sha256(&gate.get(link).send().await.expect(200).body),
            done["asset"]["sha256"].as_str().unwrap()
        );
    }
}

// Cancel, delete, retry.

#[tokio::test]
async fn a_cancel_is_at_once_and_as_often_as_one_likes() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("unwanted").endless()).await;
    let id = id_of(&gate.wait_processing(id_of(&made)).await).to_owned();
    let first = gate.cancel(&id).await;
    assert_eq!(first["status"], "cancelled");
    gate.wait_settled(&id).await;
    let again = gate.cancel(&id).await;
    assert_eq!(
        (&again["status"], &again["completed_at"]),
        (&json!("cancelled"), &first["completed_at"])
    );
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled() {
    let gate = Gate::start().await;
    let done = gate.completed(&Order::of("done")).await;
    let failed = gate
        .run_to_end(&Order::of("failed").simulate(json!({"fail": "provider_error"})))
        .await;
    for video in [&done, &failed] {
        let refused = gate
            .post(&format!("/v1/videos/{}/cancel", id_of(video)))
            .send()
            .await
            .refused(400, "validation_error");
        assert_eq!(
            refused["reason"],
            "video_cancel_requires_non_terminal_status"
        );
        assert_eq!(gate.status(id_of(video)).await["status"], video["status"]);
    }
}

#[tokio::test]
async fn only_what_is_over_can_be_deleted_and_then_it_is_gone() {
    let gate = Gate::start().await;
    let order = Order::of("short-lived")
        .with("input_reference", data_url(&picture(40)))
        .with("metadata", json!({"a": "b"}));
    let under_way = gate.create(&order.clone().endless()).await;
    let refused = gate
        .delete(&format!("/v1/videos/{}", id_of(&under_way)))
        .send()
        .await
        .refused(400, "validation_error");
    assert_eq!(refused["reason"], "video_delete_requires_terminal_status");

    let done = gate.completed(&order).await;
    let path = format!("/v1/videos/{}", id_of(&done));
    let link = done["download_url"].as_str().unwrap();
    assert!(
        gate.home()
            .assets()
            .iter()
            .any(|file| file.contains(id_of(&done)))
    );
    let deleted = gate.delete(&path).send().await.expect(200).json();
    assert_eq!(
        deleted,
        json!({"id": done["id"], "object": "video.deleted", "deleted": true})
    );

    let gone = [
        gate.get(&path),
        gate.get(&format!("{path}?wait=60")),
        gate.delete(&path),
        gate.post(&format!("{path}/cancel")),
        gate.post(&format!("{path}/retry")),
        gate.get(&format!("{path}/content")),
        gate.post(&format!("{path}/download_url")).json(&json!({})),
        gate.get(link).anonymous(),
    ];
    for call in gone {
        assert_eq!(
            call.send().await.refused(404, "not_found")["reason"],
            "video_deleted"
        );
    }
    let files = gate.home().assets();
    assert!(
        !files.iter().any(|file| file.contains(id_of(&done))),
        "bytes of a deleted video stay: {files:?}"
    );
    let list = gate.get("/v1/videos").send().await.expect(200).json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list:#}");
}

#[tokio::test]
async fn a_deleted_video_leaves_nothing_of_its_prompt_in_the_data_directory() {
    let gate = Gate::start().await;
    let secret = "xylophones-for-octopuses";
    let done = gate
        .completed(&Order::of(secret).with("metadata", json!({"note": secret})))
        .await;
    gate.delete(&format!("/v1/videos/{}", id_of(&done)))
        .send()
        .await
        .expect(200);
    let audit = gate
        .get(&format!(
            "/v1/generations?id={}",
            done["generation_id"].as_str().unwrap()
        ))
        .send()
        .await
        .expect(200);
    assert!(!audit.text().contains(secret), "{}", audit.text());
    // What was done and paid stays.
    let record = audit.json();
    assert_eq!(
        (&record["deleted"], &record["request"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(
        record["billing"]["total_nanos"],
        done["billing"]["total_nanos"]
    );
    let timeline = gate
        .get(&format!("/v1/videos/{}/timeline", id_of(&done)))
        .send()
        .await;
    assert!(!timeline.text().contains(secret), "{}", timeline.text());
}

#[tokio::test]
async fn a_retry_is_a_new_job_of_the_same_request() {
    let gate = Gate::start().await;
    let order = Order::of("once more")
        .with("seed", 5)
        .with("input_reference", data_url(&picture(77)));
    let made = gate.create(&order.endless()).await;
    gate.cancel(id_of(&made)).await;
    let answer = gate
        .post(&format!("/v1/videos/{}/retry", id_of(&made)))
        .send()
        .await
        .expect(202);
    let again = status_object::whole(answer.json());
    assert_ne!(
        (&again["id"], &again["generation_id"]),
        (&made["id"], &made["generation_id"])
    );
    assert_eq!(again["retried_from"], made["id"]);
    assert_eq!(
        (&again["seconds"], &again["size"], &again["model"]),
        (&made["seconds"], &made["size"], &made["model"])
    );
    gate.cancel(id_of(&again)).await;

    // Neither one under way nor a completed one is tried again.
    let endless = gate.create(&Order::of("under way").endless()).await;
    let done = gate.completed(&Order::of("done")).await;
    for video in [&endless, &done] {
        gate.post(&format!("/v1/videos/{}/retry", id_of(video)))
            .send()
            .await
            .refused(400, "validation_error");
    }
}

// Lists.

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let gate = Gate::start().await;
    let mut made = Vec::new();
    for number in 0..7 {
        let order = Order::of("listed")
            .with("session_id", format!("session-{}", number % 2))
            .endless();
        made.push(id_of(&gate.create(&order).await).to_owned());
    }
    made.reverse();
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = gate
            .get(&format!("/v1/videos?limit=3{after}"))
            .send()
            .await
            .expect(200)
            .json();
        let ids: Vec<String> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|video| id_of(video).to_owned())
            .collect();
        assert_eq!(
            (&page["object"], &page["first_id"], &page["last_id"]),
            (&json!("list"), &json!(ids.first()), &json!(ids.last()))
        );
        // A job that is new does not shift the pages that follow.
        gate.create(&Order::of("meanwhile").endless()).await;
        after = format!("&after={}", ids.last().unwrap());
        found.extend(ids);
        if page["has_more"] == false {
            break;
        }
        assert_eq!(page["data"].as_array().unwrap().len(), 3);
    }
    assert_eq!(found, made);

    let before = gate
        .get(&format!("/v1/videos?before={}&limit=2", made[4]))
        .send()
        .await
        .expect(200)
        .json();
    let ids: Vec<&str> = before["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(id_of)
        .collect();
    assert_eq!(
        ids,
        [&made[2], &made[3]],
        "the page that ends right before it"
    );
}

#[tokio::test]
async fn a_page_has_fifty_videos_unless_asked_otherwise_and_two_hundred_at_most() {
    let gate = Gate::start().await;
    let order = Order::of("one of many").simulate(json!({"submit_seconds": 3600}));
    futures::future::join_all((0..51).map(|_| gate.create(&order))).await;
    let page = gate.get("/v1/videos").send().await.expect(200).json();
    let count = page["data"].as_array().unwrap().len();
    assert_eq!((count, &page["has_more"]), (50, &json!(true)));
    let page = gate
        .get("/v1/videos?limit=200")
        .send()
        .await
        .expect(200)
        .json();
    let count = page["data"].as_array().unwrap().len();
    assert_eq!((count, &page["has_more"]), (51, &json!(false)));
}

#[tokio::test]
async fn lists_are_filtered() {
    let gate = Gate::start().await;
    let failed = gate
        .run_to_end(&Order::of("a").simulate(json!({"fail": "provider_error"})))
        .await;
    let done = gate
        .completed(&Order::of("b").with("session_id", "one"))
        .await;
    let endless = gate
        .create(&Order::of("c").with("session_id", "two").endless())
        .await;
    gate.wait_processing(id_of(&endless)).await;
    let cancelled = gate.create(&Order::of("d").endless()).await;
    gate.cancel(id_of(&cancelled)).await;
    let all = [&cancelled, &endless, &done, &failed];
    let future = done["created_at"].as_i64().unwrap() + 3600;
    let cases: [(&str, &[&Value]); 12] = [
        ("status=failed", &[&failed]),
        ("status=failed,completed", &[&done, &failed]),
        ("status=failed&status=completed", &[&done, &failed]),
        ("status=processing", &[&endless]),
        ("session_id=two", &[&endless]),
        ("model=filmgate/testcard", &all),
        ("model=filmgate/other", &[]),
        ("provider=testcard", &all),
        ("provider=other", &[]),
        (&format!("created_after={future}"), &[]),
        (&format!("created_before={future}"), &all),
        (
            "session_id=one&status=completed&a_name_nobody_knows=1",
            &[&done],
        ),
    ];
    for (query, expected) in cases {
        let page = gate
            .get(&format!("/v1/videos?{query}"))
            .send()
            .await
            .expect(200)
            .json();
        let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(id_of).collect();
        let expected: Vec<&str> = expected.iter().map(|video| id_of(video)).collect();
        assert_eq!(ids, expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_by_the_parameter_at_fault() {
    let gate = Gate::start().await;
    let stranger = format!("video_{}", "0".repeat(26));
    for (query, parameter) in [
        (format!("after={stranger}"), "after"),
        ("after=nonsense".to_owned(), "after"),
        (format!("before={stranger}"), "before"),
        ("limit=0".to_owned(), "limit"),
        ("limit=201".to_owned(), "limit"),
        ("limit=many".to_owned(), "limit"),
        ("order=sideways".to_owned(), "order"),
        ("status=done".to_owned(), "status"),
        ("created_after=yesterday".to_owned(), "created_after"),
        ("created_before=tomorrow".to_owned(), "created_before"),
    ] {
        gate.get(&format!("/v1/videos?{query}"))
            .send()
            .await
            .refused_field("validation_error", parameter);
    }
}

// Models and quotes.

#[tokio::test]
async fn the_model_is_told_with_everything_it_takes() {
    let gate = Gate::start().await;
    let models = gate
        .get("/v1/videos/models")
        .send()
        .await
        .expect(200)
        .json();
    let model = &models["data"][0];
    for twin in [model, &model["providers"][0]] {
        assert_eq!(twin["supported_parameters"], twin["supported_params"]);
        assert_eq!(
            twin["supported_parameters_detail"],
            twin["supported_params_detail"]
        );
        assert_eq!(
            twin["supported_params_detail"], model["supported_params_detail"],
            "it has one provider"
        );
    }
    let mut shown = model.clone();
    for name in [
        "supported_parameters",
        "supported_parameters_detail",
        "providers",
    ] {
        shown.as_object_mut().unwrap().remove(name);
    }
    assert_json_snapshot!("the_model", shown);
    for query in [
        "params=seed",
        "params=seed,generate_audio",
        "provider=testcard",
        "input_type=image",
    ] {
        let found = gate
            .get(&format!("/v1/videos/models?{query}"))
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(found["data"][0], models["data"][0], "{query}");
    }
    for query in ["provider=other", "max_price_per_second=0.001"] {
        let found = gate
            .get(&format!("/v1/videos/models?{query}"))
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(found["data"], json!([]), "{query}");
    }
}

#[tokio::test]
async fn a_quote_costs_nothing_and_binds_nothing() {
    let gate = Gate::configured("[billing]\nmarkup_basis_points = 1500").await;
    let order = Order::of("how much?")
        .with("duration", 7)
        .with("sample_count", 2);
    let quote = gate
        .post("/v1/videos/quote")
        .json(order.body())
        .send()
        .await
        .expect(200)
        .json();
    assert_json_snapshot!("a_quote", redacted(&quote));
    assert_eq!(
        quote["quote_nanos"], 161_000_000,
        "14 s at a cent, and 15 %"
    );
    assert_eq!(gate.video_count().await, 0);
    let refused = gate
        .post("/v1/videos/quote")
        .json(Order::of("too long").with("duration", 21).body())
        .send()
        .await;
    refused.refused_field("validation_error", "duration");
}

#[tokio::test]
async fn a_model_can_be_named_by_its_alias_and_an_unknown_one_is_told_the_nearest() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("by alias").with("model", "testcard").endless())
        .await;
    assert_eq!(made["model"], "filmgate/testcard");
    let unknown = Order::of("by typo").with("model", "filmgate/testcart");
    let refused = gate
        .post("/v1/videos")
        .json(unknown.body())
        .send()
        .await
        .refused(400, "unsupported_model_or_endpoint");
    assert!(
        refused["description"]
            .as_str()
            .unwrap()
            .contains("filmgate/testcard"),
        "{refused:#}"
    );
}

// What is told afterwards.

#[tokio::test]
async fn the_timeline_tells_every_transition_with_its_cause_and_actor() {
    let gate = Gate::start().await;
    let failed = gate
        .run_to_end(&Order::of("told").simulate(json!({"fail": "provider_error"})))
        .await;
    let timeline = gate
        .get(&format!("/v1/videos/{}/timeline", id_of(&failed)))
        .send()
        .await
        .expect(200)
        .json();
    assert_json_snapshot!("the_timeline_of_a_failure", redacted(&timeline));
}

#[tokio::test]
async fn the_audit_record_tells_route_attempts_and_price() {
    let gate = Gate::start().await;
    let done = gate.completed(&Order::of("audited").with("seed", 3)).await;
    let generation = done["generation_id"].as_str().unwrap();
    let record = gate
        .get(&format!("/v1/generations?id={generation}"))
        .send()
        .await
        .expect(200)
        .json();
    assert_json_snapshot!("the_audit_record_of_a_completed_video", redacted(&record));
    // The request in it makes the same video again.
    let again = gate
        .post("/v1/videos")
        .header("prefer", "wait=60")
        .json(&record["request"])
        .send()
        .await;
    assert_eq!(
        again.expect(202).json()["asset"]["sha256"],
        done["asset"]["sha256"]
    );
    let unknown = format!("gen_{}", "0".repeat(26));
    gate.get(&format!("/v1/generations?id={unknown}"))
        .send()
        .await
        .refused(404, "not_found");
    gate.get("/v1/generations")
        .send()
        .await
        .refused_field("validation_error", "id");
}

#[tokio::test]
async fn the_other_name_of_every_route_leads_to_the_same_thing() {
    let gate = Gate::start().await;
    let made = gate
        .post("/v1/video/generations")
        .json(Order::of("by another name").body())
        .send()
        .await
        .expect(202)
        .json();
    let id = id_of(&made);
    let done = gate.wait_terminal(id).await;
    let other = |rest: &str| format!("/v1/video/generations{rest}");
    assert_eq!(
        gate.get(&other(&format!("/{id}")))
            .send()
            .await
            .expect(200)
            .json(),
        done
    );
    let bytes = gate
        .get(&other(&format!("/{id}/content")))
        .send()
        .await
        .expect(200)
        .body;
    assert_eq!(sha256(&bytes), done["asset"]["sha256"].as_str().unwrap());
    for path in ["/models", "", &format!("/{id}/timeline")] {
        let there = gate.get(&other(path)).send().await.expect(200).json();
        assert_eq!(
            there,
            gate.get(&format!("/v1/videos{path}"))
                .send()
                .await
                .expect(200)
                .json()
        );
    }
    let quote = gate
        .post(&other("/quote"))
        .json(Order::of("how much?").body())
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(quote["quote_nanos"], 10_000_000);
    gate.delete(&other(&format!("/{id}")))
        .send()
        .await
        .expect(200);
    gate.get(&format!("/v1/videos/{id}"))
        .send()
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn links_are_built_on_the_address_the_client_used() {
    let gate = Gate::start().await;
    let polling_url = |gate: &Gate, proxied: bool| {
        let call = gate
            .post("/v1/videos")
            .json(Order::of("abroad").endless().body())
            .header("host", "films.example:81");
        if proxied {
            call.header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "films.example")
                .send()
        } else {
            call.send()
        }
    };
    let starts_with = |answer: crate::gate::Answer, origin: &str| {
        let video = answer.expect(202).json();
        let url = format!("{origin}/v1/videos/{}", id_of(&video));
        assert_eq!(
            (&video["polling_url"], &video["content_url"]),
            (&json!(url), &json!(format!("{url}/content")))
        );
    };
    starts_with(polling_url(&gate, false).await, "http://films.example:81");
    // Whoever is no proxy of ours is not believed.
    starts_with(polling_url(&gate, true).await, "http://films.example:81");
    let proxied = Gate::configured("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    starts_with(polling_url(&proxied, true).await, "https://films.example");
}

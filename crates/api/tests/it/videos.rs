use serde_json::{Value, json};

use crate::gate::{Gate, local};

fn id(status: &Value) -> &str {
    status["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_create_to_bytes() {
    let gate = Gate::open().await;
    let made = gate
        .call("POST", "/v1/videos")
        .key(&gate.member)
        .header("x-request-id", "mine-1")
        .json(gate.order(json!({"session_id": "s", "metadata": {"a": "b"}})))
        .await
        .expect(202);
    assert!(made.header("retry-after").is_some());
    assert_eq!(made.header("x-request-id"), Some("mine-1"));
    let made = made.json();
    assert_eq!(
        (&made["status"], &made["request_id"]),
        (&json!("queued"), &json!("mine-1"))
    );
    assert_eq!(made["download_url"], Value::Null);
    assert_eq!(made["billing"]["state"], "estimated");
    assert_eq!(made["seconds"], json!(1.0));
    let text = gate
        .get(&format!("/v1/videos/{}?wait=60", id(&made)))
        .await
        .expect(200);
    assert_eq!(text.header("retry-after"), None);
    assert_eq!(text.header("cache-control"), Some("private, no-cache"));
    assert!(
        String::from_utf8_lossy(&text.bytes).contains("\"usage\":{\"cost\":0.01,"),
        "money is printed from the integer"
    );
    let done = text.json();
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["progress"], 100);
    assert_eq!(done["poll_after_seconds"], 0);
    assert_eq!(done["cancel_url"], Value::Null);
    assert_eq!(done["size"], "320x180");
    assert_eq!(done["metadata"], json!({"a": "b"}));
    assert_eq!(done["billing"]["total_nanos"], 10_000_000);
    assert_eq!(done["billing"]["settled_user_cost"], "0.01");
    assert_eq!(done["billing"]["reservation_status"], "captured");
    let whole = gate.get(&local(&done["content_url"])).await.expect(200);
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    assert_eq!(
        whole.bytes.len() as u64,
        done["asset"]["bytes"].as_u64().unwrap()
    );
    let signed = gate
        .call("GET", &local(&done["download_url"]))
        .send()
        .await
        .expect(200);
    assert_eq!(signed.bytes, whole.bytes);
    let thumbnail = gate
        .call("GET", &local(&done["outputs"][0]["thumbnail_url"]))
        .send()
        .await
        .expect(200);
    assert_eq!(thumbnail.header("content-type"), Some("image/jpeg"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_every_field_in_the_order_of_the_contract() {
    let gate = Gate::open().await;
    let done = gate.completed(json!({})).await;
    let text = gate.get(&format!("/v1/videos/{}", id(&done))).await;
    let text = String::from_utf8(text.bytes.to_vec()).unwrap();
    let fields = [
        "id",
        "video_id",
        "object",
        "status",
        "lifecycle_status",
        "model",
        "provider",
        "native_video_id",
        "request_id",
        "session_id",
        "generation_id",
        "created_at",
        "started_at",
        "completed_at",
        "observed_at",
        "attempts",
        "polling_url",
        "poll_after_seconds",
        "cancel_url",
        "events_url",
        "websocket_url",
        "progress",
        "progress_source",
        "estimated_completion_at",
        "seconds",
        "size",
        "audio",
        "output_access",
        "content_url",
        "download_url",
        "expires_at",
        "asset",
        "outputs",
        "outputs_missing",
        "billing",
        "usage",
        "error",
        "metadata",
        "webhook",
        "assets_expire_at",
    ];
    let mut names: Vec<String> = done.as_object().unwrap().keys().cloned().collect();
    let mut expected = fields.map(str::to_owned).to_vec();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    let mut last = 0;
    for field in fields {
        let at = text[last..].find(&format!("\"{field}\":"));
        last += at.unwrap_or_else(|| panic!("{field} is out of order"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_decides_which_links_are_there() {
    let gate = Gate::open().await;
    let bytes = gate.completed(json!({"output": {"access": "bytes"}})).await;
    assert!(bytes.get("download_url").is_none() && bytes.get("expires_at").is_none());
    assert!(bytes["outputs"][0].get("download_url").is_none());
    let thumbnail = local(&bytes["outputs"][0]["thumbnail_url"]);
    gate.call("GET", &thumbnail).send().await.expect(401);
    gate.get(&thumbnail).await.expect(200);
    let signed = gate
        .completed(json!({"output": {"access": "signed_url"}}))
        .await;
    assert!(signed.get("content_url").is_none());
    assert!(signed["outputs"][0].get("content_url").is_none());
    assert!(signed["download_url"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_status_is_told_by_its_tag() {
    let gate = Gate::open().await;
    let made = gate
        .create(json!({"provider_params": {"simulate": {"render_seconds": 2}}}))
        .await;
    let uri = format!("/v1/videos/{}", id(&made));
    let first = gate.get(&uri).await.expect(200);
    let tag = first.header("etag").unwrap().to_owned();
    let tagged = |uri: String, tag: String| {
        let call = gate.call("GET", &uri).key(&gate.reader);
        async move { call.header("if-none-match", &tag).send().await }
    };
    let held = tagged(format!("{uri}?wait=60"), tag.clone()).await;
    if held.status == 200 {
        assert_ne!(held.header("etag"), Some(tag.as_str()));
    }
    let done = gate.get(&format!("{uri}?wait=60")).await.expect(200);
    let tag = done.header("etag").unwrap().to_owned();
    let same = tagged(uri.clone(), format!("\"x\", W/{tag}"))
        .await
        .expect(304);
    assert!(same.bytes.is_empty());
    assert_eq!(same.header("etag"), Some(tag.as_str()));
    tagged(format!("{uri}?wait=1"), tag).await.expect(304);
    tagged(uri.clone(), "\"x\"".into()).await.expect(200);
    let head = gate.call("HEAD", &uri).key(&gate.reader).send().await;
    assert!(head.expect(200).bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_the_bytes_can_be_had() {
    let gate = Gate::open().await;
    let done = gate.completed(json!({})).await;
    let uri = local(&done["content_url"]);
    let whole = gate.get(&uri).await.expect(200);
    let etag = whole.header("etag").unwrap().to_owned();
    assert_eq!(
        etag,
        format!("\"{}\"", done["asset"]["sha256"].as_str().unwrap())
    );
    for name in ["last-modified", "content-disposition", "content-length"] {
        assert!(whole.header(name).is_some(), "{name}");
    }
    assert_eq!(whole.header("content-security-policy"), Some("sandbox"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let part = |range: &str| {
        gate.call("GET", &uri)
            .key(&gate.reader)
            .header("range", range)
    };
    let some = part("bytes=5-9").send().await.expect(206);
    assert_eq!(some.bytes, whole.bytes[5..10]);
    let told = format!("bytes 5-9/{}", whole.bytes.len());
    assert_eq!(some.header("content-range"), Some(told.as_str()));
    assert_eq!(some.header("content-length"), Some("5"));
    let end = part("bytes=-3").send().await.expect(206);
    assert_eq!(end.bytes, whole.bytes[whole.bytes.len() - 3..]);
    let past = part("bytes=99999999-").send().await.expect(416);
    assert_eq!(past.json()["error"], "range_not_satisfiable");
    assert!(
        past.header("content-range")
            .unwrap()
            .starts_with("bytes */")
    );
    for range in ["bytes=0-1,3-4", "items=0-1"] {
        part(range).send().await.expect(200);
    }
    part("bytes=0-1")
        .header("if-range", &etag)
        .send()
        .await
        .expect(206);
    part("bytes=0-1")
        .header("if-range", "\"x\"")
        .send()
        .await
        .expect(200);
    let known = gate
        .call("GET", &uri)
        .key(&gate.reader)
        .header("if-none-match", &etag);
    known.send().await.expect(304);
    let head = gate
        .call("HEAD", &uri)
        .key(&gate.reader)
        .send()
        .await
        .expect(200);
    assert!(head.bytes.is_empty());
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );
    gate.get(&format!("{uri}?index=1")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_open_what_they_were_made_for() {
    let gate = Gate::open().await;
    let done = gate.completed(json!({})).await;
    let uri = format!("/v1/videos/{}/download_url", id(&done));
    let link = gate
        .post(&uri, json!({"ttl_seconds": 5, "disposition": "inline"}))
        .await
        .expect(200)
        .json();
    let left = link["expires_at"].as_i64().unwrap() - gate.engine.now().seconds();
    assert!((58..=60).contains(&left), "{left}");
    let link = local(&link["download_url"]);
    let bytes = gate.call("GET", &link).send().await.expect(200);
    assert!(
        bytes
            .header("content-disposition")
            .unwrap()
            .starts_with("inline")
    );
    let changed = link.replace("download_sig=", "download_sig=0");
    let refused = gate.call("GET", &changed).send().await.expect(403).json();
    assert_eq!(refused["error"], "forbidden");
    gate.call("GET", &format!("{link}&index=1"))
        .send()
        .await
        .expect(403);
    gate.call("GET", &format!("{link}&variant=thumbnail"))
        .send()
        .await
        .expect(403);
    gate.post(&uri, json!({"ttl_seconds": 3601}))
        .await
        .expect(400);
    gate.call("POST", &uri)
        .key(&gate.member)
        .send()
        .await
        .expect(200);
    gate.call("POST", &uri)
        .key(&gate.reader)
        .send()
        .await
        .expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_video_tells_why_and_can_be_tried_again() {
    let gate = Gate::open().await;
    let made = gate
        .create(json!({"provider_params": {"simulate": {"fail": "content_moderated"}}}))
        .await;
    let failed = gate.finished(id(&made)).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["code"], "content_moderated");
    assert_eq!(failed["error"]["type"], "user");
    assert_eq!(failed["usage"]["cost"], json!(0.0));
    assert_eq!(failed["billing"]["state"], "void");
    let content = gate.get(&local(&failed["content_url"])).await.expect(409);
    assert_eq!(content.header("x-should-retry"), Some("false"));
    assert_eq!(content.json()["reason"], "video_generation_failed");
    assert_eq!(content.json()["generation_id"], failed["generation_id"]);
    let uri = format!("/v1/videos/{}/retry", id(&failed));
    let keyed = || {
        gate.call("POST", &uri)
            .key(&gate.member)
            .header("idempotency-key", "k")
    };
    let again = keyed().send().await.expect(202).json();
    assert_eq!(again["retried_from"], failed["id"]);
    let replayed = keyed().send().await.expect(202);
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.json()["id"], again["id"]);
    let link = gate
        .post(
            &format!("/v1/videos/{}/download_url", id(&failed)),
            json!({}),
        )
        .await;
    assert_eq!(
        link.expect(400).json()["reason"],
        "video_download_requires_completed_status"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_video_stays_cancelled_and_can_be_deleted() {
    let gate = Gate::open().await;
    let made = gate
        .create(json!({"provider_params": {"simulate": {"render_seconds": 60}}}))
        .await;
    let uri = format!("/v1/videos/{}", id(&made));
    let early = gate
        .call("DELETE", &uri)
        .key(&gate.member)
        .send()
        .await
        .expect(400);
    assert_eq!(
        early.json()["reason"],
        "video_delete_requires_terminal_status"
    );
    for _ in 0..2 {
        let cancelled = gate
            .call("POST", &format!("{uri}/cancel"))
            .key(&gate.member)
            .send()
            .await;
        assert_eq!(cancelled.expect(200).json()["status"], "cancelled");
    }
    let timeline = gate
        .get(&format!("{uri}/timeline"))
        .await
        .expect(200)
        .json();
    assert_eq!(timeline["data"][0]["cause"], "created");
    let gone = gate
        .call("DELETE", &uri)
        .key(&gate.member)
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(
        gone,
        json!({"id": id(&made), "object": "video.deleted", "deleted": true})
    );
    for path in ["", "/content", "/timeline"] {
        let error = gate.get(&format!("{uri}{path}")).await.expect(404).json();
        assert_eq!(error["reason"], "video_deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_video_is_not_cancelled() {
    let gate = Gate::open().await;
    let done = gate.completed(json!({})).await;
    let uri = format!("/v1/videos/{}/cancel", id(&done));
    let error = gate
        .call("POST", &uri)
        .key(&gate.member)
        .send()
        .await
        .expect(400)
        .json();
    assert_eq!(error["reason"], "video_cancel_requires_non_terminal_status");
    let uri = format!("/v1/videos/{}/retry", id(&done));
    gate.call("POST", &uri)
        .key(&gate.member)
        .send()
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_page_by_page() {
    let gate = Gate::open().await;
    let mut made = Vec::new();
    for number in 0..5 {
        let session = format!("s{}", number % 2);
        made.push(id(&gate.create(json!({"session_id": session})).await).to_owned());
    }
    made.reverse();
    let ids = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap();
        data.iter().map(|video| id(video).to_owned()).collect()
    };
    let first = gate.get("/v1/videos?limit=2").await.expect(200).json();
    assert_eq!(
        (ids(&first), &first["has_more"]),
        (made[..2].to_vec(), &json!(true))
    );
    assert_eq!(
        (first["first_id"].as_str(), first["last_id"].as_str()),
        (Some(made[0].as_str()), Some(made[1].as_str()))
    );
    let rest = gate
        .get(&format!("/v1/videos?after={}", made[1]))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (ids(&rest), &rest["has_more"]),
        (made[2..].to_vec(), &json!(false))
    );
    let odd = gate
        .get("/v1/videos?session_id=s1&model=testcard")
        .await
        .expect(200)
        .json();
    assert_eq!(ids(&odd).len(), 2);
    let young = gate.get("/v1/videos?order=asc").await.expect(200).json();
    assert_eq!(ids(&young).len(), 0, "ascending lists stop short of now");
    for wrong in [
        "limit=0",
        "status=done",
        "order=up",
        "after=video_x",
        "created_after=x",
    ] {
        let error = gate
            .get(&format!("/v1/videos?{wrong}"))
            .await
            .expect(400)
            .json();
        let name = wrong.split('=').next().unwrap();
        assert_eq!(error["details"][0]["path"], name);
    }
    let theirs = gate
        .call("GET", "/v1/videos")
        .key(&gate.stranger)
        .send()
        .await
        .expect(200);
    assert_eq!(theirs.json()["data"], json!([]));
    let unknown = format!("/v1/videos?after={}", made[0]);
    gate.call("GET", &unknown)
        .key(&gate.stranger)
        .send()
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aliases_lead_to_the_same_videos() {
    let gate = Gate::open().await;
    let made = gate
        .post("/v1/video/generations", gate.order(json!({})))
        .await
        .expect(202)
        .json();
    let uri = format!("/v1/video/generations/{}", id(&made));
    let done = gate.get(&format!("{uri}?wait=60")).await.expect(200).json();
    assert_eq!(done["status"], "completed");
    gate.get(&format!("{uri}/content")).await.expect(200);
    gate.get("/v1/video/generations/models").await.expect(200);
    let record = gate
        .get(&format!(
            "/v1/generations?id={}",
            done["generation_id"].as_str().unwrap()
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(record["video_id"], done["id"]);
    assert_eq!(record["attempts"][0]["outcome"], "succeeded");
    assert_eq!(record["request"]["prompt"], "a paper boat");
    gate.post("/v1/videos/quote", record["request"].clone())
        .await
        .expect(200);
}

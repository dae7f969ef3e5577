//! What a job stored goes when its time is over, and every answer says so from then on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::gate::{Answer, Gate, Setup, local};

const KEPT: Duration = Duration::from_secs(60);
/// A picture of one pixel.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC";

async fn gate() -> Gate {
    let retention = Some(KEPT);
    Gate::set_up(Setup {
        retention,
        ..Setup::default()
    })
    .await
}

fn uri(video: &Value) -> String {
    format!("/v1/videos/{}", video["id"].as_str().unwrap())
}

/// The status after the next change of the video, and its tag.
async fn changed(gate: &Gate, video: &Value, seen: &str) -> (Value, String) {
    let waiting = gate.call("GET", &format!("{}?wait=60", uri(video)));
    let waiting = waiting.key(&gate.member).header("if-none-match", seen);
    let answer = waiting.send().await.expect(200);
    let tag = answer.header("etag").unwrap().to_owned();
    (answer.json(), tag)
}

async fn tag_of(gate: &Gate, video: &Value) -> String {
    let answer = gate.get(&uri(video)).await.expect(200);
    answer.header("etag").unwrap().to_owned()
}

async fn retry(gate: &Gate, video: &Value) -> Answer {
    gate.post(&format!("{}/retry", uri(video)), json!({})).await
}

/// Waits until nothing is stored any more: the row tells first, then the files go.
async fn nothing_is_stored(gate: &Gate) {
    let gone = async {
        while gate.stored_files() > 0 {
            gate.call("GET", "/health").send().await.expect(200);
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, gone)
        .await
        .expect("files stay");
}

/// What is due after the clock was moved is done.
async fn time_is_over(gate: &Gate) {
    gate.clock.advance(KEPT);
    gate.engine.run_due().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_shows_when_the_bytes_go_and_that_they_are_gone() {
    let gate = gate().await;
    for access in ["bytes", "signed_url", "both"] {
        let made = gate
            .create(json!({"prompt": access, "output": {"access": access}}))
            .await;
        assert_eq!(made["assets_expire_at"], Value::Null);
        let kept = gate.finished(made["id"].as_str().unwrap()).await;
        let end = kept["completed_at"].as_i64().unwrap();
        assert_eq!(kept["assets_expire_at"], end + 60, "{kept:#}");
        assert_eq!(kept["outputs"][0]["bytes_available"], true);
        let tag = tag_of(&gate, &kept).await;
        time_is_over(&gate).await;
        let (gone, later) = changed(&gate, &kept, &tag).await;
        assert_ne!(tag, later);

        // A link is null where the field may hold null, and absent where it may not.
        let mut expected = kept.clone();
        let signed = access != "bytes";
        let video = expected.as_object_mut().unwrap();
        video.remove("content_url");
        if signed {
            video.insert("download_url".into(), Value::Null);
            video.insert("expires_at".into(), Value::Null);
        }
        let output = expected["outputs"][0].as_object_mut().unwrap();
        for link in ["content_url", "download_url", "expires_at"] {
            output.remove(link);
        }
        output.insert("bytes_available".into(), json!(false));
        output.insert("thumbnail_url".into(), Value::Null);
        assert_eq!(gone, expected, "everything else stays");

        let list = gate.get("/v1/videos?limit=1").await.expect(200).json();
        assert_eq!(list["data"][0], gone);
    }
    nothing_is_stored(&gate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_gone_is_told_as_that_whatever_is_asked_of_it() {
    let gate = gate().await;
    let kept = gate.completed(json!({})).await;
    let tag = tag_of(&gate, &kept).await;
    let digest = format!("\"{}\"", kept["asset"]["sha256"].as_str().unwrap());
    time_is_over(&gate).await;
    changed(&gate, &kept, &tag).await;
    let content = local(&kept["content_url"]);
    let told = |answer: Answer, what: &str| {
        let refusal = answer.expect(410).json();
        assert_eq!(refusal["error"], "asset_expired", "{what}");
        assert_eq!(refusal["generation_id"], kept["generation_id"], "{what}");
        assert_eq!(refusal["error_type"], "user");
    };
    for (name, value) in [
        ("accept", "*/*"),
        ("range", "bytes=0-9"),
        ("range", "bytes=99999999-"),
        ("if-none-match", digest.as_str()),
    ] {
        let call = gate.call("GET", &content).key(&gate.reader);
        told(call.header(name, value).send().await, value);
    }
    for link in [&kept["download_url"], &kept["outputs"][0]["thumbnail_url"]] {
        let answer = gate.call("GET", &local(link)).send().await;
        told(answer, "a signed link");
    }
    told(
        gate.get(&format!("{content}?variant=thumbnail")).await,
        "a thumbnail",
    );
    let head = gate.call("HEAD", &content).key(&gate.reader).send().await;
    assert!(head.expect(410).bytes.is_empty());
    let link = format!("{}/download_url", uri(&kept));
    told(gate.post(&link, json!({})).await, "a new link");

    // What never was has not expired.
    let other = gate.get(&format!("{content}?index=1")).await.expect(404);
    assert_eq!(other.json()["reason"], "video_output_not_found");
    // The history tells when, and the owner may still delete the rest.
    let history = gate.get(&format!("{}/timeline", uri(&kept))).await;
    let history = history.expect(200).json();
    let last = history["data"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["cause"], &last["to"]),
        (&json!("bytes_expired"), &json!("completed"))
    );
    let delete = gate.call("DELETE", &uri(&kept)).key(&gate.member);
    delete.send().await.expect(200);
    let deleted = gate.get(&content).await.expect(404).json();
    assert_eq!(deleted["reason"], "video_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_lacks_its_inputs_names_them() {
    let gate = gate().await;
    let failing = json!({"provider_params": {"simulate": {"fail": "content_moderated"}}});
    let plain = gate.create(failing.clone()).await;
    gate.finished(plain["id"].as_str().unwrap()).await;
    let mut order = failing;
    order["input_reference"] = json!(PICTURE);
    let made = gate.create(order).await;
    let failed = gate.finished(made["id"].as_str().unwrap()).await;
    assert_eq!(failed["status"], "failed", "{failed:#}");
    assert_eq!(failed["assets_expire_at"], Value::Null, "it made nothing");
    assert_eq!(gate.stored_files(), 1);
    let again = retry(&gate, &failed).await.expect(202).json();
    gate.finished(again["id"].as_str().unwrap()).await;
    let (tag, later) = (tag_of(&gate, &failed).await, tag_of(&gate, &again).await);
    time_is_over(&gate).await;
    changed(&gate, &failed, &tag).await;
    changed(&gate, &again, &later).await;
    nothing_is_stored(&gate).await;

    let refusal = retry(&gate, &failed).await.expect(410).json();
    assert_eq!(refusal["error"], "asset_expired");
    let details = refusal["details"].as_array().unwrap();
    assert_eq!(details.len(), 1, "{refusal:#}");
    assert_eq!(details[0]["path"], "input_references[0]");
    retry(&gate, &plain).await.expect(202);
}

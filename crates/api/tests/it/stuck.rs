//! Parked work: operators see it, give it back, end it.

use std::time::Duration;

use filmgate_core::id::WorkspaceId;
use filmgate_store::{Intake, Places, WorkerId};
use serde_json::{Value, json};

use crate::gate::{Answer, Gate, Setup};

const LEASE: Duration = Duration::from_secs(60);

/// A gateway where nobody works yet.
async fn idle() -> Gate {
    Gate::set_up(Setup {
        idle: true,
        ..Setup::default()
    })
    .await
}

/// Workers claim what is due and are never heard of again, until it is parked.
async fn park_all(gate: &Gate) {
    for _ in 0..5 {
        let intake = Intake {
            by: WorkerId("dies".into()),
            now: gate.engine.now(),
            lease: LEASE,
            submit_lease: LEASE,
            limit: 10,
            places: Places::default(),
        };
        let claims = gate.engine.store().claim_due(&intake).await.unwrap();
        assert!(!claims.is_empty(), "nothing is due");
        gate.clock.advance(LEASE);
    }
    gate.engine.run_due().await.unwrap();
}

async fn jobs(gate: &Gate, query: &str) -> Value {
    let uri = format!("/v1/admin/jobs{query}");
    let page = gate.call("GET", &uri).key(&gate.admin).send().await;
    page.expect(200).json()
}

/// Calls `verb` on the job, as an admin.
async fn tell(gate: &Gate, id: &str, verb: &str) -> Answer {
    let uri = format!("/v1/admin/jobs/{id}/{verb}");
    gate.call("POST", &uri).key(&gate.admin).send().await
}

/// The last line of the operators' log.
async fn last_action(gate: &Gate) -> Value {
    let log = gate.call("GET", "/v1/admin/actions?limit=1");
    log.key(&gate.admin).send().await.expect(200).json()["data"][0].take()
}

async fn workspace_of(gate: &Gate, key: &str) -> WorkspaceId {
    let own = gate.call("GET", "/v1/key").key(key).send().await;
    let own = own.expect(200).json();
    own["workspace_id"].as_str().unwrap().parse().unwrap()
}

async fn order(gate: &Gate, prompt: &str) -> String {
    let made = gate.create(json!({"prompt": prompt})).await;
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_work_is_listed_oldest_first_page_by_page() {
    let gate = idle().await;
    assert_eq!(
        jobs(&gate, "").await,
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})
    );
    let ids = [
        order(&gate, "first").await,
        order(&gate, "second").await,
        order(&gate, "third").await,
    ];
    park_all(&gate).await;

    let page = jobs(&gate, "?limit=2").await;
    assert_eq!(
        (&page["first_id"], &page["last_id"], &page["has_more"]),
        (&json!(ids[0]), &json!(ids[1]), &json!(true))
    );
    let status = gate.get(&format!("/v1/videos/{}", ids[0])).await;
    let status = status.expect(200).json();
    assert_eq!(status["status"], "queued", "its owner sees it wait");
    let row = &page["data"][0];
    let created_at = status["created_at"].as_i64().unwrap();
    let parked_at = row["parked_at"].as_i64().unwrap();
    assert!(parked_at >= created_at + 300, "{row:#}");
    let ours = workspace_of(&gate, &gate.member).await;
    assert_eq!(
        row,
        &json!({
            "id": ids[0],
            "object": "parked_job",
            "workspace_id": ours.to_string(),
            "model": "filmgate/testcard",
            "account": "testcard",
            "status": "queued",
            "created_at": created_at,
            "parked_at": parked_at,
            "reason": "whoever worked on it died 5 times in a row, while it was accepted",
            "until": created_at + 6 * 3600,
        })
    );
    let rest = jobs(&gate, &format!("?after={}", ids[1])).await;
    assert_eq!(
        (&rest["first_id"], &rest["last_id"], &rest["has_more"]),
        (&json!(ids[2]), &json!(ids[2]), &json!(false))
    );

    let all = jobs(&gate, &format!("?workspace_id={ours}")).await;
    assert_eq!(all["data"].as_array().unwrap().len(), 3);
    let theirs = workspace_of(&gate, &gate.stranger).await;
    let none = jobs(&gate, &format!("?workspace_id={theirs}")).await;
    assert_eq!(none["data"], json!([]));

    for (query, field) in [
        ("workspace_id=ours", "workspace_id"),
        ("after=first", "after"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
    ] {
        let call = gate.call("GET", &format!("/v1/admin/jobs?{query}"));
        let refusal = call.key(&gate.admin).send().await.expect(400).json();
        assert_eq!(refusal["details"][0]["path"], field, "{refusal:#}");
    }
    // A page goes on behind a job that is parked no more.
    tell(&gate, &ids[0], "unpark").await.expect(200);
    let behind = jobs(&gate, &format!("?after={}&limit=1", ids[0])).await;
    assert_eq!(behind["first_id"], json!(ids[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_back_is_done() {
    let gate = idle().await;
    let id = order(&gate, "poison no more").await;
    park_all(&gate).await;
    let parked = jobs(&gate, "").await["data"][0].take();
    let answer = tell(&gate, &id, "unpark").await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json(), parked);
    assert_eq!(jobs(&gate, "").await["data"], json!([]));
    let line = last_action(&gate).await;
    assert_eq!(line["action"], "job.unparked");
    assert_eq!(line["object_id"], json!(id));
    assert_eq!(line["workspace_id"], parked["workspace_id"]);
    assert_eq!(line["detail"], json!({"reason": parked["reason"]}));
    assert!(line["key_id"].is_string() && line["request_id"].is_string());
    for verb in ["unpark", "end"] {
        let refusal = tell(&gate, &id, verb).await.expect(404).json();
        assert_eq!(
            (&refusal["error"], &refusal["reason"]),
            (&json!("not_found"), &json!("job_not_parked"))
        );
    }
    assert_eq!(
        last_action(&gate).await,
        line,
        "a refused call leaves no line"
    );
    gate.engine.start();
    let done = gate.finished(&id).await;
    assert_eq!(
        (&done["status"], &done["attempts"]),
        (&json!("completed"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_ended_gives_its_hold_back() {
    for submitted in [false, true] {
        let gate = idle().await;
        let id = order(&gate, "poison").await;
        if submitted {
            gate.engine.run_due().await.unwrap();
            gate.clock.advance(LEASE);
        }
        park_all(&gate).await;
        let mut expected = jobs(&gate, "").await["data"][0].take();
        let was = if submitted { "processing" } else { "queued" };
        assert_eq!(expected["status"], was);
        let held = gate.get("/v1/credits").await.expect(200).json();
        assert_eq!(held["reserved_nanos"], 10_000_000);

        expected["status"] = json!("failed");
        assert_eq!(tell(&gate, &id, "end").await.expect(200).json(), expected);
        assert_eq!(jobs(&gate, "").await["data"], json!([]));
        let status = gate.get(&format!("/v1/videos/{id}")).await;
        let status = status.expect(200).json();
        assert_eq!(status["status"], "failed");
        assert_eq!(status["error"]["code"], "gateway_error");
        let billing = &status["billing"];
        assert_eq!(
            (&billing["state"], &billing["reservation_status"]),
            (&json!("void"), &json!("released"))
        );
        assert_eq!(billing["provider_may_have_charged"], submitted);
        let funds = gate.get("/v1/credits").await.expect(200).json();
        assert_eq!(
            (&funds["reserved_nanos"], &funds["balance_nanos"]),
            (&json!(0), &json!(0))
        );

        let line = last_action(&gate).await;
        assert_eq!(
            (&line["action"], &line["object_id"]),
            (&json!("job.ended"), &json!(id))
        );
        let history = gate.get(&format!("/v1/videos/{id}/timeline")).await;
        let history = history.expect(200).json();
        let last = history["data"].as_array().unwrap().last().unwrap();
        let operator = format!("operator:{}", line["key_id"].as_str().unwrap());
        assert_eq!(
            (&last["cause"], &last["actor"]),
            (&json!("written_off"), &json!(operator))
        );
        tell(&gate, &id, "end").await.expect(404);
        let again = gate
            .post(&format!("/v1/videos/{id}/retry"), json!({}))
            .await;
        again.expect(202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_are_told_of_parked_work_and_only_of_what_is_parked() {
    let gate = idle().await;
    let id = order(&gate, "poison").await;
    park_all(&gate).await;
    let healthy = order(&gate, "healthy").await;
    for key in [&gate.member, &gate.reader, &gate.stranger] {
        let list = gate.call("GET", "/v1/admin/jobs").key(key).send().await;
        list.expect(403);
        for verb in ["unpark", "end"] {
            let uri = format!("/v1/admin/jobs/{id}/{verb}");
            gate.call("POST", &uri).key(key).send().await.expect(403);
        }
    }
    for verb in ["unpark", "end"] {
        for id in [
            healthy.as_str(),
            "video_00000000000000000000000000",
            "%FF",
            "x",
        ] {
            let refusal = tell(&gate, id, verb).await.expect(404).json();
            assert_eq!(refusal["reason"], "job_not_parked", "{id}");
        }
    }
    let page = jobs(&gate, "").await;
    assert_eq!(
        (&page["first_id"], &page["last_id"]),
        (&json!(id), &json!(id))
    );
}

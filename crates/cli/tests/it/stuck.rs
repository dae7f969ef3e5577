//! Work that is stuck: what whoever does it dies of is parked, and operators end it or give it back; what a provider
//! does not answer is given up.

use std::time::Duration;

use filmgate_core::time::UnixTime;
use filmgate_store::sqlite::{Config, SqliteStore};
use filmgate_store::{Intake, Places, Store, WorkerId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of};
use crate::order::Order;
use crate::status_object;

/// The first death is enough.
pub(crate) const SETTING: &str = "[engine]\npark_after = 1";

/// Far more than passes until the plug is pulled, and all that a job takes which is given back.
const SUBMIT_SECONDS: u32 = 8;

/// A job for each of `keys`, and another gateway, which has parked them: the one they were made by died while it
/// submitted them.
pub(crate) async fn parked(gate: Gate, keys: &[&str]) -> (Gate, Vec<String>) {
    let mut ids = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let order = Order::of(&format!("poison {number}"))
            .simulate(json!({"submit_seconds": SUBMIT_SECONDS}));
        let create = gate.post("/v1/videos").key(key).json(order.body());
        let made = create.send().await.expect(202).json();
        ids.push(id_of(&made).to_owned());
    }
    for (id, key) in ids.iter().zip(keys) {
        wait_submitting(&gate, id, key).await;
    }
    let gate = gate.kill().await.start().await;
    let all = async { while listed(&gate).await.len() < ids.len() {} };
    let patience = Duration::from_secs(30);
    let are_parked = tokio::time::timeout(patience, all).await;
    assert!(are_parked.is_ok(), "not all are parked");
    (gate, ids)
}

/// Waits until the attempt's row is on disk and its message on its way.
async fn wait_submitting(gate: &Gate, id: &str, key: &str) {
    let path = format!("/v1/videos/{id}");
    let get = |path: &str| gate.get(path).key(key);
    let mut seen = get(&path).send().await.expect(200);
    loop {
        let history = get(&format!("{path}/timeline")).send().await.expect(200);
        let history = history.json();
        let last = history["data"].as_array().unwrap().last().unwrap();
        match last["to"].as_str().unwrap() {
            "submitting" => return,
            "accepted" => {}
            _ => panic!("nobody saw it being submitted: {history:#}"),
        }
        let next = get(&format!("{path}?wait=60")).header("if-none-match", seen.header("etag"));
        seen = next.send().await.expect(200);
    }
}

async fn listed(gate: &Gate) -> Vec<Value> {
    let page = gate.get("/v1/admin/jobs").send().await.expect(200).json();
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_job_that_killed_its_gateway_waits_for_an_operator_who_gives_it_back() {
    let gate = Gate::configured(SETTING).await;
    let key = gate.key.clone();
    let (gate, ids) = parked(gate, &[&key]).await;
    let id = ids[0].as_str();
    // Its owner sees it wait; others are not held up.
    assert_eq!(gate.status(id).await["status"], "queued");
    gate.completed(&Order::of("a neighbour")).await;

    let shown = gate.run(&["jobs", "list"]).await.succeeded();
    for word in [
        id,
        "queued",
        "testcard",
        "died once, while it was submitting",
    ] {
        assert!(shown.out.contains(word), "{word} is not told of: {shown:?}");
    }
    assert_eq!(shown.out.lines().count(), 1, "{shown:?}");
    let page = gate.run(&["--json", "jobs", "list", "--limit", "1"]).await;
    assert_eq!(page.succeeded().json()["data"], json!(listed(&gate).await));

    let home = gate.stop().await;
    let sick = home.run(&["doctor"]).await.failed();
    let work = sick.out.lines().find(|line| line.contains("work")).unwrap();
    for word in ["WRONG", "parked jobs: 1;", id, "`filmgate jobs list`"] {
        assert!(work.contains(word), "{word} is not told of: {sick:?}");
    }
    // Without a gateway of its own running, a command starts one: it is parked there as well.
    let shown = home.run(&["jobs", "list"]).await.succeeded();
    assert!(shown.out.contains(id), "{shown:?}");

    let gate = home.start().await;
    let unparked = gate.run(&["jobs", "unpark", id]).await.succeeded();
    assert_eq!(unparked.out, format!("{id} is given back to work\n"));
    let none = gate.run(&["jobs", "list"]).await.succeeded();
    assert_eq!(
        (none.out.as_str(), none.err.as_str()),
        ("", "no job is parked\n")
    );
    let twice = gate.run(&["jobs", "unpark", id]).await.failed();
    assert!(twice.err.contains("no such job is parked"), "{twice:?}");
    let done = gate.wait_terminal(id).await;
    // The first submit went nowhere with the gateway that sent it.
    assert_eq!(
        (&done["status"], &done["attempts"]),
        (&json!("completed"), &json!(2)),
        "{done:#}"
    );
    let audit = gate.stop().await.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!(audit.under_way, 0);
}

#[tokio::test]
async fn a_job_that_an_operator_ends_fails_and_holds_nothing() {
    let gate = Gate::configured(SETTING).await;
    let workspace = gate.new_workspace("studio").await;
    let owner = gate.new_key("member", Some(&workspace)).await;
    let (gate, ids) = parked(gate, &[&owner]).await;
    let id = ids[0].as_str();
    for (arguments, expected) in [
        (["jobs", "end", "poison"], "poison"),
        (["jobs", "unpark", "video_1/../x"], "video_1/../x"),
    ] {
        let refused = gate.run(&arguments).await.failed();
        assert!(refused.err.contains(expected), "{refused:?}");
    }
    let nobodys = format!("video_{}", "0".repeat(26));
    let refused = gate
        .run(&["--json", "jobs", "end", &nobodys])
        .await
        .failed();
    assert_eq!(refused.json()["reason"], "job_not_parked");
    let mut member = gate.home().command(&["jobs", "end", id]);
    member.env("FILMGATE_URL", &gate.address);
    let refused = member.env("FILMGATE_KEY", &owner).output().await.unwrap();
    assert!(!refused.status.success(), "a member has ended it");

    let mut expected = listed(&gate).await[0].take();
    expected["status"] = json!("failed");
    let elsewhere = gate.run(&["jobs", "list", "--workspace", &workspace]).await;
    assert!(elsewhere.succeeded().out.contains(id));
    let ended = gate.run(&["--json", "jobs", "end", id]).await.succeeded();
    assert_eq!(ended.json(), expected);

    let status = gate.get(&format!("/v1/videos/{id}")).key(&owner);
    let status = status_object::whole(status.send().await.expect(200).json());
    assert_eq!(
        (&status["status"], &status["error"]["code"]),
        (&json!("failed"), &json!("gateway_error"))
    );
    let billing = &status["billing"];
    assert_eq!(
        (&billing["state"], &billing["reservation_status"]),
        (&json!("void"), &json!("released"))
    );
    assert_eq!(
        billing["provider_may_have_charged"], true,
        "it was submitted"
    );
    let log = gate.get("/v1/admin/actions?limit=1").send().await;
    let line = log.expect(200).json()["data"][0].take();
    assert_eq!(
        (&line["action"], &line["object_id"], &line["workspace_id"]),
        (&json!("job.ended"), &json!(id), &json!(workspace))
    );
    let last = gate.call(Method::GET, &format!("/v1/videos/{id}/timeline"));
    let history = last.key(&owner).send().await.expect(200).json();
    let last = history["data"].as_array().unwrap().last().unwrap();
    let operator = format!("operator:{}", line["key_id"].as_str().unwrap());
    assert_eq!(last["actor"], operator);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_the_time_set_for_it_is_given_up() {
    let gate = Gate::configured("[engine]\ncall_seconds = 1").await;
    let order = Order::of("no answer").simulate(json!({"submit_seconds": 3600}));
    let made = gate.create(&order).await;
    // What became of the submit is looked up: the provider has it.
    gate.wait_processing(id_of(&made)).await;
    let path = format!("/v1/videos/{}/timeline", id_of(&made));
    let history = gate.get(&path).send().await.expect(200).json();
    assert!(
        history.to_string().contains("did not answer within 1 s"),
        "{history:#}"
    );
    gate.cancel(id_of(&made)).await;
    gate.wait_settled(id_of(&made)).await;
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn doctor_tells_since_when_work_waits_that_nobody_does() {
    let gate = Gate::start().await;
    let made = gate.create(&Order::of("forgotten").endless()).await;
    gate.wait_processing(id_of(&made)).await;
    let home = gate.stop().await;
    home.doctor().await;
    let calm = home.run(&["doctor"]).await.succeeded();
    assert!(calm.out.contains("no job is parked"), "{calm:?}");
    assert!(!calm.out.contains("due since"), "{calm:?}");
    forget(&home, id_of(&made)).await;
    let late = home.run(&["doctor"]).await.failed();
    assert!(
        late.out.contains("work is due since 2001-09-09T01:46:40Z"),
        "{late:?}"
    );
}

/// A worker parks the job until an instant that was long ago.
async fn forget(home: &Home, id: &str) {
    let database = Config::at(home.data().join("filmgate.db"));
    let store = SqliteStore::open(database).unwrap();
    let now = UnixTime::from_seconds(i64::from(u32::MAX));
    let lease = Duration::from_secs(60);
    let intake = Intake {
        by: WorkerId("forgets".into()),
        now,
        lease,
        submit_lease: lease,
        limit: 1,
        places: Places::default(),
    };
    let claims = store.claim_due(&intake).await.unwrap();
    let job = &claims[0].job;
    assert_eq!(job.admission.id.to_string(), id);
    let long_ago = UnixTime::from_seconds(1_000_000_000);
    let parked = store
        .park(job.admission.id, job.fence, "forgotten", long_ago, now)
        .await;
    assert!(parked.unwrap());
    store.close().await;
}

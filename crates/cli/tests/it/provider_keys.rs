//! Workspaces' own credentials: whose key each message to a provider carries, whatever happens to that key meanwhile, and
//! that no secret is ever seen again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use filmgate_upstreams::runway;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::gate::{Done, Gate, Home, files_below, id_of};
use crate::order::Order;

const OPERATORS: &str = "sk-operator-0123456789";
const OURS: &str = "sk-ours-aaaaaaaa-0123456789";
const RENEWED: &str = "sk-ours-bbbbbbbb-9876543210";
/// The server knows it not.
const WRONG: &str = "sk-wrong-0123456789";
/// A second of either model costs two cents.
const MODEL: &str = "local/wan";
const PRICE: i64 = 20_000_000;

/// A server that renders until it is told to be done, and notes whose key came with what.
struct Server {
    address: SocketAddr,
    desk: Arc<Desk>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Desk {
    seen: Mutex<Vec<(String, String)>>,
    came: Notify,
    done: Mutex<bool>,
}

impl Server {
    async fn start() -> Self {
        let desk: Arc<Desk> = Arc::default();
        let app = axum::Router::new()
            .route("/v1/videos", post(create))
            .route("/v1/videos/{id}", get(look).delete(remove))
            .route("/v1/videos/{id}/content", get(content))
            .with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            desk,
            _task: task,
        }
    }

    /// A provider of this name at this server, with the operator's own key and a model of its own.
    fn provider(&self, name: &str, model: &str) -> String {
        format!(
            r#"
[providers.{name}]
kind = "openai-compatible"
base_url = "http://{}/v1"
api_key = "{OPERATORS}"
poll_every = "20ms"
[[providers.{name}.models]]
id = "{model}"
native_model_id = "wan"
durations = [1, 2]
sizes = ["320x180"]
price = {{ output_second = "0.02" }}
"#,
            self.address
        )
    }

    fn home(&self) -> Home {
        Home::new().configured(&self.provider("gpu-box", MODEL))
    }

    fn release(&self) {
        *self.desk.done.lock().unwrap() = true;
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.desk.seen.lock().unwrap().clone()
    }

    /// The keys that came, in order, each once in a row.
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.seen().into_iter().map(|(_, key)| key).collect();
        keys.dedup();
        keys
    }

    /// Waits for so many messages that carry `key`.
    async fn hears(&self, key: &str, times: usize) {
        loop {
            let came = self.desk.came.notified();
            let seen = self.seen();
            if seen.iter().filter(|(_, carried)| carried == key).count() >= times {
                return;
            }
            tokio::time::timeout(std::time::Duration::from_secs(60), came)
                .await
                .expect("a message with this key comes");
        }
    }
}

impl Desk {
    /// Answers the key.
    fn note(&self, request: &Request) -> String {
        let key = request.headers().get("authorization");
        let key = key.map_or("", |key| key.to_str().unwrap());
        let key = key.strip_prefix("Bearer ").unwrap_or(key).to_owned();
        self.seen
            .lock()
            .unwrap()
            .push((request.method().to_string(), key.clone()));
        self.came.notify_waiters();
        key
    }

    fn video(status: &str) -> Response {
        Json(json!({"id": "video_gen_1", "object": "video", "status": status, "progress": 0, "file_name": null}))
            .into_response()
    }
}

async fn create(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    if desk.note(&request) == WRONG {
        let refusal = json!({"error": {"message": "no such key", "type": "invalid_request_error"}});
        return (reqwest::StatusCode::UNAUTHORIZED, Json(refusal)).into_response();
    }
    Desk::video("queued")
}

async fn look(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    desk.note(&request);
    let done = *desk.done.lock().unwrap();
    Desk::video(if done { "completed" } else { "in_progress" })
}

async fn remove(State(desk): State<Arc<Desk>>, request: Request) -> Json<Value> {
    desk.note(&request);
    Json(json!({"id": "video_gen_1", "object": "video.deleted", "deleted": true}))
}

async fn content(State(desk): State<Arc<Desk>>, request: Request) -> Bytes {
    desk.note(&request);
    crate::own_provider::film()
}

fn a_boat() -> Order {
    Order::of("a boat").with("model", MODEL)
}

async fn add(gate: &Gate, provider: &str, secret: &str, workspace: Option<&str>) -> Value {
    let mut body = json!({"provider": provider, "secret": secret, "label": "our own"});
    if let Some(workspace) = workspace {
        body["workspace_id"] = json!(workspace);
    }
    let add = gate.post("/v1/provider-keys").json(&body);
    add.send().await.created()
}

/// No file below `root` has any of these texts in it.
fn is_nowhere(root: &Path, texts: &[&str]) {
    let files = files_below(root);
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(root.join(&file)).unwrap();
        for text in texts {
            let found = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!found, "{file} has a secret in it");
        }
    }
}

#[tokio::test]
async fn a_workspaces_own_key_is_used_for_its_jobs_and_for_nobody_elses() {
    let server = Server::start().await;
    server.release();
    let gate = server
        .home()
        .configured("[billing]\nmode = \"prepaid\"")
        .start()
        .await;
    let key = add(&gate, "gpu-box", OURS, None).await;
    assert_eq!(
        (
            &key["object"],
            &key["provider"],
            &key["hint"],
            &key["label"]
        ),
        (
            &json!("provider_key"),
            &json!("gpu-box"),
            &json!("6789"),
            &json!("our own")
        )
    );
    // Nothing is held, so that no funds are needed.
    let quote = gate.post("/v1/videos/quote").json(a_boat().body());
    let quote = quote.send().await.expect(200).json();
    assert_eq!(
        (&quote["quote_nanos"], &quote["hold_nanos"]),
        (&json!(0), &Value::Null)
    );
    let video = gate.completed(&a_boat()).await;
    assert_eq!(server.keys(), [OURS]);
    let billing = &video["billing"];
    assert_eq!(
        (&billing["charge_reason"], &billing["total_nanos"]),
        (&json!("byok"), &json!(0))
    );
    assert_eq!(billing["settled_provider_cost"], "0.02");
    assert_eq!(
        (&video["usage"]["is_byok"], &billing["state"]),
        (&json!(true), &json!("void"))
    );
    let usage = gate.get("/v1/usage").send().await.expect(200).json();
    assert_eq!(usage["total"]["provider_cost_nanos"], 0, "{usage:#}");

    // A workspace without one of its own has the operator's, which is paid for.
    let other = gate.new_workspace("other").await;
    let member = gate.new_key("member", Some(&other)).await;
    let create = gate.post("/v1/videos").key(&member).json(a_boat().body());
    create.send().await.refused(402, "insufficient_funds");
    let credit = json!({"workspace_id": other, "amount": "1", "reason": "a test"});
    let credited = gate.post("/v1/credits").json(&credit).send().await;
    assert!(credited.status < 300, "{}", credited.text());
    let create = gate
        .post("/v1/videos")
        .key(&member)
        .header("Prefer", "wait=60")
        .json(a_boat().body());
    let video = create.send().await.json();
    let path = format!("/v1/videos/{}?wait=60", id_of(&video));
    let video = gate.get(&path).key(&member).send().await.expect(200).json();
    assert_eq!(video["billing"]["total_nanos"], PRICE, "{video:#}");
    assert_eq!(video["usage"]["is_byok"], false);
    assert_eq!(server.keys(), [OURS, OPERATORS]);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn the_operators_fee_is_held_and_charged_and_nothing_else() {
    let server = Server::start().await;
    server.release();
    let fee = "[billing]\nbyok_fee_basis_points = 250\nmarkup_basis_points = 5000";
    let gate = server.home().configured(fee).start().await;
    add(&gate, "gpu-box", OURS, None).await;
    let video = gate.completed(&a_boat().with("duration", 2)).await;
    let billing = &video["billing"];
    // The film lasts a second, whatever was ordered.
    assert_eq!(
        (&billing["estimated_nanos"], &billing["total_nanos"]),
        (&json!(2 * PRICE / 40), &json!(PRICE / 40)),
        "{billing:#}"
    );
    assert_eq!(billing["charge_reason"], "byok");
    let credits = gate.get("/v1/credits").send().await.expect(200).json();
    assert_eq!(credits["balance_nanos"], -PRICE / 40, "{credits:#}");
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn a_new_secret_serves_jobs_under_way_and_a_restart_knows_it() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    let key = add(&gate, "gpu-box", OURS, None).await;
    let video = gate.create(&a_boat()).await;
    gate.wait_processing(id_of(&video)).await;
    let rotate = format!("/v1/provider-keys/{}/rotate", id_of(&key));
    let rotated = gate.post(&rotate).json(&json!({"secret": RENEWED}));
    let rotated = rotated.send().await.expect(200).json();
    assert_eq!(rotated["hint"], "3210");
    assert!(rotated["rotated_at"].is_i64());
    server.hears(RENEWED, 1).await;
    let gate = gate.restart().await;
    server.release();
    let ended = gate.wait_terminal(id_of(&video)).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert_eq!(server.keys(), [OURS, RENEWED]);
}

#[tokio::test]
async fn a_deleted_key_serves_its_jobs_to_their_end_and_takes_no_new_ones() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    let key = add(&gate, "gpu-box", OURS, None).await;
    let path = format!("/v1/provider-keys/{}", id_of(&key));
    let pinned = gate.create(&a_boat()).await;
    gate.wait_processing(id_of(&pinned)).await;
    let deleted = gate.delete(&path).send().await.expect(200).json();
    assert!(deleted["deleted_at"].is_i64());
    let rotate = gate
        .post(&format!("{path}/rotate"))
        .json(&json!({"secret": RENEWED}));
    let refused = rotate.send().await.refused(400, "validation_error");
    assert_eq!(refused["reason"], "provider_key_deleted");

    let quote = gate.post("/v1/videos/quote").json(a_boat().body());
    let quote = quote.send().await.expect(200).json();
    assert_eq!(
        quote["quote_nanos"], PRICE,
        "the next one is the operator's"
    );
    server.release();
    let ended = gate.wait_terminal(id_of(&pinned)).await;
    assert_eq!(
        (&ended["status"], &ended["usage"]["is_byok"]),
        (&json!("completed"), &json!(true))
    );
    assert_eq!(server.keys(), [OURS]);
    gate.completed(&Order::of("another").with("model", MODEL))
        .await;
    assert_eq!(server.keys(), [OURS, OPERATORS]);
    let again = add(&gate, "gpu-box", RENEWED, None).await;
    assert_ne!(id_of(&again), id_of(&key));
}

#[tokio::test]
async fn a_job_that_is_given_up_is_cancelled_with_the_key_it_was_made_with() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    let key = add(&gate, "gpu-box", OURS, None).await;
    let video = gate.create(&a_boat()).await;
    gate.wait_processing(id_of(&video)).await;
    let path = format!("/v1/provider-keys/{}", id_of(&key));
    gate.delete(&path).send().await.expect(200);
    gate.cancel(id_of(&video)).await;
    let settled = gate.wait_settled(id_of(&video)).await;
    assert_eq!(settled["billing"]["total_nanos"], 0);
    assert!(server.seen().contains(&("DELETE".into(), OURS.into())));
    assert_eq!(server.keys(), [OURS]);
}

#[tokio::test]
async fn a_secret_is_in_no_answer_no_log_no_file_and_no_backup() {
    let server = Server::start().await;
    let home = server.home().environment("RUST_LOG", "debug");
    let gate = home.start().await;
    let mut answers = Vec::new();
    let body = json!({"provider": "gpu-box", "secret": OURS});
    for _ in 0..2 {
        let add = gate.post("/v1/provider-keys").json(&body);
        let answer = add.header("Idempotency-Key", "once").send().await;
        assert_eq!(answer.status, 201);
        answers.push(answer.text());
    }
    let first: Value = serde_json::from_str(&answers[0]).unwrap();
    let second: Value = serde_json::from_str(&answers[1]).unwrap();
    assert_eq!(first, second);
    let another = json!({"provider": "gpu-box", "secret": RENEWED});
    let conflict = gate.post("/v1/provider-keys").json(&another);
    let conflict = conflict.header("Idempotency-Key", "once").send().await;
    conflict.refused(409, "idempotency_conflict");
    let taken = gate.post("/v1/provider-keys").json(&another).send().await;
    let refused = taken.refused(400, "validation_error");
    assert_eq!(refused["reason"], "provider_key_exists");
    for (provider, secret, field) in [
        ("nobody", json!(RENEWED), "provider"),
        (
            "gpu-box",
            json!(format!("{RENEWED} with a space")),
            "secret",
        ),
        ("gpu-box", json!({"private_key": RENEWED}), "secret"),
        ("gpu-box", Value::Null, "secret"),
        ("gpu-box", json!("k".repeat(16_385)), "secret"),
    ] {
        let body = json!({"provider": provider, "secret": secret});
        let answer = gate.post("/v1/provider-keys").json(&body).send().await;
        let told = answer.refused_field("validation_error", field);
        if provider == "nobody" {
            assert!(
                told.contains("gpu-box") && told.contains("testcard"),
                "{told}"
            );
        }
        answers.push(answer.text());
    }
    let video = gate.create(&a_boat()).await;
    gate.wait_processing(id_of(&video)).await;
    let backup = gate.home().path().join("backup.db");
    let target = backup.to_str().unwrap().to_owned();
    gate.home().run(&["backup", &target]).await.succeeded();
    let path = format!("/v1/provider-keys/{}", id_of(&first));
    let rotate = gate.post(&format!("{path}/rotate"));
    let rotate = rotate.json(&json!({"secret": RENEWED})).send().await;
    answers.push(rotate.expect(200).text());
    server.release();
    gate.wait_terminal(id_of(&video)).await;
    for path in [
        path.as_str(),
        "/v1/provider-keys",
        "/v1/admin/actions",
        &format!("/v1/videos/{}", id_of(&video)),
    ] {
        answers.push(gate.get(path).send().await.expect(200).text());
    }
    let log: Value = serde_json::from_str(&answers[answers.len() - 2]).unwrap();
    let kinds: Vec<&str> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["action"].as_str())
        .filter(|kind| kind.starts_with("provider_key"))
        .collect();
    assert_eq!(kinds, ["provider_key.rotated", "provider_key.added"]);
    for answer in answers {
        assert!(
            !answer.contains(OURS) && !answer.contains(RENEWED),
            "{answer}"
        );
    }
    let home = gate.stop().await;
    let log = home.log();
    assert!(log.contains("provider key"), "{log}");
    is_nowhere(home.path(), &[OURS, RENEWED]);
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_does_not_start() {
    const MASTER: &str = "FILMGATE_SECURITY__MASTER_KEY";
    let server = Server::start().await;
    let home = server.home().environment(MASTER, &"1a".repeat(32));
    let gate = home.start().await;
    add(&gate, "gpu-box", OURS, None).await;
    let home = gate.stop().await.environment(MASTER, &"2b".repeat(32));
    let refused = home.run(&["workspaces", "list"]).await.failed();
    assert!(refused.err.contains("master key"), "{refused:?}");
    let gate = home.environment(MASTER, &"1a".repeat(32)).start().await;
    server.release();
    gate.completed(&a_boat()).await;
    assert_eq!(server.keys(), [OURS]);
}

#[tokio::test]
async fn a_route_on_own_keys_never_falls_back_on_the_operators() {
    let (ours, theirs) = (Server::start().await, Server::start().await);
    let declared = ours.provider("a-box", MODEL) + &theirs.provider("b-box", MODEL);
    let home = Home::new().configured(&declared);
    let gate = home.start().await;
    add(&gate, "b-box", OURS, None).await;
    let quote = async |order: Order| {
        let quote = gate.post("/v1/videos/quote").json(order.body());
        quote.send().await.expect(200).json()
    };
    let mixed = quote(a_boat()).await;
    assert_eq!(mixed["route"], json!(["b-box"]));
    assert_eq!(mixed["dropped"][0]["provider"], "a-box");
    let reason = mixed["dropped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("credential of its own"), "{reason}");
    let only = quote(a_boat().with("provider", json!({"only": ["a-box"]}))).await;
    assert_eq!(
        (&only["route"], &only["quote_nanos"]),
        (&json!(["a-box"]), &json!(PRICE))
    );
    theirs.release();
    let video = gate.completed(&a_boat()).await;
    assert_eq!(video["provider"], "b-box");
    assert!(ours.seen().is_empty());
}

#[tokio::test]
async fn a_workspaces_wrong_key_is_no_word_on_the_operators_account() {
    let server = Server::start().await;
    server.release();
    let gate = server.home().start().await;
    let other = gate.new_workspace("other").await;
    let member = gate.new_key("member", Some(&other)).await;
    add(&gate, "gpu-box", WRONG, Some(&other)).await;
    for number in 0..6 {
        let order = Order::of(&format!("number {number}")).with("model", MODEL);
        let create = gate.post("/v1/videos").key(&member).json(order.body());
        create.send().await.expect(202);
    }
    // As many as open a breaker.
    server.hears(WRONG, 5).await;
    gate.completed(&a_boat()).await;
    let providers = gate.get("/v1/providers").send().await.expect(200).json();
    let all = providers["data"].as_array().unwrap();
    let account = all.iter().find(|it| it["id"] == "gpu-box").unwrap();
    assert_eq!(account["breaker"], "closed", "{account:#}");
}

#[tokio::test]
async fn a_vendor_without_a_key_of_the_operators_is_for_workspaces_that_have_their_own() {
    let emulator = runway::Emulator::start(runway::Config {
        api_key: Some(OURS.into()),
        ..Default::default()
    });
    let emulator = emulator.await.unwrap();
    let lines = format!(
        "[security]\nallow_private_networks = [\"127.0.0.0/8\"]\n[providers.runway]\nkind = \"runway\"\nbase_url = \"{}\"\npoll_every = \"50ms\"",
        emulator.base_url
    );
    let gate = Gate::configured(&lines).await;
    let available = async || {
        let models = gate.get("/v1/videos/models").send().await.expect(200);
        let models = models.json();
        let all = models["data"].as_array().unwrap();
        let model = all.iter().find(|model| model["id"] == "runway/gen-4.5");
        model.unwrap()["available"].as_bool().unwrap()
    };
    let order = Order::of("a boat")
        .without("size")
        .with("model", "runway/gen-4.5")
        .with("duration", 2);
    assert!(!available().await);
    let refused = gate.post("/v1/videos").json(order.body()).send().await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    add(&gate, "runway", OURS, None).await;
    assert!(available().await);
    let video = gate.completed(&order).await;
    assert_eq!(
        (&video["provider"], &video["billing"]["charge_reason"]),
        (&json!("runway"), &json!("byok"))
    );
    assert_eq!(emulator.emulator.prompt_counts("a boat").accepted, 1);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn commands_take_a_secret_from_standard_input_or_a_variable_and_never_as_an_argument() {
    let server = Server::start().await;
    let home = server.home().environment("OURS", OURS);
    let mut add = home.command(&["--json", "provider-keys", "add", "gpu-box", "--label", "x"]);
    add.stdin(Stdio::piped());
    add.stdout(Stdio::piped());
    let mut running = add.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    input
        .write_all(format!("{OURS}\n").as_bytes())
        .await
        .unwrap();
    drop(input);
    let ended = running.wait_with_output().await.unwrap();
    let added: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        (&added["label"], &added["hint"]),
        (&json!("x"), &json!("6789"))
    );
    let id = id_of(&added);

    let leaked: Done = home
        .run(&["provider-keys", "rotate", id, "--secret", RENEWED])
        .await
        .failed();
    assert!(!leaked.err.contains(RENEWED) && leaked.err.contains("env:"));
    let run = async |arguments: &[&str]| home.run(arguments).await.succeeded().out;
    let rotated = run(&["provider-keys", "rotate", id, "--secret", "env:OURS"]).await;
    assert!(rotated.contains(id), "{rotated}");
    let listed = run(&["provider-keys", "list"]).await;
    for part in [id, "gpu-box", "…6789", "in force"] {
        assert!(listed.contains(part), "{listed}");
    }
    run(&["provider-keys", "delete", id]).await;
    let listed = run(&["provider-keys", "list"]).await;
    assert!(listed.contains("deleted 2"), "{listed}");
}

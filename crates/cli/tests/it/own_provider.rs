//! A server of the operator's own behind the gateway: declared in the configuration, reached over a socket.
//!
//! The server here is as small as it can be and behaves; what a misbehaving one does to a job is tested where the line
//! and the adapter live.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use filmgate_core::frame_size::FrameSize;
use filmgate_testcard::{JobOrder, Simulation, render};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::gate::{Home, id_of};
use crate::order::{Order, data_url, picture};

/// The id that vLLM-Omni would give, so that it is told apart as such.
const ID: &str = "video_gen_1";
const MODEL: &str = "local/wan-2.2";

/// What such a server was sent, and gone when it is dropped.
struct Server {
    address: SocketAddr,
    box_of: Arc<GpuBox>,
    _task: JoinSet<()>,
}

/// A machine with one job.
#[derive(Default)]
struct GpuBox {
    seen: Mutex<Vec<String>>,
    form: Mutex<Bytes>,
    deleted: Mutex<bool>,
}

impl Server {
    async fn start() -> Self {
        let box_of: Arc<GpuBox> = Arc::default();
        let job = get(look).delete(delete);
        let app = axum::Router::new()
            .route("/v1/videos", post(create))
            .route("/v1/videos/{id}", job)
            .route("/v1/videos/{id}/content", get(content))
            .with_state(Arc::clone(&box_of));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            box_of,
            _task: task,
        }
    }

    /// A home whose gateway has this server.
    fn home(&self) -> Home {
        let lines = format!(
            r#"
[providers.gpu-box]
kind = "openai-compatible"
base_url = "http://{}/v1"
api_key = "env:GPU_BOX_KEY"
poll_every = "20ms"
[[providers.gpu-box.models]]
id = "{MODEL}"
native_model_id = "Wan-AI/Wan2.2-T2V-A14B"
durations = [1, 2]
sizes = ["320x180", "180x320"]
price = {{ output_second = "0.02" }}
first_frame = true
passthrough = ["guidance_scale"]
"#,
            self.address
        );
        let home = Home::new().configured(&lines);
        home.environment("GPU_BOX_KEY", "sk-gpu-box")
    }
}

impl GpuBox {
    fn note(&self, request: &Request) {
        let key = request.headers().get("authorization");
        let line = format!(
            "{} {} {}",
            request.method(),
            request.uri().path(),
            key.map_or("", |key| key.to_str().unwrap())
        );
        let mut seen = self.seen.lock().unwrap();
        if seen.last() != Some(&line) {
            seen.push(line);
        }
    }

    fn video(&self, status: &str) -> Response {
        Json(json!({"id": ID, "object": "video", "status": status, "progress": 0, "file_name": null}))
            .into_response()
    }
}

async fn create(State(gpu): State<Arc<GpuBox>>, request: Request) -> Response {
    gpu.note(&request);
    let form = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    *gpu.form.lock().unwrap() = form.unwrap();
    gpu.video("queued")
}

/// What is to last for ever runs; everything else is done at once.
async fn look(
    State(gpu): State<Arc<GpuBox>>,
    Path(_id): Path<String>,
    request: Request,
) -> Response {
    gpu.note(&request);
    if String::from_utf8_lossy(&gpu.form.lock().unwrap()).contains("for ever") {
        return gpu.video("in_progress");
    }
    gpu.video("completed")
}

async fn delete(
    State(gpu): State<Arc<GpuBox>>,
    Path(id): Path<String>,
    request: Request,
) -> Json<Value> {
    gpu.note(&request);
    *gpu.deleted.lock().unwrap() = true;
    Json(json!({"id": id, "object": "video.deleted", "deleted": true}))
}

async fn content(
    State(gpu): State<Arc<GpuBox>>,
    Path(_id): Path<String>,
    request: Request,
) -> Bytes {
    gpu.note(&request);
    film()
}

/// A real video of one second.
pub(crate) fn film() -> Bytes {
    let order = JobOrder {
        prompt: "a boat".into(),
        negative_prompt: None,
        size: FrameSize::new(320, 180),
        seconds: 1,
        audio: false,
        seed: None,
        sample_count: 1,
        first_frame_sha256: None,
        simulation: Simulation::default(),
    };
    let film = render::render(&order.output(0, None), &render::Progress::default());
    film.unwrap().into()
}

fn a_boat() -> Order {
    Order::of("a boat").with("model", MODEL)
}

#[tokio::test]
async fn a_server_of_ones_own_makes_videos_like_any_provider() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    let models = gate
        .get("/v1/videos/models")
        .send()
        .await
        .expect(200)
        .json();
    let model = models["data"].as_array().unwrap();
    let model = model.iter().find(|model| model["id"] == MODEL).unwrap();
    assert_eq!(
        (&model["available"], &model["providers"][0]["id"]),
        (&json!(true), &json!("gpu-box"))
    );
    let lengths = json!({"type": "integer", "unit": "seconds", "min": 1, "max": 2, "values": [1, 2], "default": 1});
    assert_eq!(model["supported_params_detail"]["duration"], lengths);
    let quote = gate
        .post("/v1/videos/quote")
        .json(a_boat().with("duration", 2).body());
    assert_eq!(
        quote.send().await.expect(200).json()["quote_nanos"],
        40_000_000
    );

    let order = a_boat()
        .with("provider_params", json!({"guidance_scale": 4.5}))
        .with(
            "input_reference",
            json!({"image_url": data_url(&picture(7))}),
        );
    let video = gate.completed(&order).await;
    assert_eq!(
        (&video["provider"], &video["native_video_id"]),
        (&json!("gpu-box"), &json!(ID))
    );
    assert_eq!(video["billing"]["total_nanos"], 20_000_000);
    assert_eq!(gate.bytes(&video).await, film());
    let seen = server.box_of.seen.lock().unwrap().clone();
    let expected = [
        "POST /v1/videos",
        "GET /v1/videos/video_gen_1",
        "GET /v1/videos/video_gen_1/content",
    ];
    assert_eq!(
        seen,
        expected.map(|call| format!("{call} Bearer sk-gpu-box"))
    );
    let form = server.box_of.form.lock().unwrap().clone();
    let picture = picture(7);
    assert!(form.windows(picture.len()).any(|part| part == picture));
    let form = String::from_utf8_lossy(&form);
    for field in [
        "Wan-AI/Wan2.2-T2V-A14B",
        "name=\"guidance_scale\"\r\n\r\n4.5",
        "filename=\"first_frame.png\"",
    ] {
        assert!(form.contains(field), "{field} is not in {form}");
    }
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_on_the_server_and_costs_nothing() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    let made = gate
        .create(&Order::of("for ever").with("model", MODEL))
        .await;
    gate.wait_processing(id_of(&made)).await;
    gate.cancel(id_of(&made)).await;
    let settled = gate.wait_settled(id_of(&made)).await;
    assert_eq!(
        (
            &settled["billing"]["state"],
            &settled["billing"]["total_nanos"]
        ),
        (&json!("void"), &json!(0))
    );
    assert_eq!(settled["billing"]["provider_may_have_charged"], false);
    assert!(*server.box_of.deleted.lock().unwrap(), "it still runs");
}

#[tokio::test]
async fn what_the_declared_model_has_not_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let gate = server.home().start().await;
    for (field, value) in [
        ("duration", json!(3)),
        ("negative_prompt", json!("rain")),
        ("provider_params", json!({"num_inference_steps": 9})),
        (
            "provider_params",
            json!({"guidance_scale": "file:///etc/passwd"}),
        ),
    ] {
        let order = a_boat().with(field, value);
        let refused = gate.post("/v1/videos").json(order.body()).send().await;
        refused.refused(400, "validation_error");
    }
    assert!(server.box_of.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn config_check_tells_what_is_wrong_with_a_provider_and_shows_what_is_right() {
    let server = Server::start().await;
    let home = server.home();
    let sound = home.run(&["config", "check"]).await.succeeded();
    let line = format!(
        "provider     gpu-box: openai-compatible at http://{}/v1, for {MODEL}",
        server.address
    );
    assert!(sound.out.contains(&line), "{}", sound.out);
    let faulty = server
        .home()
        .environment("GPU_BOX_KEY", "")
        .configured("colour = \"red\"");
    let told = faulty
        .run(&["--json", "config", "check"])
        .await
        .failed()
        .json();
    let told = told["faults"].to_string();
    for part in [
        "providers.gpu-box.api_key",
        "GPU_BOX_KEY",
        "models[0].colour",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

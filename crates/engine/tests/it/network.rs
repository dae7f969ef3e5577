//! The line to a provider behind a socket: what left, what arrived, and where the credential goes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use filmgate_catalogue::{AudioMode, Declared, DeclaredDurations, DeclaredSeed, Price};
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::id::VideoId;
use filmgate_core::job::{AttemptOutcome, State as JobState, Status};
use filmgate_core::pricing::Meter;
use filmgate_core::provider::{Credential, Secret};
use filmgate_core::repeat::RetryCount;
use filmgate_core::request::{
    Input, InputRole, MediaKind, ModelId, ProviderName, Request as VideoRequest,
};
use filmgate_engine::{Account, Ask, Given, Line, Network, Outside, Provenance};
use filmgate_providers::openai_compatible::OpenAiCompatible;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::house::{House, film};

const MODEL: &str = "local/wan";
const KEY: &str = "Bearer sk-gpu-box";

/// One request that a server was sent.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    authorization: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    peer: SocketAddr,
}

/// A server on loopback that answers as it is told; gone when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: JoinSet<()>,
}

type Answers = Arc<dyn Fn(&Seen) -> Response + Send + Sync>;

impl Server {
    pub(crate) async fn answering(
        answers: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let answers: Answers = Arc::new(answers);
        let app = Router::new()
            .fallback(answer)
            .with_state((answers, Arc::clone(&seen)));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, app).await.unwrap();
        });
        Self {
            address,
            seen,
            _task: task,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    State((answers, seen)): State<(Answers, Arc<Mutex<Vec<Seen>>>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let authorization = head.headers.get(header::AUTHORIZATION);
    let one = Seen {
        method: head.method,
        path: head.uri.path().to_owned(),
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        headers: head.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
        peer,
    };
    let response = answers(&one);
    seen.lock().unwrap().push(one);
    response
}

/// A server that answers each of its connections once, when what it read ends with `end`, and closes it.
async fn cutting(end: &'static [u8], answers: Vec<Vec<u8>>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(end) {
                assert_ne!(connection.read_buf(&mut read).await.unwrap(), 0);
            }
            connection.write_all(&answer).await.unwrap();
        }
    });
    (address, task)
}

fn video(status: &str) -> Response {
    Json(json!({"id": "v1", "object": "video", "status": status, "progress": 10})).into_response()
}

/// A server that finishes every job at once, and hands its output over as `content` says.
fn finishing(
    content: impl Fn() -> Response + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| match (&seen.method, seen.path.as_str()) {
        (&Method::POST, "/v1/videos") => video("queued"),
        (&Method::GET, "/v1/videos/v1") => video("completed"),
        (&Method::GET, "/v1/videos/v1/content") => content(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn found_at(location: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

async fn house_with(address: SocketAddr, opened: &[&str]) -> House {
    // Another test of this process may have done it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let base: Url = format!("http://{address}/v1").parse().unwrap();
    let name = ProviderName("gpu-box".into());
    let opened = opened.iter().map(|text| text.parse().unwrap()).collect();
    let account = Account::new(
        Arc::new(OpenAiCompatible::new(name.clone(), &base, None)),
        Line::Network(Network::to(&base, Outside::new(opened).unwrap()).unwrap()),
        Credential {
            secret: Secret::new("sk-gpu-box"),
        },
        Duration::from_secs(1),
    );
    let declared = Declared {
        id: MODEL.into(),
        name: None,
        provider: name,
        native_model: "wan".into(),
        durations: DeclaredDurations::Listed(vec![1]),
        sizes: vec![FrameSize::new(320, 180)],
        audio: AudioMode::Never,
        seed: DeclaredSeed::default(),
        negative_prompt: false,
        first_frame: true,
        max_samples: 1,
        passthrough: Vec::new(),
        prices: vec![Price::of(Meter::OutputSecond, "0.02".parse().unwrap())],
    };
    House::over(account, declared).await
}

async fn created(house: &House) -> VideoId {
    let id = house
        .create_as(|request| request.model = ModelId(MODEL.into()))
        .await;
    house.settle().await;
    id
}

async fn failure(house: &House, id: VideoId) -> Failure {
    match house.job(id).await.life.state {
        JobState::Failed { failure } => failure,
        other => panic!("it is {other:?}"),
    }
}

/// What the first attempt of a job came to.
async fn first_attempt(house: &House, id: VideoId) -> (AttemptOutcome, Failure) {
    let attempt = house.store.attempts(id).await.unwrap().remove(0);
    (attempt.outcome, attempt.failure.unwrap())
}

#[tokio::test]
async fn a_job_runs_over_a_socket_with_its_input_and_the_credential() {
    let server = Server::answering(finishing(|| film().into_response())).await;
    let house = house_with(server.address, &[]).await;
    // One pixel.
    let picture: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdacd\xf8\xcfP\x0f\0\x03\x86\x01\x80Z4}k\0\0\0\0IEND\xaeB`\x82";
    let mut request = VideoRequest::new(ModelId(MODEL.into()), "a boat");
    request.inputs = vec![Input {
        kind: MediaKind::Image,
        role: InputRole::FirstFrame,
        reference_type: None,
        key: String::new(),
        mime_type: "image/png".into(),
        bytes: picture.len() as u64,
        sha256: "ab".repeat(32),
        url: None,
        duration_ms: None,
    }];
    let ask = Ask {
        request,
        inputs: vec![Given::Bytes(Bytes::from_static(picture))],
        retried_from: None,
    };
    let from = Provenance {
        request_id: "req_x".into(),
        origin: "http://127.0.0.1".into(),
        route: "videos.create",
        idempotency_key: None,
        retry: RetryCount::default(),
    };
    let admitted = house.engine.create(house.caller, ask, from).await.unwrap();
    let id = admitted.job.admission.id;
    house.settle().await;
    house.advance(1).await;
    let job = house.job(id).await;
    assert_eq!(job.life.status(), Status::Completed, "{:?}", job.life.state);
    let seen = server.seen();
    let paths: Vec<&str> = seen.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/v1/videos", "/v1/videos/v1", "/v1/videos/v1/content"]
    );
    for one in &seen {
        assert_eq!(one.authorization.as_deref(), Some(KEY), "{}", one.path);
    }
    let form = &seen[0].body;
    assert!(form.windows(picture.len()).any(|part| part == picture));
    house.audit().await;
}

#[tokio::test]
async fn a_refused_connection_took_no_job() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let house = house_with(address, &[]).await;
    let id = created(&house).await;
    assert_eq!(house.job(id).await.life.state, JobState::Accepted);
    let (outcome, failure) = first_attempt(&house, id).await;
    assert_eq!(outcome, AttemptOutcome::Refused);
    assert!(failure.retryable && !failure.ambiguous);
    assert!(
        failure.message.contains("cannot be reached"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_connection_cut_after_the_request_may_have_bought_a_job() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"v1\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"id\":\"v1\"",
        "no HTTP at all\r\n\r\n",
    ] {
        // The form's last boundary is the end of what is sent.
        let (address, _task) = cutting(b"--\r\n", vec![answer.into()]).await;
        let house = house_with(address, &[]).await;
        let id = created(&house).await;
        let failure = failure(&house, id).await;
        assert_eq!(failure.code, FailureCode::SubmissionAmbiguous, "{answer:?}");
        assert!(house.job(id).await.life.provider_may_have_charged);
        house.audit().await;
    }
}

#[tokio::test]
async fn an_answer_is_read_so_far_and_no_further() {
    for (megabytes, status) in [(7, Status::Processing), (9, Status::Failed)] {
        let server = Server::answering(move |_| {
            let video = json!({"id": "v1", "object": "video", "status": "queued"}).to_string();
            let room = " ".repeat(megabytes << 20);
            format!("{room}{video}").into_response()
        })
        .await;
        let house = house_with(server.address, &[]).await;
        let id = created(&house).await;
        assert_eq!(house.job(id).await.life.status(), status);
        if status == Status::Failed {
            let failure = failure(&house, id).await;
            assert_eq!(failure.code, FailureCode::SubmissionAmbiguous);
        }
    }
}

#[tokio::test]
async fn a_create_never_goes_out_on_a_connection_that_was_used_before() {
    let server = Server::answering(finishing(|| film().into_response())).await;
    let house = house_with(server.address, &[]).await;
    for _ in 0..2 {
        created(&house).await;
        house.advance(1).await;
    }
    let seen = server.seen();
    let creates = seen.iter().filter(|one| one.method == Method::POST);
    for create in creates {
        let same = seen.iter().filter(|other| other.peer == create.peer);
        assert_eq!(same.count(), 1, "{} was used again", create.peer);
    }
}

#[tokio::test]
async fn an_output_that_breaks_off_is_fetched_again() {
    let film = film();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", film.len());
    let answer = |bytes: &[u8]| [head.as_bytes(), bytes].concat();
    let answers = vec![answer(&film[..film.len() / 2]), answer(&film)];
    let (files, mut task) = cutting(b"\r\n\r\n", answers).await;
    let location = format!("http://{files}/v.mp4");
    let server = Server::answering(finishing(move || found_at(location.clone()))).await;
    let house = house_with(server.address, &["127.0.0.1"]).await;
    let id = created(&house).await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Completed);
    // Both answers were given.
    task.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn an_output_is_not_fetched_from_a_private_address() {
    let inside = Server::answering(|_| film().into_response()).await;
    for scheme in ["http", "https"] {
        let location = format!("{scheme}://{}/v.mp4", inside.address);
        let server = Server::answering(finishing(move || found_at(location.clone()))).await;
        let house = house_with(server.address, &[]).await;
        let id = created(&house).await;
        house.advance(1).await;
        let failure = failure(&house, id).await;
        assert!(
            failure.message.contains("may not be asked"),
            "{}",
            failure.message
        );
        house.audit().await;
    }
    assert!(inside.seen().is_empty(), "it was asked");
}

#[tokio::test]
async fn the_credential_does_not_leave_the_own_origin() {
    let foreign = Server::answering(|_| film().into_response()).await;
    let location = format!("http://{}/v.mp4", foreign.address);
    let server = Server::answering(finishing(move || found_at(location.clone()))).await;
    let house = house_with(server.address, &["127.0.0.0/8"]).await;
    let id = created(&house).await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Completed);
    let [fetch] = &foreign.seen()[..] else {
        panic!("it was fetched once")
    };
    assert_eq!(
        (fetch.path.as_str(), &fetch.authorization),
        ("/v.mp4", &None)
    );
}

#[tokio::test]
async fn whoever_was_led_away_and_back_comes_without_the_credential() {
    let home: Arc<Mutex<String>> = Arc::default();
    let back = Arc::clone(&home);
    let foreign = Server::answering(move |_| found_at(back.lock().unwrap().clone())).await;
    let away = format!("http://{}/", foreign.address);
    let content = finishing(move || found_at(away.clone()));
    let server = Server::answering(move |seen| {
        if seen.path == "/elsewhere" {
            return film().into_response();
        }
        content(seen)
    })
    .await;
    *home.lock().unwrap() = format!("http://{}/elsewhere", server.address);
    let house = house_with(server.address, &["127.0.0.1"]).await;
    let id = created(&house).await;
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Completed);
    let last = server.seen().pop().unwrap();
    assert_eq!(
        (last.path.as_str(), last.authorization),
        ("/elsewhere", None)
    );
}

#[tokio::test]
async fn redirects_are_followed_so_far_and_no_further() {
    let server = Server::answering(finishing(|| found_at("content".into()))).await;
    let house = house_with(server.address, &[]).await;
    let id = created(&house).await;
    let asked = || {
        let seen = server.seen();
        let of_content = seen.iter().filter(|one| one.path.ends_with("content"));
        of_content.count()
    };
    house.advance(1).await;
    assert_eq!(house.job(id).await.life.status(), Status::Processing);
    assert_eq!(asked() % 6, 0, "the address itself and five redirects");
    // Such a link is as good as dead, and a new one no better.
    for _ in 0..10 {
        house.advance(5).await;
    }
    let given_up = failure(&house, id).await;
    assert_eq!(given_up.code, FailureCode::OutputUnavailable);
    assert_eq!(asked(), 6 * 6);
}

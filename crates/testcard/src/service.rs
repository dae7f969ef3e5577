//! The testcard's HTTP service, without a socket: requests in, answers out, in this process.
//!
//! `POST /v1/renders` takes an order, `GET /v1/renders/{id}` tells of it, `POST /v1/renders/{id}/cancel`
//! stops it, `GET /v1/renders/{id}/outputs/{n}` delivers a file.
//!
//! Not here: the life of a render (`renders`), the shapes of bodies (`wire`).

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use filmgate_core::failure::FailureCode;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::DropGuard;

use crate::order::JobOrder;
use crate::outputs::OutputKey;
use crate::picture;
use crate::renders::{Cancel, End, Limits, Novelty, Phase, Render, Renders, Turned};
use crate::simulate::{CancelBehaviour, Simulation};
use crate::wire::{
    ATTEMPT_KEY, BASE_URL, Complaint, LOOKUP_UNAVAILABLE, OrderBody, OutputBody, RENDER_NOT_FOUND,
    RefusalBody, RenderBody, UsageBody,
};

/// Bytes of a first frame, before base64.
const MOST_FIRST_FRAME_BYTES: usize = 32 << 20;

/// Bodies larger than this are read on a thread that may block.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// Delivered in pieces, as a socket would.
const PIECE_BYTES: usize = 256 << 10;

type AnswerBody = BoxBody<Bytes, io::Error>;
type Answer = Response<AnswerBody>;

/// The service. Clones share their renders; when the last one is dropped, all renders stop.
#[derive(Clone)]
pub struct TestcardService {
    renders: Arc<Renders>,
    _alive: Arc<DropGuard>,
}

impl TestcardService {
    /// A service that renders at most `renders_at_once` outputs at the same time.
    pub fn new(renders_at_once: usize) -> Self {
        Self::with_limits(Limits {
            renders_at_once,
            ..Limits::default()
        })
    }

    pub fn with_limits(limits: Limits) -> Self {
        let renders = Renders::new(limits);
        let alive = renders.closing().clone().drop_guard();
        Self {
            renders: Arc::new(renders),
            _alive: Arc::new(alive),
        }
    }

    /// Stops every render and waits until their threads have ended. Orders are refused from then on.
    pub async fn shutdown(&self) {
        self.renders.shutdown().await;
    }

    async fn answer(self, request: Request<Bytes>) -> Answer {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let method = request.method();
        let answered = match parts.as_slice() {
            ["v1", "renders"] if method == Method::POST => self.submit(request).await,
            ["v1", "renders", id] if method == Method::GET => self.status(id),
            ["v1", "renders", id, "cancel"] if method == Method::POST => self.cancel(id),
            ["v1", "renders", id, "outputs", sample] if method == Method::GET => {
                self.output(id, sample).await
            }
            ["v1", "renders"]
            | ["v1", "renders", _]
            | ["v1", "renders", _, "cancel"]
            | ["v1", "renders", _, "outputs", _] => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("{method} is not offered here"),
            )),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "route_not_found",
                "there is nothing at this path",
            )),
        };
        answered.unwrap_or_else(Refusal::into_answer)
    }

    async fn submit(&self, request: Request<Bytes>) -> Result<Answer, Refusal> {
        let key = attempt_key(&request)?.to_owned();
        let body = request.into_body();
        let (order, first_frame) = if body.len() > LARGE_BODY_BYTES {
            self.renders.blocking(move || read_order(&body)).await?
        } else {
            read_order(&body)?
        };
        let (render, novelty) = self.renders.accept(order, first_frame, &key)?;
        sleep_until(render.answered).await;
        if render.order.simulation.ambiguous_submit {
            return Ok(lost());
        }
        let status = match novelty {
            Novelty::New => StatusCode::ACCEPTED,
            Novelty::Repeated => StatusCode::OK,
        };
        Ok(json(status, &tell(&render)))
    }

    fn status(&self, id: &str) -> Result<Answer, Refusal> {
        Ok(json(StatusCode::OK, &tell(&*self.load(id)?)))
    }

    fn cancel(&self, id: &str) -> Result<Answer, Refusal> {
        let render = self.load(id)?;
        match self.renders.cancel(&render) {
            Cancel::Cancelled => Ok(json(StatusCode::OK, &tell(&render))),
            Cancel::TooLate => Err(Refusal::new(
                StatusCode::CONFLICT,
                "cancel_too_late",
                "the render can no longer be cancelled",
            )),
            Cancel::Unsupported => Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "cancel_unsupported",
                "this render cannot be cancelled",
            )),
        }
    }

    async fn output(&self, id: &str, sample: &str) -> Result<Answer, Refusal> {
        let render = self.load(id)?;
        let sample = sample
            .parse()
            .ok()
            .filter(|sample| *sample < render.delivered())
            .ok_or_else(|| {
                Refusal::new(
                    StatusCode::NOT_FOUND,
                    "output_not_found",
                    "the render has no such output",
                )
            })?;
        if render.phase(Instant::now()) != Phase::Ended(End::Succeeded) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "output_not_ready",
                "the render has not succeeded",
            ));
        }
        let mut file = self
            .renders
            .output(&render, sample)
            .await
            .map_err(|error| {
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "render_failed",
                    error.to_string(),
                )
            })?;
        if render.order.simulation.corrupt_output {
            // Half the file: its tables are whole and name samples that lie outside of it.
            file.truncate(file.len() / 2);
        }
        let length = file.len();
        let body = Delivery {
            rest: file,
            renders: self.renders.clone(),
            key: (render.id.clone(), sample),
        };
        let mut answer = Response::new(BodyExt::boxed(body));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(answer)
    }

    fn load(&self, id: &str) -> Result<Arc<Render>, Refusal> {
        let render = self.renders.find(id).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                RENDER_NOT_FOUND,
                "there is no render of this id",
            )
        })?;
        if render.order.simulation.ambiguous_submit {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                LOOKUP_UNAVAILABLE,
                "nobody can tell whether this render exists",
            ));
        }
        Ok(render)
    }
}

impl tower::Service<Request<Bytes>> for TestcardService {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

fn attempt_key(request: &Request<Bytes>) -> Result<&str, Refusal> {
    request
        .headers()
        .get(ATTEMPT_KEY)
        .and_then(|value| value.to_str().ok())
        .filter(|key| !key.is_empty() && key.len() <= 256)
        .ok_or_else(|| {
            Refusal::invalid(
                ATTEMPT_KEY,
                "the header must hold 1 to 256 characters".to_owned(),
            )
        })
}

fn read_order(body: &[u8]) -> Result<(JobOrder, Option<Bytes>), Refusal> {
    let body: OrderBody<'_> = serde_json::from_slice(body)
        .map_err(|error| Refusal::invalid("body", format!("this is no order: {error}")))?;
    let simulation = match &body.simulate {
        Some(value) => Simulation::parse(value)
            .map_err(|fault| Refusal::invalid(&fault.field, fault.to_string()))?,
        None => Simulation::default(),
    };
    let first_frame_sha256 = body.first_frame.as_ref().map(|frame| frame.sha256.clone());
    let order = JobOrder {
        prompt: body.prompt,
        negative_prompt: body.negative_prompt,
        size: body.size,
        seconds: body.seconds,
        audio: body.audio,
        seed: body.seed,
        sample_count: body.sample_count,
        first_frame_sha256,
        simulation,
    };
    order
        .check()
        .map_err(|fault| Refusal::invalid(fault.field, fault.to_string()))?;
    let first_frame = body
        .first_frame
        .map(|frame| read_first_frame(&frame.data, &frame.sha256))
        .transpose()?;
    Ok((order, first_frame))
}

fn read_first_frame(data: &str, sha256: &str) -> Result<Bytes, Refusal> {
    let invalid = |message: String| Refusal::invalid("first_frame", message);
    if data.len() / 4 * 3 > MOST_FIRST_FRAME_BYTES {
        return Err(invalid(format!(
            "first_frame: at most {MOST_FIRST_FRAME_BYTES} bytes are allowed"
        )));
    }
    let bytes = STANDARD
        .decode(data)
        .map_err(|error| invalid(format!("first_frame: the data is not base64: {error}")))?;
    if hex::encode(Sha256::digest(&bytes)) != sha256 {
        return Err(invalid(
            "first_frame: the data does not have the sha256 that was sent".to_owned(),
        ));
    }
    picture::input_size(&bytes).map_err(|error| {
        invalid(format!(
            "first_frame: a PNG, JPEG or WebP of at most {most}x{most} pixels is allowed: {error}",
            most = picture::MOST_INPUT_SIDE
        ))
    })?;
    Ok(bytes.into())
}

/// What can be said of a render now.
fn tell(render: &Render) -> RenderBody {
    let simulation = &render.order.simulation;
    let known = RenderBody {
        id: render.id.clone(),
        ..RenderBody::default()
    };
    let running = |status: &str, permille: u32| RenderBody {
        status: status.to_owned(),
        // Only an end is a hundred per cent.
        progress: simulation.progress.then(|| (permille / 10).min(99) as u8),
        ..RenderBody {
            id: render.id.clone(),
            ..RenderBody::default()
        }
    };
    let bill = |billed: bool, permille: u32, known: RenderBody| RenderBody {
        billed: Some(billed),
        usage: billed.then(|| UsageBody {
            output_ms: render.billed_ms(permille),
        }),
        ..known
    };
    match render.phase(Instant::now()) {
        Phase::Queued => running("queued", 0),
        Phase::Rendering { permille } => running("rendering", permille),
        Phase::Ended(End::Succeeded) => bill(
            true,
            1000,
            RenderBody {
                status: "succeeded".to_owned(),
                outputs: outputs(render),
                missing: missing(render),
                ..known
            },
        ),
        Phase::Ended(End::Failed {
            code,
            message,
            permille,
        }) => bill(
            simulation.fail_billed,
            permille,
            RenderBody {
                status: "failed".to_owned(),
                error: Some(Complaint {
                    code: code.as_str().to_owned(),
                    message,
                    field: None,
                }),
                ..known
            },
        ),
        Phase::Ended(End::Cancelled { permille }) => bill(
            simulation.cancel == CancelBehaviour::Billed,
            permille,
            RenderBody {
                status: "cancelled".to_owned(),
                ..known
            },
        ),
    }
}

fn outputs(render: &Render) -> Vec<OutputBody> {
    (0..render.delivered())
        .map(|sample| OutputBody {
            url: format!("{BASE_URL}/v1/renders/{}/outputs/{sample}", render.id),
        })
        .collect()
}

fn missing(render: &Render) -> Vec<Complaint> {
    (render.delivered()..render.order.sample_count)
        .map(|sample| Complaint {
            code: FailureCode::OutputUnavailable.as_str().to_owned(),
            message: format!("the order asked for output {sample} to be missing"),
            field: None,
        })
        .collect()
}

/// A call that is refused.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    complaint: Complaint,
    retry_after_seconds: Option<u32>,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            complaint: Complaint {
                code: code.to_owned(),
                message: message.into(),
                field: None,
            },
            retry_after_seconds: None,
        }
    }

    fn invalid(field: &str, message: String) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, "invalid_order", message);
        refusal.complaint.field = Some(field.to_owned());
        refusal
    }

    fn into_answer(self) -> Answer {
        let mut answer = json(
            self.status,
            &RefusalBody {
                error: self.complaint,
            },
        );
        if let Some(seconds) = self.retry_after_seconds {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

impl From<Turned> for Refusal {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Full => Self {
                retry_after_seconds: Some(5),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_renders",
                    "as many renders as can be remembered are under way",
                )
            },
            Turned::Closing => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "closing",
                "the service is shutting down",
            ),
        }
    }
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_vec(body).expect("an answer is plain data");
    let mut answer = Response::new(Full::new(text.into()).map_err(no_fault).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    answer
}

fn no_fault(never: Infallible) -> io::Error {
    match never {}
}

/// An answer that is lost on its way: headers arrive, the body never does.
fn lost() -> Answer {
    struct Lost;
    impl Body for Lost {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
        }
    }
    let mut answer = Response::new(Lost.boxed());
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer
}

/// A file on its way out, let go of by the service once its last piece is handed over.
struct Delivery {
    rest: Bytes,
    renders: Arc<Renders>,
    key: OutputKey,
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.renders.fetched(&self.key);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::a_fox;
    use serde_json::{Value, json};
    use tokio::time::{Duration, sleep};
    use tower::ServiceExt as _;

    fn order(simulate: Value) -> Value {
        json!({"prompt": "a fox", "size": "320x180", "seconds": 1, "sample_count": 1, "simulate": simulate})
    }

    async fn call(
        service: &TestcardService,
        method: Method,
        path: &str,
        key: &str,
        body: impl ToString,
    ) -> (StatusCode, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE_URL}{path}"))
            .header(ATTEMPT_KEY, key)
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        (
            status,
            answer.into_body().collect().await.unwrap().to_bytes(),
        )
    }

    async fn post(service: &TestcardService, key: &str, body: Value) -> (StatusCode, Value) {
        let (status, body) = call(service, Method::POST, "/v1/renders", key, body).await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(service: &TestcardService, path: &str) -> (StatusCode, Bytes) {
        call(service, Method::GET, path, "-", "").await
    }

    async fn status(service: &TestcardService, id: &str) -> Value {
        let (_, body) = get(service, &format!("/v1/renders/{id}")).await;
        serde_json::from_slice(&body).unwrap()
    }

    async fn ended(service: &TestcardService, id: &str) -> Value {
        loop {
            let told = status(service, id).await;
            if !["queued", "rendering"].contains(&told["status"].as_str().unwrap()) {
                return told;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn id(told: &Value) -> String {
        told["id"].as_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_sent_twice_is_rendered_once() {
        let service = TestcardService::new(1);
        let (first, told) = post(&service, "k", order(json!({}))).await;
        let (second, again) = post(&service, "k", order(json!({}))).await;
        assert_eq!((first.as_u16(), second.as_u16()), (202, 200));
        assert_eq!(told["id"], again["id"]);
        assert_eq!(service.renders.known(), 1);
        let (_, other) = post(&service, "l", order(json!({}))).await;
        assert_ne!(told["id"], other["id"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_let_go_of_once_fetched_and_comes_out_the_same_again() {
        let service = TestcardService::new(1);
        let (_, told) = post(&service, "k", order(json!({}))).await;
        let told = ended(&service, &id(&told)).await;
        let path = told["outputs"][0]["url"].as_str().unwrap()[BASE_URL.len()..].to_owned();
        assert!(service.renders.output_bytes() > 0);
        let (_, file) = get(&service, &path).await;
        assert_eq!(service.renders.output_bytes(), 0);
        let (_, again) = get(&service, &path).await;
        assert!(file == again && file.len() > 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_render_that_ended_first_is_forgotten_first() {
        let service = TestcardService::with_limits(Limits {
            orders: 2,
            ..Limits::default()
        });
        let mut ids = Vec::new();
        for key in ["a", "b", "c"] {
            let (_, told) = post(&service, key, order(json!({}))).await;
            ended(&service, &id(&told)).await;
            ids.push(id(&told));
        }
        assert_eq!(service.renders.known(), 2);
        let (forgotten, _) = get(&service, &format!("/v1/renders/{}", ids[0])).await;
        assert_eq!(forgotten, StatusCode::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_full_of_running_renders_asks_to_wait() {
        let service = TestcardService::with_limits(Limits {
            orders: 1,
            ..Limits::default()
        });
        post(&service, "a", order(json!({"queue_seconds": 60}))).await;
        let (status, told) = post(&service, "b", order(json!({}))).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(told["error"]["code"], "too_many_renders");
    }

    #[tokio::test]
    async fn what_cannot_be_drawn_is_refused_by_name() {
        let service = TestcardService::new(1);
        for (field, edit) in [
            ("size", json!({"size": "321x180"})),
            ("size", json!({"size": "2560x1440"})),
            ("seconds", json!({"seconds": 21})),
            ("sample_count", json!({"sample_count": 0})),
            (
                "provider_params.simulate.fail",
                json!({"simulate": {"fail": "x"}}),
            ),
            (
                "first_frame",
                json!({"first_frame": {"sha256": "", "data": "AAAA"}}),
            ),
            (
                "first_frame",
                json!({"first_frame": {"sha256": "", "data": "!"}}),
            ),
            ("body", json!({"colour": "red"})),
            ("body", json!({"size": "big"})),
        ] {
            let mut sent = order(json!({}));
            for (key, value) in edit.as_object().unwrap() {
                sent[key] = value.clone();
            }
            let (status, told) = post(&service, "k", sent).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert_eq!(told["error"]["field"], field, "{told}");
        }
        let (status, told) = post(&service, "", order(json!({}))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(told["error"]["field"], ATTEMPT_KEY);
    }

    #[tokio::test]
    async fn unknown_routes_and_methods_are_told_apart() {
        let service = TestcardService::new(1);
        for (method, path, status) in [
            (Method::GET, "/v1/renders", 405),
            (Method::DELETE, "/v1/renders/tc_1", 405),
            (Method::GET, "/v1/renders/tc_1", 404),
            (Method::POST, "/v1/renders/tc_1/cancel", 404),
            (Method::GET, "/v1/renders/tc_1/outputs/0", 404),
            (Method::GET, "/", 404),
        ] {
            let (told, body) = call(&service, method, path, "k", "").await;
            assert_eq!(told.as_u16(), status);
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert!(body["error"]["message"].is_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_is_refused_before_it_is_done_and_beyond_the_last() {
        let service = TestcardService::new(1);
        let (_, told) = post(&service, "k", order(json!({"render_seconds": 5}))).await;
        let id = id(&told);
        let (early, _) = get(&service, &format!("/v1/renders/{id}/outputs/0")).await;
        assert_eq!(early, StatusCode::CONFLICT);
        ended(&service, &id).await;
        for beyond in ["1", "-1", "x", "99999999999"] {
            let (status, _) = get(&service, &format!("/v1/renders/{id}/outputs/{beyond}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shut_down_service_stops_its_renders_and_takes_no_more() {
        let service = TestcardService::new(1);
        let (_, told) = post(&service, "k", order(json!({"queue_seconds": 86400}))).await;
        service.shutdown().await;
        let (status, _) = post(&service, "l", order(json!({}))).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let (known, _) = get(&service, &format!("/v1/renders/{}", id(&told))).await;
        assert_eq!(known, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_id_is_the_one_that_the_order_foretells() {
        let service = TestcardService::new(1);
        let sent = json!({"prompt": "a fox", "size": "320x180", "seconds": 1, "sample_count": 1});
        let (_, told) = post(&service, "k", sent).await;
        assert_eq!(told["id"], a_fox().native_id("k"));
    }
}

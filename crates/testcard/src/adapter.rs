//! The testcard as a provider: core's orders to the service's messages, and its answers back.
//!
//! An id follows from the order and the attempt's key, so an answer that was lost can be looked up, and
//! a process that never saw the order can send it again and go on as if it had.
//!
//! Not here: the service itself (`service`), the shapes of bodies (`wire`).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use filmgate_core::asset::MissingOutput;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::provider::{
    Body, CancelOutcome, Conversation, Delivery, Encoding, NativeId, Observation, Order, Part,
    Proposal, Protocol, Provider, Recovered, Repeat, Source, Step, SubmitRepeat, Submitted, Talk,
    Token, Usage, ask, fail,
};
use filmgate_core::request::{InputRole, MediaKind, ProviderName, Refusal};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::order::JobOrder;
use crate::simulate::Simulation;
use crate::wire::{
    ATTEMPT_KEY, BASE_URL, Complaint, FirstFrame, LOOKUP_UNAVAILABLE, OrderBody, RefusalBody,
    RenderBody, UsageBody,
};

/// The adapter of the built-in provider.
#[derive(Debug, Clone)]
pub struct Testcard {
    name: ProviderName,
}

impl Testcard {
    pub fn new(name: ProviderName) -> Self {
        Self { name }
    }
}

impl Provider for Testcard {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: SubmitRepeat::Lookup,
            can_cancel: true,
            calls_back: false,
        }
    }

    fn check(&self, proposal: Proposal<'_>) -> Result<(), Refusal> {
        match proposal.request.provider_params.get("simulate") {
            Some(simulate) => Simulation::parse(simulate).map(drop),
            None => Ok(()),
        }
    }

    fn submit(&self, order: &Order, _token: &Token) -> Talk<Submitted> {
        match Draft::of(order) {
            Ok(draft) => ask(draft.submit(), Repeat::MayBuyTwice, |answer| {
                read_submitted(&answer)
            }),
            Err(failure) => fail(failure),
        }
    }

    fn recover(&self, order: &Order, _token: &Token) -> Talk<Recovered> {
        match Draft::of(order) {
            Ok(draft) => {
                let native = draft.native_id();
                match question(Method::GET, &format!("/v1/renders/{native}")) {
                    Ok(question) => ask(question, Repeat::Safe, |answer| {
                        read_recovered(&answer, native)
                    }),
                    Err(failure) => fail(failure),
                }
            }
            Err(failure) => fail(failure),
        }
    }

    fn poll(&self, order: &Order, native: &NativeId, _token: &Token) -> Talk<Observation> {
        let question = match question(Method::GET, &format!("/v1/renders/{}", native.0)) {
            Ok(question) => question,
            Err(failure) => return fail(failure),
        };
        Box::new(Persistent {
            draft: Draft::of(order),
            turn: Turn::Ask,
            question,
            read: |answer| match answer {
                Known::Answer(answer) => read_observation(&answer).map(Next::Done),
                // The order has just been sent again: its progress is not worth a second question.
                Known::SentAgain => Ok(Next::Done(Observation::Running { progress: None })),
            },
        })
    }

    fn cancel(&self, order: &Order, native: &NativeId, _token: &Token) -> Talk<CancelOutcome> {
        let question = match question(Method::POST, &format!("/v1/renders/{}/cancel", native.0)) {
            Ok(question) => question,
            Err(failure) => return fail(failure),
        };
        Box::new(Persistent {
            draft: Draft::of(order),
            turn: Turn::Ask,
            question,
            read: |answer| match answer {
                Known::Answer(answer) => read_cancel(&answer).map(Next::Done),
                Known::SentAgain => Ok(Next::AskAgain),
            },
        })
    }
}

/// An order in the service's words.
struct Draft {
    order: JobOrder,
    simulate: Option<serde_json::Value>,
    first_frame: Option<usize>,
    attempt_key: String,
    attempt_header: HeaderValue,
}

impl Draft {
    fn of(order: &Order) -> Result<Self, Failure> {
        let request = &order.request;
        let refuse = |message: String| Failure::permanent(FailureCode::InvalidRequest, message);
        let first_frame = request.inputs.iter().position(|input| {
            (input.role, input.kind) == (InputRole::FirstFrame, MediaKind::Image)
        });
        if request.inputs.len() > usize::from(first_frame.is_some()) {
            return Err(refuse(
                "the testcard takes one first_frame image and no other input".to_owned(),
            ));
        }
        let simulate = request.provider_params.get("simulate").cloned();
        let simulation = simulate
            .as_ref()
            .map(Simulation::parse)
            .transpose()
            .map_err(|fault| refuse(fault.to_string()))?
            .unwrap_or_default();
        let attempt_header = HeaderValue::from_str(&order.attempt_key)
            .map_err(|_| refuse("the attempt's key has no place in a header".to_owned()))?;
        let shape = &order.shape;
        Ok(Self {
            order: JobOrder {
                prompt: request.prompt.clone(),
                negative_prompt: request.negative_prompt.clone(),
                size: shape.size.or(request.size).unwrap_or(DEFAULT_SIZE),
                seconds: shape
                    .seconds
                    .or(request.duration)
                    .unwrap_or(DEFAULT_SECONDS),
                audio: shape.audio.or(request.generate_audio).unwrap_or(false),
                seed: request.seed,
                sample_count: request.sample_count,
                first_frame_sha256: first_frame.map(|index| request.inputs[index].sha256.clone()),
                simulation,
            },
            simulate,
            first_frame,
            attempt_key: order.attempt_key.clone(),
            attempt_header,
        })
    }

    fn native_id(&self) -> String {
        self.order.native_id(&self.attempt_key)
    }

    fn submit(&self) -> Request<Body> {
        let order = &self.order;
        let body = OrderBody {
            prompt: order.prompt.clone(),
            negative_prompt: order.negative_prompt.clone(),
            size: order.size,
            seconds: order.seconds,
            audio: order.audio,
            seed: order.seed,
            sample_count: order.sample_count,
            simulate: self.simulate.clone(),
            first_frame: order.first_frame_sha256.clone().map(|sha256| FirstFrame {
                sha256,
                data: Cow::Borrowed(""),
            }),
        };
        let text = serde_json::to_string(&body).expect("an order is plain data");
        let body = match self.first_frame {
            None => text.into(),
            Some(index) => {
                // The data is the last string of the text, empty so far: the picture goes between its quotes.
                let head = text
                    .strip_suffix(TAIL)
                    .expect("the first frame's data is written last")
                    .to_owned();
                Body(vec![
                    Part::Bytes(head.into()),
                    Part::Input {
                        index,
                        encoding: Encoding::Base64,
                    },
                    Part::Bytes(Bytes::from_static(TAIL.as_bytes())),
                ])
            }
        };
        message(Method::POST, "/v1/renders")
            .header(header::CONTENT_TYPE, "application/json")
            .header(ATTEMPT_KEY, self.attempt_header.clone())
            .body(body)
            .expect("the path and the headers are plain text")
    }
}

const DEFAULT_SIZE: FrameSize = FrameSize::new(1280, 720);
const DEFAULT_SECONDS: u32 = 4;

/// What follows the first frame's data in an order's text.
const TAIL: &str = "\"}}";

/// A question about a render that, where the service does not know the render, sends the order again.
struct Persistent<T> {
    draft: Result<Draft, Failure>,
    turn: Turn,
    question: Request<Body>,
    read: fn(Known) -> Result<Next<T>, Failure>,
}

enum Turn {
    Ask,
    HearAnswer,
    HearSentAgain,
    /// The question has been put a second time: not to be known now is a failure.
    HearLastAnswer,
}

/// What the service is known to have said.
enum Known {
    Answer(Response<Bytes>),
    /// It did not know the render, and has taken the order again.
    SentAgain,
}

enum Next<T> {
    Done(T),
    AskAgain,
}

impl<T> Persistent<T> {
    fn ask(&mut self, then: Turn) -> Step<T> {
        self.turn = then;
        Step::Send {
            message: self.question.clone(),
            repeat: Repeat::Safe,
        }
    }

    fn send_again(&mut self) -> Step<T> {
        match &self.draft {
            Ok(draft) => {
                self.turn = Turn::HearSentAgain;
                Step::Send {
                    message: draft.submit(),
                    // The same order under the same key is the same render, however often it is sent.
                    repeat: Repeat::Safe,
                }
            }
            Err(failure) => Step::Failed(failure.clone()),
        }
    }

    fn tell(&mut self, known: Known) -> Step<T> {
        match (self.read)(known) {
            Ok(Next::Done(value)) => Step::Done(value),
            Ok(Next::AskAgain) => self.ask(Turn::HearLastAnswer),
            Err(failure) => Step::Failed(failure),
        }
    }
}

impl<T> Conversation<T> for Persistent<T> {
    fn next(&mut self, answer: Option<Response<Bytes>>) -> Step<T> {
        let Some(answer) = answer else {
            return self.ask(Turn::HearAnswer);
        };
        match self.turn {
            Turn::HearAnswer if answer.status() == StatusCode::NOT_FOUND => self.send_again(),
            Turn::HearSentAgain => match read_submitted(&answer) {
                Ok(_) => self.tell(Known::SentAgain),
                Err(failure) => Step::Failed(failure),
            },
            Turn::Ask | Turn::HearAnswer | Turn::HearLastAnswer => self.tell(Known::Answer(answer)),
        }
    }
}

/// A message without a body. Fails on an id that has no place in an address: none of the service's has.
fn question(method: Method, path: &str) -> Result<Request<Body>, Failure> {
    message(method, path).body(Body::empty()).map_err(|_| {
        Failure::permanent(
            FailureCode::ProviderError,
            "the render's id is not one of the testcard's",
        )
    })
}

fn message(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("{BASE_URL}{path}"))
}

fn read_submitted(answer: &Response<Bytes>) -> Result<Submitted, Failure> {
    if !answer.status().is_success() {
        let failure = refusal(answer);
        // Behind a failure that does not come from the service itself the order may have got through.
        let ambiguous = answer.status().is_server_error() && complaint(answer).is_none();
        return Err(Failure {
            ambiguous,
            billed: if ambiguous {
                Billed::Unknown
            } else {
                failure.billed
            },
            ..failure
        });
    }
    serde_json::from_slice::<RenderBody>(answer.body())
        .ok()
        .filter(|render| !render.id.is_empty())
        .map(|render| Submitted {
            native: NativeId(render.id),
        })
        .ok_or_else(|| Failure {
            ambiguous: true,
            billed: Billed::Unknown,
            ..unreadable(answer)
        })
}

fn read_recovered(answer: &Response<Bytes>, native: String) -> Result<Recovered, Failure> {
    let code = complaint(answer).map(|complaint| complaint.code);
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(Recovered::Absent),
        StatusCode::SERVICE_UNAVAILABLE if code.as_deref() == Some(LOOKUP_UNAVAILABLE) => {
            Ok(Recovered::Unknown)
        }
        status if status.is_success() => {
            let render = read_render(answer)?;
            if render.id == native {
                Ok(Recovered::Found(Submitted {
                    native: NativeId(native),
                }))
            } else {
                Err(unreadable(answer))
            }
        }
        _ => Err(refusal(answer)),
    }
}

fn read_observation(answer: &Response<Bytes>) -> Result<Observation, Failure> {
    if !answer.status().is_success() {
        return Err(refusal(answer));
    }
    let render = read_render(answer)?;
    let billed = billed(render.billed);
    let usage = usage(render.usage.as_ref());
    match render.status.as_str() {
        "queued" | "rendering" => Ok(Observation::Running {
            progress: render.progress.map(|percent| percent.min(100)),
        }),
        "succeeded" => Ok(Observation::Succeeded(Delivery {
            outputs: render
                .outputs
                .into_iter()
                .map(|output| Source::Url {
                    url: output.url,
                    send_credential: false,
                })
                .collect(),
            missing: render.missing.into_iter().map(missing).collect(),
            usage,
        })),
        "failed" => {
            let error = render.error.unwrap_or_default();
            Ok(Observation::Failed(
                failed(answer, error).billed(billed),
                usage,
            ))
        }
        "cancelled" => Ok(Observation::Cancelled(billed, usage)),
        _ => Err(unreadable(answer)),
    }
}

fn read_cancel(answer: &Response<Bytes>) -> Result<CancelOutcome, Failure> {
    match answer.status() {
        StatusCode::CONFLICT => Ok(CancelOutcome::TooLate),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Ok(CancelOutcome::Unsupported)
        }
        status if status.is_success() => {
            let render = read_render(answer)?;
            match render.status.as_str() {
                "cancelled" => Ok(CancelOutcome::Cancelled(
                    billed(render.billed),
                    usage(render.usage.as_ref()),
                )),
                _ => Err(unreadable(answer)),
            }
        }
        _ => Err(refusal(answer)),
    }
}

fn read_render(answer: &Response<Bytes>) -> Result<RenderBody, Failure> {
    serde_json::from_slice(answer.body()).map_err(|_| unreadable(answer))
}

fn billed(said: Option<bool>) -> Billed {
    match said {
        Some(true) => Billed::Yes,
        Some(false) => Billed::No,
        None => Billed::Unknown,
    }
}

fn usage(said: Option<&UsageBody>) -> Usage {
    Usage {
        output_ms: said.map(|usage| usage.output_ms),
        ..Usage::default()
    }
}

fn missing(complaint: Complaint) -> MissingOutput {
    MissingOutput {
        code: FailureCode::parse(&complaint.code).unwrap_or(FailureCode::OutputUnavailable),
        message: complaint.message,
    }
}

/// A render that failed, in the words of an answer that is itself a success.
fn failed(answer: &Response<Bytes>, error: Complaint) -> Failure {
    let code = FailureCode::parse(&error.code).unwrap_or(FailureCode::ProviderError);
    let message = format!("the testcard failed the render: {}", code.as_str());
    Failure::of(code, message).from_provider(
        Some(answer.status().as_u16()),
        Some(error.code).filter(|code| !code.is_empty()),
        Some(error.message).filter(|message| !message.is_empty()),
    )
}

/// A call that was refused, classified by its status.
fn refusal(answer: &Response<Bytes>) -> Failure {
    let status = answer.status();
    let code = match status.as_u16() {
        400 | 413 | 422 => FailureCode::InvalidRequest,
        401 => FailureCode::ProviderAuth,
        403 => FailureCode::ProviderPermission,
        402 => FailureCode::ProviderQuota,
        408 | 504 => FailureCode::ProviderTimeout,
        429 => FailureCode::RateLimited,
        _ => FailureCode::ProviderError,
    };
    let said = complaint(answer).unwrap_or_default();
    let message = if code == FailureCode::InvalidRequest && !said.message.is_empty() {
        said.message.clone()
    } else {
        format!("the testcard answered with status {}", status.as_u16())
    };
    Failure::of(code, message)
        .retry_after(retry_after(answer))
        .from_provider(
            Some(status.as_u16()),
            Some(said.code).filter(|code| !code.is_empty()),
            Some(said.message).filter(|message| !message.is_empty()),
        )
}

/// An answer that says nothing this adapter knows.
fn unreadable(answer: &Response<Bytes>) -> Failure {
    Failure::passing(
        FailureCode::ProviderError,
        "the testcard's answer could not be understood",
    )
    .billed(Billed::Unknown)
    .from_provider(
        Some(answer.status().as_u16()),
        None,
        Some(String::from_utf8_lossy(answer.body()).into_owned()).filter(|text| !text.is_empty()),
    )
}

fn complaint(answer: &Response<Bytes>) -> Option<Complaint> {
    serde_json::from_slice::<RefusalBody>(answer.body())
        .ok()
        .map(|body| body.error)
}

/// Whole seconds; a date is not understood, for there is no clock here.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds: u32 = answer
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_core::provider::Secret;
    use filmgate_core::request::{Input, ModelId, Request as Video};
    use proptest::prelude::*;
    use serde_json::json;

    fn testcard() -> Testcard {
        Testcard::new(ProviderName("testcard".to_owned()))
    }

    fn token() -> Token {
        Token {
            secret: Secret::new(""),
            expires_in: None,
        }
    }

    fn order_of(request: Video) -> Order {
        Order {
            native_model: "testcard".to_owned(),
            request: request.into(),
            shape: filmgate_core::request::Shape::default(),
            attempt_key: "attempt-1".to_owned(),
            callback_url: None,
        }
    }

    fn a_fox() -> Video {
        Video::new(ModelId("filmgate/testcard".to_owned()), "a fox")
    }

    fn order() -> Order {
        order_of(a_fox())
    }

    fn answer(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
        let mut answer = Response::new(body.into());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer
    }

    fn json_answer(status: u16, body: serde_json::Value) -> Response<Bytes> {
        answer(status, body.to_string())
    }

    /// Plays recorded answers to a conversation and tells what it came to, and what it sent.
    fn play<T>(
        mut talk: Talk<T>,
        answers: impl IntoIterator<Item = Response<Bytes>>,
    ) -> (Result<T, Failure>, Vec<String>) {
        let mut answers = answers.into_iter();
        let mut sent = Vec::new();
        let mut heard = None;
        loop {
            match talk.next(heard.take()) {
                Step::Send { message, .. } => {
                    sent.push(format!("{} {}", message.method(), message.uri().path()));
                    heard = Some(answers.next().expect("an answer was recorded"));
                }
                Step::Done(value) => return (Ok(value), sent),
                Step::Failed(failure) => return (Err(failure), sent),
            }
        }
    }

    fn polled(heard: Response<Bytes>) -> Result<Observation, Failure> {
        let native = NativeId("tc_1".to_owned());
        play(testcard().poll(&order(), &native, &token()), [heard]).0
    }

    fn submitted(heard: Response<Bytes>) -> Result<Submitted, Failure> {
        play(testcard().submit(&order(), &token()), [heard]).0
    }

    #[test]
    fn an_error_inside_a_200_is_a_failed_render() {
        let heard = json_answer(
            200,
            json!({"id": "tc_1", "status": "failed", "billed": true, "usage": {"output_ms": 500},
                   "error": {"code": "content_moderated", "message": "no foxes"}}),
        );
        let Ok(Observation::Failed(failure, usage)) = polled(heard) else {
            panic!("not a failed render");
        };
        assert_eq!(failure.code, FailureCode::ContentModerated);
        assert_eq!(failure.billed, Billed::Yes);
        assert!(!failure.retryable);
        assert_eq!(failure.provider_message.as_deref(), Some("no foxes"));
        assert_eq!(usage.output_ms, Some(500));
    }

    #[test]
    fn a_status_word_from_the_future_and_an_empty_body_are_worth_another_poll() {
        for heard in [
            json_answer(200, json!({"id": "tc_1", "status": "dreaming"})),
            json_answer(200, json!({"id": "tc_1"})),
            json_answer(200, json!(["rendering"])),
            answer(200, ""),
            answer(200, "<html>"),
        ] {
            let failure = polled(heard).unwrap_err();
            assert_eq!(failure.code, FailureCode::ProviderError);
            assert!(failure.retryable && !failure.ambiguous);
        }
    }

    #[test]
    fn a_429_tells_how_long_to_wait_when_it_says_so() {
        let mut heard = json_answer(429, json!({"error": {"code": "too_many_renders"}}));
        assert_eq!(submitted(heard.clone()).unwrap_err().retry_after, None);
        heard
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let failure = submitted(heard).unwrap_err();
        assert_eq!(failure.code, FailureCode::RateLimited);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(failure.provider_code.as_deref(), Some("too_many_renders"));
        assert!(failure.retryable && !failure.ambiguous);
    }

    #[test]
    fn a_submit_whose_answer_says_nothing_is_ambiguous() {
        for heard in [answer(200, ""), answer(502, "<html>"), answer(200, "{}")] {
            assert!(submitted(heard).unwrap_err().ambiguous);
        }
        let refused = json_answer(503, json!({"error": {"code": "closing"}}));
        assert!(!submitted(refused).unwrap_err().ambiguous);
    }

    #[test]
    fn a_refused_order_says_why_in_the_services_words() {
        let heard = json_answer(
            400,
            json!({"error": {"code": "invalid_order", "message": "seconds: 99 was sent", "field": "seconds"}}),
        );
        let failure = submitted(heard).unwrap_err();
        assert_eq!(failure.code, FailureCode::InvalidRequest);
        assert_eq!(failure.message, "seconds: 99 was sent");
        assert!(!failure.retryable);
    }

    #[test]
    fn a_look_up_finds_misses_or_cannot_tell() {
        let native = Draft::of(&order()).unwrap().native_id();
        let look = |heard| play(testcard().recover(&order(), &token()), [heard]).0;
        let found = json_answer(200, json!({"id": native, "status": "queued"}));
        assert_eq!(
            look(found),
            Ok(Recovered::Found(Submitted {
                native: NativeId(native)
            }))
        );
        let missing = json_answer(404, json!({"error": {"code": "render_not_found"}}));
        assert_eq!(look(missing), Ok(Recovered::Absent));
        let unknown = json_answer(503, json!({"error": {"code": "lookup_unavailable"}}));
        assert_eq!(look(unknown), Ok(Recovered::Unknown));
        assert!(look(answer(503, "busy")).unwrap_err().retryable);
    }

    #[test]
    fn a_poll_of_an_unknown_render_sends_the_order_again() {
        let native = NativeId("tc_1".to_owned());
        let (result, sent) = play(
            testcard().poll(&order(), &native, &token()),
            [
                json_answer(404, json!({"error": {"code": "render_not_found"}})),
                json_answer(202, json!({"id": "tc_1", "status": "queued"})),
            ],
        );
        assert_eq!(result, Ok(Observation::Running { progress: None }));
        assert_eq!(sent, ["GET /v1/renders/tc_1", "POST /v1/renders"]);
    }

    #[test]
    fn a_cancel_of_an_unknown_render_sends_the_order_again_and_cancels_that() {
        let native = NativeId("tc_1".to_owned());
        let unknown = || json_answer(404, json!({"error": {"code": "render_not_found"}}));
        let accepted = || json_answer(202, json!({"id": "tc_1", "status": "queued"}));
        let cancelled = json_answer(200, json!({"status": "cancelled", "billed": false}));
        let talk = || testcard().cancel(&order(), &native, &token());
        let (result, sent) = play(talk(), [unknown(), accepted(), cancelled]);
        assert_eq!(
            result,
            Ok(CancelOutcome::Cancelled(Billed::No, Usage::default()))
        );
        assert_eq!(sent.len(), 3);
        let (result, _) = play(talk(), [unknown(), accepted(), unknown()]);
        assert!(result.is_err());
    }

    #[test]
    fn the_first_frame_is_named_and_not_carried() {
        let mut request = a_fox();
        request.inputs.push(Input {
            kind: MediaKind::Image,
            role: InputRole::FirstFrame,
            reference_type: None,
            key: "inputs/1".to_owned(),
            mime_type: "image/png".to_owned(),
            bytes: 9,
            sha256: "ab".repeat(32),
            url: None,
            duration_ms: None,
        });
        let Step::Send { message, repeat } =
            testcard().submit(&order_of(request), &token()).next(None)
        else {
            panic!("nothing was sent");
        };
        assert_eq!(repeat, Repeat::MayBuyTwice);
        let Body(parts) = message.body();
        assert_eq!(
            parts[1],
            Part::Input {
                index: 0,
                encoding: Encoding::Base64
            }
        );
        let text = |part: &Part| match part {
            Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Part::Input { .. } => "AAAA".to_owned(),
            Part::Choice { .. } => panic!("it knows no links"),
        };
        let body: String = parts.iter().map(text).collect();
        let body: OrderBody<'_> = serde_json::from_str(&body).unwrap();
        assert_eq!(body.first_frame.unwrap().data, "AAAA");
    }

    #[test]
    fn other_inputs_and_a_faulty_simulation_are_refused_before_anything_is_sent() {
        let mut last_frame = a_fox();
        last_frame.inputs.push(Input {
            kind: MediaKind::Image,
            role: InputRole::LastFrame,
            reference_type: None,
            key: String::new(),
            mime_type: "image/png".to_owned(),
            bytes: 1,
            sha256: String::new(),
            url: None,
            duration_ms: None,
        });
        let mut faulty = a_fox();
        faulty
            .provider_params
            .insert("simulate".to_owned(), json!({"cancel": 1}));
        for request in [last_frame, faulty] {
            let (result, sent) = play(testcard().submit(&order_of(request), &token()), []);
            assert_eq!(result.unwrap_err().code, FailureCode::InvalidRequest);
            assert!(sent.is_empty());
        }
    }

    #[test]
    fn an_id_that_has_no_place_in_an_address_fails_and_does_not_panic() {
        let native = NativeId("not an id\n".to_owned());
        assert!(
            play(testcard().poll(&order(), &native, &token()), [])
                .0
                .is_err()
        );
    }

    /// A render as it might be told, with bytes lost or added here and there.
    fn odd_answer() -> impl Strategy<Value = Response<Bytes>> {
        let status = prop::sample::select(vec![
            200u16, 202, 204, 302, 400, 404, 405, 409, 429, 500, 503,
        ]);
        let word = "queued|rendering|succeeded|failed|cancelled|[a-z]{0,9}";
        let told = (word, ".{0,9}", any::<Option<i16>>(), any::<Option<bool>>());
        let render = told.prop_map(|(status, text, number, truth)| {
            json!({"id": text, "status": status, "progress": number, "billed": truth,
                   "outputs": [{"url": text}], "usage": {"output_ms": number},
                   "error": {"code": text, "message": status}})
            .to_string()
            .into_bytes()
        });
        let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
        (status, render, damage, 0usize..400).prop_map(|(status, mut body, damage, most)| {
            for (at, byte) in damage {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(most);
            answer(status, body)
        })
    }

    proptest! {
        #[test]
        fn whatever_is_answered_a_conversation_comes_to_its_end(
            answers in prop::collection::vec(odd_answer(), 8),
            id in ".{0,20}",
        ) {
            let (order, native) = (order(), NativeId(id));
            if let Ok(submitted) = play(testcard().submit(&order, &token()), answers.clone()).0 {
                prop_assert!(!submitted.native.0.is_empty());
            }
            drop(play(testcard().recover(&order, &token()), answers.clone()));
            drop(play(testcard().poll(&order, &native, &token()), answers.clone()));
            drop(play(testcard().cancel(&order, &native, &token()), answers));
        }
    }
}

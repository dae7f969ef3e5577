//! The seam to the vendors: core's words in, HTTP messages out, and back.
//!
//! An adapter never opens a socket. Each operation is a small *conversation*, a pure machine that the
//! engine drives: it asks for a message to be sent, is handed the answer, and in the end says what came
//! of it. The engine owns sockets, deadlines, size limits, address checks, repeats and tracing.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use crate::asset::MissingOutput;
use crate::failure::{Billed, Failure};
use crate::money::Nanos;
use crate::request::{ProviderName, Refusal, Request, Shape};
use crate::time::UnixTime;

/// One vendor's translation, made for one configured account.
pub trait Provider: Send + Sync + 'static {
    /// The name it is configured under.
    fn name(&self) -> &ProviderName;

    /// How the vendor behaves. What a model can do stands in the catalogue alone.
    fn protocol(&self) -> Protocol;

    /// Refuses what only the vendor's own rules can tell, above all in `provider_params`, before money
    /// moves.
    fn check(&self, _proposal: Proposal<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Refuses what cannot be one of the vendor's credentials, in words that say what can. By default a key: visible ASCII
    /// characters.
    fn check_credential(&self, credential: &Credential) -> Result<(), &'static str> {
        let secret = credential.secret.expose();
        let is_key = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        is_key
            .then_some(())
            .ok_or("a key of visible ASCII characters is allowed")
    }

    /// Turns the credential into what requests carry; `now` is for what is signed with a time in it. By default the key is
    /// the token and never expires.
    fn authorise(&self, credential: &Credential, _now: UnixTime) -> Talk<Token> {
        done(Token {
            secret: credential.secret.clone(),
            expires_in: None,
        })
    }

    /// The headers that carry `token`: on the adapter's own messages, and on the engine's when it fetches an
    /// output that wants the credential. By default a bearer's; none where there is no secret.
    fn proof(&self, token: &Token) -> HeaderMap {
        bearer(token)
    }

    /// Buys the job.
    fn submit(&self, order: &Order, token: &Token) -> Talk<Submitted>;

    /// Looks for a submit whose answer was lost, only ever by an id that we minted.
    fn recover(&self, order: &Order, token: &Token) -> Talk<Recovered>;

    fn poll(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<Observation>;

    fn cancel(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<CancelOutcome>;

    /// Reads a message that the vendor sent by itself. It only ever brings the next poll forward.
    ///
    /// # Errors
    /// Where the message is not the vendor's.
    fn read_callback(&self, _message: &Callback) -> Result<Nudge, NotACallback> {
        Err(NotACallback)
    }
}

/// How a vendor behaves, whatever the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    pub submit_repeat: SubmitRepeat,
    pub can_cancel: bool,
    /// It tells of a job's end at an address that it is given with the order.
    pub calls_back: bool,
}

/// What may be done when the answer to a submit is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitRepeat {
    /// The vendor honours our idempotency key: send the same message again.
    SameKey,
    /// The job can be found by an id we minted: look it up.
    Lookup,
    /// Neither: nobody can tell, and a second submit may pay twice.
    Never,
}

/// Text that must never be printed, logged or stored in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Whoever asks answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What proves to the vendor who pays.
#[derive(Debug, Clone)]
pub struct Credential {
    pub secret: Secret,
}

/// What a request carries as proof; cached by the engine until it expires.
#[derive(Debug, Clone)]
pub struct Token {
    pub secret: Secret,
    pub expires_in: Option<Duration>,
}

/// `Authorization: Bearer` and the token; nothing where the token is empty or has no place in a header.
pub fn bearer(token: &Token) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let secret = token.secret.expose();
    if secret.is_empty() {
        return headers;
    }
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {secret}")) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    headers
}

/// What would be ordered, while there is no job yet.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    pub native_model: &'a str,
    pub request: &'a Request,
    pub shape: &'a Shape,
}

/// Everything an adapter may know about a job.
#[derive(Debug, Clone)]
pub struct Order {
    /// The vendor's own name of the model.
    pub native_model: String,
    pub request: std::sync::Arc<Request>,
    pub shape: Shape,
    /// Minted by us, one per attempt: the idempotency key, or the id a look-up finds.
    pub attempt_key: String,
    /// Where the vendor may tell that the job has moved; `None` where this gateway cannot be reached from outside, or the
    /// vendor does not call back.
    pub callback_url: Option<String>,
}

impl Order {
    /// The order as it was checked: rules may have been tightened since.
    pub fn proposal(&self) -> Proposal<'_> {
        Proposal {
            native_model: &self.native_model,
            request: &self.request,
            shape: &self.shape,
        }
    }
}

/// What came in at a [`callback_url`](Order::callback_url). The address itself is proof of whose job it is about.
#[derive(Debug, Clone)]
pub struct Callback {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a vendor's own message comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nudge {
    /// The job it names, where it names one: another than ours is not believed.
    pub native: Option<NativeId>,
}

/// A message that is not what the vendor sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no message of the provider's")]
pub struct NotACallback;

/// The vendor's own id of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NativeId(pub String);

/// The body of a message: parts in a row. Inputs are named, not carried, so that an adapter never holds
/// a client's file; the engine puts the bytes in when it sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body(pub Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Bytes(Bytes),
    /// The stored input number `index` of the order's request.
    Input {
        index: usize,
        encoding: Encoding,
    },
    /// `linked` where vendors can fetch inputs from this gateway, which then holds links to them; `otherwise` where they
    /// cannot. An adapter writes both and need not know which it is. Where a vendor takes addresses, an input's own
    /// [`url`](crate::request::Input::url) is the third choice: the client's server is asked once more then, by the vendor,
    /// and what it hands over need not be what was priced.
    Choice {
        linked: Vec<Part>,
        otherwise: Vec<Part>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Raw,
    /// Standard alphabet, padded.
    Base64,
    /// Not the bytes: a signed https link of this gateway to them, of plain ASCII without quotes, good for a day and for
    /// whoever has it. Only in what is `linked`.
    Link,
}

impl Body {
    pub fn empty() -> Self {
        Self::default()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(vec![Part::Bytes(bytes.into())])
    }
}

/// Whether a message may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Safe,
    MayBuyTwice,
}

/// One turn of a conversation.
#[derive(Debug)]
pub enum Step<T> {
    Send {
        message: http::Request<Body>,
        repeat: Repeat,
    },
    Done(T),
    Failed(Failure),
}

/// A pure machine that needs some messages sent to come to a result. The first call brings no answer;
/// each later one brings the answer to the message sent last.
pub trait Conversation<T>: Send {
    fn next(&mut self, answer: Option<http::Response<Bytes>>) -> Step<T>;
}

pub type Talk<T> = Box<dyn Conversation<T>>;

/// A conversation without messages.
pub fn done<T: Send + 'static>(value: T) -> Talk<T> {
    struct Ready<T>(Option<T>);
    impl<T: Send> Conversation<T> for Ready<T> {
        fn next(&mut self, _answer: Option<http::Response<Bytes>>) -> Step<T> {
            Step::Done(
                self.0
                    .take()
                    .expect("a conversation that is done is not asked again"),
            )
        }
    }
    Box::new(Ready(Some(value)))
}

/// A conversation that fails before anything is sent.
pub fn fail<T: 'static>(failure: Failure) -> Talk<T> {
    struct Refused(Failure);
    impl<T> Conversation<T> for Refused {
        fn next(&mut self, _answer: Option<http::Response<Bytes>>) -> Step<T> {
            Step::Failed(self.0.clone())
        }
    }
    Box::new(Refused(failure))
}

/// A conversation of one message and one answer.
pub fn ask<T, F>(message: http::Request<Body>, repeat: Repeat, read: F) -> Talk<T>
where
    T: 'static,
    F: FnOnce(http::Response<Bytes>) -> Result<T, Failure> + Send + 'static,
{
    struct Ask<F> {
        message: Option<http::Request<Body>>,
        repeat: Repeat,
        read: Option<F>,
    }
    impl<T, F: FnOnce(http::Response<Bytes>) -> Result<T, Failure> + Send> Conversation<T> for Ask<F> {
        fn next(&mut self, answer: Option<http::Response<Bytes>>) -> Step<T> {
            match answer {
                None => Step::Send {
                    message: self.message.take().expect("a conversation is begun once"),
                    repeat: self.repeat,
                },
                Some(answer) => {
                    let read = self.read.take().expect("a conversation is answered once");
                    read(answer).map_or_else(Step::Failed, Step::Done)
                }
            }
        }
    }
    Box::new(Ask {
        message: Some(message),
        repeat,
        read: Some(read),
    })
}

/// The vendor took the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    pub native: NativeId,
}

/// What a look-up after a lost answer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    Found(Submitted),
    /// The vendor never saw it: it may be bought anew.
    Absent,
    Unknown,
}

/// What a poll saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// Taken on. `progress` in per cent, where the vendor tells.
    Running {
        progress: Option<u8>,
    },
    Succeeded(Delivery),
    Failed(Failure, Usage),
    /// The vendor gave up by its own clock.
    Expired(Billed, Usage),
    /// Cancelled over there, by us or by somebody else.
    Cancelled(Billed, Usage),
    /// The vendor does not know the id.
    Unknown,
}

/// A finished job, as the vendor hands it over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub outputs: Vec<Source>,
    #[serde(default)]
    pub missing: Vec<MissingOutput>,
    #[serde(default)]
    pub usage: Usage,
}

/// Where an output's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    Url {
        url: String,
        /// Fetched with the account's credential, which goes to the vendor's own origins and nowhere else.
        send_credential: bool,
    },
    /// In the answer to the poll itself, as base64 text. The engine cuts long texts out of an answer before an adapter sees
    /// it: what stands there then is not the text.
    Body {
        /// Where the text stands: a JSON pointer (RFC 6901).
        pointer: String,
    },
}

/// What the vendor says it used; all unknown is ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Milliseconds of output, per output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// What the vendor counts in credits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<u64>,
    /// What the vendor says the job cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Nanos>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled(Billed, Usage),
    /// It goes on, or has ended: the next poll tells what it came to.
    TooLate,
    Unsupported,
}

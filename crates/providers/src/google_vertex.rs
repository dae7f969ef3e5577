//! Google's Veo on Vertex AI: long-running predictions, polled until their videos are there.
//!
//! Written against its public reference and what its Python SDK (google-genai 2.34 with google-auth 2.62) was seen to send.
//! It takes no idempotency key and finds no operation by an id of ours, so a submit whose answer is lost is never sent
//! again; and it has no cancellation.
//!
//! The credential is the JSON key of a service account: it signs an assertion, which is exchanged for a token of an hour. The
//! assertion is posted to one of Google's own token addresses over https, whatever the key names, or to the origin of a
//! `base_url` that is not Google's: whoever stands in for Google there was named by the operator. The same holds for outputs
//! in a bucket, which are fetched from Cloud Storage or from that stand-in.
//!
//! Not verified, and taken on the safe side: how large a body may be (inputs of 15 MB are taken, 20 MB in base64); that WebP
//! is taken (it is refused); what a filtered or failed operation is charged (nothing: seconds of video are charged, and there
//! are none); how long outputs stay in an operation (they are fetched at once). `enhance_prompt` is sent only where it was
//! asked for, since `false` is said to be refused by Veo 3.
//!
//! Not here: what a model can do and costs (`catalogue`), API keys instead of service accounts, masks, Gemini Omni.

mod complaint;
mod operation;
mod order;
mod safety;
mod service_account;

#[cfg(test)]
mod tests;

pub use service_account::{BadKey, ServiceAccount};

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{
    Body, CancelOutcome, Credential, NativeId, Observation, Order, Proposal, Protocol, Provider,
    Recovered, Repeat, SubmitRepeat, Submitted, Talk, Token, ask, done, fail,
};
use filmgate_core::request::{ProviderName, Refusal};
use filmgate_core::time::UnixTime;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use self::complaint::refused;
use self::operation::Operation;
use crate::redaction::Redaction;
use crate::unclear::{left_open, unreadable};

/// The environment variables that usually name the key's file, the project and the location.
pub const KEY_FILE_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
pub const PROJECT_VARIABLE: &str = "GOOGLE_CLOUD_PROJECT";
pub const LOCATION_VARIABLE: &str = "GOOGLE_CLOUD_LOCATION";
/// Where nothing else is said.
pub const DEFAULT_LOCATION: &str = "us-central1";
const STORAGE: &str = "https://storage.googleapis.com";
const GOOGLE: &str = ".googleapis.com";

/// Where an account's jobs run, and where their outputs go.
#[derive(Debug, Clone)]
pub struct Site {
    pub project: String,
    pub location: String,
    /// Google's own address for the location, unless something else is named.
    pub base_url: Option<Url>,
    /// `gs://` and a bucket, perhaps with a prefix. Without one, outputs come in the answer itself.
    pub storage_uri: Option<String>,
}

impl Site {
    /// What keeps it from being one: the key at fault, and what is allowed.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (key, word) in [("project", &self.project), ("location", &self.location)] {
            let plain = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.:".contains(letter)
            };
            if word.is_empty() || word.starts_with('.') || !word.chars().all(plain) {
                let allowed = "lower-case letters, digits and - are allowed";
                faults.push((key, format!("{word:?} was given, and {allowed}")));
            }
        }
        if let Some(uri) = self.storage_uri.as_deref().filter(|uri| !is_bucket(uri)) {
            let allowed = "gs://BUCKET/ or gs://BUCKET/PREFIX/ is allowed";
            faults.push(("storage_uri", format!("{uri:?} was given, and {allowed}")));
        }
        faults
    }

    /// What keeps `account` from being used here.
    pub fn objection(&self, account: &ServiceAccount) -> Option<BadKey> {
        account.check_token_uri(self.stands_in()).err()
    }

    /// Where the API is.
    pub fn base(&self) -> Url {
        let host = match (&self.base_url, self.location.as_str()) {
            (Some(base_url), _) => return base_url.clone(),
            (None, "global") => "https://aiplatform.googleapis.com".to_owned(),
            (None, location) => format!("https://{location}-aiplatform.googleapis.com"),
        };
        // A location that makes no address is one of the faults.
        Url::parse(&host).unwrap_or_else(|_| {
            Url::parse("https://aiplatform.googleapis.com").expect("this is an address")
        })
    }

    /// The other addresses that the credential may go to: those of tokens, and the one of buckets.
    pub fn further(&self) -> Vec<Url> {
        if self.stands_in().is_some() {
            return Vec::new();
        }
        let hosts = service_account::TOKEN_HOSTS.map(|host| format!("https://{host}"));
        hosts
            .iter()
            .map(String::as_str)
            .chain([STORAGE])
            .map(|address| Url::parse(address).expect("this is an address"))
            .collect()
    }

    /// A `base_url` that is not Google's: it stands in for everything of Google's.
    fn stands_in(&self) -> Option<&Url> {
        self.base_url.as_ref().filter(|base_url| {
            !(base_url.scheme() == "https"
                && base_url
                    .host_str()
                    .is_some_and(|host| host.ends_with(GOOGLE)))
        })
    }
}

fn is_bucket(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("gs://") else {
        return false;
    };
    let bucket = rest.split('/').next().unwrap_or_default();
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter)
    };
    (3..=222).contains(&bucket.len()) && bucket.chars().all(plain)
}

/// The adapter of one account.
#[derive(Debug, Clone)]
pub struct GoogleVertex {
    name: ProviderName,
    site: Site,
    /// Without a slash at its end.
    base: String,
    /// Likewise, of the buckets.
    storage: String,
}

impl GoogleVertex {
    /// For an account of which [`Site::faults`] has nothing to say.
    pub fn new(name: ProviderName, site: Site) -> Self {
        let plain = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        Self {
            base: plain(&site.base()),
            storage: site.stands_in().map_or_else(|| STORAGE.to_owned(), plain),
            name,
            site,
        }
    }

    /// `method` of the publisher's model at `path`.
    fn message(
        &self,
        path: &str,
        method: &str,
        token: &Token,
        body: Body,
    ) -> Result<Request<Body>, Failure> {
        let mut message = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/{path}:{method}", self.base))
            .header(header::ACCEPT, "application/json")
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(body)
            .map_err(|_| {
                Failure::permanent(
                    FailureCode::GatewayError,
                    format!("the base_url of {} makes no address", self.name),
                )
            })?;
        message.headers_mut().extend(self.proof(token));
        Ok(message)
    }

    fn create(&self, order: &Order, token: &Token) -> Result<Request<Body>, Failure> {
        let body = order::prediction(order, self.site.storage_uri.as_deref())?;
        let path = self.site.model(&order.native_model);
        self.message(&path, "predictLongRunning", token, body)
    }

    fn question(
        &self,
        order: &Order,
        native: &NativeId,
        token: &Token,
    ) -> Result<Request<Body>, Failure> {
        // It is asked of the model that the operation's name has in it.
        let path =
            operation::model_of(&native.0).unwrap_or_else(|| self.site.model(&order.native_model));
        let body = json!({"operationName": native.0}).to_string();
        self.message(&path, "fetchPredictOperation", token, body.into())
    }
}

impl Provider for GoogleVertex {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: SubmitRepeat::Never,
            can_cancel: false,
            calls_back: false,
        }
    }

    fn check(&self, proposal: Proposal<'_>) -> Result<(), Refusal> {
        order::check(proposal)
    }

    /// The project that jobs run in and are billed to is the configured one, whoever signs.
    fn check_credential(&self, _credential: &Credential) -> Result<(), &'static str> {
        Err(
            "no key of a workspace's own is taken for Vertex AI, where jobs are billed to the project that is configured here",
        )
    }

    fn authorise(&self, credential: &Credential, now: UnixTime) -> Talk<Token> {
        let request = ServiceAccount::read(credential.secret.expose())
            .and_then(|account| account.ask_for_token(self.site.stands_in(), now));
        match request {
            // A second assertion is as good as the first.
            Ok((message, redaction)) => ask(message, Repeat::Safe, move |answer| {
                service_account::token(&answer, &redaction)
            }),
            Err(bad) => fail(Failure::of(
                FailureCode::ProviderAuth,
                format!("the key of {} cannot be used: {bad}", self.name),
            )),
        }
    }

    fn submit(&self, order: &Order, token: &Token) -> Talk<Submitted> {
        let redaction = Redaction::of(order, token);
        match self.create(order, token) {
            Ok(message) => ask(message, Repeat::MayBuyTwice, move |answer| {
                submitted(&answer, &redaction)
            }),
            Err(failure) => fail(failure),
        }
    }

    fn recover(&self, _order: &Order, _token: &Token) -> Talk<Recovered> {
        done(Recovered::Unknown)
    }

    fn poll(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<Observation> {
        let redaction = Redaction::of(order, token);
        let (asked, storage) = (order.request.sample_count.max(1), self.storage.clone());
        match self.question(order, native, token) {
            Ok(question) => ask(question, Repeat::Safe, move |answer| {
                observed(&answer, asked, &storage, &redaction)
            }),
            Err(failure) => fail(failure),
        }
    }

    fn cancel(&self, _order: &Order, _native: &NativeId, _token: &Token) -> Talk<CancelOutcome> {
        done(CancelOutcome::Unsupported)
    }
}

impl Site {
    /// The path of one of Google's models here.
    fn model(&self, native_model: &str) -> String {
        operation::path_of(&self.project, &self.location, native_model)
    }
}

/// Whether the operation was begun. A whole answer that refuses is a refusal; one that names no operation leaves it open,
/// and so does one of a server that broke off over it.
fn submitted(answer: &Response<Bytes>, redaction: &Redaction) -> Result<Submitted, Failure> {
    match answer.status() {
        status if status.is_success() => {
            let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
            let name = body.as_ref().and_then(|body| body.get("name")?.as_str());
            match name.filter(|name| operation::model_of(name).is_some()) {
                Some(name) => Ok(Submitted {
                    native: NativeId(name.to_owned()),
                }),
                // An error under a success, that tells of no operation.
                None if name.is_none() && complaint::says_error(answer) => {
                    Err(refused(answer, redaction))
                }
                None => Err(left_open(unreadable(answer, redaction))),
            }
        }
        status if status.is_server_error() || matches!(status.as_u16(), 408 | 499) => {
            Err(left_open(refused(answer, redaction)))
        }
        _ => Err(refused(answer, redaction)),
    }
}

/// What a poll's answer shows of an operation that `asked` videos were ordered with.
fn observed(
    answer: &Response<Bytes>,
    asked: u32,
    storage: &str,
    redaction: &Redaction,
) -> Result<Observation, Failure> {
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(Observation::Unknown),
        status if status.is_success() => match Operation::read(answer.body()) {
            Some(operation) => Ok(operation.observe(asked, storage, redaction)),
            None if complaint::says_error(answer) => Err(refused(answer, redaction)),
            None => Err(unreadable(answer, redaction)),
        },
        _ => Err(refused(answer, redaction)),
    }
}

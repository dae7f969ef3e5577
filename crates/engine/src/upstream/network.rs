//! The line to a provider that lives behind a socket.
//!
//! Its base address is the operator's word and trusted, plain http and private addresses included; the credential goes
//! there and nowhere else. Addresses out of its answers are fetched under the rule for everybody else's ([`Outside`]).

use std::time::Duration;

use filmgate_core::provider::Repeat;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use url::{Origin, Url};

use super::outside::{NotPublic, Outside};
use super::{AnswerBody, LineError, Pieces};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Servers close what is idle, often after 5 s: a message that goes out just then is lost without having been read.
const IDLE_FOR: Duration = Duration::from_secs(4);
const MOST_REDIRECTS: u32 = 5;

/// A provider's own origins, and the way to what its answers name elsewhere.
#[derive(Clone)]
pub struct Network {
    /// Where the credential may go.
    own: Vec<Origin>,
    /// For messages that may be sent again.
    kept: reqwest::Client,
    /// A connection for each message: none that the other end may be about to close.
    fresh: reqwest::Client,
    outside: Outside,
}

/// A client for these could not be made; there is no cure at run time.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made")]
pub struct NoClient(#[from] reqwest::Error);

impl Network {
    /// The line to the provider at `base`.
    ///
    /// # Errors
    /// Where TLS cannot be set up. A default crypto provider has to be installed before.
    pub fn to(base: &Url, outside: Outside) -> Result<Self, NoClient> {
        Ok(Self {
            own: vec![base.origin()],
            kept: client().pool_idle_timeout(IDLE_FOR).build()?,
            fresh: client().pool_max_idle_per_host(0).build()?,
            outside,
        })
    }

    /// The same, `further` being an address of the provider's too: the operator's word, like its base.
    #[must_use]
    pub fn and_to(mut self, further: &Url) -> Self {
        self.own.push(further.origin());
        self
    }

    /// Sends a message to the provider. What comes back is its answer, a redirect too: that is for the operator to follow.
    pub(super) async fn send(
        &self,
        message: http::Request<Pieces>,
        repeat: Repeat,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let (head, body) = message.into_parts();
        let url = parsed(&head.uri.to_string())?;
        if !self.is_own(&url) {
            return Err(LineError::Forbidden(
                "it is not at the provider's own base address".to_owned(),
            ));
        }
        let client = match repeat {
            Repeat::Safe => &self.kept,
            Repeat::MayBuyTwice => &self.fresh,
        };
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        if body.len() > 0 {
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        executed(client, request).await
    }

    /// Asks for a file, redirects followed. `proof` is sent for as long as nobody has led away from the own origin.
    pub(super) async fn fetch(
        &self,
        url: &http::Uri,
        proof: HeaderMap,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let mut url = parsed(&url.to_string())?;
        let mut proof = proof;
        for _ in 0..=MOST_REDIRECTS {
            let mut request = reqwest::Request::new(http::Method::GET, url.clone());
            let client = if self.is_own(&url) {
                request.headers_mut().extend(proof.clone());
                &self.kept
            } else {
                proof.clear();
                self.outside
                    .client_for(&url)
                    .map_err(|why| LineError::Forbidden(why.to_string()))?
            };
            let answer = executed(client, request).await?;
            match led_to(&url, &answer) {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(LineError::Broken(format!(
            "more than {MOST_REDIRECTS} redirects"
        )))
    }

    fn is_own(&self, url: &Url) -> bool {
        let origin = url.origin();
        origin.is_tuple() && self.own.contains(&origin)
    }
}

/// What all clients have in common.
pub(super) fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("filmgate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_DEADLINE)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
}

async fn executed(
    client: &reqwest::Client,
    request: reqwest::Request,
) -> Result<http::Response<AnswerBody>, LineError> {
    let answer = client.execute(request).await.map_err(failed)?;
    let answer: http::Response<reqwest::Body> = answer.into();
    Ok(answer.map(|body| {
        body.map_err(|error| std::io::Error::other(cause(&error)))
            .boxed()
    }))
}

/// Before there is a connection nothing was sent; after that nobody can tell.
fn failed(error: reqwest::Error) -> LineError {
    if let Some(refused) = within::<NotPublic>(&error) {
        return LineError::Forbidden(refused.to_string());
    }
    if error.is_connect() || error.is_builder() {
        LineError::Unreachable(cause(&error))
    } else {
        LineError::Broken(cause(&error))
    }
}

/// The innermost cause: the outer ones name the address, which may be signed.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn within<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Where an answer from `url` leads on to.
fn led_to(url: &Url, answer: &http::Response<AnswerBody>) -> Option<Url> {
    let leads = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    leads.then(|| url.join(location).ok()).flatten()
}

fn parsed(text: &str) -> Result<Url, LineError> {
    Url::parse(text).map_err(|error| LineError::Forbidden(error.to_string()))
}

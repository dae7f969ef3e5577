//! The line to a provider that lives behind a socket.
//!
//! Its base address is the operator's word and trusted, plain http and private addresses included; the credential goes
//! there and nowhere else. Addresses out of its answers are asked under the rule for everybody else's ([`Outside`]).

use std::time::Duration;

use filmgate_core::provider::Repeat;
use http::{HeaderMap, HeaderName, StatusCode, header};
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

    /// Sends a message to the provider, or without proof to where its answer led, such as an upload's target. What comes
    /// back is the answer, a redirect too: no body follows one.
    pub(super) async fn send(
        &self,
        message: http::Request<Pieces>,
        repeat: Repeat,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let (mut head, body) = message.into_parts();
        let url = parsed(&head.uri.to_string())?;
        let client = if self.is_own(&url) {
            match repeat {
                Repeat::Safe => &self.kept,
                Repeat::MayBuyTwice => &self.fresh,
            }
        } else {
            strip_proof(&mut head.headers);
            self.outside.client_for(&url)?
        };
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        if body.len() > 0 {
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        executed(client, request).await
    }

    /// Asks for a file, redirects followed. `proof` is sent for as long as nobody has led away from the own origins.
    pub(super) async fn fetch(
        &self,
        url: &http::Uri,
        proof: HeaderMap,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let mut proof = proof;
        followed(parsed(&url.to_string())?, |url| {
            if self.is_own(url) {
                return Ok((&self.kept, proof.clone()));
            }
            proof.clear();
            Ok((self.outside.client_for(url)?, HeaderMap::new()))
        })
        .await
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

/// GETs `url` and what it redirects to. `judged` says of each address on the way who may ask it, and with which headers.
pub(super) async fn followed<'a>(
    mut url: Url,
    mut judged: impl FnMut(&Url) -> Result<(&'a reqwest::Client, HeaderMap), LineError>,
) -> Result<http::Response<AnswerBody>, LineError> {
    for _ in 0..=MOST_REDIRECTS {
        let (client, headers) = judged(&url)?;
        let mut request = reqwest::Request::new(http::Method::GET, url.clone());
        request.headers_mut().extend(headers);
        let answer = executed(client, request).await?;
        let Some(next) = led_to(&url, &answer) else {
            return Ok(answer);
        };
        if url.scheme() == "https" && next.scheme() != "https" {
            let why = "a redirect led away from https";
            return Err(LineError::Forbidden(why.to_owned()));
        }
        url = next;
    }
    Err(LineError::Redirects(MOST_REDIRECTS))
}

/// Takes off whatever says who we are.
fn strip_proof(headers: &mut HeaderMap) {
    let named = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
    ];
    let secret = headers.iter().filter(|(_, value)| value.is_sensitive());
    let secret: Vec<HeaderName> = secret.map(|(name, _)| name.clone()).collect();
    for name in named.iter().chain(&secret) {
        headers.remove(name);
    }
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

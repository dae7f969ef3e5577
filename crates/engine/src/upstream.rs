//! Reaching a provider: messages and files, over whatever leads there.
//!
//! An in-process service is handed the message; everything else is reached over the network. Here are deadlines and size
//! limits; not here what a message means (the adapter), nor whether it may be sent again (`converse`).

mod answer;
mod message;
mod network;
mod outside;

pub use message::InputLinks;
pub use network::{Network, NoClient};
pub use outside::Outside;

pub(crate) use answer::{Answer, LongTexts, NoFile};
use message::Pieces;
pub(crate) use message::{MOST_INPUT_BYTES, fill};

use std::convert::Infallible;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filmgate_assets::spool::Spool;
use filmgate_core::provider::{Credential, Provider, Repeat};
use http::HeaderMap;
use http_body_util::combinators::BoxBody;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// A provider's answer may be this large, without its long texts; most outputs are fetched apart.
const MOST_ANSWER_BYTES: usize = 8 << 20;

pub type AnswerBody = BoxBody<Bytes, io::Error>;
pub type InProcess =
    BoxCloneSyncService<http::Request<Bytes>, http::Response<AnswerBody>, Infallible>;

/// A provider as configured here: who translates, what leads there, who pays.
#[derive(Clone)]
pub struct Account {
    pub provider: Arc<dyn Provider>,
    pub line: Line,
    /// The operator's; without one only workspaces that have their own use it.
    pub credential: Option<Credential>,
    /// How often a running job is asked for.
    pub poll_every: Duration,
    /// Jobs it may have at once; `None`: as many as come.
    pub concurrency: Option<NonZeroU32>,
    /// The longest one job may run there; `None`: as long as the job may take at all.
    pub deadline: Option<Duration>,
}

impl Account {
    /// An account without limits of its own.
    pub fn new(
        provider: Arc<dyn Provider>,
        line: Line,
        credential: impl Into<Option<Credential>>,
        poll_every: Duration,
    ) -> Self {
        Self {
            provider,
            line,
            credential: credential.into(),
            poll_every,
            concurrency: None,
            deadline: None,
        }
    }
}

/// What leads to a provider.
#[derive(Clone)]
pub enum Line {
    InProcess(InProcess),
    Network(Network),
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The message never left.
    #[error("an input cannot be read")]
    Input(#[source] filmgate_assets::read::ReadError),
    #[error("an input's key is not one")]
    Key(#[source] filmgate_assets::key::InvalidObjectKey),
    #[error("this gateway has no links to its inputs")]
    NoLink,
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    #[error("the address may not be asked: {0}")]
    Forbidden(String),
    /// The message may have arrived.
    #[error("the provider did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error("it leads elsewhere by more than {0} redirects")]
    Redirects(u32),
    #[error("the answer is larger than any is taken")]
    TooLarge,
    #[error("the connection broke before the answer was whole: {0}")]
    Broken(String),
    #[error("the answer cannot be kept")]
    Disk(#[source] io::Error),
}

impl LineError {
    /// Whether the provider may have acted on the message.
    pub(crate) fn may_have_arrived(&self) -> bool {
        matches!(
            self,
            Self::Deadline(_) | Self::TooLarge | Self::Broken(_) | Self::Disk(_)
        )
    }
}

impl Line {
    /// Sends `message` and collects the answer, all of it `within` this time.
    pub(crate) async fn send(
        &self,
        message: http::Request<Pieces>,
        repeat: Repeat,
        within: Duration,
        long_texts: &LongTexts,
        spool: &Spool,
    ) -> Result<Answer, LineError> {
        let exchange = async {
            let answer = match self {
                Self::InProcess(service) => handed_over(service, message.map(Pieces::whole)).await,
                Self::Network(network) => network.send(message, repeat).await?,
            };
            long_texts.collect(answer, spool).await
        };
        tokio::time::timeout(within, exchange)
            .await
            .unwrap_or(Err(LineError::Deadline(within)))
    }

    /// Asks for a file: the head of the answer `within` this time, and its bytes as they come. `proof` goes to the
    /// provider's own origin alone.
    pub(crate) async fn fetch(
        &self,
        url: &http::Uri,
        proof: HeaderMap,
        within: Duration,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let ask = async {
            match self {
                Self::InProcess(service) => {
                    let mut message = http::Request::get(url)
                        .body(Bytes::new())
                        .expect("a GET of a parsed address is a message");
                    message.headers_mut().extend(proof);
                    Ok(handed_over(service, message).await)
                }
                Self::Network(network) => network.fetch(url, proof).await,
            }
        };
        tokio::time::timeout(within, ask)
            .await
            .unwrap_or(Err(LineError::Deadline(within)))
    }
}

async fn handed_over(
    service: &InProcess,
    message: http::Request<Bytes>,
) -> http::Response<AnswerBody> {
    match service.clone().oneshot(message).await {
        Ok(answer) => answer,
    }
}

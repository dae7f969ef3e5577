//! Reaching a provider: messages and files, over whatever leads there.
//!
//! An in-process service is handed the message; sockets come with the first provider that needs one. Here
//! are deadlines and size limits; not here what a message means (the adapter), nor whether it may be sent
//! again (`converse`).

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use filmgate_assets::{Assets, ObjectKey};
use filmgate_core::provider::{Body, Credential, Encoding, Part, Provider};
use filmgate_core::request::Input;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// A provider's answer may be this large; outputs are fetched apart.
const MOST_ANSWER_BYTES: usize = 8 << 20;
/// The most an input may have when it is put into a message.
pub(crate) const MOST_INPUT_BYTES: u64 = 64 << 20;

pub type AnswerBody = BoxBody<Bytes, io::Error>;
pub type InProcess =
    BoxCloneSyncService<http::Request<Bytes>, http::Response<AnswerBody>, Infallible>;

/// A provider as configured here: who translates, what leads there, who pays.
#[derive(Clone)]
pub struct Account {
    pub provider: Arc<dyn Provider>,
    pub line: Line,
    pub credential: Credential,
    /// How often a running job is asked for.
    pub poll_every: Duration,
    /// How many jobs may be there at once, all processes on one database together; any number where not set.
    pub concurrency: Option<u32>,
    /// How long a job may be there before it is given up; as long as its own time where not set.
    pub deadline: Option<Duration>,
}

/// What leads to a provider.
#[derive(Clone)]
pub enum Line {
    InProcess(InProcess),
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The message never left.
    #[error("an input cannot be read")]
    Input(#[source] filmgate_assets::read::ReadError),
    #[error("an input's key is not one")]
    Key(#[source] filmgate_assets::key::InvalidObjectKey),
    /// The message may have arrived.
    #[error("the provider did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error("the connection broke before the answer was whole: {0}")]
    Broken(String),
}

impl LineError {
    /// Whether the provider may have acted on the message.
    pub(crate) fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Deadline(_) | Self::Broken(_))
    }
}

impl Line {
    /// Sends `message` and collects the answer, all of it `within` this time.
    pub(crate) async fn send(
        &self,
        message: http::Request<Bytes>,
        within: Duration,
    ) -> Result<http::Response<Bytes>, LineError> {
        let exchange = async {
            let (head, body) = self.open(message).await.into_parts();
            let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| LineError::Broken(error.to_string()))?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(within, exchange)
            .await
            .unwrap_or(Err(LineError::Deadline(within)))
    }

    /// Asks for a file: the head of the answer `within` this time, and its bytes as they come.
    pub(crate) async fn fetch(
        &self,
        url: &http::Uri,
        within: Duration,
    ) -> Result<http::Response<AnswerBody>, LineError> {
        let message = http::Request::get(url)
            .body(Bytes::new())
            .expect("a GET of a parsed address is a message");
        tokio::time::timeout(within, self.open(message))
            .await
            .map_err(|_| LineError::Deadline(within))
    }

    async fn open(&self, message: http::Request<Bytes>) -> http::Response<AnswerBody> {
        match self {
            Self::InProcess(service) => match service.clone().oneshot(message).await {
                Ok(answer) => answer,
            },
        }
    }
}

/// The whole body of a message, inputs read in.
pub(crate) async fn fill(
    body: Body,
    inputs: &[Input],
    assets: &Assets,
) -> Result<Bytes, LineError> {
    let mut whole = BytesMut::new();
    for part in body.0 {
        match part {
            Part::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Part::Input { index, encoding } => {
                let key: ObjectKey = inputs[index].key.parse().map_err(LineError::Key)?;
                let bytes = assets
                    .read_all(&key, MOST_INPUT_BYTES)
                    .await
                    .map_err(LineError::Input)?;
                match encoding {
                    Encoding::Raw => whole.extend_from_slice(&bytes),
                    Encoding::Base64 => whole.extend_from_slice(
                        base64::engine::general_purpose::STANDARD
                            .encode(&bytes)
                            .as_bytes(),
                    ),
                }
            }
        }
    }
    Ok(whole.freeze())
}

//! Taking in what a request brings: bytes that came with it, and files at addresses it names.
//!
//! Each input is on disk before the job is. A file is fetched under the rule for everybody's addresses (`upstream::outside`),
//! bounded in bytes and time, told by its bytes, and put before the next one of its lane begins. If the job is then refused,
//! or this process dies, no row names what was put, and it is removed at once or by the sweep.
//!
//! Not here: reading `data:` URLs and file parts (`api`), what a model takes (`catalogue`).

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use filmgate_assets::ObjectKey;
use filmgate_assets::sniff::{decodes, sniff};
use filmgate_assets::spool::{SpoolError, Spooled};
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::request::{Input, MediaKind, Refusal, Request};
use filmgate_store::StoreError;
use futures::StreamExt;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use url::Url;

use super::{AdmitError, Ask, Given};
use crate::Parts;
use crate::upstream::LineError;

/// Files of one request that are fetched at once.
const LANES: usize = 4;
/// As much of a file as tells what it is.
const HEAD_BYTES: usize = 4096;

/// Why an input is not taken: the client's fault, or ours.
enum NotTaken {
    Refused(Refusal),
    Failed(AdmitError),
}

impl Parts {
    /// Refuses addresses that may not be asked, as far as their text tells.
    pub(super) fn judge_addresses(&self, request: &Request) -> Result<(), AdmitError> {
        let refusals: Vec<Refusal> = (0..)
            .zip(&request.inputs)
            .filter_map(|(at, input)| {
                let judged = self.address(input.elsewhere()?);
                judged.err().map(|why| refused_address(at, input, &why))
            })
            .collect();
        if refusals.is_empty() {
            return Ok(());
        }
        Err(AdmitError::InputsRefused { refusals })
    }

    fn address(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| "is not an absolute URL".to_owned())?;
        let Some(outside) = &self.outside else {
            return Err(
                "cannot be fetched by this gateway, which has no root certificates".to_owned(),
            );
        };
        outside
            .judge(&url)
            .map_err(|why| format!("may not be fetched: {why}"))?;
        Ok(url)
    }

    /// Puts every input of `ask`, and writes into its request what each is. What was put stays where one is refused.
    pub(super) async fn take_inputs(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
        ask: &mut Ask,
    ) -> Result<(), AdmitError> {
        let given = std::mem::take(&mut ask.inputs);
        let fetched = AtomicU64::new(0);
        let mut taking = Vec::with_capacity(given.len());
        for ((number, input), given) in (0u32..).zip(&mut ask.request.inputs).zip(given) {
            input.key = ObjectKey::input(workspace, id, number).to_string();
            taking.push(self.take(number, input, given, &fetched));
        }
        // All of them come to their end: what is still being put could not be removed.
        let taken: Vec<Result<(), NotTaken>> = futures::stream::iter(taking)
            .buffered(LANES)
            .collect()
            .await;
        let mut refusals = Vec::new();
        for one in taken {
            match one {
                Ok(()) => {}
                Err(NotTaken::Refused(refusal)) => refusals.push(refusal),
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
        if refusals.is_empty() {
            return Ok(());
        }
        Err(AdmitError::InputsRefused { refusals })
    }

    async fn take(
        &self,
        number: u32,
        input: &mut Input,
        given: Given,
        fetched: &AtomicU64,
    ) -> Result<(), NotTaken> {
        let spooled = match given {
            Given::Bytes(bytes) if input.kind == MediaKind::Image => {
                self.check_picture(number, input, bytes.clone()).await?;
                let key = key_of(input)?;
                let put = self.assets.put_bytes(&key, bytes).await;
                put.map_err(|error| NotTaken::Failed(AdmitError::Input(error)))?;
                return Ok(());
            }
            Given::Bytes(bytes) => {
                let length = bytes.len() as u64;
                let whole = futures::stream::iter([Ok::<_, std::io::Error>(bytes)]);
                let spooled = self.assets.spool().receive(whole, Some(length)).await;
                spooled.map_err(|error| NotTaken::Failed(AdmitError::Spool(error)))?
            }
            Given::Elsewhere => {
                let spooled = self.fetch_input(number, input, fetched).await?;
                self.tell(number, input, &spooled).await?;
                spooled
            }
        };
        input.duration_ms = self.assets.length_of(&spooled, input.kind).await;
        let key = key_of(input)?;
        let put = self.assets.put_output(spooled, &key).await;
        put.map_err(|error| NotTaken::Failed(AdmitError::Input(error)))?;
        Ok(())
    }

    /// The file at an input's address, within every limit.
    #[tracing::instrument(name = "engine.fetch_input", skip_all, fields(input.index = number))]
    async fn fetch_input(
        &self,
        number: u32,
        input: &Input,
        fetched: &AtomicU64,
    ) -> Result<Spooled, NotTaken> {
        let limits = &self.config.inputs;
        let text = input.url.as_deref().unwrap_or_default();
        let refused = |why: &str| NotTaken::Refused(refused_address(number, input, why));
        let url = self.address(text).map_err(|why| refused(&why))?;
        let place = tokio::time::timeout(limits.deadline(), self.fetching.acquire()).await;
        // Everybody else's are slow: nobody can tell yet about this one.
        let _place = match place {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(NotTaken::Failed(StoreError::Closed.into())),
            Err(_) => return Err(NotTaken::Failed(StoreError::Busy.into())),
        };
        let exchange = self.receive_input(url, input.kind, fetched);
        match tokio::time::timeout(limits.deadline(), exchange).await {
            Ok(Ok(spooled)) => Ok(spooled),
            Ok(Err(Received::Refused(why))) => {
                tracing::debug!(host = %shown(text), "input {number} {why}");
                Err(refused(&why))
            }
            Ok(Err(Received::Spool(error))) => Err(NotTaken::Failed(AdmitError::Spool(error))),
            Err(_) => Err(refused(&format!(
                "did not arrive within {} seconds",
                limits.deadline().as_secs()
            ))),
        }
    }

    async fn receive_input(
        &self,
        url: Url,
        kind: MediaKind,
        fetched: &AtomicU64,
    ) -> Result<Spooled, Received> {
        let limits = &self.config.inputs;
        let Some(outside) = &self.outside else {
            return Err(Received::Refused("cannot be fetched".to_owned()));
        };
        let answer = outside.fetch(url).await.map_err(|error| {
            Received::Refused(match error {
                LineError::Forbidden(why) => format!("may not be fetched: {why}"),
                other => format!("could not be fetched: {other}"),
            })
        })?;
        if answer.status() != StatusCode::OK {
            return Err(Received::Refused(format!(
                "answered with status {}",
                answer.status().as_u16()
            )));
        }
        let announced: Option<u64> = answer
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let most = limits.most(kind);
        let too_much = |most: u64| format!("has more than {most} bytes");
        if announced.is_some_and(|announced| announced > most) {
            return Err(Received::Refused(too_much(most)));
        }
        let mut own = 0u64;
        let incoming = answer.into_body().into_data_stream().map(|chunk| {
            let chunk: Bytes = chunk.map_err(Broken::Off)?;
            let length = chunk.len() as u64;
            own += length;
            let all = fetched.fetch_add(length, Ordering::Relaxed) + length;
            if own > most {
                return Err(Broken::TooMuch(most));
            }
            if all > limits.total_bytes {
                return Err(Broken::AllTooMuch(limits.total_bytes));
            }
            Ok(chunk)
        });
        match self.assets.spool().receive(incoming, announced).await {
            Ok(spooled) => Ok(spooled),
            Err(SpoolError::Interrupted(error)) => {
                Err(Received::Refused(match error.downcast_ref::<Broken>() {
                    Some(broken) => broken.to_string(),
                    None => "broke off".to_owned(),
                }))
            }
            Err(SpoolError::WrongLength { .. }) => {
                Err(Received::Refused("broke off before its end".to_owned()))
            }
            Err(SpoolError::TooLarge { limit }) => Err(Received::Refused(too_much(limit))),
            Err(error @ SpoolError::Io(_)) => Err(Received::Spool(error)),
        }
    }

    /// Writes into `input` what was fetched: told by its bytes, whatever its server says.
    async fn tell(
        &self,
        number: u32,
        input: &mut Input,
        spooled: &Spooled,
    ) -> Result<(), NotTaken> {
        let refused =
            |input: &Input, why: &str| NotTaken::Refused(refused_address(number, input, why));
        // A picture's size stands anywhere in it.
        let most = match input.kind {
            MediaKind::Image => usize::MAX,
            MediaKind::Video | MediaKind::Audio => HEAD_BYTES,
        };
        let path = spooled.path().to_owned();
        let head = tokio::task::spawn_blocking(move || head_of(&path, most)).await;
        let head = match head {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return Err(failed_io(error)),
            Err(error) => return Err(failed_io(std::io::Error::other(error))),
        };
        let Some(told) = sniff(&head) else {
            let why = if head.is_empty() {
                "is empty"
            } else {
                "is no media taken here"
            };
            return Err(refused(input, why));
        };
        if told.kind != input.kind {
            let why = format!("is {}", told.mime_type);
            return Err(refused(input, &why));
        }
        input.mime_type = told.mime_type.to_owned();
        input.bytes = spooled.bytes();
        input.sha256 = spooled.sha256().to_owned();
        if input.kind == MediaKind::Image {
            self.check_picture(number, input, head).await?;
        }
        Ok(())
    }

    /// A picture no provider could read is refused. Few are decoded at once: each may take hundreds of megabytes.
    async fn check_picture(
        &self,
        number: u32,
        input: &Input,
        picture: Bytes,
    ) -> Result<(), NotTaken> {
        let place = self.decoding.acquire().await;
        let _place = place.map_err(|_| NotTaken::Failed(StoreError::Closed.into()))?;
        let decodes = tokio::task::spawn_blocking(move || decodes(&picture)).await;
        if decodes.unwrap_or(false) {
            return Ok(());
        }
        Err(NotTaken::Refused(Refusal {
            field: format!("input_references[{number}]"),
            sent: format!(
                "{} of {} bytes that cannot be decoded",
                input.mime_type, input.bytes
            ),
            allowed: "a whole PNG, JPEG or WebP picture".to_owned(),
        }))
    }
}

/// Why nothing was received.
enum Received {
    Refused(String),
    Spool(SpoolError),
}

/// Why bytes stopped coming.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("broke off: {0}")]
    Off(std::io::Error),
    #[error("has more than {0} bytes")]
    TooMuch(u64),
    #[error("and the others of this request have more than {0} bytes")]
    AllTooMuch(u64),
}

fn head_of(path: &std::path::Path, most: usize) -> std::io::Result<Bytes> {
    use std::io::Read;
    let mut head = Vec::new();
    std::fs::File::open(path)?
        .take(most as u64)
        .read_to_end(&mut head)?;
    Ok(head.into())
}

fn failed_io(error: std::io::Error) -> NotTaken {
    NotTaken::Failed(AdmitError::Spool(SpoolError::Io(error)))
}

fn key_of(input: &Input) -> Result<ObjectKey, NotTaken> {
    input.key.parse().map_err(|error| {
        NotTaken::Failed(StoreError::Corrupt(format!("an input's key is not one: {error}")).into())
    })
}

/// The rest of an address may be signed: a refusal tells where it leads and no more.
fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.has_host() => {
            let host = url.host_str().unwrap_or_default();
            let port = url
                .port()
                .map_or_else(String::new, |port| format!(":{port}"));
            format!("{}://{host}{port}", url.scheme())
        }
        Ok(url) => format!("a {}: URL", url.scheme()),
        Err(_) => "a text".to_owned(),
    }
}

fn refused_address(number: u32, input: &Input, why: &str) -> Refusal {
    let media = match input.kind {
        MediaKind::Image => "a PNG, JPEG or WebP picture",
        MediaKind::Video => "an MP4, QuickTime, WebM or Matroska clip",
        MediaKind::Audio => "MP3, WAV or M4A sound",
    };
    Refusal {
        field: format!("input_references[{number}]"),
        sent: shown(input.url.as_deref().unwrap_or_default()),
        allowed: format!(
            "an https URL of a public host that answers 200 with {media}; this one {why}"
        ),
    }
}

//! Ingest: fetches what the provider made, measures and stores it, and completes the job.
//!
//! An output that is not a whole playable video is missing, not delivered; a job without any fails. What
//! fails here and now is tried again until the job's own deadline.

use std::time::Duration;

use filmgate_assets::ingest::{IngestError, OutputOf};
use filmgate_assets::spool::{SpoolError, Spooled};
use filmgate_core::asset::{Asset, MissingOutput};
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::id::AssetId;
use filmgate_core::job::{Event, Job, State};
use filmgate_core::provider::{Observation, Source};
use filmgate_store::{AfterCommit, StoreError};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;

use super::submit::number;
use crate::Parts;
use crate::commit::{Held, Stepped};
use crate::entropy;
use crate::upstream::{Account, Answer, AnswerBody, LineError, NoFile};

const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A file that breaks off, or has another length than announced, is fetched this often before it counts as
/// broken.
const TRIES: u32 = 3;
/// A download that brings nothing for this long is given up.
const STALL: Duration = Duration::from_secs(60);

/// What became of one output.
enum Fetched {
    Stored(Box<Asset>),
    Broken(MissingOutput),
    LinkExpired,
    Delayed(Duration),
}

impl Parts {
    /// `heard` is the answer that told of success, where it was heard just now.
    pub(crate) async fn ingest(
        &self,
        held: &mut Held,
        mut heard: Option<Answer>,
    ) -> Result<(), StoreError> {
        let State::Fetching { delivery, .. } = &held.job.life.state else {
            return self.store.give_back(held.id(), held.fence()).await;
        };
        let mut missing = delivery.missing.clone();
        let mut assets = Vec::new();
        let mut other = None;
        for (index, source) in (0u32..).zip(&delivery.outputs) {
            let fetched = match source {
                Source::Url {
                    url,
                    send_credential,
                } => self.fetch(held, index, url, *send_credential).await,
                Source::Body { pointer } => self.take_out(held, index, pointer, &mut heard).await,
            };
            match fetched {
                Fetched::Stored(asset) => assets.push(*asset),
                Fetched::Broken(output) => missing.push(output),
                Fetched::LinkExpired => other = Some(Event::LinkExpired),
                Fetched::Delayed(wait) => other = Some(Event::FetchDelayed { wait }),
            }
            if other.is_some() {
                break;
            }
        }
        let event = other.unwrap_or_else(|| Event::Stored {
            assets: assets.clone(),
            missing,
        });
        let stepped = self.step(held, event, AfterCommit::EndLease).await?;
        // Completed all the same: it was committed before, and the answer to that was lost.
        let completed = matches!(held.job.life.state, State::Completed { .. });
        if stepped == Stepped::Rejected && !completed {
            self.discard(&assets).await;
        }
        Ok(())
    }

    #[tracing::instrument(name = "engine.fetch", skip_all, fields(video.id = %held.id(), output.index = index))]
    async fn fetch(&self, held: &Held, index: u32, url: &str, send_credential: bool) -> Fetched {
        let Ok(account) = self.account(&held.job) else {
            return Fetched::Delayed(TRY_AGAIN);
        };
        let Ok(url) = url.parse::<http::Uri>() else {
            return broken(index, "the provider named no address that can be read");
        };
        let proof = match self.proof(account, &held.job, send_credential).await {
            Ok(proof) => proof,
            Err(failure) => {
                tracing::warn!(
                    failure.code = failure.code.as_str(),
                    "output {index} cannot be asked for now: {}",
                    failure.message
                );
                return Fetched::Delayed(failure.retry_after.unwrap_or(TRY_AGAIN));
            }
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let within = self.config.call_deadline();
            let answer = match account.line.fetch(&url, proof.clone(), within).await {
                Ok(answer) => answer,
                Err(error @ LineError::Forbidden(_)) => {
                    tracing::error!(%error, provider.id = %account.provider.name(), "output {index} is not fetched; security.allow_private_networks opens networks of your own");
                    return Fetched::Broken(MissingOutput {
                        code: FailureCode::OutputUnavailable,
                        message: format!("output {index}: {error}"),
                    });
                }
                // A link that leads nowhere is as good as a dead one.
                Err(error @ LineError::Redirects(_)) => {
                    tracing::warn!(%error, "output {index} cannot be fetched with this link");
                    return Fetched::LinkExpired;
                }
                Err(error) => {
                    tracing::warn!(%error, "output {index} cannot be fetched now");
                    return Fetched::Delayed(TRY_AGAIN);
                }
            };
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::GONE => return Fetched::LinkExpired,
                status => {
                    tracing::warn!(%status, "output {index} cannot be fetched now");
                    let wait = retry_after(answer.headers()).unwrap_or(TRY_AGAIN);
                    return Fetched::Delayed(wait);
                }
            }
            let announced = answer
                .headers()
                .get(header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let incoming = tokio_stream_of(answer.into_body());
            let spooled = match self.assets.spool().receive(incoming, announced).await {
                Ok(spooled) => spooled,
                Err(error @ (SpoolError::WrongLength { .. } | SpoolError::Interrupted(_)))
                    if tries < TRIES =>
                {
                    tracing::warn!(%error, "output {index} is fetched again");
                    continue;
                }
                Err(error) => return unspooled(index, error),
            };
            return self.keep(held, index, spooled).await;
        }
    }

    /// An output that stands in the provider's answer. Where that was heard before this process took the job up, it is asked
    /// for again.
    async fn take_out(
        &self,
        held: &Held,
        index: u32,
        pointer: &str,
        heard: &mut Option<Answer>,
    ) -> Fetched {
        let answer = match heard {
            Some(answer) => answer,
            None => match self.observe(held).await {
                Ok((Observation::Succeeded(_), Some(answer))) => heard.insert(answer),
                // Gone, or no success any more: the poll that renews links tells.
                Ok(_) => return Fetched::LinkExpired,
                Err(failure) => {
                    return Fetched::Delayed(failure.retry_after.unwrap_or(TRY_AGAIN));
                }
            },
        };
        let file = match answer.file_at(pointer) {
            Ok(file) => file,
            Err(NoFile::Absent(_)) => {
                return broken(index, "it is not in the provider's answer");
            }
            Err(error @ NoFile::Disk(_)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "{error}");
                return Fetched::Delayed(TRY_AGAIN);
            }
        };
        match self.assets.spool().receive(file, None).await {
            Ok(spooled) => self.keep(held, index, spooled).await,
            Err(SpoolError::Interrupted(why)) => {
                broken(index, &format!("it is not base64 as it should be: {why}"))
            }
            Err(error) => unspooled(index, error),
        }
    }

    /// Measures what was received, and stores it.
    async fn keep(&self, held: &Held, index: u32, spooled: Spooled) -> Fetched {
        let output = OutputOf {
            asset: AssetId::mint(self.clock.now(), entropy::draw()),
            workspace: held.job.admission.workspace,
            video: held.id(),
            attempt: number(held),
            index,
        };
        match self.assets.ingest(spooled, output).await {
            Ok(asset) => Fetched::Stored(Box::new(asset)),
            Err(IngestError::NotPlayable(why)) => broken(index, &why.to_string()),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "output {index} cannot be stored now"
                );
                Fetched::Delayed(TRY_AGAIN)
            }
        }
    }

    /// What a fetch carries, if it carries anything.
    async fn proof(
        &self,
        account: &Account,
        job: &Job,
        needed: bool,
    ) -> Result<HeaderMap, Failure> {
        if !needed {
            return Ok(HeaderMap::new());
        }
        let credential = self.credential(account, job).await?;
        let token = self.token(account, &credential).await?;
        Ok(account.provider.proof(&token))
    }

    /// Removes what was stored for a job that ended meanwhile.
    async fn discard(&self, assets: &[Asset]) {
        let mut keys = Vec::new();
        for asset in assets {
            keys.push(&asset.key);
            keys.extend(asset.thumbnail.as_ref().map(|thumbnail| &thumbnail.key));
        }
        for key in keys {
            let Ok(object) = key.parse() else { continue };
            if let Err(error) = self.assets.delete(&object).await {
                tracing::warn!(%error, "an output of a job that ended stays until the next sweep");
            }
        }
    }
}

fn unspooled(index: u32, error: SpoolError) -> Fetched {
    match error {
        SpoolError::Io(error) => {
            tracing::error!(%error, "the spool cannot be written");
            Fetched::Delayed(TRY_AGAIN)
        }
        error @ (SpoolError::TooLarge { .. }
        | SpoolError::WrongLength { .. }
        | SpoolError::Interrupted(_)) => broken(index, &error.to_string()),
    }
}

/// Whole seconds, as far as they are fewer than an hour: links die meanwhile.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    (seconds < 3600).then(|| Duration::from_secs(seconds.max(1)))
}

fn broken(index: u32, why: &str) -> Fetched {
    Fetched::Broken(MissingOutput {
        code: FailureCode::OutputInvalid,
        message: format!("output {index}: {why}"),
    })
}

/// The body's bytes; a stall is an error like any other.
fn tokio_stream_of(
    body: AnswerBody,
) -> impl futures::Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send {
    let frames = body.into_data_stream();
    futures::stream::unfold(frames, |mut frames| async move {
        match tokio::time::timeout(STALL, frames.next()).await {
            Ok(next) => next.map(|item| (item, frames)),
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), frames)),
        }
    })
}

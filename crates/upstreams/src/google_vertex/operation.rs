//! A job as the API tells of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filmgate_core::time::UnixTime;
use serde_json::{Value, json};

use super::Emulator;
use super::order::Order;
use super::refusal::number;
use crate::content::PAGE_FOR_PEOPLE;
use crate::fault::{ContentFault, Failure, Spoilt};
use crate::films::RenderFault;
use crate::jobs::{self, Phase};

const RESPONSE: &str = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse";

pub(crate) type Job = jobs::Job<Order>;

pub(crate) fn name(job: &Job) -> String {
    format!("{}/operations/{}", job.order.path, job.id)
}

/// Where output `output` is, of a job whose videos go to a bucket.
pub(crate) fn object(job: &Job, output: u32) -> Option<String> {
    let place = job.order.storage_uri.as_deref()?.trim_end_matches('/');
    Some(format!("{place}/{}/sample_{output}.mp4", job.id))
}

/// How many of its videos can be had.
pub(crate) fn made(job: &Job) -> u32 {
    let kept_back = job.script.filtered.unwrap_or(0);
    job.order.samples.saturating_sub(kept_back)
}

/// A video inside an answer that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Empty,
    Page,
    Half,
}

impl Inside {
    /// `None` where the fault is of a file that is fetched: it goes wrong on a way that a video inside an answer does not take.
    pub(crate) fn of(fault: &ContentFault) -> Option<Self> {
        match fault {
            ContentFault::Spoilt(Spoilt::Empty) => Some(Self::Empty),
            ContentFault::Spoilt(Spoilt::Html) => Some(Self::Page),
            ContentFault::ShortHonest => Some(Self::Half),
            ContentFault::Spoilt(
                Spoilt::Dropped
                | Spoilt::Truncated
                | Spoilt::ErrorIn200
                | Spoilt::Status(_)
                | Spoilt::Stalled
                | Spoilt::Huge
                | Spoilt::Slow,
            )
            | ContentFault::ShortLying
            | ContentFault::ShortChunked
            | ContentFault::HtmlAsVideo
            | ContentFault::StalledHalfway
            | ContentFault::Redirected
            | ContentFault::RedirectedInward => None,
        }
    }

    fn done_to(self, film: &[u8]) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Page => PAGE_FOR_PEOPLE.as_bytes(),
            Self::Half => &film[..film.len() / 2],
        }
    }
}

/// How it stands at `now`. Videos in the answer itself are as `inside` says.
pub(crate) async fn told(
    emulator: &Emulator,
    job: &Job,
    now: UnixTime,
    inside: Option<Inside>,
) -> Result<Value, RenderFault> {
    let name = name(job);
    Ok(match job.phase(now) {
        Phase::Queued | Phase::Running { .. } => json!({"name": name}),
        Phase::Completed => {
            let mut videos = Vec::new();
            for output in 0..made(job) {
                videos.push(video(emulator, job, output, inside).await?);
            }
            finished(&name, job.order.samples - made(job), videos)
        }
        Phase::Failed(Failure::Moderation) => finished(&name, job.order.samples, Vec::new()),
        Phase::Failed(Failure::Engine { code }) => json!({
            "name": name,
            "done": true,
            "error": {"code": number(code), "message": "A directive asked for this.", "details": []},
        }),
    })
}

fn finished(name: &str, kept_back: u32, videos: Vec<Value>) -> Value {
    let mut response = json!({"@type": RESPONSE, "raiMediaFilteredCount": kept_back});
    if kept_back > 0 {
        let reason = "The video may show celebrities. Support codes: 15236754";
        response["raiMediaFilteredReasons"] = json!(vec![reason; kept_back as usize]);
    }
    if !videos.is_empty() {
        response["videos"] = videos.into();
    }
    json!({"name": name, "done": true, "response": response})
}

async fn video(
    emulator: &Emulator,
    job: &Job,
    output: u32,
    inside: Option<Inside>,
) -> Result<Value, RenderFault> {
    if let Some(uri) = object(job, output) {
        return Ok(json!({"gcsUri": uri, "mimeType": "video/mp4"}));
    }
    let film = emulator.film(job, output).await?;
    let bytes = inside.map_or(&film.bytes[..], |fault| fault.done_to(&film.bytes));
    Ok(json!({"bytesBase64Encoded": STANDARD.encode(bytes), "mimeType": "video/mp4"}))
}

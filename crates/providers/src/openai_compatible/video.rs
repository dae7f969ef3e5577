//! The `video` object: a job as these servers tell of it.
//!
//! Read leniently, as the SDKs do: every server leaves something out or adds to it, and a field of another type than
//! agreed is as good as absent.

use bytes::Bytes;
use filmgate_core::asset::MissingOutput;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{Delivery, NativeId, Observation, Order, Source, Usage};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::OpenAiCompatible;
use super::complaint::Complaint;
use super::flavour::Flavour;
use super::refusal::complained;
use crate::path::is_id;
use crate::redaction::Redaction;

/// Reported lengths beyond this are a mistake.
const MOST_SECONDS: f64 = 86_400.0;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Video {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) progress: Option<u8>,
    pub(super) error: Option<Complaint>,
    pub(super) usage: Usage,
    /// How many outputs there are, where it says.
    pub(super) outputs: Option<u32>,
    /// Where the outputs are, where that is not the server itself.
    pub(super) addresses: Vec<String>,
    /// It names the files on the server's disk, or how many there are: only SGLang does.
    pub(super) names_files: bool,
}

impl Video {
    /// The object in an answer of any status. Under a success it need not say that it is one.
    pub(super) fn read(answer: &Response<Bytes>) -> Option<Self> {
        let Value::Object(body) = serde_json::from_slice(answer.body()).ok()? else {
            return None;
        };
        let is_video = match body.get("object").and_then(Value::as_str) {
            Some(object) => object == "video",
            None => {
                answer.status().is_success()
                    && text(&body, "id").is_some()
                    && text(&body, "status").is_some()
            }
        };
        is_video.then(|| Self::of(&body))
    }

    pub(super) fn of(body: &Map<String, Value>) -> Self {
        let error = body.get("error").filter(|error| !error.is_null());
        let files = ["file_path", "file_paths", "num_outputs"];
        Self {
            id: text(body, "id").filter(|id| is_id(id)),
            status: text(body, "status"),
            progress: body
                .get("progress")
                .and_then(Value::as_f64)
                .filter(|percent| percent.is_finite())
                .map(percent),
            error: error.map(Complaint::of_error),
            usage: usage(body),
            outputs: body
                .get("num_outputs")
                .and_then(Value::as_u64)
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| *count > 0),
            addresses: addresses(body),
            names_files: files.iter().any(|name| body.contains_key(*name)),
        }
    }
}

impl OpenAiCompatible {
    /// What `video`, which came under `status`, says of the job.
    pub(super) fn told_by(
        &self,
        order: &Order,
        native: &NativeId,
        video: &Video,
        status: StatusCode,
        redaction: &Redaction,
    ) -> Result<Observation, Failure> {
        let flavour = self.flavour_of(native, Some(video));
        let usage = video.usage;
        match video.status.as_deref() {
            Some("queued" | "in_progress") => Ok(running(flavour, video)),
            // The proxy leaves out what its vendor did not say.
            None if video.error.is_none() => Ok(running(flavour, video)),
            Some("completed") => Ok(Observation::Succeeded(
                self.delivery(order, native, flavour, video),
            )),
            Some("failed") => Ok(Observation::Failed(failed(video, status, redaction), usage)),
            Some("deleted" | "cancelled" | "canceled") => {
                Ok(Observation::Cancelled(flavour.bills_unfinished(), usage))
            }
            Some("expired") => Ok(Observation::Expired(flavour.bills_unfinished(), usage)),
            // Neither running nor ended, as far as anybody knows: the job stays as it is, and the log tells of it.
            Some(word) => Err(unknown_word(word)),
            None => Err(unknown_word("")),
        }
    }

    fn delivery(
        &self,
        order: &Order,
        native: &NativeId,
        flavour: Flavour,
        video: &Video,
    ) -> Delivery {
        let asked = order.request.sample_count.max(1);
        let addresses: &[String] = if flavour.names_outputs() {
            &video.addresses
        } else {
            &[]
        };
        let listed = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let made = video.outputs.unwrap_or(1).max(listed).min(asked);
        let source = |index: u32| match addresses.get(index as usize) {
            Some(url) => Source::Url {
                url: url.clone(),
                send_credential: false,
            },
            None => Source::Url {
                url: self.content(native, (made > 1).then_some(index)),
                send_credential: true,
            },
        };
        let absent = |index: u32| MissingOutput {
            code: FailureCode::OutputUnavailable,
            message: format!("output {index}: the provider made {made} of {asked}"),
        };
        Delivery {
            outputs: (0..made).map(source).collect(),
            missing: (made..asked).map(absent).collect(),
            usage: video.usage,
        }
    }
}

fn running(flavour: Flavour, video: &Video) -> Observation {
    Observation::Running {
        progress: video.progress.filter(|_| flavour.tells_progress()),
    }
}

/// A job without an output has no price in this dialect, so none of its failures is billed.
fn failed(video: &Video, status: StatusCode, redaction: &Redaction) -> Failure {
    let complaint = video.error.clone().unwrap_or_default();
    let failure = complained(&complaint, complaint.status(), redaction);
    Failure {
        message: match failure.code {
            FailureCode::InvalidRequest => failure.message,
            code => format!("the provider failed the job: {}", code.as_str()),
        },
        provider_status: Some(status.as_u16()),
        ..failure
    }
}

fn unknown_word(word: &str) -> Failure {
    let shown: String = word.chars().take(64).collect();
    Failure::passing(
        FailureCode::ProviderError,
        format!(
            "the provider says that the job is {shown:?}; it may be queued, in_progress, completed or failed"
        ),
    )
}

fn text(body: &Map<String, Value>, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Brought between 0 and 100.
fn percent(percent: f64) -> u8 {
    percent.clamp(0.0, 100.0) as u8
}

/// `usage.duration_seconds`: the proxy's word for what its vendor counts.
fn usage(body: &Map<String, Value>) -> Usage {
    let seconds = body
        .get("usage")
        .and_then(|usage| usage.get("duration_seconds"))
        .and_then(Value::as_f64)
        .filter(|seconds| *seconds > 0.0 && *seconds <= MOST_SECONDS);
    Usage {
        output_ms: seconds.map(|seconds| (seconds * 1000.0).round() as u64),
        ..Usage::default()
    }
}

/// The addresses it names, if all of them are ones that can be fetched.
fn addresses(body: &Map<String, Value>) -> Vec<String> {
    let several = body.get("urls").and_then(Value::as_array);
    let all: Vec<&Value> = match several {
        Some(several) if !several.is_empty() => several.iter().collect(),
        _ => body.get("url").into_iter().collect(),
    };
    let web = |value: &Value| {
        let url = value.as_str()?;
        (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
    };
    all.into_iter()
        .map(web)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

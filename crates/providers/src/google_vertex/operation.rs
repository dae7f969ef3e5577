//! The long-running operation: a job as Vertex AI tells of it.

use filmgate_core::asset::MissingOutput;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::provider::{Delivery, Observation, Source, Usage};
use serde_json::{Map, Value};

use super::complaint::{Status, refused_content};
use super::safety;
use crate::path;
use crate::redaction::Redaction;

/// gRPC's code of what was cancelled.
const CANCELLED: i64 = 1;
/// Where videos stand in a response: as they come now, and as an older shape has them.
const LISTS: [&str; 2] = ["videos", "generatedSamples"];

/// Lenient: what has another type than agreed is as good as absent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    UnderWay,
    Failed(Status),
    Finished(Finished),
}

/// What an operation came to that ended well.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Finished {
    videos: Vec<Video>,
    /// Videos that the filter kept back.
    filtered: u64,
    reasons: Vec<String>,
}

/// Where a video is.
#[derive(Debug, Clone, PartialEq)]
enum Video {
    /// In this answer, at a JSON pointer.
    Inline(String),
    /// In a bucket, or wherever else its address leads.
    At(String),
}

impl Operation {
    /// `None` where the text is no operation.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Value::Object(body) = serde_json::from_slice(body).ok()? else {
            return None;
        };
        let named = body.get("name").is_some_and(Value::is_string);
        match body.get("done") {
            Some(Value::Bool(true)) => {}
            None | Some(Value::Null | Value::Bool(false)) if named => return Some(Self::UnderWay),
            _ => return None,
        }
        if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
            return Some(Self::Failed(Status::of(error)));
        }
        let response = body.get("response")?.as_object()?;
        Some(Self::Finished(Finished::read(response)))
    }

    pub(super) fn observe(&self, asked: u32, storage: &str, redaction: &Redaction) -> Observation {
        match self {
            Self::UnderWay => Observation::Running { progress: None },
            Self::Failed(status) if status.code == Some(CANCELLED) => {
                Observation::Cancelled(Billed::Unknown, Usage::default())
            }
            Self::Failed(status) => {
                Observation::Failed(status.of_operation(redaction), Usage::default())
            }
            Self::Finished(finished) if finished.videos.is_empty() && finished.was_filtered() => {
                Observation::Failed(finished.refused(redaction), Usage::default())
            }
            Self::Finished(finished) => Observation::Succeeded(finished.delivery(asked, storage)),
        }
    }
}

impl Finished {
    fn read(response: &Map<String, Value>) -> Self {
        let videos = LISTS.iter().find_map(|name| {
            let list = response.get(*name)?.as_array()?;
            let video = |(at, video)| Video::read(video, &format!("/response/{name}/{at}"));
            Some(list.iter().enumerate().filter_map(video).collect())
        });
        let reasons = response.get("raiMediaFilteredReasons");
        Self {
            videos: videos.unwrap_or_default(),
            filtered: response
                .get("raiMediaFilteredCount")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            reasons: reasons
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        }
    }

    fn was_filtered(&self) -> bool {
        self.filtered > 0 || !self.reasons.is_empty()
    }

    fn about(&self) -> Option<&'static str> {
        safety::about(self.reasons.iter().map(String::as_str))
    }

    /// All of it was kept back.
    fn refused(&self, redaction: &Redaction) -> Failure {
        let codes: Vec<&str> = self
            .reasons
            .iter()
            .flat_map(|reason| safety::codes(reason))
            .collect();
        let said = self.reasons.join("; ");
        Failure::of(FailureCode::ContentModerated, refused_content(self.about())).from_provider(
            None,
            Some(codes.join(", ")).filter(|codes| !codes.is_empty()),
            Some(redaction.apply(&said)).filter(|said| !said.is_empty()),
        )
    }

    fn delivery(&self, asked: u32, storage: &str) -> Delivery {
        let outputs: Vec<Source> = self
            .videos
            .iter()
            .take(asked as usize)
            .map(|video| video.source(storage))
            .collect();
        let made = u32::try_from(outputs.len()).unwrap_or(asked);
        let missing = (made..asked).map(|index| {
            // As many as were kept back, the rest for reasons of its own.
            if u64::from(index - made) < self.filtered.max(u64::from(!self.reasons.is_empty())) {
                MissingOutput {
                    code: FailureCode::ContentModerated,
                    message: format!("output {index}: {}", refused_content(self.about())),
                }
            } else {
                MissingOutput {
                    code: FailureCode::OutputUnavailable,
                    message: format!("output {index}: the provider made {made} of {asked}"),
                }
            }
        });
        Delivery {
            missing: missing.collect(),
            outputs,
            usage: Usage::default(),
        }
    }
}

impl Video {
    /// `at` is where it stands in the answer.
    fn read(video: &Value, at: &str) -> Option<Self> {
        if let Some(uri) = video.as_str() {
            return Self::at(uri);
        }
        // The older shape has an object around it.
        let (video, at) = match video.get("video") {
            Some(inner) => (inner, format!("{at}/video")),
            None => (video, at.to_owned()),
        };
        if let Some(uri) = video.as_str() {
            return Self::at(uri);
        }
        let text = |name: &str| video.get(name).and_then(Value::as_str);
        // Long texts were cut out of the answer: what is left is a text all the same.
        if text("bytesBase64Encoded").is_some_and(|text| !text.is_empty()) {
            return Some(Self::Inline(format!("{at}/bytesBase64Encoded")));
        }
        Self::at(text("gcsUri").or_else(|| text("uri"))?)
    }

    fn at(uri: &str) -> Option<Self> {
        let known = uri.starts_with("https://") || object_of(uri).is_some();
        known.then(|| Self::At(uri.to_owned()))
    }

    fn source(&self, storage: &str) -> Source {
        match self {
            Self::Inline(pointer) => Source::Body {
                pointer: pointer.clone(),
            },
            Self::At(uri) => match object_of(uri) {
                Some((bucket, object)) => Source::Url {
                    url: format!(
                        "{storage}/storage/v1/b/{}/o/{}?alt=media",
                        path::escaped(bucket),
                        path::escaped(object)
                    ),
                    send_credential: true,
                },
                None => Source::Url {
                    url: uri.clone(),
                    send_credential: false,
                },
            },
        }
    }
}

/// Bucket and object of a `gs://` address.
fn object_of(uri: &str) -> Option<(&str, &str)> {
    let (bucket, object) = uri.strip_prefix("gs://")?.split_once('/')?;
    (path::is_id(bucket) && path::is_id(object)).then_some((bucket, object))
}

/// The path of one of Google's models.
pub(super) fn path_of(project: &str, location: &str, model: &str) -> String {
    format!(
        "projects/{}/locations/{}/publishers/google/models/{}",
        path::escaped(project),
        path::escaped(location),
        path::escaped(model)
    )
}

/// The path of the model that an operation of this name is one of; `None` where it is no such name.
pub(super) fn model_of(name: &str) -> Option<String> {
    let steps: Vec<&str> = name.split('/').collect();
    let [
        "projects",
        project,
        "locations",
        location,
        "publishers",
        "google",
        "models",
        model,
        "operations",
        id,
    ] = steps[..]
    else {
        return None;
    };
    [name, project, location, model, id]
        .into_iter()
        .all(path::is_id)
        .then(|| path_of(project, location, model))
}

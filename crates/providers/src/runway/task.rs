//! The `task` object: a job as Runway tells of it.

use filmgate_core::asset::MissingOutput;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::provider::{Delivery, Observation, Source, Usage};
use serde_json::{Map, Value};

use super::billed;
use crate::redaction::Redaction;

/// Lenient: what has another type than agreed is as good as absent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    pub(super) status: String,
    /// Between 0 and 1, while it runs.
    progress: Option<f64>,
    output: Vec<String>,
    /// Credits that were charged, once it has ended.
    cost: Option<u64>,
    /// The most that will be.
    estimated_cost: Option<u64>,
    failure: Option<String>,
    failure_code: Option<String>,
}

impl Task {
    /// `None` where the text is no task.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Value::Object(body) = serde_json::from_slice(body).ok()? else {
            return None;
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            status: text("status")?,
            progress: body.get("progress").and_then(Value::as_f64),
            output: body
                .get("output")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
                .map(str::to_owned)
                .collect(),
            cost: credits(&body, "cost"),
            estimated_cost: credits(&body, "estimatedCost"),
            failure: text("failure"),
            failure_code: text("failureCode"),
        })
    }

    pub(super) fn observe(&self, redaction: &Redaction) -> Result<Observation, Failure> {
        let usage = Usage {
            credits: self.cost,
            ..Usage::default()
        };
        match self.status.as_str() {
            "PENDING" | "THROTTLED" => Ok(Observation::Running { progress: None }),
            "RUNNING" => Ok(Observation::Running {
                progress: self
                    .progress
                    .filter(|progress| progress.is_finite())
                    .map(|progress| (progress * 100.0).clamp(0.0, 100.0) as u8),
            }),
            "SUCCEEDED" => Ok(Observation::Succeeded(self.delivery(usage))),
            "FAILED" => {
                let failure = self.failed(redaction);
                Ok(Observation::Failed(failure, usage))
            }
            "CANCELLED" | "CANCELED" => Ok(Observation::Cancelled(billed(self.cost), usage)),
            word => Err(unknown_word(word)),
        }
    }

    /// What cancelling it now is charged: it is refunded where it has not begun, else taken to cost what was estimated.
    pub(super) fn cancelled_now(&self) -> (Billed, Usage) {
        if self.status == "RUNNING" {
            let usage = Usage {
                credits: self.estimated_cost,
                ..Usage::default()
            };
            (Billed::Yes, usage)
        } else {
            (Billed::No, Usage::default())
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.status.as_str(), "PENDING" | "THROTTLED" | "RUNNING")
    }

    fn delivery(&self, usage: Usage) -> Delivery {
        let missing = self.output.is_empty().then(|| MissingOutput {
            code: FailureCode::OutputUnavailable,
            message: "the provider names no output".to_owned(),
        });
        Delivery {
            outputs: self
                .output
                .iter()
                .take(1)
                .map(|url| Source::Url {
                    url: url.clone(),
                    send_credential: false,
                })
                .collect(),
            missing: missing.into_iter().collect(),
            usage,
        }
    }

    fn failed(&self, redaction: &Redaction) -> Failure {
        let native = self.failure_code.as_deref().unwrap_or_default();
        let (code, retryable) = match native {
            _ if starts(native, "SAFETY") || starts(native, "INPUT_PREPROCESSING.SAFETY") => {
                (FailureCode::ContentModerated, false)
            }
            _ if starts(native, "ASSET.INVALID") => (FailureCode::InvalidRequest, false),
            // A failure of the generation itself, of theirs, of a partner of theirs, or without a word.
            _ => (FailureCode::ProviderError, true),
        };
        // What moderation of the input costs is not given back.
        let billed = match (billed(self.cost), starts(native, "SAFETY.INPUT")) {
            (Billed::Unknown, true) => Billed::Yes,
            (told, _) => told,
        };
        Failure {
            retryable,
            ..Failure::of(
                code,
                format!("the provider failed the job: {}", code.as_str()),
            )
        }
        .billed(billed)
        .from_provider(
            None,
            self.failure_code.clone(),
            self.failure.as_deref().map(|text| redaction.apply(text)),
        )
    }
}

/// Whether `code` is `family`, or one of it.
fn starts(code: &str, family: &str) -> bool {
    code.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `{"credits": 60}` under `name`. A fraction is charged as the whole credit it begins.
fn credits(body: &Map<String, Value>, name: &str) -> Option<u64> {
    let credits = body.get(name)?.get("credits")?;
    let whole = credits.as_u64();
    whole.or_else(|| {
        let credits = credits.as_f64()?;
        (0.0..=1e12)
            .contains(&credits)
            .then(|| credits.ceil() as u64)
    })
}

fn unknown_word(word: &str) -> Failure {
    let shown: String = word.chars().take(64).collect();
    Failure::passing(
        FailureCode::ProviderError,
        format!(
            "the provider says that the job is {shown:?}, which is no state this adapter knows"
        ),
    )
}

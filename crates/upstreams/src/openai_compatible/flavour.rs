//! The servers that speak this dialect, and how each tells of a job.
//!
//! Not here: refusals (`refusal`), how each reads a create (`order`).

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filmgate_core::frame_size::FrameSize;
use filmgate_core::time::UnixTime;
use serde_json::{Value, json};

use super::Storage;
use super::order::Order;
use crate::fault::Failure;
use crate::jobs::{self, Phase};

type Job = jobs::Job<Order>;

/// Which server is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// The dialect as its inventor speaks it.
    #[default]
    OpenAi,
    VllmOmni,
    /// SGLang's server for diffusion models.
    Sglang,
    /// LiteLLM's proxy in front of others.
    Litellm,
}

/// What an answer about a job depends on besides the job.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) now: UnixTime,
    pub(crate) occasion: Occasion,
    pub(crate) storage: Storage,
    /// Where this server is reached, without a slash at the end.
    pub(crate) origin: String,
    /// Said in place of the model where a create named none.
    pub(crate) served_model: &'a str,
}

/// What a job is told of for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// It has just been accepted, and that is all that can be said.
    Submit,
    /// A poll of this job, counted from 0.
    Poll(u64),
    List,
    Delete,
}

impl View<'_> {
    fn phase(&self, job: &Job) -> Phase {
        match self.occasion {
            Occasion::Submit => Phase::Queued,
            Occasion::Poll(_) | Occasion::List | Occasion::Delete => job.phase(self.now),
        }
    }
}

impl Flavour {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::VllmOmni, Self::Sglang, Self::Litellm];

    /// As it is written in commands and configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::VllmOmni => "vllm-omni",
            Self::Sglang => "sglang",
            Self::Litellm => "litellm",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.as_str() == text)
    }

    pub(crate) fn takes_json(self) -> bool {
        self != Self::VllmOmni
    }

    pub(crate) fn has_delete(self) -> bool {
        self != Self::Litellm
    }

    pub(crate) fn has_remix(self) -> bool {
        matches!(self, Self::OpenAi | Self::Litellm)
    }

    /// Whether its files can be asked for in parts.
    pub(crate) fn serves_ranges(self) -> bool {
        self != Self::Litellm
    }

    pub(crate) fn has_sound(self) -> bool {
        matches!(self, Self::OpenAi | Self::Litellm)
    }

    pub(crate) fn default_size(self) -> FrameSize {
        match self {
            Self::OpenAi | Self::Litellm => FrameSize::new(720, 1280),
            Self::VllmOmni | Self::Sglang => FrameSize::new(832, 480),
        }
    }

    /// The id of a new job; `digits` are its own.
    pub(crate) fn id(self, digits: &str, order: &Order) -> String {
        match self {
            Self::OpenAi => format!("video_{digits}"),
            Self::VllmOmni => format!("video_gen_{digits}"),
            Self::Sglang => format!(
                "{}-{}-{}-{}-{}",
                &digits[..8],
                &digits[8..12],
                &digits[12..16],
                &digits[16..20],
                &digits[20..]
            ),
            Self::Litellm => {
                let inside = format!(
                    "litellm:custom_llm_provider:hosted_vllm;model_id:{};video_id:video_gen_{digits}",
                    order.model.as_deref().unwrap_or_default()
                );
                format!("video_{}", STANDARD.encode(inside))
            }
        }
    }

    /// A job as an answer tells it, and the status of that answer.
    pub(crate) fn tell(self, job: &Job, view: &View<'_>) -> (StatusCode, Value) {
        let mut body = match self {
            Self::OpenAi => openai(job, view),
            Self::VllmOmni => vllm_omni(job, view),
            Self::Sglang => sglang(job, view),
            Self::Litellm => litellm(job, view),
        };
        if job.script.progress_backwards
            && let Occasion::Poll(poll) = view.occasion
            && let Phase::Queued | Phase::Running { .. } = job.phase(view.now)
        {
            body["progress"] = json!(90u64.saturating_sub(15 * poll).max(5));
        }
        (self.status_of(job, view), body)
    }

    /// A job that failed is an error of its own code for one server, and a plain answer for the others.
    fn status_of(self, job: &Job, view: &View<'_>) -> StatusCode {
        match (self, view.occasion, job.phase(view.now)) {
            (Self::VllmOmni, Occasion::Poll(_), Phase::Failed(failure)) => {
                StatusCode::from_u16(error_code(failure))
                    .expect("directives name statuses of errors")
            }
            _ => StatusCode::OK,
        }
    }

    /// What a delete answers.
    pub(crate) fn tell_deleted(self, job: &Job, view: &View<'_>) -> Value {
        match self {
            Self::Sglang => {
                let mut body = sglang(job, view);
                body["status"] = json!("deleted");
                body
            }
            Self::OpenAi | Self::VllmOmni | Self::Litellm => {
                json!({"id": job.id, "object": "video.deleted", "deleted": true})
            }
        }
    }

    /// Whether a delete stops the work.
    pub(crate) fn delete_aborts(self) -> bool {
        self != Self::Sglang
    }
}

fn status(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Running { .. } => "in_progress",
        Phase::Completed => "completed",
        Phase::Failed(_) => "failed",
    }
}

/// Real progress; only an end is a hundred per cent.
fn progress(phase: Phase) -> u32 {
    match phase {
        Phase::Queued | Phase::Failed(_) => 0,
        Phase::Running { permille } => (permille / 10).min(99),
        Phase::Completed => 100,
    }
}

/// When it completed, in seconds.
fn completed_at(job: &Job, phase: Phase) -> Option<i64> {
    job.ends_at
        .filter(|_| phase == Phase::Completed)
        .map(UnixTime::seconds)
}

fn error_code(failure: Failure) -> u16 {
    match failure {
        Failure::Engine { code } => code,
        Failure::Moderation => 400,
    }
}

fn error_message(failure: Failure) -> &'static str {
    match failure {
        Failure::Engine { .. } => "CUDA out of memory",
        Failure::Moderation => {
            "the request was rejected by the safety system (content_policy_violation)"
        }
    }
}

/// Seconds between the beginning and the end.
fn inference_seconds(job: &Job, phase: Phase) -> Option<f64> {
    job.ends_at
        .filter(|_| phase == Phase::Completed)
        .map(|end| end.since(job.begins_at).as_secs_f64())
}

fn openai(job: &Job, view: &View<'_>) -> Value {
    let phase = view.phase(job);
    let error = match phase {
        Phase::Failed(failure) => json!({
            "code": match failure {
                Failure::Moderation => "moderation_blocked".to_owned(),
                Failure::Engine { code: 500 } => "video_generation_failed".to_owned(),
                Failure::Engine { code } => code.to_string(),
            },
            "message": error_message(failure),
        }),
        Phase::Queued | Phase::Running { .. } | Phase::Completed => Value::Null,
    };
    json!({
        "id": job.id,
        "object": "video",
        "model": job.order.model.as_deref().unwrap_or(view.served_model),
        "status": status(phase),
        "progress": progress(phase),
        "created_at": job.accepted_at.seconds(),
        "completed_at": completed_at(job, phase),
        "expires_at": null,
        "size": job.order.frame,
        "seconds": job.order.seconds.to_string(),
        "prompt": job.order.prompt,
        "remixed_from_video_id": job.remixed_from,
        "error": error,
    })
}

fn vllm_omni(job: &Job, view: &View<'_>) -> Value {
    let phase = view.phase(job);
    let completed = phase == Phase::Completed;
    let frames_per_second = 24;
    let error = match phase {
        Phase::Failed(failure) => {
            json!({"code": error_code(failure), "message": error_message(failure)})
        }
        Phase::Queued | Phase::Running { .. } | Phase::Completed => Value::Null,
    };
    json!({
        "model": job.order.model.as_deref().unwrap_or(view.served_model),
        "prompt": job.order.prompt,
        "id": job.id,
        "object": "video",
        "status": status(phase),
        "size": job.order.size,
        // Nothing is told of the way, only of its end.
        "progress": if completed { 100 } else { 0 },
        "seconds": job.order.seconds.to_string(),
        "quality": "default",
        "completed_at": completed_at(job, phase),
        "created_at": job.accepted_at.seconds(),
        "remixed_from_video_id": null,
        "error": error,
        "media_type": "video/mp4",
        "expires_at": null,
        "file_name": completed.then(|| format!("{}.mp4", job.id)),
        "inference_time_s": inference_seconds(job, phase),
        "fps": completed.then_some(frames_per_second),
        "num_frames": completed.then_some(frames_per_second * job.order.seconds),
        "duration_s": completed.then_some(f64::from(job.order.seconds)),
        "stage_durations": {},
        "peak_memory_mb": 0.0,
    })
}

fn sglang(job: &Job, view: &View<'_>) -> Value {
    let phase = view.phase(job);
    let each = |one: &dyn Fn(u32) -> String| (0..job.order.outputs).map(one).collect::<Vec<_>>();
    let paths = each(&|output| format!("outputs/{}_{output}.mp4", job.id));
    let urls = each(&|output| format!("{}/bucket/{}/{output}.mp4", view.origin, job.id));
    let uploaded = view.storage == Storage::Cloud && phase == Phase::Completed;
    let error = match phase {
        Phase::Failed(failure) => json!({"message": error_message(failure)}),
        Phase::Queued | Phase::Running { .. } | Phase::Completed => Value::Null,
    };
    json!({
        "id": job.id,
        "object": "video",
        "model": job.order.model.as_deref().unwrap_or("sora-2"),
        "status": status(phase),
        "progress": progress(phase),
        "created_at": job.accepted_at.seconds(),
        "size": job.order.frame,
        "seconds": job.order.seconds.to_string(),
        "quality": "standard",
        "url": uploaded.then(|| urls[0].clone()),
        "urls": uploaded.then_some(&urls),
        "remixed_from_video_id": null,
        "completed_at": completed_at(job, phase),
        "expires_at": null,
        "error": error,
        "file_path": paths[0],
        "file_paths": (job.order.outputs > 1).then_some(&paths),
        "num_outputs": job.order.outputs,
        "revised_prompt": null,
        "peak_memory_mb": (phase == Phase::Completed).then_some(0.0),
        "inference_time_s": inference_seconds(job, phase),
    })
}

/// What the proxy passes on; much of it may be null.
fn litellm(job: &Job, view: &View<'_>) -> Value {
    let phase = view.phase(job);
    let named = |field: &str| job.order.fields.contains_key(field);
    let error = match phase {
        Phase::Failed(failure) => {
            json!({"code": error_code(failure).to_string(), "message": error_message(failure)})
        }
        Phase::Queued | Phase::Running { .. } | Phase::Completed => Value::Null,
    };
    json!({
        "id": job.id,
        "object": "video",
        "status": status(phase),
        "created_at": job.accepted_at.seconds(),
        "completed_at": completed_at(job, phase),
        "expires_at": null,
        "error": error,
        "progress": (phase != Phase::Queued).then(|| progress(phase)),
        "remixed_from_video_id": job.remixed_from,
        "seconds": named("seconds").then(|| job.order.seconds.to_string()),
        "size": job.order.size,
        "model": job.order.model,
        "usage": {"duration_seconds": f64::from(job.order.seconds)},
    })
}

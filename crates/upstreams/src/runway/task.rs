//! A job as the API tells of it.

use filmgate_core::time::UnixTime;
use serde_json::{Value, json};

use super::order::Order;
use crate::fault::Failure;
use crate::jobs::{self, Phase};

pub(crate) type Job = jobs::Job<Order>;

pub(crate) fn created(job: &Job) -> Value {
    json!({"id": job.id, "estimatedCost": {"credits": job.order.credits()}})
}

/// How it stands at `now`. Its output is under `origin`.
pub(crate) fn told(job: &Job, now: UnixTime, origin: &str) -> Value {
    let credits = job.order.credits();
    let mut task = json!({"id": job.id, "createdAt": written(job.accepted_at)});
    let more = match job.phase(now) {
        Phase::Queued => json!({"status": "PENDING", "estimatedCost": {"credits": credits}}),
        Phase::Running { permille } => json!({
            "status": "RUNNING",
            "progress": f64::from(permille) / 1000.0,
            "estimatedCost": {"credits": credits},
        }),
        Phase::Completed => json!({
            "status": "SUCCEEDED",
            "output": [format!("{origin}/outputs/{}.mp4?_jwt=emulated", job.id)],
            "cost": {"credits": credits},
        }),
        Phase::Failed(Failure::Moderation) => json!({
            "status": "FAILED",
            "failure": "The prompt did not pass moderation.",
            "failureCode": "SAFETY.INPUT.TEXT",
            "cost": {"credits": credits},
        }),
        Phase::Failed(Failure::Engine { .. }) => json!({
            "status": "FAILED",
            "failure": "An unexpected error occurred.",
            "failureCode": "INTERNAL",
            "cost": {"credits": 0},
        }),
    };
    if let (Some(task), Value::Object(more)) = (task.as_object_mut(), more) {
        task.extend(more);
    }
    task
}

/// As ISO 8601 has it, to the millisecond.
fn written(at: UnixTime) -> String {
    // Every time a clock gives is one of the calendar's.
    let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    format!("{at:.3}")
}

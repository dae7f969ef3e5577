//! `filmgate tidy`: removes now what housekeeping would remove in time.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Context;
use crate::gateway::Gateway;
use crate::print;

pub(crate) async fn run(context: Context) -> Result<ExitCode> {
    let json = context.json;
    let gateway = Gateway::open(context.config).await?;
    let tidied = gateway.engine.tidy_now().await;
    gateway.shutdown().await;
    let tidied = tidied?;
    let rows = tidied.rows;
    if json {
        print::json(&json!({
            "rows": {
                "idempotency_keys": rows.bindings,
                "timeline": rows.timeline,
                "notices": rows.outbox,
                "deleted_videos": rows.deleted_jobs,
                "provider_key_secrets": rows.provider_key_secrets,
            },
            "objects": tidied.objects,
        }));
    } else {
        print::line(format!(
            "removed {} idempotency keys, {} lines of timelines, {} notices, what was left of {} deleted videos, {} secrets of deleted provider keys, and {} stored objects that nothing names",
            rows.bindings,
            rows.timeline,
            rows.outbox,
            rows.deleted_jobs,
            rows.provider_key_secrets,
            tidied.objects
        ));
    }
    Ok(ExitCode::SUCCESS)
}

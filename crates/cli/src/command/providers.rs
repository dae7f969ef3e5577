//! `filmgate providers`: how the accounts at providers do.

use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::print;

pub(crate) async fn run(context: Context) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let answer = reached
        .client
        .call(Method::GET, "/v1/providers", None)
        .await;
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<Cell>> = answer["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    table::print(&rows);
    Ok(ExitCode::SUCCESS)
}

fn row(provider: &Value) -> Vec<Cell> {
    let slots = &provider["slots"];
    let used = match slots["limit"].as_u64() {
        Some(limit) => format!("{} of {limit} slots used", slots["used"]),
        None => format!("{} slots used", slots["used"]),
    };
    let latency = match provider["latency_ms"].as_u64() {
        Some(ms) => format!("answers in {ms} ms"),
        None => "not asked yet".to_owned(),
    };
    let failure = &provider["last_failure"];
    let failure = match failure["code"].as_str() {
        Some(code) => format!(
            "failed {}: {code}: {}",
            table::instant(&failure["at"]),
            text(failure, "message")
        ),
        None => String::new(),
    };
    vec![
        Cell::text(text(provider, "id")),
        Cell::text(text(provider, "breaker")),
        Cell::text(used),
        Cell::text(format!("{} waiting", slots["waiting"])),
        Cell::text(latency),
        Cell::text(failure),
    ]
}

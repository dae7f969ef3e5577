//! `filmgate usage`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::client::asking;
use crate::print;

/// What is added up.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first UTC day, such as 2026-11-01, or unix seconds; the last 30 days when not given.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day, or the unix second to stop short of; up to now when not given.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// A row for each of these: any of day, model, provider, key and workspace, with commas.
    #[arg(long, value_name = "WORDS")]
    by: Option<String>,
    /// The workspace's id; the caller's own when not given, all of them by workspace.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// The jobs of the key with this id alone.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Print the gateway's CSV as it is.
    #[arg(long)]
    csv: bool,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<ExitCode> {
    let json = context.json;
    if json && args.csv {
        bail!("--json and --csv were given, and one of them is allowed");
    }
    let reached = Reached::reach(context).await?;
    if args.csv {
        let csv = async { Ok(reached.client.download(&args.path()).await?.text().await?) }.await;
        let csv = reached.finish(csv).await?;
        // Printing ends the last line again.
        print::line(csv.strip_suffix('\n').unwrap_or(&csv));
        return Ok(ExitCode::SUCCESS);
    }
    let usage = reached.client.call(Method::GET, &args.path(), None).await;
    let usage = reached.finish(usage).await?;
    if json {
        print::json(&usage);
    } else {
        show(&usage);
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn path(&self) -> String {
        asking(
            "/v1/usage",
            &[
                ("from", self.from.as_deref()),
                ("to", self.to.as_deref()),
                ("group_by", self.by.as_deref()),
                ("workspace_id", self.workspace.as_deref()),
                ("key_id", self.key.as_deref()),
                ("format", self.csv.then_some("csv")),
            ],
        )
    }
}

/// A line for each group and one for all of them, under a head.
fn show(usage: &Value) {
    let marks = marks(usage);
    let mut head: Vec<Cell> = marks.iter().map(|(shown, _)| Cell::text(*shown)).collect();
    head.extend(
        [
            "jobs",
            "outputs",
            "seconds",
            "user cost USD",
            "provider cost USD",
        ]
        .map(|name| Cell::Number(name.to_owned())),
    );
    let mut rows = vec![head];
    for group in usage["data"].as_array().into_iter().flatten() {
        let mut row: Vec<Cell> = marks
            .iter()
            .map(|(_, field)| Cell::text(text(group, field)))
            .collect();
        row.extend(sums(group));
        rows.push(row);
    }
    let mut total: Vec<Cell> = marks.iter().map(|_| Cell::text("")).collect();
    if let Some(first) = total.first_mut() {
        *first = Cell::text("total");
    }
    total.extend(sums(&usage["total"]));
    rows.push(total);
    table::print(&rows);
}

/// The words it is grouped by, and the fields that hold them.
fn marks(usage: &Value) -> Vec<(&str, String)> {
    let words = usage["group_by"].as_array().into_iter().flatten();
    let words = words.filter_map(Value::as_str);
    words
        .map(|word| match word {
            "key" | "workspace" => (word, format!("{word}_id")),
            _ => (word, word.to_owned()),
        })
        .collect()
}

fn sums(group: &Value) -> [Cell; 5] {
    [
        Cell::number(&group["jobs"]),
        Cell::number(&group["outputs"]),
        Cell::number(&group["seconds"]),
        Cell::dollars(&group["user_cost_nanos"]),
        Cell::dollars(&group["provider_cost_nanos"]),
    ]
}

//! `filmgate credits show`, `add` and `entries`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::client::{Client, asking};
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the funds of a workspace.
    Show {
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// Put funds into a workspace, or take them out where AMOUNT is negative.
    Add {
        /// US dollars, such as 100.00 or -12.5.
        #[arg(allow_hyphen_values = true)]
        amount: String,
        /// Why, for people: it stands on the ledger's entry and in the log of admin actions.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Adds once however often it is run with this key within 24 hours, such as an invoice's number.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// List the ledger of a workspace, newest first.
    Entries {
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
        /// How many, 1 to 200; 50 when not given.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Go on behind the entry of this number.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
    },
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let answer = ask(&reached.client, &command).await;
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Show { .. } => show(&answer),
        Command::Add { .. } => {
            table::print(&[posting(&answer["entry"])]);
            show(&answer);
        }
        Command::Entries { .. } => entries(&answer),
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &Client, command: &Command) -> Result<Value> {
    match command {
        Command::Show { workspace } => {
            let path = asking("/v1/credits", &[("workspace_id", workspace.as_deref())]);
            client.call(Method::GET, &path, None).await
        }
        Command::Add {
            amount,
            reason,
            idempotency_key,
            workspace,
        } => {
            let mut body = json!({ "amount": amount, "reason": reason });
            if let Some(workspace) = workspace {
                body["workspace_id"] = json!(workspace);
            }
            let key = idempotency_key.as_deref();
            client.post_once("/v1/credits", &body, key).await
        }
        Command::Entries {
            workspace,
            limit,
            after,
        } => {
            let (limit, after) = (limit.map(|n| n.to_string()), after.map(|n| n.to_string()));
            let path = asking(
                "/v1/credits/entries",
                &[
                    ("workspace_id", workspace.as_deref()),
                    ("limit", limit.as_deref()),
                    ("after", after.as_deref()),
                ],
            );
            client.call(Method::GET, &path, None).await
        }
    }
}

fn show(credits: &Value) {
    print::line(format!("workspace  {}", text(credits, "workspace_id")));
    let amount = |name| {
        let amount = table::dollars(&credits[format!("{name}_nanos")]);
        vec![Cell::text(name), Cell::Number(format!("{amount} USD"))]
    };
    table::print(&["balance", "reserved", "available"].map(amount));
}

fn entries(page: &Value) {
    let postings = page["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    table::print(&postings.iter().map(posting).collect::<Vec<_>>());
    if let (Some(last), true) = (postings.last(), page["has_more"] == true) {
        print::note(format!("there are more: --after {}", last["number"]));
    }
}

/// Which it is, when and why, and what it moves where.
fn posting(posting: &Value) -> Vec<Cell> {
    let entries = posting["entries"].as_array().into_iter().flatten();
    let entries: Vec<String> = entries
        .map(|entry| {
            let amount = table::dollars(&entry["amount_nanos"]);
            format!("{} {amount}", text(entry, "account"))
        })
        .collect();
    let about = ["video_id", "reason"].map(|name| text(posting, name));
    vec![
        Cell::number(&posting["number"]),
        Cell::text(table::instant(&posting["created_at"])),
        Cell::text(text(posting, "kind")),
        Cell::text(entries.join(", ")),
        Cell::text(about.concat()),
    ]
}

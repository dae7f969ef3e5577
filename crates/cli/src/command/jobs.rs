//! `filmgate jobs list`, `unpark` and `end`: work that is parked.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use filmgate_core::id::VideoId;
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::client::asking;
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List parked jobs, oldest first: those whose workers died again and again.
    List {
        /// The jobs of the workspace with this id alone.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
        /// How many, 1 to 200; 50 when not given.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Go on behind the job with this id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Give a parked job back to work.
    Unpark(Id),
    /// End a parked job: its provider is not asked any more, and its hold is released.
    End(Id),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Id {
    /// The video's id, such as video_01k9v3q2w8m4t7xh5e0rbn6zcy.
    id: String,
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let (method, path) = asked(&command)?;
    let reached = Reached::reach(context).await?;
    let answer = reached.client.call(method, &path, None).await;
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::List { .. } => list(&answer),
        Command::Unpark(Id { id }) => print::line(format!("{id} is given back to work")),
        Command::End(Id { id }) => {
            print::line(format!("{id} is ended: {}", text(&answer, "status")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The call a command stands for.
fn asked(command: &Command) -> Result<(Method, String)> {
    Ok(match command {
        Command::List {
            workspace,
            limit,
            after,
        } => {
            let limit = limit.map(|limit| limit.to_string());
            let path = asking(
                "/v1/admin/jobs",
                &[
                    ("workspace_id", workspace.as_deref()),
                    ("limit", limit.as_deref()),
                    ("after", after.as_deref()),
                ],
            );
            (Method::GET, path)
        }
        Command::Unpark(job) => (Method::POST, job.path("unpark")?),
        Command::End(job) => (Method::POST, job.path("end")?),
    })
}

impl Id {
    fn path(&self, verb: &str) -> Result<String> {
        match self.id.parse::<VideoId>() {
            Ok(id) => Ok(format!("/v1/admin/jobs/{id}/{verb}")),
            Err(_) => bail!(
                "{:?} is not a video's id: those look like video_01k9v3q2w8m4t7xh5e0rbn6zcy",
                self.id
            ),
        }
    }
}

fn list(page: &Value) {
    let jobs = page["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if jobs.is_empty() {
        print::note("no job is parked");
    }
    let row = |job| {
        vec![
            Cell::text(text(job, "id")),
            Cell::text(text(job, "status")),
            Cell::text(text(job, "account")),
            Cell::text(format!("since {}", table::instant(&job["parked_at"]))),
            Cell::text(format!("until {}", table::instant(&job["until"]))),
            Cell::text(text(job, "reason")),
        ]
    };
    table::print(&jobs.iter().map(row).collect::<Vec<_>>());
    if let (Some(last), true) = (jobs.last(), page["has_more"] == true) {
        print::note(format!("there are more: --after {}", text(last, "id")));
    }
}

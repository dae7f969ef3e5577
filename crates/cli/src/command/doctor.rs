//! `filmgate doctor`: looks at everything the gateway needs and says what is wrong with it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use filmgate_core::time::UnixTime;
use serde_json::{Value, json};

use super::{Context, table};
use crate::data_dir::InUse;
use crate::gateway::Gateway;
use crate::print;

/// More parked jobs than this are not counted.
const MOST_COUNTED: u32 = 200;
/// What nobody has taken up for so long is told of.
const LATE: Duration = Duration::from_secs(60);

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    sound: bool,
    detail: String,
}

pub(crate) async fn run(context: Context) -> Result<ExitCode> {
    let json = context.json;
    let mut findings = vec![Finding {
        what: "configuration",
        sound: true,
        detail: "sound".to_owned(),
    }];
    match Gateway::open(context.config).await {
        Ok(gateway) => {
            findings.push(Finding {
                what: "data directory",
                sound: true,
                detail: "free and writable".to_owned(),
            });
            findings.push(Finding {
                what: "master key",
                sound: true,
                detail: "opens what is sealed".to_owned(),
            });
            findings.push(books(&gateway).await?);
            findings.push(first_key(&gateway).await?);
            findings.push(work(&gateway).await?);
            gateway.shutdown().await;
        }
        Err(error) => findings.push(unopened(&error)),
    }
    let sound = findings.iter().all(|finding| finding.sound);
    if json {
        let findings: Vec<Value> =
            findings.iter().map(|finding| json!({ "what": finding.what, "sound": finding.sound, "detail": finding.detail })).collect();
        print::json(&json!({ "sound": sound, "findings": findings }));
    } else {
        for finding in &findings {
            print::line(format!(
                "{:5}  {:15}  {}",
                if finding.sound { "ok" } else { "WRONG" },
                finding.what,
                finding.detail
            ));
        }
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn books(gateway: &Gateway) -> Result<Finding> {
    let audit = gateway.engine.store().audit().await?;
    let sound = audit.holds_closed_twice == 0
        && audit.postings_unbalanced == 0
        && audit.balances_wrong == 0
        && audit.sum == 0
        && audit.standings_wrong == 0
        && audit.activity_wrong == 0;
    let detail = format!(
        "{} jobs, {} of them under way; {} postings, {} unbalanced; {} holds open, {} closed twice; {} balances, {} standings of keys and {} rows of activity wrong",
        audit.jobs,
        audit.jobs_not_terminal,
        audit.postings,
        audit.postings_unbalanced,
        audit.holds_open,
        audit.holds_closed_twice,
        audit.balances_wrong,
        audit.standings_wrong,
        audit.activity_wrong
    );
    Ok(Finding {
        what: "store",
        sound,
        detail,
    })
}

async fn first_key(gateway: &Gateway) -> Result<Finding> {
    let keys = gateway.engine.store().keys(None).await?;
    let now = gateway.engine.now();
    let in_force = keys.iter().filter(|key| key.in_force(now).is_ok()).count();
    Ok(Finding {
        what: "keys",
        sound: true,
        detail: format!("{in_force} in force; `serve` makes the first"),
    })
}

/// Whoever parked a job said that somebody must look at it. Work that waits is no fault here: as long as doctor has the
/// data directory, nobody else works.
async fn work(gateway: &Gateway) -> Result<Finding> {
    let engine = &gateway.engine;
    let instant = |at: UnixTime| table::instant(&json!(at.seconds()));
    let parked = engine.parked(None, None, MOST_COUNTED).await?;
    let mut detail = match (parked.rows.as_slice(), parked.has_more) {
        ([], _) => "no job is parked".to_owned(),
        ([oldest, rest @ ..], more) => format!(
            "parked jobs: {}{}; the oldest is {}, since {}; `filmgate jobs list` shows why",
            if more { "more than " } else { "" },
            rest.len() + 1,
            oldest.job,
            instant(oldest.parked_at),
        ),
    };
    let due = engine.next_due().await?;
    if let Some(due) = due.filter(|due| engine.now().since(*due) > LATE) {
        detail.push_str(&format!(
            "; work is due since {} and nobody does it; `serve` takes it up",
            instant(due)
        ));
    }
    Ok(Finding {
        what: "work",
        sound: parked.rows.is_empty(),
        detail,
    })
}

fn unopened(error: &anyhow::Error) -> Finding {
    let detail = match error.downcast_ref::<InUse>() {
        Some(in_use) => in_use.to_string(),
        None => anyhow!("{error:#}").to_string(),
    };
    Finding {
        what: "gateway",
        sound: error.is::<InUse>(),
        detail,
    }
}

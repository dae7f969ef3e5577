//! `filmgate keys create`, `list`, `show`, `update`, `rotate` and `revoke`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use filmgate_core::calendar::Day;
use filmgate_core::id::KeyId;
use filmgate_core::time::UnixTime;
use filmgate_engine::clock::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::client::{Client, asking};
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key. Its text is shown once.
    Create(Create),
    /// List keys, without their secrets.
    List {
        /// The keys of the workspace with this id alone.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// Show a key: its terms, and how far its limits are used.
    Show(Id),
    /// Change the terms that are named; what is not named stays.
    Update(Update),
    /// Give a key a new secret. Its text is shown once.
    Rotate {
        #[command(flatten)]
        key: Id,
        /// How long the old secret works too, 0 to 2592000 seconds; it ends at once when not given.
        #[arg(long, value_name = "N")]
        overlap_seconds: Option<u64>,
    },
    /// Revoke a key: it opens nothing from now on. Its jobs run on.
    Revoke(Id),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Id {
    /// The key's id, such as key_01k9v3q2w8m4t7xh5e0rbn6zcy.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What the key is for.
    name: String,
    /// read, member or admin.
    #[arg(long, default_value = "member")]
    role: String,
    /// The workspace's id; the caller's own when not given.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// What its jobs may hold and spend, in US dollars; without limit when not given.
    #[arg(long, value_name = "USD")]
    limit: Option<String>,
    /// When the limit begins anew: daily, weekly or monthly, at midnight UTC; never when not given.
    #[arg(long, value_name = "WORD")]
    limit_reset: Option<String>,
    /// When the key ends: unix seconds, or a UTC day YYYY-MM-DD for its first instant.
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<String>,
    /// How many jobs of the key may be under way; without limit when not given.
    #[arg(long, value_name = "N")]
    max_in_flight: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    key: Id,
    /// What the key is for.
    #[arg(long)]
    name: Option<String>,
    /// read, member or admin.
    #[arg(long)]
    role: Option<String>,
    /// What its jobs may hold and spend, in US dollars, or none.
    #[arg(long, value_name = "USD")]
    limit: Option<String>,
    /// When the limit begins anew: daily, weekly or monthly, at midnight UTC, or none.
    #[arg(long, value_name = "WORD")]
    limit_reset: Option<String>,
    /// When the key ends: unix seconds, or a UTC day YYYY-MM-DD for its first instant, or none.
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<String>,
    /// How many jobs of the key may be under way, or none.
    #[arg(long, value_name = "N")]
    max_in_flight: Option<String>,
    /// Let it open nothing until it is enabled. Its jobs run on.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Let it open again what it may.
    #[arg(long)]
    enable: bool,
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let asked = Asked::of(&command)?;
    let reached = Reached::reach(context).await?;
    let answer = asked.send(&reached.client).await;
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Create(_) | Command::Rotate { .. } => {
            print::note(format!("key {}, shown this once:", text(&answer, "id")));
            print::line(text(&answer, "key"));
        }
        Command::List { .. } => list(&answer),
        Command::Show(_) | Command::Update(_) => show(&answer),
        Command::Revoke(Id { id }) => print::line(format!("{id} is revoked")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The call a command stands for.
struct Asked {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Asked {
    fn of(command: &Command) -> Result<Self> {
        let (method, path, body) = match command {
            Command::Create(create) => (Method::POST, "/v1/keys".to_owned(), Some(create.body()?)),
            Command::List { workspace } => {
                let path = asking("/v1/keys", &[("workspace_id", workspace.as_deref())]);
                (Method::GET, path, None)
            }
            Command::Show(key) => (Method::GET, key.path()?, None),
            Command::Update(update) => (Method::PATCH, update.key.path()?, Some(update.body()?)),
            Command::Rotate {
                key,
                overlap_seconds,
            } => {
                let body = match overlap_seconds {
                    Some(seconds) => json!({ "overlap_seconds": seconds }),
                    None => json!({}),
                };
                (Method::POST, format!("{}/rotate", key.path()?), Some(body))
            }
            Command::Revoke(key) => (Method::DELETE, key.path()?, None),
        };
        Ok(Self { method, path, body })
    }

    async fn send(self, client: &Client) -> Result<Value> {
        client
            .call(self.method, &self.path, self.body.as_ref())
            .await
    }
}

impl Id {
    fn path(&self) -> Result<String> {
        match self.id.parse::<KeyId>() {
            Ok(id) => Ok(format!("/v1/keys/{id}")),
            Err(_) => bail!(
                "{:?} is not a key's id: those look like key_01k9v3q2w8m4t7xh5e0rbn6zcy",
                self.id
            ),
        }
    }
}

impl Create {
    fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        body.insert("role".to_owned(), json!(self.role));
        let mut put = |name: &str, value: Option<Value>| {
            value.map(|value| body.insert(name.to_owned(), value))
        };
        put("workspace_id", self.workspace.clone().map(Value::from));
        put("limit", self.limit.clone().map(Value::from));
        put("limit_reset", self.limit_reset.clone().map(Value::from));
        put(
            "expires_at",
            self.expires_at.as_deref().map(end).transpose()?,
        );
        put("max_in_flight", self.max_in_flight.map(Value::from));
        Ok(Value::Object(body))
    }
}

impl Update {
    /// Only what is named; null takes a term away.
    fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.map(|value| body.insert(name.to_owned(), value))
        };
        put("name", self.name.clone().map(Value::from));
        put("role", self.role.clone().map(Value::from));
        let word = |word: &str| Ok(Value::from(word));
        put("limit", or_none(self.limit.as_deref(), word)?);
        put("limit_reset", or_none(self.limit_reset.as_deref(), word)?);
        put("expires_at", or_none(self.expires_at.as_deref(), end)?);
        put(
            "max_in_flight",
            or_none(self.max_in_flight.as_deref(), jobs)?,
        );
        put("disabled", self.disable.then_some(json!(true)));
        put("disabled", self.enable.then_some(json!(false)));
        if body.is_empty() {
            bail!("nothing to change was given; `filmgate keys update --help` says what there is");
        }
        Ok(Value::Object(body))
    }
}

/// Null for the word `none`, else what `read` makes of it.
fn or_none(given: Option<&str>, read: fn(&str) -> Result<Value>) -> Result<Option<Value>> {
    let read = |text| match text {
        "none" => Ok(Value::Null),
        text => read(text),
    };
    given.map(read).transpose()
}

/// Unix seconds, or the first instant of a day.
fn end(text: &str) -> Result<Value> {
    if let Ok(day) = text.parse::<Day>() {
        return Ok(json!(day.start().seconds()));
    }
    match text.parse::<i64>() {
        Ok(seconds) => Ok(json!(seconds)),
        Err(_) => bail!(
            "--expires-at: {text:?} was given, and unix seconds or a UTC day YYYY-MM-DD are allowed"
        ),
    }
}

fn jobs(text: &str) -> Result<Value> {
    match text.parse::<i64>() {
        Ok(most) => Ok(json!(most)),
        Err(_) => {
            bail!("--max-in-flight: {text:?} was given, and a whole number or none is allowed")
        }
    }
}

fn list(keys: &Value) {
    let keys = keys["data"].as_array().into_iter().flatten();
    let now = SystemClock::start().now();
    let row = |key| {
        vec![
            Cell::text(text(key, "id")),
            Cell::text(text(key, "role")),
            Cell::text(state(key, now)),
            Cell::text(spent(key)),
            Cell::text(format!("{} in flight", in_flight(key))),
            Cell::text(text(key, "name")),
        ]
    };
    table::print(&keys.map(row).collect::<Vec<_>>());
}

fn show(key: &Value) {
    let end = |name: &str| match &key[name] {
        Value::Null => "never".to_owned(),
        at => table::instant(at),
    };
    let resets = match key["limit_reset"].as_str() {
        Some(word) => format!("{word}, next {}", end("limit_resets_at")),
        None => "never".to_owned(),
    };
    let mut rows = vec![
        ("key", text(key, "id")),
        ("name", text(key, "name")),
        ("role", text(key, "role")),
        ("workspace", text(key, "workspace_id")),
        ("state", state(key, SystemClock::start().now()).to_owned()),
        ("created", end("created_at")),
        ("expires", end("expires_at")),
        ("used", spent(key)),
        ("resets", resets),
        (
            "held",
            format!("{} USD", table::dollars(&key["held_nanos"])),
        ),
        (
            "captured",
            format!("{} USD", table::dollars(&key["captured_nanos"])),
        ),
        ("in flight", in_flight(key)),
    ];
    if !key["previous_secret_expires_at"].is_null() {
        rows.push((
            "old secret",
            format!("works until {}", end("previous_secret_expires_at")),
        ));
    }
    let row = |(name, value): (&str, String)| vec![Cell::text(name), Cell::text(value)];
    table::print(&rows.into_iter().map(row).collect::<Vec<_>>());
}

/// As the gateway judges it: a key that is revoked is nothing else any more.
fn state(key: &Value, now: UnixTime) -> &'static str {
    let ended = |at: &Value| at.as_i64().is_some_and(|at| at <= now.seconds());
    if !key["revoked_at"].is_null() {
        "revoked"
    } else if key["disabled"] == true {
        "disabled"
    } else if ended(&key["expires_at"]) {
        "expired"
    } else {
        "in force"
    }
}

/// What is held and was captured since the last reset, and how much that may be.
fn spent(key: &Value) -> String {
    let nanos = |name: &str| key[name].as_i64();
    let used = nanos("held_nanos").zip(nanos("captured_nanos"));
    let used = used.and_then(|(held, captured)| held.checked_add(captured));
    let used = table::dollars(&json!(used));
    match key["limit"].as_str() {
        Some(limit) => format!("{used} of {limit} USD"),
        None => format!("{used} USD"),
    }
}

fn in_flight(key: &Value) -> String {
    match key["max_in_flight"].as_u64() {
        Some(most) => format!("{} of {most}", key["in_flight"]),
        None => key["in_flight"].to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    #[test]
    fn an_end_is_an_instant_or_the_first_one_of_a_day() {
        assert_eq!(end("2026-11-23").unwrap(), 1_795_392_000);
        assert_eq!(end("1795420800").unwrap(), 1_795_420_800);
        let refused = end("tomorrow").unwrap_err().to_string();
        assert!(refused.contains("--expires-at") && refused.contains("tomorrow"));
    }

    #[test]
    fn a_key_is_in_one_state() {
        let key = |revoked: Value, disabled: bool, expires: Value| json!({ "revoked_at": revoked, "disabled": disabled, "expires_at": expires });
        let (past, future) = (json!(1_795_420_800), json!(1_795_420_801));
        let none = Value::Null;
        for (key, expected) in [
            (key(none.clone(), false, none.clone()), "in force"),
            (key(none.clone(), false, future), "in force"),
            (key(none.clone(), false, past.clone()), "expired"),
            (key(none.clone(), true, past.clone()), "disabled"),
            (key(past.clone(), true, past), "revoked"),
        ] {
            assert_eq!(state(&key, NOW), expected, "{key}");
        }
    }
}

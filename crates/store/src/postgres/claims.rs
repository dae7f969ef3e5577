//! Claims: which due jobs a worker is handed.
//!
//! Where everything that is due can be claimed, it is. Where not, jobs that somebody has begun on and jobs that wait
//! share what the worker can take on. Among the first, those that are to be fetched go before the others; among those
//! that wait workspaces take turns, so that no flood of one stands before another. A job that waits for an account whose
//! places are all taken is passed by.
//!
//! Processes that claim at the same time pass over what another is just taking. Only where places are counted do they
//! wait for each other.

use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::sync::Mutex;

use super::connections::{Guard, begin};
use super::row::{count, instant, job};
use super::{parking, sql};
use crate::turns::{OpenAccount, Turns, Waiting};
use crate::{Claim, Intake, Places, StoreError};

/// How often one looks again because another process took what was chosen.
const MOST_LOOKS: u32 = 4;

/// Whose turn it is. One claim of a process at a time.
pub(super) type Turn = Mutex<Turns>;

/// What is to be taken.
#[derive(Debug, Default)]
struct Choice {
    /// How many of the jobs that are to be fetched.
    fetches: usize,
    /// How many of the others that somebody has begun on.
    others: usize,
    /// How many of those that wait for each account, whosever they are.
    waiting: Vec<(String, usize)>,
    /// Further ones that wait, by whose turn it is.
    in_turn: Vec<String>,
}

impl Choice {
    fn len(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|(_, jobs)| jobs).sum();
        self.fetches + self.others + waiting + self.in_turn.len()
    }
}

/// Takes leases on due jobs, longest due first.
pub(super) async fn claim_due(
    db: &mut PgConnection,
    intake: &Intake,
    turn: &Turn,
) -> Result<Vec<Claim>, StoreError> {
    let mut turns = turn.lock().await;
    let open = open_accounts(db, intake.now, &intake.places).await?;
    let counted: Vec<String> = open
        .into_iter()
        .map(|account| account.name)
        .filter(|name| is_limited(name, &intake.places))
        .collect();
    if counted.is_empty() {
        return take(db, intake, &counted, &mut turns).await;
    }
    // Whoever counts places takes them before somebody else counts.
    let guards: Vec<Guard> = counted.iter().map(|name| Guard::of_account(name)).collect();
    let mut tx = begin(db, &guards).await?;
    let claims = take(&mut tx, intake, &counted, &mut turns).await?;
    tx.commit().await?;
    Ok(claims)
}

/// Of accounts with a limit only those of `counted` are open: of the others somebody else may be counting the places.
async fn take(
    db: &mut PgConnection,
    intake: &Intake,
    counted: &[String],
    turns: &mut Turns,
) -> Result<Vec<Claim>, StoreError> {
    let mut taken: Vec<(i64, Claim)> = Vec::new();
    let mut found = 0;
    for _ in 0..MOST_LOOKS {
        let most = intake.limit as usize - found;
        let choice = choose(db, intake, counted, most, turns).await?;
        if choice.len() == 0 {
            break;
        }
        let (accounts, jobs): (Vec<&str>, Vec<i64>) = choice
            .waiting
            .iter()
            .map(|(account, jobs)| (account.as_str(), bound(*jobs)))
            .unzip();
        let rows = sqlx::query(sql!("claims/take"))
            .bind(intake.now.millis())
            .bind(bound(choice.fetches))
            .bind(bound(choice.others))
            .bind(accounts)
            .bind(jobs)
            .bind(&choice.in_turn)
            .bind(intake.now.plus(intake.lease).millis())
            .bind(intake.now.plus(intake.submit_lease).millis())
            .bind(&intake.by.0)
            .fetch_all(&mut *db)
            .await?;
        found += rows.len();
        for row in &rows {
            match read(row) {
                Ok(claim) => taken.push((row.try_get(4)?, claim)),
                Err(error) => park_unreadable(&mut *db, row, &error, intake.now).await?,
            }
        }
        if rows.len() == choice.len() {
            break;
        }
    }
    taken.sort_by_key(|(due_at, claim)| (*due_at, claim.job.admission.id));
    Ok(taken.into_iter().map(|(_, claim)| claim).collect())
}

fn read(row: &PgRow) -> Result<Claim, StoreError> {
    Ok(Claim {
        job: job(row)?,
        lease_until: instant(row.try_get(6)?),
        strikes: count("a job's strikes", row.try_get(7)?)?,
        parked: row.try_get(8)?,
    })
}

/// Nobody can work on what nobody can read, and it must not keep others from their work.
async fn park_unreadable(
    db: &mut PgConnection,
    row: &PgRow,
    error: &StoreError,
    now: UnixTime,
) -> Result<(), StoreError> {
    let id: &str = row.try_get(5)?;
    tracing::error!(video.id = %id, error = error as &dyn std::error::Error, "video {id} cannot be read and is parked");
    parking::park_unreadable(db, id, &error.to_string(), now).await
}

fn bound(jobs: usize) -> i64 {
    i64::try_from(jobs).unwrap_or(i64::MAX)
}

fn is_limited(account: &str, places: &Places) -> bool {
    places.contains_key(&ProviderName(account.to_owned()))
}

/// The accounts some job waits for that have places left, and how many.
async fn open_accounts(
    db: &mut PgConnection,
    now: UnixTime,
    places: &Places,
) -> Result<Vec<OpenAccount>, StoreError> {
    let limited: Vec<&str> = places.keys().map(|name| name.0.as_str()).collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(sql!("claims/accounts"))
        .bind(now.millis())
        .bind(limited)
        .fetch_all(db)
        .await?;
    let mut open = Vec::new();
    for (name, taken) in rows {
        let room = match places.get(&ProviderName(name.clone())) {
            None => usize::MAX,
            Some(most) => (*most as usize).saturating_sub(count("the places taken", taken)?),
        };
        if room > 0 {
            open.push(OpenAccount { name, room });
        }
    }
    Ok(open)
}

async fn choose(
    db: &mut PgConnection,
    intake: &Intake,
    counted: &[String],
    most: usize,
    turns: &mut Turns,
) -> Result<Choice, StoreError> {
    let now = intake.now;
    let mut open = open_accounts(&mut *db, now, &intake.places).await?;
    open.retain(|account| {
        !is_limited(&account.name, &intake.places) || counted.contains(&account.name)
    });
    let (fetches, others): (i64, i64) = sqlx::query_as(sql!("claims/begun"))
        .bind(now.millis())
        .bind(bound(most))
        .fetch_one(&mut *db)
        .await?;
    let fetches: usize = count("the jobs that are to be fetched", fetches)?;
    let others: usize = count("the jobs that are due", others)?;
    let mut begun = most.min(fetches + others);
    let mut waiting = waiting(&mut *db, now, most, &open).await?;
    let all: usize = waiting.iter().map(|(_, jobs)| jobs).sum();
    let mut in_turn = Vec::new();
    if begun + all > most {
        let half = turns.half(most);
        begun = begun.min(half.max(most.saturating_sub(all)));
        let left = most - begun;
        if all > left {
            waiting = Vec::new();
            in_turn = take_turns(db, now, left, &open, turns).await?;
        }
    }
    let (fetches, others) = turns.begun(begun, fetches, others);
    Ok(Choice {
        fetches,
        others,
        waiting,
        in_turn,
    })
}

/// How many wait for each open account, as far as it matters: those that fit, and one that does not.
async fn waiting(
    db: &mut PgConnection,
    now: UnixTime,
    most: usize,
    open: &[OpenAccount],
) -> Result<Vec<(String, usize)>, StoreError> {
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = open.iter().map(|account| account.name.as_str()).collect();
    let limits: Vec<i64> = open
        .iter()
        .map(|account| bound(account.room.min(most + 1)))
        .collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(sql!("claims/waiting"))
        .bind(now.millis())
        .bind(names)
        .bind(limits)
        .fetch_all(db)
        .await?;
    rows.into_iter()
        .map(|(account, jobs)| Ok((account, count("the jobs that wait", jobs)?)))
        .collect()
}

async fn take_turns(
    db: &mut PgConnection,
    now: UnixTime,
    most: usize,
    open: &[OpenAccount],
    turns: &mut Turns,
) -> Result<Vec<String>, StoreError> {
    let mut queues = turns.queues();
    let last = turns.last().to_owned();
    for (account, OpenAccount { name, room }) in open.iter().enumerate() {
        let limit = bound((*room).min(most));
        // Those behind the last one, then, if there is room left, round from the beginning.
        let mut seen = 0;
        for (after, until) in [(last.as_str(), None), ("", Some(last.as_str()))] {
            if seen >= most || until == Some("") {
                break;
            }
            let rows: Vec<(String, Vec<String>, Vec<i64>)> = sqlx::query_as(sql!("claims/round"))
                .bind(after)
                .bind(now.millis())
                .bind(bound(most - seen))
                .bind(until)
                .bind(name)
                .bind(limit)
                .fetch_all(&mut *db)
                .await?;
            seen += rows.len();
            for (workspace, jobs, claimable) in rows {
                for (job, claimable_at) in jobs.into_iter().zip(claimable) {
                    let waiting = Waiting {
                        claimable_at,
                        job,
                        account,
                    };
                    queues.add(&workspace, waiting);
                }
            }
        }
    }
    Ok(turns.choose(queues, open, most))
}

pub(super) async fn next_due(
    db: &mut PgConnection,
    now: UnixTime,
    places: &Places,
) -> Result<Option<UnixTime>, StoreError> {
    let open = open_accounts(&mut *db, now, places).await?;
    let names: Vec<&str> = open.iter().map(|account| account.name.as_str()).collect();
    let earliest: Option<i64> = sqlx::query_scalar(sql!("claims/next_due"))
        .bind(names)
        .fetch_one(db)
        .await?;
    Ok(earliest.map(instant))
}

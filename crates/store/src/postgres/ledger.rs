//! Postings, the balances kept with them, and the audit that recomputes them.

use filmgate_core::id::{HoldId, VideoId, WorkspaceId};
use filmgate_core::ledger::{Account, Entry, Posting, PostingKind};
use filmgate_core::money::{Delta, Nanos};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::connections::begin_report;
use super::idempotency::{self, Opened};
use super::row::{corrupt, count, id, instant, page, stored, text};
use super::sql;
use crate::{Audit, Balances, Deed, Once, Page, StoreError, StoredPosting};

/// How many rows share a workspace's balances and a key's standing. A job stays in its stripe, so this number never
/// changes.
pub(super) const STRIPES: i16 = 16;

/// The stripe of everything that is about this job.
pub(super) fn stripe_of(job: VideoId) -> i16 {
    // An id ends in chance.
    i16::from(job.uuid().as_bytes()[15]) % STRIPES
}

/// The stripe of what is about no job.
const OPERATORS_STRIPE: i16 = 0;

/// A job's posting as a statement takes it.
#[derive(Debug, Serialize)]
pub(super) struct PostingRow {
    kind: &'static str,
    hold: Option<HoldId>,
    available: i64,
    held: i64,
    revenue: i64,
    provider_cost: i64,
    providers: i64,
    funding: i64,
}

impl PostingRow {
    pub(super) fn of(posting: &Posting) -> Self {
        let on = |account| posting.effect_on(account).0;
        Self {
            kind: posting.kind.as_str(),
            hold: posting.hold,
            available: on(Account::Available),
            held: on(Account::Held),
            revenue: on(Account::Revenue),
            provider_cost: on(Account::ProviderCost),
            providers: on(Account::Providers),
            funding: on(Account::Funding),
        }
    }
}

/// What operators put in or take out. The deed is bound to the posting's number, and its line in the log names it.
pub(super) async fn post_credit(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    amount: Delta,
    reason: &str,
    deed: &Deed,
) -> Result<Once<StoredPosting>, StoreError> {
    let posting = match Nanos::new(amount.0) {
        Some(amount) => Posting::top_up(amount),
        None => {
            let taken = Nanos::new(amount.negated().0);
            Posting::adjustment(taken.ok_or_else(|| corrupt("an amount", amount))?)
        }
    };
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let number: i64 = sqlx::query_scalar(sql!("ledger/credit"))
        .bind(workspace.to_string())
        .bind(posting.kind.as_str())
        .bind(deed.action.at.millis())
        .bind(text(reason))
        .bind(posting.effect_on(Account::Available).0)
        .bind(OPERATORS_STRIPE)
        .fetch_one(&mut *tx)
        .await?;
    let number = count("a posting's number", number)?;
    let stored = find_posting(&mut tx, number).await?;
    let stored = stored.ok_or_else(|| corrupt("a posting", "it was just written"))?;
    idempotency::close(tx, deed, &number.to_string()).await?;
    Ok(Once::Done(stored))
}

pub(super) async fn find_posting(
    db: &mut PgConnection,
    number: u64,
) -> Result<Option<StoredPosting>, StoreError> {
    let found = sqlx::query(concat!(sql!("ledger/posting"), "WHERE id = $1"))
        .bind(stored(number))
        .fetch_optional(db)
        .await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn postings(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    before: Option<u64>,
    limit: u32,
) -> Result<Page<StoredPosting>, StoreError> {
    let rows = sqlx::query(concat!(
        sql!("ledger/posting"),
        "WHERE workspace = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    ))
    .bind(workspace.to_string())
    .bind(before.map_or(i64::MAX, stored))
    .bind(i64::from(limit) + 1)
    .fetch_all(db)
    .await?;
    let postings = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(page(postings, limit))
}

fn read(row: &PgRow) -> Result<StoredPosting, StoreError> {
    let text = |column: usize| row.try_get::<Option<&str>, _>(column);
    let kind: &str = row.try_get(3)?;
    let accounts = [
        Account::Available,
        Account::Held,
        Account::Revenue,
        Account::ProviderCost,
        Account::Providers,
        Account::Funding,
    ];
    let mut entries = Vec::new();
    for (column, account) in (7..).zip(accounts) {
        let amount = Delta(row.try_get(column)?);
        if amount != Delta::ZERO {
            entries.push(Entry { account, amount });
        }
    }
    Ok(StoredPosting {
        number: count("a posting's number", row.try_get(0)?)?,
        workspace: id("a posting's workspace", row.try_get(1)?)?,
        job: text(2)?.map(|job| id("a posting's job", job)).transpose()?,
        kind: PostingKind::parse(kind).ok_or_else(|| corrupt("a posting's kind", kind))?,
        hold: text(4)?
            .map(|hold| id("a posting's hold", hold))
            .transpose()?,
        at: instant(row.try_get(5)?),
        reason: row.try_get(6)?,
        entries,
    })
}

/// Zero where nothing was ever posted.
pub(super) async fn balances(
    db: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Balances, StoreError> {
    let (available, held) = sqlx::query_as(
        "SELECT coalesce(sum(available), 0)::bigint, coalesce(sum(held), 0)::bigint
         FROM balances WHERE workspace = $1",
    )
    .bind(workspace.to_string())
    .fetch_one(db)
    .await?;
    Ok(Balances {
        available: Delta(available),
        held: Delta(held),
    })
}

pub(super) async fn closings(db: &mut PgConnection, hold: HoldId) -> Result<u64, StoreError> {
    let closings =
        sqlx::query_scalar("SELECT count(*) FROM postings WHERE hold = $1 AND kind <> 'hold'")
            .bind(hold.to_string())
            .fetch_one(db)
            .await?;
    count("a hold's closings", closings)
}

/// One statement, so that every figure is of the same instant.
pub(super) async fn audit(db: &mut PgConnection) -> Result<Audit, StoreError> {
    let mut report = begin_report(db).await?;
    let row = sqlx::query(sql!("ledger/audit"))
        .fetch_one(&mut *report)
        .await?;
    let at = |column: usize| count("a count of the audit", row.try_get(column)?);
    Ok(Audit {
        jobs: at(0)?,
        jobs_not_terminal: at(1)?,
        holds_open: at(2)?,
        holds_closed_twice: at(3)?,
        postings: at(4)?,
        postings_unbalanced: at(5)?,
        balances_wrong: at(6)?,
        sum: row.try_get(7)?,
        standings_wrong: at(8)?,
        activity_wrong: at(9)?,
    })
}

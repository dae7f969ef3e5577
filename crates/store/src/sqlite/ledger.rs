//! Postings, the balances kept with them, and the audit that recomputes them.

use filmgate_core::id::{HoldId, WorkspaceId};
use filmgate_core::ledger::{Account, Entry, Posting, PostingKind};
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{corrupt, count, id, instant, page, stored};
use super::{idempotency, sql};
use crate::{Audit, Balances, Deed, Once, Page, StoreError, StoredPosting};

/// Writes a posting and moves the balances with it. A hold that is closed already is refused by the schema.
pub(super) fn post(
    db: &Connection,
    workspace: WorkspaceId,
    job: Option<&str>,
    posting: &Posting,
    at: UnixTime,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let workspace = workspace.to_string();
    let on = |account| posting.effect_on(account).0;
    let (available, held) = (on(Account::Available), on(Account::Held));
    let (revenue, provider_cost) = (on(Account::Revenue), on(Account::ProviderCost));
    let (providers, funding) = (on(Account::Providers), on(Account::Funding));
    db.prepare_cached(sql!("ledger/post"))?.execute(params![
        workspace,
        job,
        posting.kind.as_str(),
        posting.hold.map(|hold| hold.to_string()),
        at.millis(),
        reason,
        available,
        held,
        revenue,
        provider_cost,
        providers,
        funding,
    ])?;
    db.prepare_cached(sql!("ledger/keep_balance"))?
        .execute(params![
            workspace,
            available,
            held,
            revenue,
            provider_cost,
            providers,
            funding,
        ])?;
    Ok(())
}

/// What operators put in or take out. The deed is bound to the posting's number, and its line in the log names it.
pub(super) fn post_credit(
    db: &Connection,
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
    idempotency::once(db, deed, || {
        post(db, workspace, None, &posting, deed.action.at, Some(reason))?;
        let number = count("a posting's number", db.last_insert_rowid())?;
        let stored = find_posting(db, number)?;
        let stored = stored.ok_or_else(|| corrupt("a posting", "it was just written"))?;
        Ok((stored, Some(number.to_string())))
    })
}

const POSTING: &str =
    "SELECT id, workspace, job, kind, hold, at, reason, available, held, revenue, provider_cost,
    providers, funding FROM postings";

pub(super) fn find_posting(
    db: &Connection,
    number: u64,
) -> Result<Option<StoredPosting>, StoreError> {
    let mut question = db.prepare_cached(&format!("{POSTING} WHERE id = ?1"))?;
    let mut rows = question.query([stored(number)])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn postings(
    db: &Connection,
    workspace: WorkspaceId,
    before: Option<u64>,
    limit: u32,
) -> Result<Page<StoredPosting>, StoreError> {
    let mut question = db.prepare_cached(&format!(
        "{POSTING} WHERE workspace = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
    ))?;
    let mut rows = question.query(params![
        workspace.to_string(),
        before.map_or(i64::MAX, stored),
        i64::from(limit) + 1,
    ])?;
    let mut postings = Vec::new();
    while let Some(row) = rows.next()? {
        postings.push(read(row)?);
    }
    Ok(page(postings, limit))
}

fn read(row: &Row<'_>) -> Result<StoredPosting, StoreError> {
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let kind: String = row.get(3)?;
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
        let amount = Delta(row.get(column)?);
        if amount != Delta::ZERO {
            entries.push(Entry { account, amount });
        }
    }
    Ok(StoredPosting {
        number: count("a posting's number", row.get(0)?)?,
        workspace: id("a posting's workspace", &row.get::<_, String>(1)?)?,
        job: text(2)?
            .map(|job| id("a posting's job", &job))
            .transpose()?,
        kind: PostingKind::parse(&kind).ok_or_else(|| corrupt("a posting's kind", kind))?,
        hold: text(4)?
            .map(|hold| id("a posting's hold", &hold))
            .transpose()?,
        at: instant(row.get(5)?),
        reason: text(6)?,
        entries,
    })
}

/// Zero where nothing was ever posted.
pub(super) fn balances(db: &Connection, workspace: WorkspaceId) -> Result<Balances, StoreError> {
    let found = db
        .prepare_cached("SELECT available, held FROM balances WHERE workspace = ?1")?
        .query_row([workspace.to_string()], |row| {
            Ok(Balances {
                available: Delta(row.get(0)?),
                held: Delta(row.get(1)?),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn closings(db: &Connection, hold: HoldId) -> Result<u64, StoreError> {
    let closings: i64 = db
        .prepare_cached("SELECT count(*) FROM postings WHERE hold = ?1 AND kind <> 'hold'")?
        .query_row([hold.to_string()], |row| row.get(0))?;
    count("a hold's closings", closings)
}

/// One statement, so that every figure is of the same instant.
pub(super) fn audit(db: &Connection) -> Result<Audit, StoreError> {
    let counted: [i64; 10] = db.query_row(sql!("ledger/audit"), [], |row| {
        let mut counted = [0; 10];
        for (column, value) in counted.iter_mut().enumerate() {
            *value = row.get(column)?;
        }
        Ok(counted)
    })?;
    let at = |column: usize| count("a count of the audit", counted[column]);
    Ok(Audit {
        jobs: at(0)?,
        jobs_not_terminal: at(1)?,
        holds_open: at(2)?,
        holds_closed_twice: at(3)?,
        postings: at(4)?,
        postings_unbalanced: at(5)?,
        balances_wrong: at(6)?,
        sum: counted[7],
        standings_wrong: at(8)?,
        activity_wrong: at(9)?,
    })
}

//! Postings, the balances kept with them, and the audit that recomputes them.

use filmgate_core::id::{HoldId, WorkspaceId};
use filmgate_core::ledger::{Account, Posting};
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::count;
use super::sql;
use crate::{Audit, Balances, StoreError};

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

pub(super) fn top_up(
    db: &Connection,
    workspace: WorkspaceId,
    amount: Nanos,
    now: UnixTime,
    reason: &str,
) -> Result<Balances, StoreError> {
    post(
        db,
        workspace,
        None,
        &Posting::top_up(amount),
        now,
        Some(reason),
    )?;
    balances(db, workspace)
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
    let counted: [i64; 8] = db.query_row(sql!("ledger/audit"), [], |row| {
        let mut counted = [0; 8];
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
    })
}

//! How many jobs each account has.

use std::collections::BTreeMap;

use filmgate_core::request::ProviderName;
use rusqlite::Connection;

use crate::columns::count;
use crate::{Load, StoreError};

pub(super) fn by_account(db: &Connection) -> Result<BTreeMap<ProviderName, Load>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT account, count(*) FILTER (WHERE state = 'accepted'),
             count(*) FILTER (WHERE state IN ('submitting', 'running'))
         FROM jobs WHERE due_at IS NOT NULL AND ended_at IS NULL GROUP BY account",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    rows.map(|row| {
        let (account, waiting, at_provider) = row?;
        let load = Load {
            waiting: count("waiting jobs", waiting)?,
            at_provider: count("jobs at a provider", at_provider)?,
        };
        Ok((ProviderName(account), load))
    })
    .collect()
}

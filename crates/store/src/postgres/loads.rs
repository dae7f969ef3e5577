//! How many jobs each account has.

use std::collections::BTreeMap;

use filmgate_core::request::ProviderName;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::columns::count;
use crate::{Load, StoreError};

pub(super) async fn by_account(
    db: &mut PgConnection,
) -> Result<BTreeMap<ProviderName, Load>, StoreError> {
    let rows = sqlx::query(
        "SELECT account, count(*) FILTER (WHERE phase = 'waiting'),
             count(*) FILTER (WHERE phase IN ('submitting', 'running'))
         FROM work WHERE phase <> 'ended' GROUP BY account",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let load = Load {
                waiting: count("waiting jobs", row.try_get(1)?)?,
                at_provider: count("jobs at a provider", row.try_get(2)?)?,
            };
            Ok((ProviderName(row.try_get(0)?), load))
        })
        .collect()
}

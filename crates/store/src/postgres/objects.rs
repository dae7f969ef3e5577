//! Which stored objects the jobs name: what no row names is swept away by `assets`.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;

use crate::StoreError;

/// Those of `keys` that some job names.
pub(super) async fn known(
    db: &mut PgConnection,
    keys: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let known: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT key FROM objects WHERE key = ANY($1)")
            .bind(&keys)
            .fetch_all(db)
            .await?;
    let known: HashSet<String> = known.into_iter().collect();
    Ok(keys.into_iter().filter(|key| known.contains(key)).collect())
}

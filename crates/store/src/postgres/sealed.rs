//! Secrets, sealed by the caller: only bytes here.

use filmgate_core::time::UnixTime;
use sqlx::postgres::PgConnection;

use crate::StoreError;

/// Stores `sealed` unless something has that name; answers what has it now.
pub(super) async fn keep(
    db: &mut PgConnection,
    name: &str,
    sealed: &[u8],
    now: UnixTime,
) -> Result<Vec<u8>, StoreError> {
    sqlx::query(
        "INSERT INTO sealed (name, sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(name)
    .bind(sealed)
    .bind(now.millis())
    .execute(&mut *db)
    .await?;
    // Whoever met another's row waited for it: it is there for the next statement.
    let kept = sqlx::query_scalar("SELECT sealed FROM sealed WHERE name = $1")
        .bind(name)
        .fetch_one(db)
        .await?;
    Ok(kept)
}

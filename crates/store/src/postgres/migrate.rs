//! The schema: which versions there are, and bringing a database up to the latest. Migrations only add; a shipped
//! one is never edited.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use crate::StoreError;

static STEPS: Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest server that is supported, as servers number their releases.
const OLDEST_SERVER: u32 = 140_000;

/// Brings the database up to this release's schema. Of several processes that do so at once, one does it and the others
/// wait.
///
/// Fails on a database of a newer release, on one that is another program's, and on a server that is too old.
pub(super) async fn run(db: &mut PgConnection) -> Result<(), StoreError> {
    let server = db.server_version_num().unwrap_or(0);
    if server < OLDEST_SERVER {
        return Err(StoreError::Open(format!(
            "the server is PostgreSQL {}, and {} or newer is needed",
            server / 10_000,
            OLDEST_SERVER / 10_000
        )));
    }
    if is_anothers(db).await.map_err(cannot_open)? {
        return Err(StoreError::Open(
            "the database has tables in it that are not Filmgate's; give it one of its own"
                .to_owned(),
        ));
    }
    STEPS
        .run_direct(None, db, false)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) => StoreError::Newer {
                found,
                known: STEPS.iter().map(|step| step.version).max().unwrap_or(0),
            },
            other => StoreError::Open(other.to_string()),
        })
}

fn cannot_open(error: sqlx::Error) -> StoreError {
    StoreError::Open(error.to_string())
}

/// Whether somebody has tables where ours would be, and we have none.
async fn is_anothers(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT to_regclass('_sqlx_migrations') IS NULL AND EXISTS (
             SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p'))",
    )
    .fetch_one(db)
    .await
}

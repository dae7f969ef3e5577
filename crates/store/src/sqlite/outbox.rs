//! What the outside is to be told, in the transaction that makes it true. Sending is `engine::notify`'s.

use filmgate_core::job::Notice;
use rusqlite::{Connection, params};

use crate::StoreError;

pub(super) fn append(
    db: &Connection,
    job: &str,
    version: i64,
    notices: &[Notice],
) -> Result<(), StoreError> {
    for notice in notices {
        // Saying the same thing twice at one version says it once.
        db.prepare_cached(
            "INSERT INTO outbox (job, version, kind) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![job, version, notice.as_str()])?;
    }
    Ok(())
}

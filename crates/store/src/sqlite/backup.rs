//! A copy of a store's file, whole and of one instant, while somebody may be writing to it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::migrate;
use crate::StoreError;

/// Copies the store in the file `from` to the new file `to`, which is on disk when this returns. Whoever has the store
/// open goes on undisturbed.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let cannot = |why: String| StoreError::Open(format!("{}: {why}", from.display()));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(from, flags).map_err(|error| cannot(error.to_string()))?;
    match migrate::check(&db).and_then(|()| migrate::has_begun(&db)) {
        Ok(true) => {}
        Ok(false) => return Err(cannot("there is no store in it".to_owned())),
        Err(StoreError::Open(why)) => return Err(cannot(why)),
        Err(StoreError::Database(cause)) => return Err(cannot(cause.to_string())),
        Err(other) => return Err(other),
    }
    let target = to
        .to_str()
        .ok_or_else(|| StoreError::Open(format!("{}: the name is not UTF-8", to.display())))?;
    // Never over something that is there already.
    if to.exists() {
        return Err(StoreError::Open(format!(
            "{target}: there is such a file already"
        )));
    }
    db.execute("VACUUM INTO ?1", [target])
        .map_err(|error| StoreError::Open(format!("{target}: {error}")))?;
    let written = std::fs::File::open(to).and_then(|file| file.sync_all());
    written.map_err(|error| StoreError::Open(format!("{target}: {error}")))
}

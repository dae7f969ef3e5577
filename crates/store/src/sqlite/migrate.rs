//! The schema: which versions there are, and bringing a file up to the latest. Migrations only add; a shipped
//! one is never edited.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::StoreError;

/// "FLMG", as the first migration writes it.
const APPLICATION_ID: i64 = 1_179_405_639;

const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/sqlite/0001_initial.sql")),
    M::up(include_str!("../../migrations/sqlite/0002_money.sql")),
    M::up(include_str!("../../migrations/sqlite/0003_stuck_work.sql")),
    M::up(include_str!(
        "../../migrations/sqlite/0004_provider_keys.sql"
    )),
    M::up(include_str!(
        "../../migrations/sqlite/0005_claims_and_durations.sql"
    )),
];

/// Brings the file up to this release's schema.
///
/// Fails on a file of a newer release, and on one that is another program's.
pub(super) fn run(db: &mut Connection) -> Result<(), StoreError> {
    check(db)?;
    Migrations::from_slice(STEPS)
        .to_latest(db)
        .map_err(|error| StoreError::Open(error.to_string()))
}

/// Whether this release knows the file, which may be a new one.
pub(super) fn check(db: &Connection) -> Result<(), StoreError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let ours = application == APPLICATION_ID;
    if !ours && (found != 0 || application != 0 || tables != 0) {
        return Err(StoreError::Open(
            "the file is a database, but not one of Filmgate's".to_owned(),
        ));
    }
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(())
}

/// Whether there is a store in the file already.
pub(super) fn has_begun(db: &Connection) -> Result<bool, StoreError> {
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(application == APPLICATION_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_applies_to_an_empty_file_and_none_is_applied_twice() {
        let mut db = Connection::open_in_memory().unwrap();
        run(&mut db).unwrap();
        run(&mut db).unwrap();
        Migrations::from_slice(STEPS).validate().unwrap();
    }

    #[test]
    fn a_schema_of_a_newer_release_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        run(&mut db).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        let refused = run(&mut db);
        assert!(matches!(refused, Err(StoreError::Newer { found: 99, .. })));
    }

    #[test]
    fn another_programs_database_is_left_alone() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
        assert!(matches!(run(&mut db), Err(StoreError::Open(_))));
    }
}

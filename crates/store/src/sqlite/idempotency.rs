//! Idempotency keys and what they are bound to.

use filmgate_core::id::WorkspaceId;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::{actions, sql};
use crate::{Binding, Bound, Deed, Once, StoreError};

/// What the key is bound to at `now`.
pub(super) fn find(
    db: &Connection,
    workspace: WorkspaceId,
    route: &str,
    key: &str,
    now: UnixTime,
) -> Result<Option<Bound>, StoreError> {
    let found = db
        .prepare_cached(
            "SELECT digest, object FROM bindings
             WHERE workspace = ?1 AND route = ?2 AND key = ?3 AND expires_at > ?4",
        )?
        .query_row(
            params![workspace.to_string(), route, key, now.millis()],
            |row| {
                Ok(Bound {
                    digest: row.get(0)?,
                    object: row.get(1)?,
                })
            },
        )
        .optional()?;
    Ok(found)
}

/// Makes a change, its line in the log and its binding, unless the key is bound already. `change` answers what came
/// of it and, where something was changed, the object it is bound to. A line that is about no object yet is about
/// that one.
pub(super) fn once<T>(
    db: &Connection,
    deed: &Deed,
    change: impl FnOnce() -> Result<(T, Option<String>), StoreError>,
) -> Result<Once<T>, StoreError> {
    let at = deed.action.at;
    if let Some(binding) = &deed.binding
        && let Some(bound) = find(db, binding.workspace, &binding.route, &binding.key, at)?
    {
        return Ok(Once::AlreadyBound(bound));
    }
    let (done, object) = change()?;
    if let Some(object) = object {
        let mut action = deed.action.clone();
        if action.object.is_empty() {
            action.object.clone_from(&object);
        }
        actions::add(db, &action)?;
        if let Some(binding) = &deed.binding {
            bind(db, binding, &object, at)?;
        }
    }
    Ok(Once::Done(done))
}

/// Binds the key to `object`, over a binding that has expired.
pub(super) fn bind(
    db: &Connection,
    binding: &Binding,
    object: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    db.prepare_cached(sql!("idempotency/bind"))?
        .execute(params![
            binding.workspace.to_string(),
            binding.route,
            binding.key,
            binding.digest,
            object,
            binding.expires_at.millis(),
        ])?;
    // Every binding takes a few expired ones with it, so that they never pile up and no sweep is needed.
    let oldest: Option<i64> = db
        .prepare_cached("SELECT min(expires_at) FROM bindings")?
        .query_row([], |row| row.get(0))?;
    if oldest.is_some_and(|oldest| oldest <= now.millis()) {
        db.prepare_cached(sql!("idempotency/sweep"))?
            .execute([now.millis()])?;
    }
    Ok(())
}

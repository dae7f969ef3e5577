//! Idempotency keys and what they are bound to. A create binds its own, in the statement that makes the job.

use filmgate_core::id::WorkspaceId;
use filmgate_core::time::UnixTime;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{Row, Transaction};

use super::connections::{Guard, begin};
use super::row::{corrupt, text};
use super::{actions, sql};
use crate::{Binding, Bound, Deed, StoreError};

/// What the key is bound to at `now`.
pub(super) async fn find(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    route: &str,
    key: &str,
    now: UnixTime,
) -> Result<Option<Bound>, StoreError> {
    let found = sqlx::query(
        "SELECT digest, object FROM bindings
         WHERE workspace = $1 AND route = $2 AND key = $3 AND expires_at > $4",
    )
    .bind(workspace.to_string())
    .bind(route)
    .bind(text(key))
    .bind(now.millis())
    .fetch_optional(db)
    .await?;
    Ok(found.as_ref().map(read).transpose()?.flatten())
}

/// From a row that begins with digest and object, both NULL where nothing is bound.
pub(super) fn read(row: &PgRow) -> Result<Option<Bound>, StoreError> {
    let digest: Option<&[u8]> = row.try_get(0)?;
    let Some(digest) = digest else {
        return Ok(None);
    };
    Ok(Some(Bound {
        digest: digest
            .try_into()
            .map_err(|error| corrupt("a binding's digest", error))?,
        object: row.try_get(1)?,
    }))
}

/// Where an operator's change begins.
pub(super) enum Opened<'c> {
    /// Its key is free and nobody else's until the transaction ends.
    Free(Transaction<'c, Postgres>),
    /// Its key was bound before: nothing may be changed.
    Bound(Bound),
}

/// Begins a transaction for `deed`.
pub(super) async fn open<'c>(
    db: &'c mut PgConnection,
    deed: &Deed,
) -> Result<Opened<'c>, StoreError> {
    let Some(binding) = &deed.binding else {
        return Ok(Opened::Free(begin(db, &[]).await?));
    };
    let mut tx = begin(db, &[Guard::of_binding(binding)]).await?;
    let Binding {
        workspace,
        route,
        key,
        ..
    } = binding;
    let bound = find(&mut tx, *workspace, route, key, deed.action.at).await?;
    Ok(bound.map_or(Opened::Free(tx), Opened::Bound))
}

/// Ends the transaction of `deed`, which changed `object`, with its line in the log and its binding. A line that is
/// about no object yet is about that one.
pub(super) async fn close(
    mut tx: Transaction<'_, Postgres>,
    deed: &Deed,
    object: &str,
) -> Result<(), StoreError> {
    let mut action = deed.action.clone();
    if action.object.is_empty() {
        object.clone_into(&mut action.object);
    }
    actions::add(&mut tx, &action).await?;
    if let Some(binding) = &deed.binding {
        bind(&mut tx, binding, object).await?;
        sweep(&mut tx, action.at).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Binds the key to `object`, over a binding that has expired.
async fn bind(db: &mut PgConnection, binding: &Binding, object: &str) -> Result<(), StoreError> {
    sqlx::query(sql!("idempotency/bind"))
        .bind(binding.workspace.to_string())
        .bind(&binding.route)
        .bind(text(&binding.key))
        .bind(&binding.digest[..])
        .bind(object)
        .bind(binding.expires_at.millis())
        .execute(db)
        .await?;
    Ok(())
}

/// Removes some bindings that have expired. Whoever binds a key does this, so that they never pile up.
pub(super) async fn sweep(db: &mut PgConnection, now: UnixTime) -> Result<(), StoreError> {
    sqlx::query(sql!("idempotency/sweep"))
        .bind(now.millis())
        .execute(db)
        .await?;
    Ok(())
}

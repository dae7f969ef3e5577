//! Pages of jobs, by id: a page costs what it holds, however many jobs lie before it.
//!
//! One statement: the ids of the page from the stretches of an index, then the rows.

use filmgate_core::job::{Job, Status};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::row::{self, text, text_if_any};
use crate::window::{Direction, Window};
use crate::{ListJobs, Page, StoreError};

pub(super) async fn list(db: &mut PgConnection, query: &ListJobs) -> Result<Page<Job>, StoreError> {
    let Some(window) = Window::of(query) else {
        return Ok(row::page(Vec::new(), query.limit));
    };
    let statuses: Vec<&str> = Status::ALL
        .into_iter()
        .filter(|status| query.status.is_empty() || query.status.contains(status))
        .map(Status::as_str)
        .collect();
    let statement = statement(Direction::of(query), query.session_id.is_some());
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(query.workspace.to_string())
        .bind(window.first.to_string())
        .bind(window.last.to_string())
        .bind(text_if_any(query.model.as_deref()))
        .bind(text_if_any(query.provider.as_deref()))
        .bind(i64::from(query.limit) + 1)
        .bind(statuses)
        .bind(text(query.session_id.as_deref().unwrap_or_default()))
        .fetch_all(db)
        .await?;
    let jobs = rows.iter().map(row::job).collect::<Result<_, _>>()?;
    let mut page = row::page(jobs, query.limit);
    if query.before.is_some() {
        page.rows.reverse();
    }
    Ok(page)
}

/// Up to one job more than the page holds, in the order the index is walked in.
fn statement(direction: Direction, of_a_session: bool) -> String {
    let order = match direction {
        Direction::Up => "ASC",
        Direction::Down => "DESC",
    };
    let walk = |is_in_stretch: &str| {
        format!(
            "SELECT id FROM jobs
             WHERE workspace = $1 AND deleted_at IS NULL AND {is_in_stretch} AND id >= $2 AND id <= $3
               AND ($4::text IS NULL OR model = $4) AND ($5::text IS NULL OR provider = $5)
             ORDER BY id {order} LIMIT $6"
        )
    };
    let ids = if of_a_session {
        walk("session = $8 AND status = ANY($7)")
    } else {
        format!(
            "SELECT id FROM unnest($7::text[]) AS asked_for (status)
             CROSS JOIN LATERAL ({}) AS stretch WHERE $8::text = '' ORDER BY id {order} LIMIT $6",
            walk("jobs.status = asked_for.status")
        )
    };
    format!(
        "SELECT admissions.admission, jobs.life, jobs.version, work.fence
         FROM ({ids}) AS page
         JOIN jobs ON jobs.id = page.id JOIN work ON work.job = page.id JOIN admissions ON admissions.job = page.id
         ORDER BY page.id {order}"
    )
}

//! Pages of jobs, by id: a page costs what it holds, however many jobs lie before it.
//!
//! Two steps in one snapshot: the ids of the page from an index, then the rows.

use filmgate_core::id::VideoId;
use filmgate_core::job::{Job, Status};
use rusqlite::{Connection, named_params};

use super::{jobs, row};
use crate::window::{Direction, Window};
use crate::{ListJobs, Page, StoreError};

pub(super) fn list(db: &Connection, query: &ListJobs) -> Result<Page<Job>, StoreError> {
    let snapshot = db.unchecked_transaction()?;
    let direction = Direction::of(query);
    let (ids, has_more) = page(&snapshot, query, direction)?;
    let jobs = ids
        .iter()
        .map(|id| jobs::load(&snapshot, &id.to_string())?.into_job())
        .collect::<Result<_, _>>()?;
    Ok(Page {
        rows: jobs,
        has_more,
    })
}

/// Part of an index in which jobs stand by id. A page is the front of its stretches, taken together.
#[derive(Debug, Clone, Copy)]
enum Stretch<'a> {
    Session(&'a str),
    Status(Status),
}

impl<'a> Stretch<'a> {
    fn of(query: &'a ListJobs) -> Vec<Self> {
        match &query.session_id {
            Some(session) => vec![Self::Session(session)],
            None => asked_for(query).map(Self::Status).collect(),
        }
    }
}

fn asked_for(query: &ListJobs) -> impl Iterator<Item = Status> {
    Status::ALL
        .into_iter()
        .filter(|status| query.status.is_empty() || query.status.contains(status))
}

/// The ids of the page in the order asked for, and whether more lie beyond.
fn page(
    db: &Connection,
    query: &ListJobs,
    direction: Direction,
) -> Result<(Vec<VideoId>, bool), StoreError> {
    let Some(window) = Window::of(query) else {
        return Ok((Vec::new(), false));
    };
    let mut ids = Vec::new();
    for stretch in Stretch::of(query) {
        ids.extend(walk(db, query, window, direction, stretch)?);
    }
    ids.sort_unstable();
    if direction == Direction::Down {
        ids.reverse();
    }
    let limit = query.limit as usize;
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    if query.before.is_some() {
        ids.reverse();
    }
    Ok((ids, has_more))
}

/// Up to one id more than the page holds.
fn walk(
    db: &Connection,
    query: &ListJobs,
    window: Window,
    direction: Direction,
    stretch: Stretch<'_>,
) -> Result<Vec<VideoId>, StoreError> {
    // The index is named, so that a page's cost does not hang on what the planner believes about the rows.
    let (index, is_in_stretch, value) = match stretch {
        Stretch::Session(session) => (
            "jobs_by_session",
            format!("session = :value AND status IN ({})", statuses(query)),
            session,
        ),
        Stretch::Status(status) => (
            "jobs_by_status",
            "status = :value".to_owned(),
            status.as_str(),
        ),
    };
    let order = match direction {
        Direction::Up => "ASC",
        Direction::Down => "DESC",
    };
    let mut question = db.prepare_cached(&format!(
        "SELECT id FROM jobs INDEXED BY {index}
         WHERE workspace = :workspace AND deleted_at IS NULL AND {is_in_stretch}
           AND id >= :first AND id <= :last
           AND (:model IS NULL OR model = :model)
           AND (:provider IS NULL OR provider = :provider)
         ORDER BY id {order} LIMIT :limit"
    ))?;
    let ids = question
        .query_map(
            named_params! {
                ":workspace": query.workspace.to_string(),
                ":value": value,
                ":first": window.first.to_string(),
                ":last": window.last.to_string(),
                ":model": query.model,
                ":provider": query.provider,
                ":limit": i64::from(query.limit) + 1,
            },
            |row| row.get(0),
        )?
        .collect::<Result<Vec<String>, _>>()?;
    ids.iter().map(|text| row::id("a job's id", text)).collect()
}

/// The statuses asked for as SQL: words of ours, never a client's.
fn statuses(query: &ListJobs) -> String {
    asked_for(query)
        .map(|status| format!("'{}'", status.as_str()))
        .collect::<Vec<_>>()
        .join(", ")
}

//! Pages of jobs, by id: a page costs what it holds, however many jobs lie before it.
//!
//! Two steps in one snapshot: the ids of the page from an index, then the rows.

use filmgate_core::id::VideoId;
use filmgate_core::job::{Job, Status};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, named_params};
use uuid::Uuid;

use super::{jobs, row};
use crate::{ListJobs, Order, Page, StoreError};

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

/// Which way the index is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// A page that ends right before a job is walked backwards from it.
    fn of(query: &ListJobs) -> Self {
        match (query.order, query.before) {
            (Order::OldestFirst, None) | (Order::NewestFirst, Some(_)) => Self::Up,
            (Order::NewestFirst, None) | (Order::OldestFirst, Some(_)) => Self::Down,
        }
    }
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

/// The ids a page may hold, both ends included.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: VideoId,
    last: VideoId,
}

impl Window {
    /// `None` if it is empty. Bounds on creation are bounds on ids, because an id begins with the
    /// millisecond it was minted in.
    fn of(query: &ListJobs) -> Option<Self> {
        let (above, below) = match query.order {
            Order::OldestFirst => (query.after, query.before),
            Order::NewestFirst => (query.before, query.after),
        };
        let number = |id: VideoId| id.uuid().as_u128();
        let first = [
            above.map_or(Some(0), |id| number(id).checked_add(1))?,
            query.created_from.map_or(0, |from| millisecond(from) << 80),
        ];
        let last = [
            below.map_or(Some(u128::MAX), |id| number(id).checked_sub(1))?,
            query.created_until.map_or(u128::MAX, |until| {
                (millisecond(until) << 80) | ((1 << 80) - 1)
            }),
        ];
        let id = |number| VideoId::from_uuid(Uuid::from_u128(number));
        let window = Self {
            first: id(first[0].max(first[1])),
            last: id(last[0].min(last[1])),
        };
        (window.first <= window.last).then_some(window)
    }
}

/// As an id holds it: 48 bits.
fn millisecond(at: UnixTime) -> u128 {
    u128::try_from(at.millis()).unwrap_or(0).min((1 << 48) - 1)
}

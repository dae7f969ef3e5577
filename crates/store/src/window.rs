//! Which ids a page of jobs may hold, and from which end they are read.

use filmgate_core::id::VideoId;
use filmgate_core::time::UnixTime;
use uuid::Uuid;

use crate::{ListJobs, Order};

/// Which way the index is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Direction {
    /// A page that ends right before a job is walked backwards from it.
    pub(crate) fn of(query: &ListJobs) -> Self {
        match (query.order, query.before) {
            (Order::OldestFirst, None) | (Order::NewestFirst, Some(_)) => Self::Up,
            (Order::NewestFirst, None) | (Order::OldestFirst, Some(_)) => Self::Down,
        }
    }
}

/// The ids a page may hold, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) first: VideoId,
    pub(crate) last: VideoId,
}

impl Window {
    /// `None` if it is empty. Bounds on creation are bounds on ids, because an id begins with the
    /// millisecond it was minted in.
    pub(crate) fn of(query: &ListJobs) -> Option<Self> {
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

/// No higher than the id of any job made at `at` or later: ids begin with the millisecond they were minted in.
pub(crate) fn first_id(at: UnixTime) -> VideoId {
    VideoId::from_uuid(Uuid::from_u128(millisecond(at) << 80))
}

/// As an id holds it: 48 bits.
fn millisecond(at: UnixTime) -> u128 {
    u128::try_from(at.millis()).unwrap_or(0).min((1 << 48) - 1)
}

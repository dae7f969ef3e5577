//! The rows a transition leaves beside its job: history, what the outside is told, the objects it names, its postings.
//!
//! `sql/transitions` has the statements' common end, which takes these as its first parameters.
//! Not here: the job itself (`jobs`, `work`).

use filmgate_core::id::VideoId;
use filmgate_core::job::{Notice, Transition};
use filmgate_core::time::UnixTime;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::types::Json;

use super::ledger::{self, PostingRow};
use super::timeline::Line;

/// A statement whose parameters are being bound.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// What stands beside the job `id`: a statement's `$1` to `$7`.
pub(super) struct Beside<'a> {
    id: VideoId,
    transition: &'a Transition,
    objects: Vec<&'a str>,
    /// When the money moves.
    at: UnixTime,
}

impl<'a> Beside<'a> {
    /// `objects` are those the job names from now on.
    pub(super) fn of(
        id: VideoId,
        transition: &'a Transition,
        objects: impl Iterator<Item = &'a str>,
        at: UnixTime,
    ) -> Self {
        Self {
            id,
            transition,
            objects: objects.collect(),
            at,
        }
    }

    pub(super) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let transition = self.transition;
        let timeline: Vec<Line<'_>> = transition.timeline.iter().map(Line::of).collect();
        let notices: Vec<&str> = transition
            .notices
            .iter()
            .map(|it| Notice::as_str(*it))
            .collect();
        let postings: Vec<PostingRow> = transition.postings.iter().map(PostingRow::of).collect();
        statement
            .bind(self.id.to_string())
            .bind(Json(timeline))
            .bind(notices)
            .bind(&self.objects)
            .bind(self.at.millis())
            .bind(Json(postings))
            .bind(ledger::stripe_of(self.id))
    }
}

//! The limit of a create: two rows inserted durably, group-committed by one writer thread, for 64 callers.
//!
//! `inserts DIRECTORY COUNT` prints inserts (of two rows) per second.

use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::Connection;

const CALLERS: usize = 64;
/// About what a job's row holds.
const ROW_BYTES: usize = 2_000;

type Answer = mpsc::SyncSender<()>;

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures reads the clock and prints"
)]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .context("the first argument is a directory")?;
    let count: usize = arguments
        .next()
        .context("the second argument is a count")?
        .parse()?;
    let connection = Connection::open(format!("{directory}/limit.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
         CREATE TABLE events (id INTEGER PRIMARY KEY, job INTEGER NOT NULL, body TEXT NOT NULL) STRICT;",
    )?;
    let (queue, orders) = mpsc::sync_channel::<Answer>(1024);
    let writer = std::thread::spawn(move || write(&connection, &orders));
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let (answer, answered) = mpsc::sync_channel(1);
                for _ in 0..count / CALLERS {
                    if queue.send(answer.clone()).is_err() || answered.recv().is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(queue);
    for caller in callers {
        caller.join().ok().context("a caller failed")?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    writer.join().ok().context("the writer failed")??;
    println!("{:.0}", (count / CALLERS * CALLERS) as f64 / seconds);
    Ok(())
}

fn write(connection: &Connection, orders: &mpsc::Receiver<Answer>) -> Result<()> {
    let body = "x".repeat(ROW_BYTES);
    while let Ok(first) = orders.recv() {
        let mut answers = vec![first];
        answers.extend(orders.try_iter().take(255));
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in &answers {
            let mut job = connection.prepare_cached("INSERT INTO jobs (body) VALUES (?1)")?;
            job.execute([&body])?;
            let mut event = connection
                .prepare_cached("INSERT INTO events (job, body) VALUES (?1, 'created')")?;
            event.execute([connection.last_insert_rowid()])?;
        }
        connection.execute_batch("COMMIT")?;
        for answer in answers {
            answer.send(()).ok();
        }
    }
    Ok(())
}

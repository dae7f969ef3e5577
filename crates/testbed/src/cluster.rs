//! A PostgreSQL cluster of one process's own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// The oldest release that is supported.
const OLDEST: u32 = 14;
/// Where Debian keeps the servers, one directory for each release.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Somebody else may take a port between its choice and its use.
const TRIES: u32 = 5;

/// A running server and its files; both go with this value, or with the process.
pub struct Cluster {
    bin: PathBuf,
    port: u16,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

/// The shell that keeps the cluster, and the two ends of the talk with it.
struct Keeper {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start: a missing server is a failure, not a skip.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Cluster::start`], with further settings for the server, such as `-c fsync=off`.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_with(settings: &str) -> Self {
        let bin = programs();
        for _ in 0..TRIES {
            let port = free_port();
            let mut process = keep(&bin, port, settings);
            let commands = process.stdin.take();
            let answers = process.stdout.take().expect("its output is a pipe");
            let mut keeper = Keeper {
                process,
                commands,
                answers: BufReader::new(answers),
            };
            if keeper.hears("ready") {
                return Self {
                    bin,
                    port,
                    keeper: Mutex::new(keeper),
                    databases: AtomicU32::new(0),
                };
            }
        }
        panic!("no PostgreSQL server could be started");
    }

    /// The one cluster that all tests of a process share, a database each.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Makes an empty database and answers its address.
    ///
    /// # Panics
    /// If the server does not make it.
    pub fn database(&self) -> String {
        self.database_like("template0")
    }

    /// Makes a database with everything that is in `template`, to which nobody may be connected.
    ///
    /// # Panics
    /// If the server does not make it.
    pub fn database_like(&self, template: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql(
            &self.url("postgres"),
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        );
        self.url(&name)
    }

    /// The address of a database in this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://filmgate@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A program of this server's release, such as `pg_dump`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Runs statements, and answers what they print: a line for each row, columns apart by `|`.
    ///
    /// # Panics
    /// If one fails.
    pub fn sql(&self, url: &str, statements: &str) -> String {
        let output = Command::new(self.program("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                url,
                "-c",
                statements,
            ])
            .output()
            .expect("psql is beside the server");
        assert!(
            output.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Kills the server as a power cut would.
    pub fn kill(&self) {
        self.command("kill");
    }

    /// Stops the server in good order, connections cut.
    pub fn stop(&self) {
        self.command("stop");
    }

    /// Starts the server again, on its old port and files, and waits until it takes connections.
    pub fn start_again(&self) {
        self.command("start");
    }

    fn command(&self, command: &str) {
        let mut keeper = self.keeper.lock().expect("no command panics half-way");
        let commands = keeper.commands.as_mut().expect("it is open until the end");
        writeln!(commands, "{command}").expect("the keeper reads");
        assert!(keeper.hears("done"), "the keeper of the cluster is gone");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(mut keeper) = self.keeper.lock() {
            keeper.commands = None;
            // The files are gone once it has ended.
            let _ = keeper.process.wait();
        }
    }
}

impl Keeper {
    fn hears(&mut self, word: &str) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).is_ok() && line.trim_end() == word
    }
}

fn keep(bin: &Path, port: u16, settings: &str) -> Child {
    // The server refuses to run as root; Debian's package brings a user for it.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mut command = if is_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command
        .args(["-c", include_str!("cluster.sh"), "cluster"])
        .arg(bin)
        .arg(port.to_string())
        .args(settings.split_whitespace())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A key pressed at the terminal reaches the tests, whose end reaches the cluster.
        .process_group(0)
        .spawn()
        .expect("a shell can be started")
}

/// The newest installed server's programs.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|release| {
            Path::new(DEBIAN)
                .join(release.to_string())
                .join("bin/postgres")
                .is_file()
        })
        .max();
    match newest {
        Some(release) if release >= OLDEST => {
            Path::new(DEBIAN).join(release.to_string()).join("bin")
        }
        found => panic!(
            "PostgreSQL {OLDEST} or newer is needed in {DEBIAN}, and {found:?} is there: install Debian's postgresql"
        ),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_survives_a_kill_with_what_was_committed() {
        let cluster = Cluster::start();
        let url = cluster.database();
        cluster.sql(&url, "CREATE TABLE words (word text)");
        cluster.sql(&url, "INSERT INTO words VALUES ('kept')");
        cluster.kill();
        cluster.start_again();
        assert_eq!(cluster.sql(&url, "SELECT word FROM words"), "kept");
    }
}

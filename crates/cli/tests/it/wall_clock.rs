//! A wall clock that tests move, by Debian's libfaketime. The machine's own is never touched.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::gate::Home;

/// The wall clock of the gateways under it, which can be moved while they run.
pub(crate) struct WallClock(TempDir);

impl WallClock {
    pub(crate) fn new() -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        clock.is_off_by(0);
        clock
    }

    /// In seconds, from the true time.
    pub(crate) fn is_off_by(&self, seconds: i64) {
        // By a rename, so that nobody reads the half of it.
        let written = self.0.path().join("written");
        std::fs::write(&written, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(written, self.file()).unwrap();
    }

    pub(crate) fn over(&self, home: Home) -> Home {
        let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten();
        let library = libraries
            .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
            .find(|path| path.is_file());
        let library = library.expect("libfaketime is needed: install Debian's libfaketime");
        home.environment("LD_PRELOAD", library.to_str().unwrap())
            .environment("FAKETIME_TIMESTAMP_FILE", self.file().to_str().unwrap())
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("DONT_FAKE_MONOTONIC", "1")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }
}

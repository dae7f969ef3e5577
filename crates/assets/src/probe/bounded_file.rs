//! A file as a parser may see it: buffered, and with an end to what may be asked of it.
//!
//! Neither parser defends itself against boxes of no size or elements that point at themselves; both end when their reader
//! fails. So this one fails once more was asked than any sane file of its length needs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

const WINDOW_BYTES: usize = 64 << 10;

/// How far ahead the file seems to end. Matroska's parser makes a buffer as large as an element says to be, up to the end
/// of the file; no frame and no table of a sane file comes near this.
const HORIZON_BYTES: u64 = 64 << 20;

pub(super) struct BoundedFile {
    file: File,
    length: u64,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    calls_left: u64,
    bytes_left: u64,
    failure: Option<io::Error>,
    /// Where four bytes read as `free`, which hides the box they are the type of.
    hidden_types: BTreeSet<u64>,
}

impl BoundedFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            length,
            position: 0,
            window: Vec::with_capacity(WINDOW_BYTES),
            window_start: 0,
            // The smallest table entries and blocks take a few calls each; above 100 million no file is worth the time.
            calls_left: length
                .saturating_mul(16)
                .saturating_add(100_000)
                .min(100_000_000),
            bytes_left: length.saturating_mul(4).saturating_add(16 << 20),
            failure: None,
            hidden_types: BTreeSet::new(),
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether the bound was reached, which a parser may take for the end of the file.
    pub(super) fn exhausted(&self) -> bool {
        self.calls_left == 0 || self.bytes_left == 0
    }

    /// The error of the disk, if there was one: then nothing is known about the file.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    pub(super) fn restart(&mut self) {
        self.position = 0;
    }

    /// Lets the box at `position` read as one of the type `free`, which every parser skips.
    pub(super) fn hide_box(&mut self, position: u64) {
        self.hidden_types.insert(position + 4);
    }

    /// Exactly `length` bytes from `offset`.
    pub(super) fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.position = offset;
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.calls_left = self.calls_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
        if self.exhausted() {
            return Err(io::Error::other(
                "the file leads in circles or is needlessly large",
            ));
        }
        Ok(())
    }

    /// The buffered bytes from the position on, filling the window where there are none.
    fn window_here(&mut self) -> io::Result<&[u8]> {
        let window_end = self.window_start + self.window.len() as u64;
        if self.position < self.window_start || self.position >= window_end {
            self.window.resize(WINDOW_BYTES, 0);
            let read = match self.file.read_at(&mut self.window, self.position) {
                Ok(read) => read,
                Err(error) => {
                    self.window.clear();
                    self.failure = Some(io::Error::new(error.kind(), error.to_string()));
                    return Err(error);
                }
            };
            self.window.truncate(read);
            self.window_start = self.position;
            self.spend(read)?;
        }
        let from = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(from..).unwrap_or_default())
    }
}

impl Read for BoundedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.spend(0)?;
        let here = self.window_here()?;
        let count = here.len().min(out.len());
        out[..count].copy_from_slice(&here[..count]);
        let read = self.position..self.position + count as u64;
        // A type that began up to three bytes earlier still reaches in here.
        for start in self
            .hidden_types
            .range(read.start.saturating_sub(3)..read.end)
        {
            for (place, byte) in (*start..).zip(b"free") {
                if read.contains(&place) {
                    out[(place - read.start) as usize] = *byte;
                }
            }
        }
        self.position = read.end;
        Ok(count)
    }
}

impl Seek for BoundedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.spend(0)?;
        let end = self.length.min(self.position.saturating_add(HORIZON_BYTES));
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position
            .filter(|position| *position <= i64::MAX as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

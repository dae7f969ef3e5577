//! Finished files, kept in memory within a bound.
//!
//! A file that is dropped is no loss: the same order renders to the same bytes.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// One output of one render.
pub(crate) type OutputKey = (String, u32);

/// The files used last, up to a number of bytes in total.
pub(crate) struct Outputs {
    most_bytes: usize,
    bytes: usize,
    turn: u64,
    files: HashMap<OutputKey, (u64, Bytes)>,
    by_turn: BTreeMap<u64, OutputKey>,
}

impl Outputs {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: 0,
            turn: 0,
            files: HashMap::new(),
            by_turn: BTreeMap::new(),
        }
    }

    /// Keeps a file, and drops those used longest ago until all fit. A file larger than the bound is
    /// not kept.
    pub(crate) fn keep(&mut self, key: OutputKey, file: Bytes) {
        self.forget(&key);
        self.bytes += file.len();
        self.turn += 1;
        self.by_turn.insert(self.turn, key.clone());
        self.files.insert(key, (self.turn, file));
        while self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.by_turn.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    pub(crate) fn find(&mut self, key: &OutputKey) -> Option<Bytes> {
        let (turn, file) = self.files.get_mut(key)?;
        self.turn += 1;
        self.by_turn.remove(turn);
        self.by_turn.insert(self.turn, key.clone());
        *turn = self.turn;
        Some(file.clone())
    }

    pub(crate) fn forget(&mut self, key: &OutputKey) {
        if let Some((turn, file)) = self.files.remove(key) {
            self.by_turn.remove(&turn);
            self.bytes -= file.len();
        }
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> OutputKey {
        ("tc".to_owned(), index)
    }

    #[test]
    fn the_file_used_longest_ago_makes_room() {
        let mut outputs = Outputs::new(10);
        outputs.keep(key(0), Bytes::from_static(b"aaaa"));
        outputs.keep(key(1), Bytes::from_static(b"bbbb"));
        assert!(outputs.find(&key(0)).is_some());
        outputs.keep(key(2), Bytes::from_static(b"cccc"));
        assert!(outputs.find(&key(1)).is_none());
        assert!(outputs.find(&key(0)).is_some() && outputs.find(&key(2)).is_some());
        assert_eq!(outputs.bytes(), 8);
    }

    #[test]
    fn a_file_larger_than_the_bound_is_not_kept() {
        let mut outputs = Outputs::new(3);
        outputs.keep(key(0), Bytes::from_static(b"aaaa"));
        assert!(outputs.find(&key(0)).is_none());
        assert_eq!(outputs.bytes(), 0);
    }

    #[test]
    fn a_file_kept_twice_counts_once() {
        let mut outputs = Outputs::new(10);
        outputs.keep(key(0), Bytes::from_static(b"aaaa"));
        outputs.keep(key(0), Bytes::from_static(b"bb"));
        assert_eq!(outputs.bytes(), 2);
    }
}

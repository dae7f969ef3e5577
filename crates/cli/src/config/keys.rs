//! One table of the configuration, its keys taken out one by one: each fault is noted under its own key, and what is
//! left over in the end is unknown.

use figment::Figment;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::source;

pub(super) struct Keys<'a> {
    figment: &'a Figment,
    faults: &'a mut Vec<String>,
    path: String,
    left: Dict,
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// The keys of `value`, which stands at `path`; `None`, with the fault noted, where it is no table.
    pub(super) fn of(
        figment: &'a Figment,
        path: String,
        value: Value,
        faults: &'a mut Vec<String>,
    ) -> Option<Self> {
        match value {
            Value::Dict(_, left) => Some(Self {
                figment,
                faults,
                path,
                left,
                known: Vec::new(),
            }),
            other => {
                let from = source(figment.get_metadata(other.tag()));
                faults.push(format!("{path}: a table is allowed{from}"));
                None
            }
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What stands under `key`, if anything does; a fault is noted.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        match value.deserialize() {
            Ok(taken) => Some(taken),
            Err(error) => {
                let from = source(self.figment.get_metadata(value.tag()));
                for fault in error {
                    let within: Vec<&str> = fault.path.iter().map(String::as_str).collect();
                    let within = [&[key], &within[..]].concat().join(".");
                    self.faults
                        .push(format!("{}.{within}: {}{from}", self.path, fault.kind));
                }
                None
            }
        }
    }

    /// As [`Keys::take`]; that nothing stands there is a fault too.
    pub(super) fn need<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        if !self.left.contains_key(key) {
            self.known.push(key);
            self.fault(key, "it is required");
            return None;
        }
        self.take(key)
    }

    /// Whether something stands under `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// The value under `key` as it was written.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// The elements of the list under `key`, each a table.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Value> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Array(_, tables)) => tables,
            Some(_) => {
                self.fault(key, "a list of tables is allowed");
                Vec::new()
            }
        }
    }

    /// The keys of a table that stands in this one, at `step` of it.
    pub(super) fn inner(&mut self, step: &str, value: Value) -> Option<Keys<'_>> {
        let path = format!("{}.{step}", self.path);
        Keys::of(self.figment, path, value, self.faults)
    }

    pub(super) fn fault(&mut self, key: &str, why: impl std::fmt::Display) {
        self.faults.push(format!("{}.{key}: {why}", self.path));
    }

    /// How many faults there are by now, wherever they were found.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// Notes what nobody has taken.
    pub(super) fn done(mut self) {
        let known = self.known.join(", ");
        for (key, value) in std::mem::take(&mut self.left) {
            let from = source(self.figment.get_metadata(value.tag()));
            self.fault(
                &key,
                format!("there is no such key; there are {known}{from}"),
            );
        }
    }
}

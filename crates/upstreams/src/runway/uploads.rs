//! Files that were uploaded, by the address that tasks name them with.

use std::collections::HashMap;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::jobs::lock;

/// What came of one upload.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) content_type: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// All places that were given out; one without a file is empty still.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Option<Upload>>>);

impl Uploads {
    /// A new place, for whoever knows its name.
    pub(crate) fn place(&self) -> String {
        let mut name = [0; 16];
        getrandom::fill(&mut name).expect("the operating system has randomness");
        let name = hex::encode(name);
        lock(&self.0).insert(name.clone(), None);
        name
    }

    /// Puts a file there. `false` where there is no such place.
    pub(crate) fn put(&self, name: &str, content_type: String, data: &[u8]) -> bool {
        let upload = Upload {
            content_type,
            bytes: data.len() as u64,
            sha256: hex::encode(Sha256::digest(data)),
        };
        match lock(&self.0).get_mut(name) {
            Some(place) => {
                *place = Some(upload);
                true
            }
            None => false,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Upload> {
        lock(&self.0).get(name).cloned().flatten()
    }
}

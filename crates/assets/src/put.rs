//! Putting objects: whole, durable and at once, or not at all.
//!
//! A file is written and synced in the spool, then renamed to its place and the directories on the way are synced, so an
//! object is never seen in part and one that was reported as put survives a power cut.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::spool::Spooled;
use crate::{Assets, ObjectKey, blocking};

/// An object as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{key} cannot be put into the asset store")]
pub struct PutError {
    pub key: ObjectKey,
    #[source]
    pub source: io::Error,
}

impl Assets {
    /// Moves a spooled file to its place. What was there under the same key is replaced.
    pub async fn put_output(&self, spooled: Spooled, key: &ObjectKey) -> Result<Stored, PutError> {
        let (root, place) = (Arc::clone(&self.root), key.clone());
        let stored = Stored {
            bytes: spooled.bytes(),
            sha256: spooled.sha256().to_owned(),
        };
        // The file goes with the room it takes in the spool, which is free again once it has left.
        blocking(move || spooled.leave(|file| install(file, &root, &place)))
            .await
            .map_err(|source| PutError {
                key: key.clone(),
                source,
            })?;
        Ok(stored)
    }

    /// Puts bytes that are already in memory: a client's input, a thumbnail.
    pub async fn put_bytes(&self, key: &ObjectKey, bytes: Bytes) -> Result<Stored, PutError> {
        let (assets, place) = (self.clone(), key.clone());
        blocking(move || {
            let mut file = NamedTempFile::new_in(assets.spool.scratch())?;
            file.write_all(&bytes)?;
            install(file, &assets.root, &place)?;
            Ok(Stored {
                bytes: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(&bytes)),
            })
        })
        .await
        .map_err(|source| PutError {
            key: key.clone(),
            source,
        })
    }
}

fn install(mut file: NamedTempFile, root: &Path, key: &ObjectKey) -> io::Result<()> {
    /// A deletion removes directories it leaves empty, maybe the one just made here; it does not do so often.
    const TRIES: u32 = 5;
    file.as_file().sync_all()?;
    let target = key.file(root);
    let parent = target.parent().unwrap_or(root);
    for left in (0..TRIES).rev() {
        std::fs::create_dir_all(parent)?;
        file = match file.persist(&target) {
            Ok(_) => return sync_directories(parent, root),
            Err(refused) if refused.error.kind() == io::ErrorKind::CrossesDevices => {
                copied(refused.file, root)?
            }
            Err(refused) if refused.error.kind() == io::ErrorKind::NotFound && left > 0 => {
                refused.file
            }
            Err(refused) => return Err(refused.error),
        };
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The same bytes on the store's own file system, where a rename can publish them. What a crash leaves of it is swept
/// like any object that no row names.
fn copied(spooled: NamedTempFile, root: &Path) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("unfinished-")
        .tempfile_in(root)?;
    io::copy(&mut spooled.reopen()?, &mut file)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// From the object's directory up to the root: any of them may be new.
fn sync_directories(from: &Path, root: &Path) -> io::Result<()> {
    for directory in from.ancestors() {
        File::open(directory)?.sync_all()?;
        if directory == root {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another file system asks for, on one: a rename cannot be made to fail so everywhere.
    #[test]
    fn a_file_from_elsewhere_is_copied_whole_before_it_is_published() {
        let (spool, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut file = NamedTempFile::new_in(spool.path()).unwrap();
        file.write_all(b"a video").unwrap();
        let copy = copied(file, root.path()).unwrap();
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
        let (workspace, video) = crate::test_media::owner();
        let key = ObjectKey::output(workspace, video, 1, 0);
        install(copy, root.path(), &key).unwrap();
        assert_eq!(std::fs::read(key.file(root.path())).unwrap(), b"a video");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

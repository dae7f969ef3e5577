//! The data directory: whose it is right now, and the two secrets that live beside the database.
//!
//! A lock held for the life of the process says that the directory is in use; the operating system drops it
//! with the process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use filmgate_core::provider::Secret;
use filmgate_engine::entropy;

const LOCK: &str = "filmgate.lock";
const MASTER_KEY: &str = "master.key";
const COMMAND_LINE_KEY: &str = "command-line.key";

/// The directory, ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Another process has the directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is in use by another filmgate process{}; to use that one, set FILMGATE_URL{} and FILMGATE_KEY to a key of it",
    .path.display(),
    .address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default(),
    .address.as_ref().map(|address| format!("={address}")).unwrap_or_else(|| " to its address".to_owned())
)]
pub(crate) struct InUse {
    path: PathBuf,
    pub(crate) address: Option<String>,
}

impl DataDir {
    /// Makes the directory where it is missing and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        // Prompts, videos and keys are nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("the data directory {} cannot be made", path.display()))?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK));
        let mut lock = lock
            .with_context(|| format!("the data directory {} cannot be written", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_path_buf(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => {
                let mut address = String::new();
                lock.read_to_string(&mut address).ok();
                let address = Some(address.trim().to_owned()).filter(|address| !address.is_empty());
                Err(InUse {
                    path: path.to_path_buf(),
                    address,
                }
                .into())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).context("the data directory cannot be locked")
            }
        }
    }

    /// Leaves word of how to reach this process for those who find the directory taken.
    pub(crate) fn announce(&mut self, address: &str) -> Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        writeln!(self.lock, "{address}").context("the data directory cannot be written")
    }

    /// The master key kept here; made now if there is none.
    pub(crate) fn master_key(&self) -> Result<[u8; 32]> {
        let file = self.path.join(MASTER_KEY);
        match std::fs::read_to_string(&file) {
            Ok(text) => parse_master_key(text.trim())
                .with_context(|| format!("{} does not hold a master key", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = entropy::secret();
                self.write_secret(
                    MASTER_KEY,
                    &key.iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>(),
                )?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// The key commands use on a gateway in their own process.
    pub(crate) fn command_line_key(&self) -> Option<Secret> {
        std::fs::read_to_string(self.path.join(COMMAND_LINE_KEY))
            .ok()
            .map(|text| Secret::new(text.trim()))
    }

    pub(crate) fn keep_command_line_key(&self, key: &Secret) -> Result<()> {
        self.write_secret(COMMAND_LINE_KEY, key.expose())
    }

    /// Whole or not at all, on disk, and for the owner's eyes only.
    fn write_secret(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}.unfinished"));
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// 64 hexadecimal characters.
pub(crate) fn parse_master_key(text: &str) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("a master key is 64 hexadecimal characters");
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).context("a master key is plain ASCII")?;
        *byte =
            u8::from_str_radix(digits, 16).context("a master key is 64 hexadecimal characters")?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_and_the_second_learns_where_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = DataDir::take(directory.path()).unwrap();
        first.announce("http://127.0.0.1:8080").unwrap();
        let refused = DataDir::take(directory.path()).unwrap_err().to_string();
        assert!(
            refused.contains("FILMGATE_URL=http://127.0.0.1:8080"),
            "{refused}"
        );
        drop(first);
        DataDir::take(directory.path()).unwrap();
    }

    #[test]
    fn the_master_key_is_made_once_and_only_the_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let taken = DataDir::take(directory.path()).unwrap();
        let key = taken.master_key().unwrap();
        assert_eq!(taken.master_key().unwrap(), key);
        let mode = std::fs::metadata(directory.path().join(MASTER_KEY))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(directory.path().join(MASTER_KEY), "short").unwrap();
        assert!(taken.master_key().is_err());
    }
}

//! How long a client's clip or sound is, where its container tells.
//!
//! Not here: whether it plays (`probe`); what cannot be measured is taken as it is.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use filmgate_core::request::MediaKind;

use crate::probe::probe;
use crate::spool::Spooled;
use crate::{Assets, blocking};

/// More chunks than this stand before no sound.
const MOST_CHUNKS: u32 = 64;

impl Assets {
    /// In milliseconds; `None` where nothing of it can be told.
    pub async fn length_of(&self, spooled: &Spooled, kind: MediaKind) -> Option<u64> {
        let path = spooled.path().to_owned();
        let _measuring = self.measuring.acquire().await;
        let measured = blocking(move || {
            Ok(match kind {
                MediaKind::Image => None,
                MediaKind::Video => probe(&path).ok().map(|probe| probe.duration_ms),
                MediaKind::Audio => wave(&path),
            })
        });
        measured.await.ok().flatten()
    }
}

/// Of a WAV file: its data by the bytes a second has.
fn wave(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let whole = file.metadata().ok()?.len();
    let mut head = [0; 12];
    file.read_exact(&mut head).ok()?;
    if !head.starts_with(b"RIFF") || !head.ends_with(b"WAVE") {
        return None;
    }
    let mut bytes_a_second = None;
    for _ in 0..MOST_CHUNKS {
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk).ok()?;
        let [name @ .., a, b, c, d] = chunk;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let begins = file.stream_position().ok()?;
        match &name {
            b"fmt " => {
                let mut format = [0; 12];
                file.read_exact(&mut format).ok()?;
                let [.., a, b, c, d] = format;
                bytes_a_second = Some(u64::from(u32::from_le_bytes([a, b, c, d])));
            }
            b"data" => {
                // Whoever writes as it comes announces no length, or the longest.
                let there = length.min(whole.saturating_sub(begins));
                return (there * 1000)
                    .checked_div(bytes_a_second?)
                    .filter(|ms| *ms > 0);
            }
            _ => {}
        }
        // Chunks begin at even places.
        let next = begins + length + length % 2;
        file.seek(SeekFrom::Start(next)).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn measured(bytes: &[u8]) -> Option<u64> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        wave(file.path())
    }

    /// A WAV file of these chunks: name, length as it says, content.
    fn riff(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        for (name, length, content) in chunks {
            bytes.extend_from_slice(*name);
            bytes.extend(length.to_le_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// PCM of 8000 bytes a second.
    fn format() -> Vec<u8> {
        let mut format = vec![1, 0, 1, 0];
        format.extend(8000u32.to_le_bytes());
        format.extend(8000u32.to_le_bytes());
        format.extend([1, 0, 8, 0]);
        format
    }

    #[test]
    fn a_sound_is_as_long_as_its_data() {
        let (format, data) = (format(), vec![0; 12_000]);
        let head: (&[u8; 4], u32, &[u8]) = (b"fmt ", 16, &format);
        assert_eq!(
            measured(&riff(&[head, (b"data", 12_000, &data)])),
            Some(1500)
        );
        assert_eq!(
            measured(&riff(&[
                (b"LIST", 3, b"abc\0"),
                head,
                (b"data", 12_000, &data)
            ])),
            Some(1500)
        );
        assert_eq!(
            measured(&riff(&[head, (b"data", u32::MAX, &data)])),
            Some(1500),
            "as it was streamed"
        );
        assert_eq!(measured(&riff(&[head, (b"data", 0, b"")])), None);
        assert_eq!(measured(&riff(&[(b"data", 12_000, &data)])), None);
        assert_eq!(
            measured(&riff(&[(b"fmt ", 16, &[0; 16]), (b"data", 4, b"abcd")])),
            None
        );
        assert_eq!(measured(b"RIFF"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_upset_it(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = measured(&rest);
            let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
            bytes.extend(rest);
            let _ = measured(&bytes);
        }
    }
}

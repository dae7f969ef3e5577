//! Measuring an output, and telling whether it plays.
//!
//! A file plays if its container parses, it has a video track with samples, every sample lies inside the file, and the
//! first key frame decodes where its codec is one that can be decoded here (H.264). Nothing is taken from the outside: no
//! announced type, no file name. Rotation and pixel aspect are left to the player.
//!
//! The bytes are hostile until shown otherwise: whatever is in the file, a probe ends soon, in little memory, without a panic.
//!
//! Not here: the thumbnail (`thumbnail`), whether the length is what was announced (`spool`).

mod bounded_file;
mod first_frame;
mod matroska;
mod mp4;
mod mp4_outline;

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use filmgate_core::frame_size::FrameSize;
use image::{ImageFormat, RgbImage};

use bounded_file::BoundedFile;

/// What a playable file is.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `video/mp4`, `video/quicktime`, `video/webm` or `video/x-matroska`.
    pub mime_type: &'static str,
    pub size: FrameSize,
    /// Presentation length of the video track in milliseconds, never zero.
    pub duration_ms: u64,
    pub audio: bool,
    /// Such as `h264`, `hevc`, `av1`, `vp9`; of others the container's own name for it.
    pub codec: String,
    /// The first key frame; `None` where its codec cannot be decoded here.
    pub first_frame: Option<RgbImage>,
}

/// Why a file is not a video that plays, in words fit for whoever asked for the video.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPlayable {
    #[error("the file is {0}, not a video")]
    NotVideo(&'static str),
    #[error("the file is cut off: {0}")]
    CutOff(&'static str),
    #[error("the container cannot be read: {0}")]
    Container(String),
    #[error("the container declares {0}, more than any output needs")]
    Oversized(&'static str),
    #[error("the file has no video track with samples")]
    NoVideo,
    #[error("the video has no length")]
    NoDuration,
    #[error("the video is encrypted")]
    Encrypted,
    #[error("the first key frame does not decode")]
    FirstFrame,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    NotPlayable(#[from] NotPlayable),
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
}

/// No output lasts a day; a container that says so is wrong or lies.
const MAX_DURATION_MS: u64 = 24 * 3600 * 1000;

/// Measures the file at `path`. Blocks: reads the container's tables, of Matroska the whole file, and decodes one frame.
pub fn probe(path: &Path) -> Result<Probe, ProbeError> {
    let file = File::open(path).map_err(ProbeError::Io)?;
    let mut file = BoundedFile::new(file).map_err(ProbeError::Io)?;
    // The parsers index and subtract on trust and the decoder's wrapper asserts; on hostile bytes that is a panic.
    let probed = catch_unwind(AssertUnwindSafe(|| measure(&mut file)));
    if let Some(failure) = file.take_failure() {
        return Err(ProbeError::Io(failure));
    }
    let gave_up = |_| NotPlayable::Container("its tables contradict each other".into());
    Ok(probed.map_err(gave_up)??)
}

fn measure(file: &mut BoundedFile) -> Result<Probe, NotPlayable> {
    let mut head = Vec::new();
    file.take(512)
        .read_to_end(&mut head)
        .map_err(|error| NotPlayable::Container(error.to_string()))?;
    let probe = match head.as_slice() {
        [_, _, _, _, kind @ ..] if mp4_outline::starts_a_file(kind) => mp4::measure(file)?,
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska::measure(file)?,
        other => return Err(NotPlayable::NotVideo(describe(other))),
    };
    if probe.size.width == 0 || probe.size.height == 0 {
        return Err(NotPlayable::Container("the picture has no size".into()));
    }
    if probe.duration_ms == 0 {
        return Err(NotPlayable::NoDuration);
    }
    if probe.duration_ms > MAX_DURATION_MS {
        return Err(NotPlayable::Oversized("a length of days"));
    }
    Ok(probe)
}

/// What a provider or a proxy sends where a video was expected.
fn describe(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if head.is_empty() {
        "empty"
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        "an HTML page"
    } else if text.starts_with('<') {
        "XML"
    } else if text.starts_with(['{', '[']) {
        "JSON"
    } else if matches!(
        image::guess_format(head),
        Ok(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Gif)
    ) {
        "a picture"
    } else if head
        .iter()
        .all(|byte| (0x20..0x7f).contains(byte) || byte.is_ascii_whitespace())
    {
        "text"
    } else {
        "of an unknown format"
    }
}

/// `ticks` of which a second has `per_second`, in milliseconds, rounded to the nearest.
fn millis(ticks: u64, per_second: u64) -> Result<u64, NotPlayable> {
    if per_second == 0 {
        return Err(NotPlayable::NoDuration);
    }
    let millis = (u128::from(ticks) * 1000 + u128::from(per_second / 2)) / u128::from(per_second);
    u64::try_from(millis).map_err(|_| NotPlayable::Oversized("a length of days"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_media::{clip, encoded};
    use proptest::prelude::*;
    use std::io::Write;

    fn probe_bytes(bytes: &[u8]) -> Result<Probe, NotPlayable> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        probe(file.path()).map_err(|error| match error {
            ProbeError::NotPlayable(why) => why,
            ProbeError::Io(error) => panic!("{error}"),
        })
    }

    /// Type, codec, length, sound, and whether the first frame decodes.
    fn told(name: &str) -> (&'static str, String, u64, bool, bool) {
        let probe = probe_bytes(&clip(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(probe.size, FrameSize::new(64, 48), "{name}");
        let decoded = probe.first_frame.is_some();
        (
            probe.mime_type,
            probe.codec,
            probe.duration_ms,
            probe.audio,
            decoded,
        )
    }

    #[test]
    fn every_kind_of_clip_is_measured() {
        for (name, mime_type, codec, duration_ms, audio, decoded) in [
            ("bframes.mp4", "video/mp4", "h264", 500, true, true),
            ("fragmented.mp4", "video/mp4", "h264", 500, true, true),
            ("high10.mp4", "video/mp4", "h264", 500, false, false),
            ("high444.mp4", "video/mp4", "h264", 500, false, false),
            ("interlaced.mp4", "video/mp4", "h264", 500, false, false),
            ("hevc.mp4", "video/mp4", "hevc", 500, false, false),
            ("av1.mp4", "video/mp4", "av1", 500, false, false),
            ("pcm.mov", "video/quicktime", "h264", 500, true, true),
            ("vp9.webm", "video/webm", "vp9", 500, true, false),
            ("live.webm", "video/webm", "vp8", 500, false, false),
        ] {
            let expected = (mime_type, codec.to_owned(), duration_ms, audio, decoded);
            assert_eq!(told(name), expected, "{name}");
        }
    }

    #[test]
    fn the_built_in_provider_s_clips_are_measured() {
        let probe = probe_bytes(&encoded(320, 180, 7)).unwrap();
        assert_eq!(probe.size, FrameSize::new(320, 180));
        assert_eq!(probe.duration_ms, 700);
        assert_eq!((probe.mime_type, probe.audio), ("video/mp4", false));
        let frame = probe.first_frame.unwrap();
        assert_eq!(frame.dimensions(), (320, 180));
    }

    #[test]
    fn what_is_sent_in_place_of_a_video_is_named() {
        let mut png = io::Cursor::new(Vec::new());
        RgbImage::new(4, 4)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        for (bytes, expected) in [
            (b"".as_slice(), "empty"),
            (b"\n<!DOCTYPE html><html>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error>", "XML"),
            (b"{\"error\": {}}", "JSON"),
            (b"Not Found", "text"),
            (png.get_ref(), "a picture"),
            (&[0u8; 4096], "of an unknown format"),
        ] {
            assert_eq!(
                probe_bytes(bytes).unwrap_err(),
                NotPlayable::NotVideo(expected)
            );
        }
        assert_eq!(
            probe_bytes(&clip("sound.m4a")).unwrap_err(),
            NotPlayable::NoVideo
        );
    }

    #[test]
    fn a_clip_cut_anywhere_does_not_play() {
        for name in ["bframes.mp4", "hevc.mp4", "pcm.mov", "vp9.webm"] {
            let whole = clip(name);
            for length in (0..whole.len()).step_by(64).chain([whole.len() - 1]) {
                let cut = probe_bytes(&whole[..length]);
                assert!(cut.is_err(), "{name} cut to {length}: {cut:?}");
            }
        }
    }

    #[test]
    fn a_fragmented_clip_cut_anywhere_does_not_upset_the_probe() {
        let whole = clip("fragmented.mp4");
        for length in (0..whole.len()).step_by(64) {
            if let Ok(probe) = probe_bytes(&whole[..length]) {
                assert!(probe.duration_ms <= 500, "cut to {length}");
            }
        }
    }

    #[test]
    fn padding_after_the_last_box_is_ignored() {
        for padding in [b"\0\0\0".as_slice(), &[0; 40], b"\0\0\x7f\xffjunk and more"] {
            let mut bytes = clip("bframes.mp4");
            bytes.extend(padding);
            assert_eq!(probe_bytes(&bytes).unwrap().duration_ms, 500);
        }
    }

    #[test]
    fn a_damaged_first_key_frame_is_noticed() {
        let mut bytes = clip("bframes.mp4");
        let frames = find(&bytes, b"mdat") + 4;
        bytes[frames..frames + 1200].fill(0xff);
        assert_eq!(probe_bytes(&bytes).unwrap_err(), NotPlayable::FirstFrame);
    }

    #[test]
    fn a_small_file_that_declares_billions_of_samples_is_refused_at_once() {
        let mut bytes = clip("bframes.mp4");
        let table = find(&bytes, b"stsz") + 4;
        // One size for all, then their count.
        bytes[table + 4..table + 8].copy_from_slice(&1u32.to_be_bytes());
        bytes[table + 8..table + 12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(
            probe_bytes(&bytes).unwrap_err(),
            NotPlayable::Oversized("samples")
        );
        let mut bytes = clip("fragmented.mp4");
        let run = find(&bytes, b"trun") + 4;
        bytes[run..run + 8].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            probe_bytes(&bytes).unwrap_err(),
            NotPlayable::Oversized("samples")
        );
    }

    #[test]
    fn boxes_that_lead_in_circles_come_to_an_end() {
        for kind in [b"mvhd", b"avcC", b"dinf", b"udta", b"esds"] {
            let mut bytes = clip("bframes.mp4");
            let start = find(&bytes, kind) - 4;
            bytes[start..start + 4].fill(0);
            assert!(probe_bytes(&bytes).is_err(), "{kind:?}");
        }
        // A segment that begins with a checksum sends the parser back to it for ever.
        let mut bytes = clip("vp9.webm");
        let segment = find(&bytes, &[0x18, 0x53, 0x80, 0x67]) + 12;
        bytes[segment] = 0xbf;
        assert!(probe_bytes(&bytes).is_err());
    }

    #[test]
    fn a_block_that_claims_to_be_larger_than_the_file_is_refused() {
        let mut bytes = clip("vp9.webm");
        let cluster = find(&bytes, &[0x1f, 0x43, 0xb6, 0x75]);
        let block = cluster + find(&bytes[cluster..], &[0xa3]);
        bytes[block + 1..block + 5].copy_from_slice(&[0x1f, 0xff, 0xff, 0xfe]);
        assert!(probe_bytes(&bytes).is_err());
    }

    fn find(bytes: &[u8], what: &[u8]) -> usize {
        let found = bytes.windows(what.len()).position(|part| part == what);
        found.expect("the clip has it")
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_probe(
            name in prop::sample::select(vec!["bframes.mp4", "fragmented.mp4", "pcm.mov", "hevc.mp4", "av1.mp4", "vp9.webm", "live.webm"]),
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0u8, 1, 2, 0x7f, 0x80, 0xff]), 1usize..5), 1..6),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let mut bytes = clip(name);
            for (place, byte, count) in changes {
                let place = place.index(bytes.len());
                let end = (place + count).min(bytes.len());
                bytes[place..end].fill(byte);
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = probe_bytes(&bytes);
        }
    }
}

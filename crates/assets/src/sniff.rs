//! What a client's media is, judged by its bytes alone.
//!
//! Not here: whether a provider takes it (`engine::admission`), whether an output plays (`probe`).

use std::io::Cursor;

use filmgate_core::frame_size::FrameSize;
use filmgate_core::request::MediaKind;
use image::{ImageFormat, ImageReader};

/// Larger pictures are refused: no provider takes them, and decoding one would take gigabytes.
pub const LONGEST_IMAGE_SIDE: u32 = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sniffed {
    pub kind: MediaKind,
    pub mime_type: &'static str,
    /// Of images.
    pub size: Option<FrameSize>,
}

/// `None` for what is not a PNG, JPEG or WebP picture of bearable size, an MP4, QuickTime, WebM or Matroska clip, or MP3, WAV or
/// M4A sound.
pub fn sniff(bytes: &[u8]) -> Option<Sniffed> {
    let of = |kind, mime_type| {
        Some(Sniffed {
            kind,
            mime_type,
            size: None,
        })
    };
    match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
            b"qt  " => of(MediaKind::Video, "video/quicktime"),
            b"M4A " | b"M4B " => of(MediaKind::Audio, "audio/mp4"),
            // Pictures in the same box format, which nothing here reads.
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1"
            | b"avif" | b"avis" | b"crx " => None,
            _ => of(MediaKind::Video, "video/mp4"),
        },
        [0x1a, 0x45, 0xdf, 0xa3, header @ ..] => {
            let header = &header[..header.len().min(60)];
            let says = |word: &[u8]| header.windows(word.len()).any(|part| part == word);
            if says(b"webm") {
                of(MediaKind::Video, "video/webm")
            } else if says(b"matroska") {
                of(MediaKind::Video, "video/x-matroska")
            } else {
                None
            }
        }
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => of(MediaKind::Audio, "audio/wav"),
        [b'I', b'D', b'3', ..] => of(MediaKind::Audio, "audio/mpeg"),
        // The sync word of an MPEG frame of layer III; other layers are other formats, and AAC's has layer 0.
        [0xff, second, ..] if second & 0xe6 == 0xe2 => of(MediaKind::Audio, "audio/mpeg"),
        _ => sniff_image(bytes),
    }
}

fn sniff_image(bytes: &[u8]) -> Option<Sniffed> {
    let format = image::guess_format(bytes).ok()?;
    let mime_type = match format {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::WebP => "image/webp",
        _ => return None,
    };
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let (width, height) = reader.into_dimensions().ok()?;
    let bearable = |side| (1..=LONGEST_IMAGE_SIDE).contains(&side);
    (bearable(width) && bearable(height)).then_some(Sniffed {
        kind: MediaKind::Image,
        mime_type,
        size: Some(FrameSize::new(width, height)),
    })
}

/// Whether a picture that [`sniff`] told can be decoded to its last pixel. Takes the time and memory of doing so: meant for
/// a thread that may block.
pub fn decodes(bytes: &[u8]) -> bool {
    image::load_from_memory(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(40, 30)
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_damaged_picture_is_told_by_decoding_it() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let whole = picture(format);
            assert!(decodes(&whole), "{format:?}");
            assert!(!decodes(&whole[..whole.len() / 2]), "{format:?}");
        }
    }

    #[test]
    fn pictures_are_told_with_their_size() {
        for (format, mime_type) in [
            (ImageFormat::Png, "image/png"),
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::WebP, "image/webp"),
        ] {
            let expected = Sniffed {
                kind: MediaKind::Image,
                mime_type,
                size: Some(FrameSize::new(40, 30)),
            };
            assert_eq!(sniff(&picture(format)), Some(expected));
        }
    }

    #[test]
    fn clips_and_sounds_are_told() {
        let media = |name: &str| crate::test_media::clip(name);
        for (bytes, kind, mime_type) in [
            (media("bframes.mp4"), MediaKind::Video, "video/mp4"),
            (media("pcm.mov"), MediaKind::Video, "video/quicktime"),
            (media("vp9.webm"), MediaKind::Video, "video/webm"),
            (media("sound.m4a"), MediaKind::Audio, "audio/mp4"),
            (b"ID3\x04".to_vec(), MediaKind::Audio, "audio/mpeg"),
            (vec![0xff, 0xfb, 0x90, 0x64], MediaKind::Audio, "audio/mpeg"),
            (
                b"RIFF\0\0\0\0WAVEfmt ".to_vec(),
                MediaKind::Audio,
                "audio/wav",
            ),
        ] {
            let told = sniff(&bytes).expect(mime_type);
            assert_eq!((told.kind, told.mime_type), (kind, mime_type));
        }
    }

    #[test]
    fn what_is_not_media_or_cannot_be_decoded_is_not_told() {
        let mut huge = picture(ImageFormat::Png);
        huge[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        for bytes in [
            b"".as_slice(),
            b"<html>",
            b"{\"error\":1}",
            b"GIF89a\x10\0\x10\0",
            b"\0\0\0\x18ftypheic",
            b"\x89PNG\r\n\x1a\n",
            b"\0\0\0\x18ftyp",
            &huge,
        ] {
            assert_eq!(sniff(bytes), None, "{:?}", bytes.get(..8));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_upset_it(format in 0..3usize, cut in 0usize..200, changes in prop::collection::vec((0usize..120, any::<u8>()), 0..6)) {
            let mut bytes = picture([ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][format]);
            for (place, byte) in changes {
                if let Some(there) = bytes.get_mut(place) {
                    *there = byte;
                }
            }
            bytes.truncate(cut);
            let _ = sniff(&bytes);
        }
    }
}

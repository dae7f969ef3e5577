//! A small JPEG of a video's first frame.

use bytes::Bytes;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

pub const MIME_TYPE: &str = "image/jpeg";

const LONGEST_SIDE: u32 = 640;
const QUALITY: u8 = 82;

/// `None` only where the picture has no pixels.
pub fn thumbnail(frame: &RgbImage) -> Option<Bytes> {
    let (width, height) = frame.dimensions();
    let longest = width.max(height);
    let side = |side: u32| (u64::from(side) * u64::from(LONGEST_SIDE) / u64::from(longest)).max(1);
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    let encoded = if longest > LONGEST_SIDE {
        let (width, height) = (side(width) as u32, side(height) as u32);
        imageops::resize(frame, width, height, FilterType::Triangle).write_with_encoder(encoder)
    } else {
        frame.write_with_encoder(encoder)
    };
    encoded.ok().map(|()| Bytes::from(jpeg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_side_is_at_most_640() {
        for (size, expected) in [
            ((1280, 720), (640, 360)),
            ((720, 1280), (360, 640)),
            ((320, 180), (320, 180)),
            ((4096, 2), (640, 1)),
        ] {
            let jpeg = thumbnail(&RgbImage::new(size.0, size.1)).unwrap();
            let picture = image::load_from_memory(&jpeg).unwrap();
            assert_eq!((picture.width(), picture.height()), expected);
        }
    }

    #[test]
    fn nothing_has_no_thumbnail() {
        assert!(thumbnail(&RgbImage::new(0, 0)).is_none());
    }
}

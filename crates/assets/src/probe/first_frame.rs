//! Decoding the first key frame of H.264, as far as openh264 knows its profile.

use image::RgbImage;
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

use super::NotPlayable;

/// The picture of the first of `samples`, each a run of units led by their length in `length_bytes` bytes.
///
/// `None` where the decoder does not know the stream's profile (ten bits, 4:4:4, interlaced): it says so by refusing the
/// parameter sets. A frame that it refuses after taking those is damaged.
pub(super) fn decode(
    parameter_sets: &[&[u8]],
    samples: &[Vec<u8>],
    length_bytes: usize,
) -> Result<Option<RgbImage>, NotPlayable> {
    let Ok(mut decoder) = Decoder::new() else {
        return Ok(None);
    };
    let mut stream = Vec::new();
    for set in parameter_sets {
        push_unit(&mut stream, set);
    }
    if !stream.is_empty() && decoder.decode(&stream).is_err() {
        return Ok(None);
    }
    for sample in samples {
        let stream = with_start_codes(sample, length_bytes).ok_or(NotPlayable::FirstFrame)?;
        match decoder.decode(&stream) {
            Ok(Some(picture)) => return Ok(rgb(&picture)),
            Ok(None) => {}
            Err(_) => return Err(NotPlayable::FirstFrame),
        }
    }
    let held_back = decoder.flush_remaining();
    let held_back = held_back.map_err(|_| NotPlayable::FirstFrame)?;
    let picture = held_back.first().ok_or(NotPlayable::FirstFrame)?;
    Ok(rgb(picture))
}

fn rgb(picture: &DecodedYUV<'_>) -> Option<RgbImage> {
    let (width, height) = picture.dimensions();
    let mut image = RgbImage::new(width.try_into().ok()?, height.try_into().ok()?);
    picture.write_rgb8(&mut image);
    Some(image)
}

/// A sample as the decoder reads it: a start code in place of each length. `None` where the lengths do not add up.
fn with_start_codes(mut sample: &[u8], length_bytes: usize) -> Option<Vec<u8>> {
    let mut stream = Vec::with_capacity(sample.len() + 16);
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_bytes)?;
        let length = length
            .iter()
            .fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        push_unit(&mut stream, unit);
        sample = rest;
    }
    Some(stream)
}

fn push_unit(stream: &mut Vec<u8>, unit: &[u8]) {
    stream.extend([0, 0, 0, 1]);
    stream.extend(unit);
}

//! MP4 and QuickTime: sizes and samples as `re_mp4` reads them, checked against the file.

use filmgate_core::frame_size::FrameSize;
use re_mp4::{Avc1Box, Mp4, Sample, StsdBoxContent, Track, TrakBox};

use super::bounded_file::BoundedFile;
use super::mp4_outline::{self, Outline};
use super::{NotPlayable, Probe, first_frame, millis};

/// How many samples from the first key frame on are shown to the decoder, which may hold pictures back.
const SAMPLES_TO_DECODE: usize = 4;
/// Frames of 8K video are an order of magnitude smaller.
const MAX_FRAME_BYTES: u64 = 64 << 20;

pub(super) fn measure(file: &mut BoundedFile) -> Result<Probe, NotPlayable> {
    let outline = mp4_outline::read(file)?;
    let unreadable = |error: re_mp4::Error| NotPlayable::Container(error.to_string());
    file.restart();
    let mp4 = Mp4::read(&mut *file, outline.end).map_err(unreadable)?;

    for sample in mp4.tracks().values().flat_map(|track| &track.samples) {
        let end = sample.offset.checked_add(sample.size);
        if end.is_none_or(|end| end > file.length()) {
            return Err(NotPlayable::CutOff("a sample lies outside of it"));
        }
    }
    let (track, trak) = video_track(&mp4).ok_or(NotPlayable::NoVideo)?;
    let (codec, mut size) = describe(track, trak)?;
    let first_frame = match &trak.mdia.minf.stbl.stsd.contents {
        StsdBoxContent::Avc1(entry) => decode(file, entry, &track.samples)?,
        _ => None,
    };
    // The picture itself says best how large it is.
    if let Some(frame) = &first_frame {
        size = FrameSize::new(frame.width(), frame.height());
    }
    let quicktime = &mp4.ftyp.major_brand.value == b"qt  ";
    Ok(Probe {
        mime_type: if quicktime {
            "video/quicktime"
        } else {
            "video/mp4"
        },
        size,
        duration_ms: duration_ms(&mp4, track, trak)?,
        audio: has_sound(&mp4, &outline),
        codec,
        first_frame,
    })
}

fn video_track(mp4: &Mp4) -> Option<(&Track, &TrakBox)> {
    mp4.tracks()
        .values()
        .map(|track| (track, track.trak(mp4)))
        .find(|(track, trak)| {
            &trak.mdia.hdlr.handler_type.value == b"vide"
                && track.samples.iter().any(|sample| sample.size > 0)
        })
}

fn has_sound(mp4: &Mp4, outline: &Outline) -> bool {
    let declared = outline.tracks.iter();
    let mut read = mp4.tracks().values();
    declared
        .into_iter()
        .any(|track| &track.handler == b"soun" && track.samples > 0)
        || read.any(|track| {
            &track.trak(mp4).mdia.hdlr.handler_type.value == b"soun" && !track.samples.is_empty()
        })
}

fn describe(track: &Track, trak: &TrakBox) -> Result<(String, FrameSize), NotPlayable> {
    let (codec, width, height) = match &trak.mdia.minf.stbl.stsd.contents {
        StsdBoxContent::Avc1(entry) => ("h264", entry.width, entry.height),
        StsdBoxContent::Hev1(entry) | StsdBoxContent::Hvc1(entry) => {
            ("hevc", entry.width, entry.height)
        }
        StsdBoxContent::Av01(entry) => ("av1", entry.width, entry.height),
        StsdBoxContent::Vp08(entry) => ("vp8", entry.width, entry.height),
        StsdBoxContent::Vp09(entry) => ("vp9", entry.width, entry.height),
        StsdBoxContent::Unknown(name) if &name.value == b"encv" => {
            return Err(NotPlayable::Encrypted);
        }
        StsdBoxContent::Unknown(name) => {
            let name = String::from_utf8_lossy(&name.value).trim().to_lowercase();
            let size = FrameSize::new(track.width.into(), track.height.into());
            return Ok((name, size));
        }
        StsdBoxContent::Mp4a(_) | StsdBoxContent::Tx3g(_) => return Err(NotPlayable::NoVideo),
    };
    Ok((codec.into(), FrameSize::new(width.into(), height.into())))
}

/// From the samples, not from what the headers say of them; an edit list can only shorten it.
fn duration_ms(mp4: &Mp4, track: &Track, trak: &TrakBox) -> Result<u64, NotPlayable> {
    let per_second = u64::from(trak.mdia.mdhd.timescale);
    if !mp4.moofs.is_empty() {
        let ticks = track.samples.iter().map(|sample| sample.duration);
        return millis(ticks.fold(0, u64::saturating_add), per_second);
    }
    let runs = trak.mdia.minf.stbl.stts.entries.iter();
    let ticks = runs
        .map(|run| u64::from(run.sample_count) * u64::from(run.sample_delta))
        .fold(0, u64::saturating_add);
    let media = millis(ticks, per_second)?;
    let edits = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref());
    let shown = edits
        .into_iter()
        .flat_map(|list| &list.entries)
        // An edit that starts nowhere is a pause before the picture.
        .filter(|edit| edit.media_time != u64::from(u32::MAX) && edit.media_time != u64::MAX)
        .map(|edit| edit.segment_duration)
        .fold(0, u64::saturating_add);
    if shown == 0 {
        return Ok(media);
    }
    Ok(media.min(millis(shown, mp4.moov.mvhd.timescale.into())?))
}

fn decode(
    file: &mut BoundedFile,
    entry: &Avc1Box,
    samples: &[Sample],
) -> Result<Option<image::RgbImage>, NotPlayable> {
    let config = &entry.avcc.contents;
    let sets = config.sequence_parameter_sets.iter();
    let parameters: Vec<_> = sets
        .chain(&config.picture_parameter_sets)
        .map(|set| set.bytes.as_slice())
        .collect();
    let first_key = samples.iter().position(|sample| sample.is_sync);
    let from_key = samples[first_key.unwrap_or(0)..].iter();
    let mut units = Vec::new();
    for sample in from_key
        .filter(|sample| sample.size > 0)
        .take(SAMPLES_TO_DECODE)
    {
        if sample.size > MAX_FRAME_BYTES {
            return Err(NotPlayable::Oversized("a frame"));
        }
        let length = usize::try_from(sample.size).unwrap_or(0);
        let bytes = file.read_at(sample.offset, length);
        units.push(bytes.map_err(|error| NotPlayable::Container(error.to_string()))?);
    }
    first_frame::decode(
        &parameters,
        &units,
        usize::from(config.length_size_minus_one) + 1,
    )
}

//! WebM and Matroska: read from the first block to the last, as nothing in the file says how many there are.

use filmgate_core::frame_size::FrameSize;
use matroska_demuxer::{Frame, MatroskaFile, TrackType};

use super::bounded_file::BoundedFile;
use super::{NotPlayable, Probe, millis};

pub(super) fn measure(file: &mut BoundedFile) -> Result<Probe, NotPlayable> {
    if segment_end(file).is_some_and(|end| end > file.length()) {
        return Err(NotPlayable::CutOff("it ends before its segment does"));
    }
    let probe = measure_blocks(file);
    // The parser takes a refused read for the end of the file.
    if file.exhausted() {
        return Err(NotPlayable::Oversized("blocks"));
    }
    probe
}

fn measure_blocks(file: &mut BoundedFile) -> Result<Probe, NotPlayable> {
    let unreadable =
        |error: matroska_demuxer::DemuxError| NotPlayable::Container(error.to_string());
    file.restart();
    let mut matroska = MatroskaFile::open(&mut *file).map_err(unreadable)?;
    let of_kind = |kind| {
        matroska
            .tracks()
            .iter()
            .filter(move |track| track.track_type() == kind)
    };
    let track = of_kind(TrackType::Video)
        .next()
        .ok_or(NotPlayable::NoVideo)?;
    let picture = track.video().ok_or(NotPlayable::NoVideo)?;
    let side = |side: std::num::NonZeroU64| u32::try_from(side.get()).unwrap_or(0);
    let size = FrameSize::new(side(picture.pixel_width()), side(picture.pixel_height()));
    let video_number = track.track_number().get();
    let frame_nanos = track.default_duration().map(std::num::NonZeroU64::get);
    let codec = codec(track.codec_id());
    let sounds: Vec<_> = of_kind(TrackType::Audio)
        .map(|track| track.track_number().get())
        .collect();
    let tick_nanos = matroska.info().timestamp_scale().get();
    let declared_ticks = matroska.info().duration().unwrap_or(0.0);
    let mime_type = if matroska.ebml_header().doc_type().starts_with("webm") {
        "video/webm"
    } else {
        "video/x-matroska"
    };

    let mut shown = Shown::default();
    let mut audio = false;
    let mut frame = Frame::default();
    while matroska.next_frame(&mut frame).map_err(unreadable)? {
        if frame.track == video_number && !frame.data.is_empty() {
            shown.add(frame.timestamp, frame.duration);
        }
        audio |= sounds.contains(&frame.track);
    }
    if shown.frames == 0 {
        return Err(NotPlayable::NoVideo);
    }
    let last_nanos = match (shown.last_duration, frame_nanos) {
        (Some(ticks), _) => ticks.saturating_mul(tick_nanos),
        (None, Some(nanos)) => nanos,
        (None, None) => shown.mean_ticks().saturating_mul(tick_nanos),
    };
    let ticks = shown.last - shown.first;
    let mut nanos = ticks.saturating_mul(tick_nanos).saturating_add(last_nanos);
    if nanos == 0 {
        // A single picture without a length of its own is shown for as long as the file is said to last.
        nanos = (declared_ticks * tick_nanos as f64) as u64;
    }
    Ok(Probe {
        mime_type,
        size,
        duration_ms: millis(nanos, 1_000_000_000)?,
        audio,
        codec,
        first_frame: None,
    })
}

/// When the pictures are shown, in ticks; they may be stored in another order.
#[derive(Default)]
struct Shown {
    frames: u64,
    first: u64,
    last: u64,
    last_duration: Option<u64>,
}

impl Shown {
    fn add(&mut self, at: u64, duration: Option<u64>) {
        if self.frames == 0 {
            self.first = at;
        }
        if self.frames == 0 || at >= self.last {
            self.last = at;
            self.last_duration = duration;
        }
        self.first = self.first.min(at);
        self.frames += 1;
    }

    fn mean_ticks(&self) -> u64 {
        let steps = self.frames - 1;
        (self.last - self.first + steps / 2)
            .checked_div(steps)
            .unwrap_or(0)
    }
}

fn codec(id: &str) -> String {
    match id {
        "V_VP8" => "vp8".into(),
        "V_VP9" => "vp9".into(),
        "V_AV1" => "av1".into(),
        "V_MPEG4/ISO/AVC" => "h264".into(),
        "V_MPEGH/ISO/HEVC" => "hevc".into(),
        other => other.chars().take(64).collect::<String>().to_lowercase(),
    }
}

/// Where the segment, which is all of the file but its header, says to end; the parser does not tell. `None` where it
/// says nothing, as live recordings do.
fn segment_end(file: &mut BoundedFile) -> Option<u64> {
    let (_, header_end) = element_at(file, 0)?;
    let (body, end) = element_at(file, header_end?)?;
    end.filter(|end| *end >= body)
}

/// Body and end of the element at `offset`, whose name has four bytes as those of header and segment do.
fn element_at(file: &mut BoundedFile, offset: u64) -> Option<(u64, Option<u64>)> {
    let first = file.read_at(offset + 4, 1).ok()?[0];
    let more = first.leading_zeros();
    if more > 7 {
        return None;
    }
    let mut size = u64::from(first) & (0x7f >> more);
    for byte in file.read_at(offset + 5, more as usize).ok()? {
        size = size << 8 | u64::from(byte);
    }
    let body = offset + 5 + u64::from(more);
    let unknown = size == (1 << (7 * (more + 1))) - 1;
    let end = (!unknown).then(|| body.saturating_add(size));
    Some((body, end))
}

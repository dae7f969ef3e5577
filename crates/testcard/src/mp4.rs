//! The file: H.264 and, if wanted, the tone in a fast-start MP4.
//!
//! Same frames, same bytes: nothing of the clock on the wall gets into the file.
//!
//! Not here: what the frames show (`picture`), what the tone is (`sound`).

use muxide::api::{AacProfile, AudioCodec, Muxer, MuxerBuilder, MuxerError, VideoCodec};
use openh264::OpenH264API;
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;

use crate::order::FRAME_RATE;
use crate::picture::Planes;
use crate::sound;

/// A key frame at least so often, so that players can seek.
const KEY_FRAME_EVERY: u32 = 2 * FRAME_RATE;

/// A video under construction.
pub(crate) struct Film {
    encoder: Encoder,
    muxer: Muxer<Vec<u8>>,
    packet: Vec<u8>,
    frames: u32,
}

/// Encoding or muxing failed.
#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    #[error("the H.264 encoder failed")]
    Encoder(#[from] openh264::Error),
    #[error("the MP4 could not be written")]
    Container(#[from] MuxerError),
}

/// Whether a film has the tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    Silent,
    Tone,
}

impl Film {
    pub(crate) fn new(width: u32, height: u32, sound: Sound) -> Result<Self, FilmError> {
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), settings())?;
        let rate = f64::from(FRAME_RATE);
        let builder = MuxerBuilder::new(Vec::new())
            .video(VideoCodec::H264, width, height, rate)
            .with_fast_start(true);
        let builder = match sound {
            Sound::Silent => builder,
            Sound::Tone => builder.audio(AudioCodec::Aac(AacProfile::Lc), sound::SAMPLE_RATE, 1),
        };
        Ok(Self {
            encoder,
            muxer: builder.build()?,
            packet: Vec::new(),
            frames: 0,
        })
    }

    /// Adds the next frame.
    pub(crate) fn push(&mut self, picture: &Planes) -> Result<(), FilmError> {
        let (width, height) = (picture.width, picture.height);
        let source = YUVSlices::new(
            (&picture.luma, &picture.blue, &picture.red),
            (width, height),
            (width, width / 2, width / 2),
        );
        let coded = self.encoder.encode(&source)?;
        let key = matches!(coded.frame_type(), FrameType::IDR | FrameType::I);
        self.packet.clear();
        coded.write_vec(&mut self.packet);
        let at = f64::from(self.frames) / f64::from(FRAME_RATE);
        self.muxer.write_video(at, &self.packet, key)?;
        self.frames += 1;
        Ok(())
    }

    /// Adds the tone for `seconds` and closes the file.
    pub(crate) fn finish(mut self, seconds: u32, sound: Sound) -> Result<Vec<u8>, FilmError> {
        if sound == Sound::Tone {
            for index in 0..sound::frames(seconds) {
                self.muxer
                    .write_audio(sound::starts_at(index), sound::TONE)?;
            }
        }
        self.muxer.finish_in_place()?;
        Ok(self.muxer.into_writer())
    }
}

/// One thread and a fixed quality: the same frames give the same bytes, and no frame is ever skipped to
/// keep a bit rate.
fn settings() -> EncoderConfig {
    EncoderConfig::new()
        .rate_control_mode(RateControlMode::Off)
        .skip_frames(false)
        .num_threads(1)
        .max_frame_rate(FrameRate::from_hz(FRAME_RATE as f32))
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_FRAME_EVERY))
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Low)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(true)
        .qp(QpRange::new(0, 51))
        .vui(VuiConfig::bt709())
}

#[cfg(test)]
mod tests {
    use crate::order::{FRAME_RATE, JobOrder, a_fox};
    use crate::render::{Progress, RenderError, render, render_frames};
    use filmgate_core::frame_size::FrameSize;

    /// Sides of everything on offer: landscape, portrait and square.
    fn sizes() -> Vec<FrameSize> {
        let mut sizes = Vec::new();
        for (long, short) in [
            (320, 180),
            (640, 360),
            (854, 480),
            (1280, 720),
            (1920, 1080),
        ] {
            sizes.extend([(long, short), (short, long), (short, short)]);
        }
        sizes
            .into_iter()
            .map(|(width, height)| FrameSize::new(width, height))
            .collect()
    }

    fn file(order: &JobOrder) -> Vec<u8> {
        render(&order.output(0, None), &Progress::default()).unwrap()
    }

    #[test]
    fn the_same_order_gives_the_same_bytes_and_another_seed_gives_others() {
        let seeded = |seed| file(&JobOrder { seed, ..a_fox() });
        assert!(seeded(None) == seeded(None));
        assert!(seeded(None) != seeded(Some(1)));
        assert!(seeded(Some(1)) != seeded(Some(2)));
    }

    #[test]
    fn the_file_is_as_long_as_the_order_with_and_without_sound() {
        for audio in [false, true] {
            let order = JobOrder {
                seconds: 2,
                audio,
                ..a_fox()
            };
            let bytes = file(&order);
            let mp4 = re_mp4::Mp4::read_bytes(&bytes).unwrap();
            assert_eq!(
                mp4.moov.mvhd.duration,
                2 * u64::from(mp4.moov.mvhd.timescale)
            );
            let mut tracks = mp4.tracks().values();
            let video = tracks.next().unwrap();
            assert_eq!((video.width, video.height), (320, 180));
            assert_eq!(video.samples.len() as u32, 2 * FRAME_RATE);
            assert_eq!(video.duration, 2 * video.timescale);
            assert!(video.samples[0].is_sync);
            let sound = tracks.next().map(|track| track.samples.len());
            assert_eq!(sound, audio.then_some(93));
            for track in mp4.tracks().values() {
                let inside = |end: usize| end <= bytes.len();
                assert!(
                    track
                        .samples
                        .iter()
                        .all(|sample| inside(sample.byte_range().end))
                );
            }
        }
    }

    #[test]
    fn every_size_on_offer_can_be_encoded() {
        for size in sizes() {
            let order = JobOrder { size, ..a_fox() };
            let bytes = render_frames(&order.output(0, None), 2, &Progress::default()).unwrap();
            let mp4 = re_mp4::Mp4::read_bytes(&bytes).unwrap();
            let track = mp4.tracks().values().next().unwrap();
            assert_eq!(
                (u32::from(track.width), u32::from(track.height)),
                (size.width, size.height)
            );
            assert_eq!(track.samples.len(), 2);
        }
    }

    #[test]
    fn the_tables_stand_before_the_data_so_that_playing_can_begin_at_once() {
        let bytes = file(&a_fox());
        let place = |name: &[u8]| bytes.windows(4).position(|window| window == name);
        assert!(place(b"moov") < place(b"mdat"));
    }

    #[test]
    fn a_stopped_render_gives_no_file() {
        let progress = Progress::default();
        progress.stop();
        let stopped = render(&a_fox().output(0, None), &progress);
        assert!(matches!(stopped, Err(RenderError::Stopped)));
        assert_eq!(progress.frames(), 0);
    }
}

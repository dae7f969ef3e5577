//! Clips and owners for this crate's tests.

use std::path::Path;

use filmgate_core::id::{VideoId, WorkspaceId};
use uuid::Uuid;

pub(crate) fn owner() -> (WorkspaceId, VideoId) {
    (
        WorkspaceId::from_uuid(Uuid::from_u128(1)),
        VideoId::from_uuid(Uuid::from_u128(2)),
    )
}

/// One of the clips in `tests/media`.
pub(crate) fn clip(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    std::fs::read(directory.join(name)).unwrap()
}

/// A clip of `frames` frames at 10 a second, as the built-in provider makes them.
pub(crate) fn encoded(width: usize, height: usize, frames: u32) -> Vec<u8> {
    use muxide::api::{MuxerBuilder, VideoCodec};
    use openh264::encoder::Encoder;
    use openh264::formats::YUVBuffer;

    let mut encoder = Encoder::new().unwrap();
    let mut file = Vec::new();
    let mut muxer = MuxerBuilder::new(&mut file)
        .video(VideoCodec::H264, width as u32, height as u32, 10.0)
        .build()
        .unwrap();
    for frame in 0..frames {
        let shade = 16 + (frame * 40 % 220) as u8;
        let picture = YUVBuffer::from_vec(vec![shade; width * height * 3 / 2], width, height);
        let stream = encoder.encode(&picture).unwrap().to_vec();
        muxer
            .write_video(f64::from(frame) / 10.0, &stream, frame == 0)
            .unwrap();
    }
    muxer.finish().unwrap();
    file
}

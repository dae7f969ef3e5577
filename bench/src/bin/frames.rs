//! The testcard beside its codec: frames per second on one core at 720p, drawn and muxed, and encoded alone.

use std::time::Instant;

use anyhow::{Context, Result};
use filmgate_core::frame_size::FrameSize;
use filmgate_testcard::{FRAME_RATE, JobOrder, Simulation, render};
use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, RateControlMode};
use openh264::formats::YUVBuffer;

const SECONDS: u32 = 8;
const ROUNDS: usize = 3;

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures reads the clock and prints"
)]
fn main() -> Result<()> {
    let order = JobOrder {
        prompt: "a paper boat in the rain".into(),
        negative_prompt: None,
        size: FrameSize::new(1280, 720),
        seconds: SECONDS,
        audio: true,
        seed: Some(1),
        sample_count: 1,
        first_frame_sha256: None,
        simulation: Simulation::default(),
    };
    let frames = f64::from(SECONDS * FRAME_RATE);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let film = render::render(&order.output(0, None), &render::Progress::default())
            .ok()
            .context("the testcard failed")?;
        let whole = frames / begun.elapsed().as_secs_f64();
        let alone = encode_alone(SECONDS * FRAME_RATE)?;
        println!(
            "drawn and muxed {whole:.0} fps, codec alone {alone:.0} fps, ratio {:.2}, {} bytes",
            whole / alone,
            film.len()
        );
    }
    Ok(())
}

/// The codec on a picture of the same size with a moving bar, so that it has as little to do as the card.
#[expect(
    clippy::disallowed_methods,
    reason = "a program that measures reads the clock"
)]
fn encode_alone(frames: u32) -> Result<f64> {
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Off)
        .skip_frames(false);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
    let (width, height) = (1280, 720);
    let pictures: Vec<YUVBuffer> = (0..48)
        .map(|frame| {
            let mut planes = vec![128u8; width * height * 3 / 2];
            for row in 0..height {
                let from = row * width;
                for (column, luma) in planes[from..from + width].iter_mut().enumerate() {
                    *luma = if column / 8 % 160 == frame {
                        235
                    } else {
                        (column / 160 * 28) as u8
                    };
                }
            }
            YUVBuffer::from_vec(planes, width, height)
        })
        .collect();
    let begun = Instant::now();
    for frame in 0..frames as usize {
        encoder.encode(&pictures[frame % pictures.len()])?;
    }
    Ok(f64::from(frames) / begun.elapsed().as_secs_f64())
}

//! Rendering: an order in, a finished file out.
//!
//! Not here: when a render runs and how many run at once (`service`).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::mp4::{Film, FilmError, Sound};
use crate::order::{FRAME_RATE, RenderOrder};
use crate::picture::Card;

/// How far a render has come, and the way to stop it. Shared between the thread that renders and those
/// who ask; several renders in a row may add to one.
#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU32,
    stopped: AtomicBool,
}

/// A render that gave no file.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("the render was stopped")]
    Stopped,
    #[error("the first frame cannot be decoded")]
    FirstFrame(#[source] image::ImageError),
    #[error("the video could not be made")]
    Film(#[from] FilmError),
}

impl Progress {
    /// Frames drawn, encoded and muxed so far.
    pub fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// How far the way to `total` frames has been gone, in thousandths.
    pub fn permille(&self, total: u32) -> u32 {
        let done = u64::from(self.frames()) * 1000 / u64::from(total.max(1));
        done.min(1000) as u32
    }

    /// Makes the render end with [`RenderError::Stopped`] before its next frame.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Renders one output. Blocks the thread, for about a second per 300 frames of 720p.
///
/// # Errors
/// Fails when it is stopped, and when the first frame is no picture.
pub fn render(order: &RenderOrder, progress: &Progress) -> Result<Vec<u8>, RenderError> {
    render_frames(order, order.seconds * FRAME_RATE, progress)
}

/// Renders the first `count` frames of an output; the sound is always the whole length of the order.
pub(crate) fn render_frames(
    order: &RenderOrder,
    count: u32,
    progress: &Progress,
) -> Result<Vec<u8>, RenderError> {
    let sound = if order.audio {
        Sound::Tone
    } else {
        Sound::Silent
    };
    let mut card = Card::new(order).map_err(RenderError::FirstFrame)?;
    let mut film = Film::new(order.size.width, order.size.height, sound)?;
    for index in 0..count {
        if progress.stopped.load(Ordering::Relaxed) {
            return Err(RenderError::Stopped);
        }
        film.push(card.frame(index))?;
        progress.frames.fetch_add(1, Ordering::Relaxed);
    }
    Ok(film.finish(order.seconds, sound)?)
}

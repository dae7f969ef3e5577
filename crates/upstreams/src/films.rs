//! The clips that emulated vendors deliver: real MP4 files, each rendered once and kept.
//!
//! Not here: drawing (`testcard`), delivering them badly (each vendor's own business).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use filmgate_core::frame_size::FrameSize;
use filmgate_testcard::render::{Progress, render};
use filmgate_testcard::{JobOrder, Simulation};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// What a clip has to be like. The same cut is always the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    pub size: FrameSize,
    pub seconds: u32,
    pub audio: bool,
    /// Which output of a job; each looks different.
    pub output: u32,
}

/// Whether clips are as they were ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Supply {
    /// As large and as long as ordered.
    #[default]
    AsOrdered,
    /// One tiny clip for everybody: for measuring what lies between a vendor and a client.
    OneForAll,
}

/// A finished clip.
#[derive(Debug)]
pub struct Film {
    pub bytes: Bytes,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// A clip that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the clip could not be rendered: {0}")]
pub struct RenderFault(String);

/// All clips rendered so far.
#[derive(Debug, Default)]
pub struct Films {
    supply: Supply,
    rendered: Mutex<HashMap<Cut, Arc<OnceCell<Arc<Film>>>>>,
}

const TINY: Cut = Cut {
    size: FrameSize::new(320, 180),
    seconds: 1,
    audio: false,
    output: 0,
};

impl Films {
    pub fn new(supply: Supply) -> Self {
        Self {
            supply,
            rendered: Mutex::default(),
        }
    }

    /// Whether such a clip can be supplied; if not, why.
    pub fn check(&self, cut: &Cut) -> Result<(), String> {
        match self.supply {
            Supply::OneForAll => Ok(()),
            Supply::AsOrdered => order(cut).check().map_err(|fault| fault.to_string()),
        }
    }

    /// The clip, rendered by the first who asks for it while the others wait.
    ///
    /// # Errors
    /// Fails when it cannot be rendered; the next one tries again.
    pub async fn load(&self, cut: Cut) -> Result<Arc<Film>, RenderFault> {
        let cut = match self.supply {
            Supply::AsOrdered => cut,
            Supply::OneForAll => TINY,
        };
        let cell = {
            let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(rendered.entry(cut).or_default())
        };
        cell.get_or_try_init(|| film(cut)).await.cloned()
    }
}

async fn film(cut: Cut) -> Result<Arc<Film>, RenderFault> {
    let rendered = tokio::task::spawn_blocking(move || {
        render(&order(&cut).output(0, None), &Progress::default())
            .map_err(|error| RenderFault(error.to_string()))
    });
    let bytes = rendered
        .await
        .map_err(|error| RenderFault(error.to_string()))??;
    Ok(Arc::new(Film {
        sha256: hex::encode(Sha256::digest(&bytes)),
        bytes: bytes.into(),
    }))
}

fn order(cut: &Cut) -> JobOrder {
    JobOrder {
        prompt: "an emulated vendor".to_owned(),
        negative_prompt: None,
        size: cut.size,
        seconds: cut.seconds,
        audio: cut.audio,
        seed: Some(i64::from(cut.output)),
        sample_count: 1,
        first_frame_sha256: None,
        simulation: Simulation::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(seconds: u32, output: u32) -> Cut {
        Cut {
            seconds,
            output,
            ..TINY
        }
    }

    #[tokio::test]
    async fn a_clip_is_rendered_once_and_as_long_as_ordered() {
        let films = Films::new(Supply::AsOrdered);
        let (first, same) = tokio::join!(films.load(cut(2, 0)), films.load(cut(2, 0)));
        let (first, same) = (first.unwrap(), same.unwrap());
        assert!(Arc::ptr_eq(&first, &same));
        let mp4 = re_mp4::Mp4::read_bytes(&first.bytes).unwrap();
        assert_eq!(
            mp4.moov.mvhd.duration,
            2 * u64::from(mp4.moov.mvhd.timescale)
        );
        let other = films.load(cut(2, 1)).await.unwrap();
        assert_ne!(other.sha256, first.sha256);
    }

    #[tokio::test]
    async fn one_for_all_takes_orders_nobody_could_render() {
        let films = Films::new(Supply::OneForAll);
        let endless = cut(86_400, 3);
        assert_eq!(films.check(&endless), Ok(()));
        assert!(Films::default().check(&endless).is_err());
        let (one, other) = (films.load(endless).await, films.load(TINY).await);
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
    }
}

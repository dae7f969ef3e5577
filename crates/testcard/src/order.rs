//! What can be ordered: the order of a job, its limits, its digests, and the order of one output.
//!
//! Both the adapter and the service know an order by the same digests, so a job's id can be told on
//! either side without asking the other.
//!
//! Not here: how an order travels (`service`, `adapter`), how the service misbehaves (`simulate`).

use bytes::Bytes;
use filmgate_core::frame_size::FrameSize;
use sha2::{Digest, Sha256};

use crate::simulate::Simulation;

/// Frames per second of every video.
pub const FRAME_RATE: u32 = 24;

const SHORTEST_SIDE: u32 = 180;
const LONGEST_SIDE: u32 = 1920;
const LONGEST_SECONDS: u32 = 20;
const MOST_SAMPLES: u32 = 4;
const LONGEST_TEXT_BYTES: usize = 64 * 1024;

/// One job: everything that decides its outputs, and how the service is to behave meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOrder {
    pub prompt: String,
    pub negative_prompt: Option<String>,
    pub size: FrameSize,
    pub seconds: u32,
    pub audio: bool,
    pub seed: Option<i64>,
    pub sample_count: u32,
    /// Lower-case hexadecimal.
    pub first_frame_sha256: Option<String>,
    pub simulation: Simulation,
}

/// One output of a job. The same order always renders to the same bytes.
#[derive(Debug, Clone)]
pub struct RenderOrder {
    pub prompt: String,
    pub size: FrameSize,
    pub seconds: u32,
    pub audio: bool,
    pub seed: Option<i64>,
    pub sample_index: u32,
    pub sample_count: u32,
    /// A PNG, JPEG or WebP.
    pub first_frame: Option<Bytes>,
    /// Shown, and the source of the picture's colours.
    pub digest: [u8; 32],
}

/// An order that cannot be drawn: which field, what was sent, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct OrderFault {
    pub field: &'static str,
    pub message: String,
}

impl JobOrder {
    /// Whether this can be drawn at all. Which sizes and lengths are sold stands in the catalogue.
    ///
    /// # Errors
    /// Names the first field that is out of bounds.
    pub fn check(&self) -> Result<(), OrderFault> {
        let fault = |field, message| Err(OrderFault { field, message });
        let FrameSize { width, height } = self.size;
        if [width, height]
            .iter()
            .any(|side| side % 2 != 0 || !(SHORTEST_SIDE..=LONGEST_SIDE).contains(side))
        {
            return fault(
                "size",
                format!(
                    "{} was sent; both sides must be even and from {SHORTEST_SIDE} to {LONGEST_SIDE}",
                    self.size
                ),
            );
        }
        if !(1..=LONGEST_SECONDS).contains(&self.seconds) {
            return fault(
                "seconds",
                format!(
                    "{} was sent; 1 to {LONGEST_SECONDS} is allowed",
                    self.seconds
                ),
            );
        }
        if !(1..=MOST_SAMPLES).contains(&self.sample_count) {
            return fault(
                "sample_count",
                format!(
                    "{} was sent; 1 to {MOST_SAMPLES} is allowed",
                    self.sample_count
                ),
            );
        }
        for (field, text) in [
            ("prompt", Some(&self.prompt)),
            ("negative_prompt", self.negative_prompt.as_ref()),
        ] {
            let length = text.map_or(0, String::len);
            if length > LONGEST_TEXT_BYTES {
                return fault(
                    field,
                    format!("{length} bytes were sent; at most {LONGEST_TEXT_BYTES} are allowed"),
                );
            }
        }
        Ok(())
    }

    /// The order of output `sample`, counted from 0.
    pub fn output(&self, sample: u32, first_frame: Option<Bytes>) -> RenderOrder {
        RenderOrder {
            prompt: self.prompt.clone(),
            size: self.size,
            seconds: self.seconds,
            audio: self.audio,
            seed: self.seed,
            sample_index: sample,
            sample_count: self.sample_count,
            first_frame,
            digest: self
                .picture()
                .number(u64::from(sample))
                .number(u64::from(self.sample_count))
                .finish(),
        }
    }

    /// The service's id of this order under an attempt's key: the same for ever, and on every process.
    pub fn native_id(&self, attempt_key: &str) -> String {
        let simulation = serde_json::to_vec(&self.simulation).expect("a simulation is plain data");
        let digest = self
            .picture()
            .number(u64::from(self.sample_count))
            .bytes(&simulation)
            .bytes(attempt_key.as_bytes())
            .finish();
        format!("tc_{}", &hex::encode(digest)[..32])
    }

    /// All that decides how the picture looks.
    fn picture(&self) -> Fields {
        Fields(Sha256::new())
            .bytes(self.prompt.as_bytes())
            .optional(self.negative_prompt.as_ref().map(|text| text.as_bytes()))
            .number(u64::from(self.size.width))
            .number(u64::from(self.size.height))
            .number(u64::from(self.seconds))
            .number(u64::from(self.audio))
            .optional(
                self.seed
                    .map(i64::to_be_bytes)
                    .as_ref()
                    .map(|seed| &seed[..]),
            )
            .optional(self.first_frame_sha256.as_ref().map(|text| text.as_bytes()))
    }
}

/// A digest of fields, each with its length in front, so that no two lists of fields read the same.
struct Fields(Sha256);

impl Fields {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn optional(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
pub(crate) fn a_fox() -> JobOrder {
    JobOrder {
        prompt: "a fox".to_owned(),
        negative_prompt: None,
        size: FrameSize::new(320, 180),
        seconds: 1,
        audio: false,
        seed: None,
        sample_count: 1,
        first_frame_sha256: None,
        simulation: Simulation::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_field_changes_the_digest() {
        let change = |edit: fn(&mut JobOrder)| {
            let mut order = a_fox();
            edit(&mut order);
            order.output(0, None).digest
        };
        let digests = BTreeSet::from([
            change(|_| {}),
            change(|order| order.prompt.push('x')),
            change(|order| order.negative_prompt = Some(String::new())),
            change(|order| order.size = FrameSize::new(180, 320)),
            change(|order| order.seconds = 2),
            change(|order| order.audio = true),
            change(|order| order.seed = Some(0)),
            change(|order| order.sample_count = 2),
            change(|order| order.first_frame_sha256 = Some("ab".to_owned())),
            a_fox().output(1, None).digest,
        ]);
        assert_eq!(digests.len(), 10);
    }

    #[test]
    fn behaving_badly_changes_the_id_and_not_the_picture() {
        let mut bad = a_fox();
        bad.simulation.corrupt_output = true;
        assert_eq!(bad.output(0, None).digest, a_fox().output(0, None).digest);
        assert_ne!(bad.native_id("k"), a_fox().native_id("k"));
        assert_ne!(a_fox().native_id("k"), a_fox().native_id("l"));
        assert_eq!(a_fox().native_id("k").len(), 35);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_by_name() {
        let fault = |edit: fn(&mut JobOrder)| {
            let mut order = a_fox();
            edit(&mut order);
            order.check().unwrap_err().field
        };
        assert_eq!(fault(|order| order.size.width = 321), "size");
        assert_eq!(fault(|order| order.size.height = 1922), "size");
        assert_eq!(fault(|order| order.size.height = 0), "size");
        assert_eq!(fault(|order| order.seconds = 0), "seconds");
        assert_eq!(fault(|order| order.seconds = 21), "seconds");
        assert_eq!(fault(|order| order.sample_count = 5), "sample_count");
        assert_eq!(fault(|order| order.prompt = "x".repeat(65_537)), "prompt");
        assert_eq!(a_fox().check(), Ok(()));
    }
}

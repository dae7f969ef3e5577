//! Video tokens: what some makers count instead of seconds.
//!
//! A token is 1024 pixels of one frame. The formulas are those that ByteDance publishes for Seedance; the provider's own
//! count, where it tells one, is final.

use serde::{Deserialize, Serialize};

use crate::frame_size::FrameSize;

const PIXELS_A_TOKEN: u128 = 1024;
const MS: u128 = 1000;

/// Which seconds count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormula {
    /// Those of the output.
    SeedanceV1,
    /// Those of the input clips and the output; with a clip, five thirds of the output at least, in whole seconds.
    SeedanceV2,
    /// The same without that floor, as resellers count.
    SeedanceV2NoFloor,
}

/// How the tokens of one order are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    pub formula: TokenFormula,
    pub size: FrameSize,
    /// Frames a second.
    pub fps: u32,
    /// Length of all input clips in milliseconds.
    #[serde(default)]
    pub input_ms: u64,
}

impl TokenCount {
    /// The tokens of an output of so many milliseconds; half a token is one.
    pub fn of(&self, output_ms: u64) -> Option<u64> {
        self.tokens(self.counted_ms(output_ms), 0)
    }

    /// As bills were seen to have it: one frame more than the formula.
    pub fn at_most(&self, output_ms: u64) -> Option<u64> {
        self.tokens(self.counted_ms(output_ms), 1)
    }

    fn counted_ms(&self, output_ms: u64) -> u128 {
        let (output, input) = (u128::from(output_ms), u128::from(self.input_ms));
        match self.formula {
            TokenFormula::SeedanceV1 => output,
            TokenFormula::SeedanceV2 if input > 0 => {
                let floor = (5 * output).div_ceil(3 * MS) * MS;
                (input + output).max(floor)
            }
            TokenFormula::SeedanceV2 | TokenFormula::SeedanceV2NoFloor => input + output,
        }
    }

    fn tokens(&self, counted_ms: u128, further_frames: u128) -> Option<u64> {
        let pixels = u128::from(self.size.width) * u128::from(self.size.height);
        let frames_ms = u128::from(self.fps) * counted_ms + further_frames * MS;
        let (dividend, divisor) = (pixels.checked_mul(frames_ms)?, PIXELS_A_TOKEN * MS);
        u64::try_from((2 * dividend + divisor) / (2 * divisor)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(formula: TokenFormula, width: u32, height: u32, input: u64) -> TokenCount {
        TokenCount {
            formula,
            size: FrameSize::new(width, height),
            fps: 24,
            input_ms: input * 1000,
        }
    }

    #[test]
    fn tokens_are_counted_as_the_maker_publishes() {
        use TokenFormula::{SeedanceV1, SeedanceV2, SeedanceV2NoFloor};
        for (count, output, tokens) in [
            (count(SeedanceV2, 1280, 720, 0), 5, 108_000),
            // 108 680.625, and half a token is one.
            (count(SeedanceV1, 1112, 834, 0), 5, 108_681),
            (count(SeedanceV2, 1920, 1080, 0), 10, 486_000),
            // Seven seconds in all, and nine at least.
            (count(SeedanceV2, 1280, 720, 2), 5, 194_400),
            (count(SeedanceV2, 1280, 720, 15), 30, 1_080_000),
            (count(SeedanceV2NoFloor, 1280, 720, 4), 5, 194_400),
            (count(SeedanceV2NoFloor, 1280, 720, 2), 5, 151_200),
            (count(SeedanceV1, 1280, 720, 9), 5, 108_000),
        ] {
            assert_eq!(count.of(output * 1000), Some(tokens), "{count:?}");
        }
    }

    #[test]
    fn a_bill_has_one_frame_more() {
        assert_eq!(
            count(TokenFormula::SeedanceV2, 1280, 720, 0).at_most(5000),
            Some(108_900)
        );
    }

    #[test]
    fn a_count_beyond_any_is_none() {
        let huge = count(TokenFormula::SeedanceV1, u32::MAX, u32::MAX, 0);
        assert_eq!(huge.of(u64::MAX), None);
    }
}

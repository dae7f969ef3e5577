//! Width and height of a picture in pixels, written `WxH`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameSize {
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a frame size: write width, x and height in pixels, such as 1280x720")]
pub struct InvalidFrameSize(pub String);

impl FrameSize {
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The ratio in lowest terms, such as `16:9`.
    pub fn aspect_ratio(self) -> String {
        let divisor = greatest_common_divisor(self.width, self.height).max(1);
        format!("{}:{}", self.width / divisor, self.height / divisor)
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for FrameSize {
    type Err = InvalidFrameSize;

    fn from_str(text: &str) -> Result<Self, InvalidFrameSize> {
        let side = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_digit())
                && !part.starts_with('0')
                && part.len() <= 5;
            if plain { part.parse().ok() } else { None }
        };
        text.split_once(['x', 'X'])
            .and_then(|(width, height)| Some(Self::new(side(width)?, side(height)?)))
            .ok_or_else(|| InvalidFrameSize(text.chars().take(64).collect()))
    }
}

impl Serialize for FrameSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_back_as_it_was_written() {
        assert_eq!("1280x720".parse(), Ok(FrameSize::new(1280, 720)));
        assert_eq!(FrameSize::new(720, 1280).to_string(), "720x1280");
        assert_eq!(FrameSize::new(1280, 720).aspect_ratio(), "16:9");
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "x",
            "1280",
            "1280x",
            "0x720",
            "1280 x 720",
            "-1x5",
            "1280x720x2",
            "999999x1",
        ] {
            assert!(
                text.parse::<FrameSize>().is_err(),
                "{text:?} was taken for a size"
            );
        }
    }
}

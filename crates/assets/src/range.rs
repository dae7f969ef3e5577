//! The `Range` header of one request against an object of known length (RFC 9110, section 14).

use std::ops::Range;

use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};

/// What of an object a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, several, another unit, or a header that is not understood, which has to be ignored.
    Whole,
    /// These bytes; never empty, always inside the object.
    Part(Range<u64>),
    /// A well-formed range that has nothing of this object in it.
    Unsatisfiable,
}

impl Wanted {
    /// Reads the value of a `Range` header for an object of `bytes` bytes.
    pub fn parse(header: &str, bytes: u64) -> Self {
        let ranges = match parse_range_header(header) {
            Ok(parsed) => parsed.ranges,
            // `bytes=-0` is well-formed, and asks for nothing.
            Err(RangeUnsatisfiableError::ZeroSuffix) if !header.contains(',') => {
                return Self::Unsatisfiable;
            }
            Err(_) => return Self::Whole,
        };
        let [range] = ranges.as_slice() else {
            return Self::Whole;
        };
        let start = match range.start {
            StartPosition::Index(first) => first,
            StartPosition::FromLast(count) => bytes.saturating_sub(count),
        };
        let end = match range.end {
            // A range whose end lies before its start is malformed whatever the object's length.
            EndPosition::Index(last) if last < start => return Self::Whole,
            EndPosition::Index(last) => last.saturating_add(1).min(bytes),
            EndPosition::LastByte => bytes,
        };
        if start < end {
            Self::Part(start..end)
        } else {
            Self::Unsatisfiable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_a_part() {
        assert_eq!(Wanted::parse("bytes=0-0", 10), Wanted::Part(0..1));
        assert_eq!(Wanted::parse("bytes=2-5", 10), Wanted::Part(2..6));
        assert_eq!(Wanted::parse("bytes=2-500", 10), Wanted::Part(2..10));
        assert_eq!(Wanted::parse("bytes=9-", 10), Wanted::Part(9..10));
        assert_eq!(Wanted::parse("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(Wanted::parse("bytes=-30", 10), Wanted::Part(0..10));
    }

    #[test]
    fn a_range_past_the_end_cannot_be_served() {
        for header in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(Wanted::parse(header, 10), Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(Wanted::parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(Wanted::parse("bytes=-5", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_asks_for_the_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "bytes=-0,1-2",
            "items=0-1",
            "bytes=0-99999999999999999999999",
            "0-1",
            "bytes=--1",
        ] {
            assert_eq!(Wanted::parse(header, 10), Wanted::Whole, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_yields_bytes_outside_the_object(header in "(bytes=)?[-0-9, a]{0,12}", bytes in 0u64..200) {
            if let Wanted::Part(part) = Wanted::parse(&header, bytes) {
                prop_assert!(part.start < part.end && part.end <= bytes);
            }
        }

        #[test]
        fn a_well_formed_range_is_cut_to_the_object(first in 0u64..300, count in 1u64..300, bytes in 1u64..300) {
            let expected = if first < bytes { Wanted::Part(first..(first + count).min(bytes)) } else { Wanted::Unsatisfiable };
            prop_assert_eq!(Wanted::parse(&format!("bytes={first}-{}", first + count - 1), bytes), expected);
            let last = Wanted::Part(bytes.saturating_sub(count)..bytes);
            prop_assert_eq!(Wanted::parse(&format!("bytes=-{count}"), bytes), last);
        }
    }
}

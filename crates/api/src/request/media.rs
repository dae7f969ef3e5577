//! Media inside a request: `data:` URLs and base64, decoded and told by their bytes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use filmgate_assets::sniff::{Sniffed, sniff};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes of a `data:` URL, base64 or percent-encoded. What it says of its type is not believed.
pub(crate) fn data_url(text: &str) -> Result<Bytes, &'static str> {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .map(|_| &text[5..])
        .ok_or("it is not a data: URL")?;
    let (kind, data) = rest
        .split_once(',')
        .ok_or("a data: URL has a comma before its data")?;
    if kind
        .rsplit(';')
        .next()
        .is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"))
    {
        return base64(data);
    }
    Ok(percent_encoding::percent_decode_str(data)
        .collect::<Vec<u8>>()
        .into())
}

/// Either alphabet, padded or not, line breaks and percent signs allowed.
pub(crate) fn base64(text: &str) -> Result<Bytes, &'static str> {
    let plain = text
        .bytes()
        .all(|byte| !byte.is_ascii_whitespace() && byte != b'%');
    let decode = |bytes: &[u8]| {
        let engine = if bytes.iter().any(|byte| matches!(byte, b'-' | b'_')) {
            URL_SAFE
        } else {
            STANDARD
        };
        engine
            .decode(bytes)
            .map(Bytes::from)
            .map_err(|_| "its base64 cannot be decoded")
    };
    if plain {
        return decode(text.as_bytes());
    }
    let cleaned: Vec<u8> = percent_encoding::percent_decode_str(text)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    decode(&cleaned)
}

/// What the bytes are, or what they should have been.
pub(crate) fn told(bytes: &[u8]) -> Result<Sniffed, &'static str> {
    if bytes.is_empty() {
        return Err("it is empty");
    }
    sniff(bytes).ok_or(
        "its bytes are not media taken here; allowed are PNG, JPEG and WebP up to 8192 pixels a side, MP4, QuickTime, WebM and Matroska, MP3, WAV and M4A",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_and_percent_encoding_are_decoded() {
        for url in [
            "data:image/png;base64,aGk=",
            "data:;base64,aGk",
            "DATA:text/plain;charset=utf-8;BASE64,aGk%3D",
            "data:,hi",
            "data:text/plain,%68i",
        ] {
            assert_eq!(data_url(url).unwrap(), "hi".as_bytes(), "{url}");
        }
        for url in [
            "data:image/png;base64",
            "data:;base64,a*",
            "http://x",
            "dat",
        ] {
            assert!(data_url(url).is_err(), "{url}");
        }
        assert_eq!(base64("_-8").unwrap(), &[0xff, 0xef][..]);
    }

    proptest! {
        #[test]
        fn no_text_upsets_it(text in "(data:)?\\PC{0,60}") {
            let _ = data_url(&text);
            let _ = base64(&text);
        }
    }
}

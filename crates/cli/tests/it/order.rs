//! What is asked for in the tests: short and small, and bad days on demand.

use serde_json::{Value, json};

/// The body of a create. By default a second of the smallest picture, without sound.
#[derive(Debug, Clone)]
pub(crate) struct Order(Value);

impl Order {
    pub(crate) fn of(prompt: &str) -> Self {
        Self(json!({
            "model": "filmgate/testcard",
            "prompt": prompt,
            "duration": 1,
            "size": "320x180",
        }))
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    pub(crate) fn without(mut self, field: &str) -> Self {
        self.0.as_object_mut().unwrap().remove(field);
        self
    }

    /// The testcard's bad day.
    pub(crate) fn simulate(self, how: Value) -> Self {
        self.with("provider_params", json!({"simulate": how}))
    }

    /// Rendering that goes on until it is cancelled, as far as any test lives.
    pub(crate) fn endless(self) -> Self {
        self.simulate(json!({"render_seconds": 3600}))
    }

    pub(crate) fn body(&self) -> &Value {
        &self.0
    }
}

/// A picture of 64x64 in one colour, as a PNG: its bytes differ with the colour.
pub(crate) fn picture(grey: u8) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let side: u32 = 64;
    let mut head = Vec::new();
    head.extend(side.to_be_bytes());
    head.extend(side.to_be_bytes());
    head.extend([8, 0, 0, 0, 0]);
    chunk(&mut png, b"IHDR", &head);
    let rows: Vec<u8> = (0..side)
        .flat_map(|_| std::iter::once(0).chain((0..side).map(|_| grey)))
        .collect();
    chunk(&mut png, b"IDAT", &stored(&rows));
    chunk(&mut png, b"IEND", &[]);
    png
}

/// The picture as a `data:` URL.
pub(crate) fn data_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    format!(
        "data:image/png;base64,{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    )
}

/// A zlib stream of one block that is not compressed.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(bytes);
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    stream.extend(((high << 16) | low).to_be_bytes());
    stream
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    png.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    let body = [kind.as_slice(), content].concat();
    let crc = body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    png.extend(body);
    png.extend((!crc).to_be_bytes());
}

/// A `multipart/form-data` body, written by hand so that nothing of it is left to a library.
pub(crate) struct Form(Vec<u8>);

const BOUNDARY: &str = "a-boundary-between-the-parts";

impl Form {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), None, value.as_bytes())
    }

    pub(crate) fn file(self, name: &str, file: &str, kind: &str, bytes: &[u8]) -> Self {
        self.part(
            &format!("name=\"{name}\"; filename=\"{file}\""),
            Some(kind),
            bytes,
        )
    }

    pub(crate) fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend(format!("--{BOUNDARY}--\r\n").bytes());
        self.0
    }

    fn part(mut self, disposition: &str, kind: Option<&str>, bytes: &[u8]) -> Self {
        self.0.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n").bytes(),
        );
        if let Some(kind) = kind {
            self.0.extend(format!("Content-Type: {kind}\r\n").bytes());
        }
        self.0.extend(b"\r\n");
        self.0.extend(bytes);
        self.0.extend(b"\r\n");
        self
    }
}

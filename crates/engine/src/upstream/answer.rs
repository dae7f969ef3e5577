//! A provider's answer, its long texts on disk.
//!
//! Some providers put a whole video into their JSON as base64. No adapter is to hold that, so every text of an answer that
//! is longer than [`LONGEST_TEXT`] is cut out while it arrives: it goes to a file, and a mark takes its place. Whoever knows
//! where it stood ([`Source::Body`](filmgate_core::provider::Source::Body)) reads it from there.
//!
//! Such files take no room of the spool. They are few at a time, and whoever has one may wait for the spool's room while
//! nobody who has that waits for a file.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use bytes::Bytes;
use filmgate_assets::spool::Spool;
use futures::{Stream, StreamExt};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{AnswerBody, LineError, MOST_ANSWER_BYTES};
use crate::entropy;

/// Longer than any text that is not a file.
const LONGEST_TEXT: usize = 64 << 10;
/// All long texts of one answer may have this many bytes.
const MOST_LONG_BYTES: u64 = 64 << 20;
/// Answers with long texts that are kept at once.
const AT_ONCE: usize = 4;
/// Bytes that are written to disk, or read from there, at once.
const PIECE_BYTES: usize = 256 << 10;

/// Where answers' long texts go.
pub(crate) struct LongTexts {
    places: Arc<Semaphore>,
    most_bytes: u64,
}

/// An answer as it came, but for its long texts.
pub(crate) struct Answer {
    pub(crate) head: http::Response<()>,
    /// With marks where long texts stood.
    pub(crate) body: Bytes,
    /// `None` where there were none.
    cut: Option<Cut>,
}

/// The long texts of one answer.
struct Cut {
    file: NamedTempFile,
    /// Where each stands in the file.
    places: Vec<Range<u64>>,
    marks: Marks,
    _one_of_few: OwnedSemaphorePermit,
}

/// Why what stands in an answer is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFile {
    #[error("the provider's answer has no text at {0}")]
    Absent(String),
    #[error("a provider's answer cannot be read back")]
    Disk(#[source] io::Error),
}

impl LongTexts {
    pub(crate) fn new() -> Self {
        Self::of_most(MOST_LONG_BYTES)
    }

    fn of_most(most_bytes: u64) -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            most_bytes,
        }
    }

    /// Takes in the whole of an answer.
    pub(super) async fn collect(
        &self,
        answer: http::Response<AnswerBody>,
        spool: &Spool,
    ) -> Result<Answer, LineError> {
        let (head, body) = answer.into_parts();
        let mut frames = http_body_util::BodyExt::into_data_stream(body);
        let mut cutter = Cutter::new(Marks::new());
        let mut cut = None;
        let mut long = Vec::new();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| LineError::Broken(error.to_string()))?;
            long.extend(cutter.push(&frame));
            if cutter.body.len() > MOST_ANSWER_BYTES || cutter.long_bytes > self.most_bytes {
                return Err(LineError::TooLarge);
            }
            if long.len() >= PIECE_BYTES {
                let piece = std::mem::take(&mut long);
                cut = Some(self.append(cut.take(), piece, spool).await?);
            }
        }
        if !long.is_empty() {
            cut = Some(self.append(cut.take(), long, spool).await?);
        }
        let Cutter {
            body,
            places,
            marks,
            ..
        } = cutter;
        Ok(Answer {
            head: http::Response::from_parts(head, ()),
            body: body.into(),
            cut: cut.map(|(file, _one_of_few)| Cut {
                file,
                places,
                marks,
                _one_of_few,
            }),
        })
    }

    async fn append(
        &self,
        before: Option<(NamedTempFile, OwnedSemaphorePermit)>,
        long: Vec<u8>,
        spool: &Spool,
    ) -> Result<(NamedTempFile, OwnedSemaphorePermit), LineError> {
        let (file, permit) = match before {
            Some(begun) => begun,
            None => {
                let permit = Arc::clone(&self.places).acquire_owned().await;
                let permit = permit.expect("the places of long answers are never closed");
                (spool.scratch_file().map_err(LineError::Disk)?, permit)
            }
        };
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file;
            file.write_all(&long).map(|()| file)
        });
        let file = written
            .await
            .unwrap_or_else(|failed| Err(io::Error::other(failed)))
            .map_err(LineError::Disk)?;
        Ok((file, permit))
    }
}

impl Answer {
    /// What an adapter is handed.
    pub(crate) fn short(&self) -> http::Response<Bytes> {
        self.head.clone().map(|()| self.body.clone())
    }

    /// The bytes that stand as base64 at `pointer`.
    pub(crate) fn file_at(
        &self,
        pointer: &str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, NoFile> {
        let absent = || NoFile::Absent(pointer.to_owned());
        let body: Value = serde_json::from_slice(&self.body).map_err(|_| absent())?;
        let text = body
            .pointer(pointer)
            .and_then(Value::as_str)
            .ok_or_else(absent)?;
        let place = self.cut.as_ref().and_then(|cut| cut.place_of(text));
        let reader: Box<dyn Read + Send> = match (place, &self.cut) {
            (Some(place), Some(cut)) => {
                let mut file = cut.file.reopen().map_err(NoFile::Disk)?;
                file.seek(SeekFrom::Start(place.start))
                    .map_err(NoFile::Disk)?;
                let long = io::BufReader::new(file.take(place.end - place.start));
                Box::new(Unescaped(long))
            }
            _ => Box::new(io::Cursor::new(text.to_owned().into_bytes())),
        };
        Ok(decoded(reader))
    }
}

impl Cut {
    fn place_of(&self, text: &str) -> Option<Range<u64>> {
        self.places.get(self.marks.number(text)?).cloned()
    }
}

/// Reads and decodes off the runtime's threads, as fast as somebody takes it.
fn decoded(reader: Box<dyn Read + Send>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (pieces, received) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut decoder = DecoderReader::new(reader, &STANDARD);
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = decoder.read(&mut piece);
            let ended = !matches!(read, Ok(1..));
            let item = match read {
                Ok(0) => return,
                Ok(length) => {
                    piece.truncate(length);
                    Ok(piece.into())
                }
                Err(error) => Err(error),
            };
            if pieces.blocking_send(item).is_err() || ended {
                return;
            }
        }
    });
    futures::stream::unfold(received, |mut received| async move {
        Some((received.recv().await?, received))
    })
}

/// JSON's `\/` as `/`: the one escape that base64 may have.
struct Unescaped<R>(R);

impl<R: Read> Read for Unescaped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(into)?;
            let mut kept = 0;
            for at in 0..read {
                if into[at] != b'\\' {
                    into[kept] = into[at];
                    kept += 1;
                }
            }
            if kept > 0 || read == 0 {
                return Ok(kept);
            }
        }
    }
}

/// What stands for a long text. Nobody outside can have written one.
#[derive(Debug, Clone)]
struct Marks(String);

impl Marks {
    fn new() -> Self {
        Self(crate::hex_of(&entropy::draw()))
    }

    fn of(&self, number: usize) -> String {
        format!("<text {} {number}>", self.0)
    }

    fn number(&self, mark: &str) -> Option<usize> {
        let number = mark.strip_prefix("<text ")?.strip_suffix('>')?;
        number.strip_prefix(&self.0)?.trim_start().parse().ok()
    }
}

/// Cuts long texts out of JSON as it arrives, in whatever pieces.
struct Cutter {
    body: Vec<u8>,
    /// Where each long text stands among all of them.
    places: Vec<Range<u64>>,
    marks: Marks,
    state: Reading,
    /// Bytes of long texts so far.
    long_bytes: u64,
}

enum Reading {
    Outside,
    /// A text that may still turn out short: it has begun at this place of the body.
    Text {
        from: usize,
        escaped: bool,
    },
    Long {
        from: u64,
        escaped: bool,
    },
}

impl Cutter {
    fn new(marks: Marks) -> Self {
        Self {
            body: Vec::new(),
            places: Vec::new(),
            marks,
            state: Reading::Outside,
            long_bytes: 0,
        }
    }

    /// Takes in the next bytes. Gives back what of them, and of those before, belongs to long texts.
    fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut long = Vec::new();
        while !bytes.is_empty() {
            bytes = match self.state {
                Reading::Outside => self.outside(bytes),
                Reading::Text { from, escaped } => self.in_text(bytes, from, escaped, &mut long),
                Reading::Long { from, escaped } => self.in_long(bytes, from, escaped, &mut long),
            };
        }
        long
    }

    fn outside<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = memchr::memchr(b'"', bytes) else {
            self.body.extend_from_slice(bytes);
            return &[];
        };
        self.body.extend_from_slice(&bytes[..=at]);
        self.state = Reading::Text {
            from: self.body.len(),
            escaped: false,
        };
        &bytes[at + 1..]
    }

    fn in_text<'a>(
        &mut self,
        bytes: &'a [u8],
        from: usize,
        escaped: bool,
        long: &mut Vec<u8>,
    ) -> &'a [u8] {
        let room = from + LONGEST_TEXT + 1 - self.body.len();
        let (near, _) = bytes.split_at(room.min(bytes.len()));
        let run = Run::of(near, escaped);
        self.body.extend_from_slice(&near[..run.length]);
        if run.ended {
            self.body.push(b'"');
            self.state = Reading::Outside;
            return &bytes[run.length + 1..];
        }
        let escaped = run.escaped;
        self.state = if self.body.len() - from > LONGEST_TEXT {
            let begun = self.body.split_off(from);
            let from = self.long_bytes;
            self.long_bytes += begun.len() as u64;
            long.extend_from_slice(&begun);
            Reading::Long { from, escaped }
        } else {
            Reading::Text { from, escaped }
        };
        &bytes[run.length..]
    }

    fn in_long<'a>(
        &mut self,
        bytes: &'a [u8],
        from: u64,
        escaped: bool,
        long: &mut Vec<u8>,
    ) -> &'a [u8] {
        let run = Run::of(bytes, escaped);
        long.extend_from_slice(&bytes[..run.length]);
        self.long_bytes += run.length as u64;
        if !run.ended {
            self.state = Reading::Long {
                from,
                escaped: run.escaped,
            };
            return &[];
        }
        let mark = self.marks.of(self.places.len());
        self.places.push(from..self.long_bytes);
        self.body.extend_from_slice(mark.as_bytes());
        self.body.push(b'"');
        self.state = Reading::Outside;
        &bytes[run.length + 1..]
    }
}

/// How far a text goes in some bytes.
struct Run {
    /// Bytes of the text.
    length: usize,
    /// It ends there, with a quote.
    ended: bool,
    /// It goes on, and its next byte is escaped.
    escaped: bool,
}

impl Run {
    fn of(bytes: &[u8], escaped: bool) -> Self {
        let mut at = usize::from(escaped && !bytes.is_empty());
        let mut dangling = escaped && bytes.is_empty();
        while let Some(next) = bytes
            .get(at..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            at += next;
            if bytes[at] == b'"' {
                return Self {
                    length: at,
                    ended: true,
                    escaped: false,
                };
            }
            dangling = at + 1 == bytes.len();
            at += 2;
        }
        Self {
            length: bytes.len(),
            ended: false,
            escaped: dangling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use futures::TryStreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;
    use serde_json::json;

    fn spool(directory: &std::path::Path) -> filmgate_assets::Assets {
        let config = filmgate_assets::Config {
            spool_dir: directory.join("spool"),
            ..filmgate_assets::Config::default()
        };
        filmgate_assets::Assets::open(filmgate_assets::Config {
            url: format!("file:{}", directory.join("assets").display())
                .parse()
                .unwrap(),
            ..config
        })
        .unwrap()
    }

    type Home = (tempfile::TempDir, filmgate_assets::Assets);

    /// With what its long texts are in.
    async fn collected(text: &str, pieces: usize) -> (Home, Result<Answer, LineError>) {
        let home = tempfile::tempdir().unwrap();
        let assets = spool(home.path());
        let frames: Vec<_> = text
            .as_bytes()
            .chunks(pieces)
            .map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)));
        let answer = LongTexts::of_most(1 << 20)
            .collect(http::Response::new(body), assets.spool())
            .await;
        ((home, assets), answer)
    }

    async fn file(answer: &Answer, pointer: &str) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = answer
            .file_at(pointer)
            .map_err(io::Error::other)?
            .try_collect()
            .await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn long_texts_are_cut_out_and_read_back_from_where_they_stood() {
        let films = [vec![7u8; 300_000], vec![0xff; 200_001]];
        let text = json!({
            "name": "op-1",
            "videos": films.clone().map(|film| json!({"bytes": STANDARD.encode(film), "mimeType": "video/mp4"})),
            "short": STANDARD.encode(b"small"),
            "prompt": "quoted \"words\" and a \\",
        })
        .to_string()
        // Some servers escape every slash.
        .replace('/', "\\/");
        for pieces in [1, 7, 1 << 20] {
            let (_home, answer) = collected(&text, pieces).await;
            let answer = answer.unwrap();
            assert!(answer.body.len() < 1000, "{}", answer.body.len());
            let short: Value = serde_json::from_slice(answer.short().body()).unwrap();
            assert_eq!(short["prompt"], "quoted \"words\" and a \\");
            assert_eq!(short["videos"][1]["mimeType"], "video/mp4");
            for (index, film) in films.iter().enumerate() {
                let pointer = format!("/videos/{index}/bytes");
                assert_eq!(&file(&answer, &pointer).await.unwrap(), film);
            }
            assert_eq!(file(&answer, "/short").await.unwrap(), b"small");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_told() {
        let junk = "not base64 ".repeat(10_000);
        let (_home, answer) =
            collected(&json!({"long": junk, "number": 1}).to_string(), 4096).await;
        let answer = answer.unwrap();
        assert!(file(&answer, "/long").await.is_err());
        assert!(file(&answer, "/number").await.is_err());
        assert!(file(&answer, "/nothing").await.is_err());
        // Another answer's mark is a text like any other.
        let forged = json!({"mark": Marks::new().of(0)}).to_string();
        let (_home, answer) = collected(&forged, 4096).await;
        let answer = answer.unwrap();
        assert!(file(&answer, "/mark").await.is_err());
    }

    #[tokio::test]
    async fn an_answer_has_its_limits_long_texts_or_not() {
        let many = json!(vec!["x".repeat(1000); 9000]).to_string();
        let huge = format!("\"{}\"", "A".repeat((1 << 20) + 1));
        for text in [many, huge] {
            let (_home, answer) = collected(&text, 1 << 16).await;
            assert!(matches!(answer, Err(LineError::TooLarge)));
        }
    }

    proptest! {
        /// Nothing is lost: with every mark replaced by its text, the answer is what came.
        #[test]
        fn cutting_loses_nothing(
            texts in proptest::collection::vec((".{0,20}", 0usize..3), 1..5),
            tail in "[\"\\\\a]{0,6}",
            pieces in 1usize..5000,
        ) {
            let texts: Vec<String> = texts
                .iter()
                .map(|(text, times)| text.repeat(1 + times * LONGEST_TEXT / 10))
                .collect();
            let came = format!("{}{tail}", json!(texts));
            let mut cutter = Cutter::new(Marks::new());
            let mut long = Vec::new();
            for piece in came.as_bytes().chunks(pieces) {
                long.extend(cutter.push(piece));
            }
            let mut whole = cutter.body.clone();
            for (number, place) in cutter.places.iter().enumerate() {
                let mark = cutter.marks.of(number);
                let at = whole
                    .windows(mark.len())
                    .position(|window| window == mark.as_bytes())
                    .expect("each long text has its mark");
                let text = &long[usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap()];
                prop_assert!(text.len() > LONGEST_TEXT);
                whole.splice(at..at + mark.len(), text.iter().copied());
            }
            // A text that never ends is cut at its begin, and has no mark.
            if let Reading::Long { from, .. } = cutter.state {
                whole.extend_from_slice(&long[usize::try_from(from).unwrap()..]);
            }
            prop_assert_eq!(whole, came.as_bytes());
        }
    }
}

//! The boxes of an MP4, looked at before the parser is let near them.
//!
//! The parser makes a record for each sample a file declares, and a box of a hundred bytes can declare four thousand
//! million; it makes buffers of whatever size a box says to have, and follows boxes out of the box around them. This pass
//! reads sizes and counts, refuses what the parser could not bear, and hides from it what the probe does not need. It
//! judges structure only; what the boxes mean is the parser's.

use std::io;

use super::NotPlayable;
use super::bounded_file::BoundedFile;

/// All tables of the file together: hours of video have a few megabytes.
const MAX_TABLE_BYTES: u64 = 64 << 20;
/// Of all tracks together: some hours of picture and sound.
const MAX_SAMPLES: u64 = 1_000_000;
const MAX_TRACKS: usize = 64;
/// A fragment has about eight.
const MAX_BOXES: u64 = 200_000;

/// What the parser may be shown.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Where the last whole box ends; what follows is padding.
    pub(super) end: u64,
    pub(super) fragmented: bool,
    pub(super) tracks: Vec<TrackOutline>,
    boxes: u64,
    table_bytes: u64,
    fragment_samples: u64,
}

#[derive(Debug)]
pub(super) struct TrackOutline {
    pub(super) position: u64,
    pub(super) handler: [u8; 4],
    pub(super) samples: u64,
    /// All samples have one size: uncompressed sound, where each moment is a sample of its own.
    one_size: bool,
}

impl TrackOutline {
    /// Video, and sound in frames. Time codes, texts and uncompressed sound say nothing the probe needs, and the parser
    /// knows little of them.
    fn matters(&self) -> bool {
        &self.handler == b"vide" || (&self.handler == b"soun" && !self.one_size)
    }
}

/// Whether the type of a file's first box, at the head of `kind`, is one an MP4 or QuickTime file starts with.
pub(super) fn starts_a_file(kind: &[u8]) -> bool {
    [
        b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot",
    ]
    .iter()
    .any(|first| kind.starts_with(*first))
}

/// Reads the outline, and hides from later readers of `file` the boxes that do not matter.
pub(super) fn read(file: &mut BoundedFile) -> Result<Outline, NotPlayable> {
    let mut outline = Outline::default();
    let length = file.length();
    while outline.end < length {
        let Some(found) = BoxAt::read(file, outline.end, length)? else {
            break;
        };
        match &found.kind {
            b"ftyp" | b"moov" | b"moof" | b"mdat" if found.end > length => {
                return Err(NotPlayable::CutOff("its last part is not whole"));
            }
            _ if found.end > length => break,
            b"ftyp" => outline.tables(&found)?,
            b"moov" | b"moof" => {
                outline.tables(&found)?;
                outline.look_into(file, &found)?;
            }
            b"mdat" => {}
            _ => file.hide_box(found.start),
        }
        outline.count_box()?;
        outline.end = found.end;
    }
    for track in &outline.tracks {
        if !outline.shows(track) {
            file.hide_box(track.position);
        }
    }
    let shown = outline.tracks.iter().filter(|track| outline.shows(track));
    let samples: u64 = shown.map(|track| track.samples).sum();
    if samples.saturating_add(outline.fragment_samples) > MAX_SAMPLES {
        return Err(NotPlayable::Oversized("samples"));
    }
    Ok(outline)
}

impl Outline {
    /// Fragments refer to their tracks, so in a fragmented file every track is shown.
    fn shows(&self, track: &TrackOutline) -> bool {
        self.fragmented || track.matters()
    }

    fn tables(&mut self, found: &BoxAt) -> Result<(), NotPlayable> {
        self.table_bytes += found.end - found.start;
        if self.table_bytes > MAX_TABLE_BYTES {
            return Err(NotPlayable::Oversized("tables"));
        }
        Ok(())
    }

    fn count_box(&mut self) -> Result<(), NotPlayable> {
        self.boxes += 1;
        if self.boxes > MAX_BOXES {
            return Err(NotPlayable::Oversized("boxes"));
        }
        Ok(())
    }

    fn look_into(&mut self, file: &mut BoundedFile, parent: &BoxAt) -> Result<(), NotPlayable> {
        let mut position = parent.body;
        while position < parent.end {
            let child = BoxAt::read(file, position, parent.end)?
                .filter(|child| child.end <= parent.end)
                .ok_or_else(|| NotPlayable::Container("a box does not fit into another".into()))?;
            self.count_box()?;
            self.look_at(file, &parent.kind, &child)?;
            position = child.end;
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        file: &mut BoundedFile,
        parent: &[u8; 4],
        child: &BoxAt,
    ) -> Result<(), NotPlayable> {
        match (parent, &child.kind) {
            (b"moov", b"trak") => {
                if self.tracks.len() == MAX_TRACKS {
                    return Err(NotPlayable::Oversized("tracks"));
                }
                self.tracks.push(TrackOutline {
                    position: child.start,
                    handler: [0; 4],
                    samples: 0,
                    one_size: false,
                });
                self.look_into(file, child)?;
            }
            (b"moov", b"mvex") => self.fragmented = true,
            (b"trak", b"mdia") | (b"mdia", b"minf") | (b"minf", b"stbl") | (b"moof", b"traf") => {
                self.look_into(file, child)?;
            }
            (b"mdia", b"hdlr") => {
                let handler = word(file, child.body + 8)?;
                if let Some(track) = self.tracks.last_mut() {
                    track.handler = handler;
                }
            }
            (b"stbl", b"stsz") => {
                let one_size = word(file, child.body + 4)? != [0; 4];
                let samples = u32::from_be_bytes(word(file, child.body + 8)?);
                if let Some(track) = self.tracks.last_mut() {
                    track.one_size = one_size;
                    track.samples += u64::from(samples);
                }
            }
            (b"traf", b"trun") => {
                let samples = u32::from_be_bytes(word(file, child.body + 4)?);
                self.fragment_samples += u64::from(samples);
            }
            // What else the parser has to see.
            (b"moov", b"mvhd") | (b"trak", b"tkhd" | b"edts") | (b"mdia", b"mdhd") => {}
            (b"minf", b"dinf") | (b"moof", b"mfhd") | (b"traf", b"tfhd" | b"tfdt") => {}
            (b"stbl", b"stsd" | b"stts" | b"ctts" | b"stss" | b"stsc" | b"stco" | b"co64") => {}
            _ => file.hide_box(child.start),
        }
        Ok(())
    }
}

struct BoxAt {
    kind: [u8; 4],
    start: u64,
    /// After the header.
    body: u64,
    end: u64,
}

impl BoxAt {
    /// The box at `start`, of which no more than its header need lie before `limit`; `None` where no box is.
    fn read(file: &mut BoundedFile, start: u64, limit: u64) -> Result<Option<Self>, NotPlayable> {
        let room = limit - start;
        if room < 8 {
            return Ok(None);
        }
        let size = u64::from(u32::from_be_bytes(word(file, start)?));
        let kind = word(file, start + 4)?;
        let (header, size) = match size {
            0 if limit == file.length() && kind != [0; 4] => (8, room),
            1 if room >= 16 => {
                let (high, low) = (word(file, start + 8)?, word(file, start + 12)?);
                let size =
                    u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low));
                (16, size)
            }
            _ => (8, size),
        };
        if size < header {
            return Ok(None);
        }
        Ok(Some(Self {
            kind,
            start,
            body: start + header,
            end: start.saturating_add(size),
        }))
    }
}

fn word(file: &mut BoundedFile, offset: u64) -> Result<[u8; 4], NotPlayable> {
    let unreadable = |error: io::Error| NotPlayable::Container(error.to_string());
    let bytes = file.read_at(offset, 4).map_err(unreadable)?;
    Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
}

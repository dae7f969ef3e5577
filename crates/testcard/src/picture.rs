//! The picture: a test card that shows the prompt, a digest of the order and the running media time.
//!
//! Everything that stands still is drawn once, in RGB, and converted once. A frame then copies back one
//! strip of luma and draws the clock and the markers on it, all in shades of grey, so that neither colour
//! planes nor the rest of the picture are ever touched again.
//!
//! Not here: how text is wrapped and drawn (`text`), how frames become a video (`mp4`, `render`).

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::order::{FRAME_RATE, RenderOrder};
use crate::text::{self, Type, Wrapped};

/// The widest and highest first-frame picture that is taken, in pixels.
pub(crate) const MOST_INPUT_SIDE: u32 = 8192;

/// What decoding a first-frame picture may allocate.
const MOST_INPUT_ALLOCATION: u64 = 256 << 20;

const INK: Rgb = [240, 243, 246];
const QUIET: Rgb = [170, 180, 190];
const PANEL: Rgb = [16, 20, 25];
const STRIP: Rgb = [24, 24, 24];

type Rgb = [u8; 3];

/// A test card, ready to show any of its frames.
pub(crate) struct Card {
    still: Planes,
    shown: Planes,
    strip: Strip,
}

/// A picture in I420: full luma, halved colour, even sides.
#[derive(Clone)]
pub(crate) struct Planes {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) luma: Vec<u8>,
    pub(crate) blue: Vec<u8>,
    pub(crate) red: Vec<u8>,
}

impl Card {
    /// Draws all that stands still.
    ///
    /// # Errors
    /// Fails when the first-frame picture cannot be decoded.
    pub(crate) fn new(order: &RenderOrder) -> Result<Self, image::ImageError> {
        let layout = Layout::of(order);
        let palette = Palette::of(&order.digest);
        let mut canvas = Canvas::new(layout.width, layout.height);
        match &order.first_frame {
            Some(bytes) => canvas.backdrop(&decode(bytes)?, &layout, &palette),
            None => canvas.bars(&layout, &palette),
        }
        canvas.panel(order, &layout, &palette);
        canvas.fill(layout.strip, STRIP);
        let strip = Strip::new(order, &layout, &mut canvas);
        let still = canvas.planes();
        Ok(Self {
            shown: still.clone(),
            still,
            strip,
        })
    }

    /// The picture of frame `index`.
    pub(crate) fn frame(&mut self, index: u32) -> &Planes {
        self.strip.draw(index, &self.still, &mut self.shown);
        &self.shown
    }
}

/// Reads a first-frame picture's size without decoding it.
///
/// # Errors
/// Fails when the bytes are no PNG, JPEG or WebP, or the picture is larger than what is taken.
pub(crate) fn input_size(bytes: &[u8]) -> Result<(u32, u32), image::ImageError> {
    Ok(decoder(bytes)?.dimensions())
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, image::ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MOST_INPUT_SIDE);
    limits.max_image_height = Some(MOST_INPUT_SIDE);
    limits.max_alloc = Some(MOST_INPUT_ALLOCATION);
    reader.limits(limits);
    reader.into_decoder()
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, image::ImageError> {
    let mut decoder = decoder(bytes)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// A rectangle in pixels. The large ones have even edges, so that no colour sample belongs to two of them.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Area {
    const fn bottom(self) -> usize {
        self.top + self.height
    }
}

/// Where things stand, derived from the frame size alone.
struct Layout {
    width: usize,
    height: usize,
    margin: usize,
    /// The shorter side: what type sizes are measured by.
    side: f32,
    /// The grey steps along the foot; empty over a first-frame picture.
    ramp: Area,
    strip: Area,
    /// Where the panel may stand.
    room: Area,
    over_picture: bool,
}

impl Layout {
    fn of(order: &RenderOrder) -> Self {
        let (width, height) = (order.size.width as usize, order.size.height as usize);
        let side = width.min(height);
        let margin = even(side / 24).max(4);
        let over_picture = order.first_frame.is_some();
        let ramp_height = if over_picture { 0 } else { even(side / 16) };
        let strip_height = even(side * 13 / 100).max(20);
        let strip_top = height - ramp_height - margin - strip_height;
        // The panel leaves most of a first-frame picture free, as far as small type allows.
        let top = match (over_picture, side < 240) {
            (false, _) => even(height / 8),
            (true, false) => even(height / 2),
            (true, true) => even(height / 3),
        };
        let wide = width - 2 * margin;
        Self {
            width,
            height,
            margin,
            side: side as f32,
            ramp: Area {
                left: 0,
                top: height - ramp_height,
                width,
                height: ramp_height,
            },
            strip: Area {
                left: margin,
                top: strip_top,
                width: wide,
                height: strip_height,
            },
            room: Area {
                left: margin,
                top,
                width: wide,
                height: strip_top - even(margin / 2) - top,
            },
            over_picture,
        }
    }
}

const fn even(length: usize) -> usize {
    length / 2 * 2
}

/// The colours of one order, taken from its digest so that orders can be told apart at a glance.
struct Palette {
    bars: [Rgb; 7],
    accent: Rgb,
    mark: [u8; 3],
}

impl Palette {
    fn of(digest: &[u8; 32]) -> Self {
        let first = f32::from(digest[0]) / 256.0;
        let turn = if digest[1] & 1 == 0 { 1.0 } else { -1.0 };
        let bars = std::array::from_fn(|bar| {
            let step = bar as f32 / 7.0;
            colour(first + turn * step, 0.62, 0.80 - 0.34 * step)
        });
        Self {
            bars,
            accent: colour(first, 0.55, 0.95),
            mark: [digest[2], digest[3], digest[4]],
        }
    }
}

/// A colour from its hue in turns, saturation and value.
fn colour(hue: f32, saturation: f32, value: f32) -> Rgb {
    let channel = |shift: f32| {
        let place = (hue + shift).rem_euclid(1.0) * 6.0;
        let strength = (place - 3.0).abs().clamp(1.0, 2.0) - 1.0;
        ((value * (1.0 - saturation + saturation * strength)) * 255.0).round() as u8
    };
    [channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)]
}

/// An RGB picture under construction.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![PANEL; width * height],
        }
    }

    fn row(&mut self, area: Area, y: usize) -> &mut [Rgb] {
        let start = y * self.width + area.left;
        &mut self.pixels[start..start + area.width]
    }

    fn fill(&mut self, area: Area, with: Rgb) {
        for y in area.top..area.bottom() {
            self.row(area, y).fill(with);
        }
    }

    fn tint(&mut self, area: Area, with: Rgb, strength: f32) {
        for y in area.top..area.bottom() {
            for pixel in self.row(area, y) {
                blend(pixel, with, strength);
            }
        }
    }

    fn write(&mut self, line: &str, face: &Type, left: usize, top: usize, ink: Rgb) {
        let (width, height) = (self.width as i32, self.height as i32);
        face.draw(line, left as f32, top as f32, |x, y, coverage| {
            if (0..width).contains(&x) && (0..height).contains(&y) {
                blend(&mut self.pixels[(y * width + x) as usize], ink, coverage);
            }
        });
    }

    /// Seven colour bars, and steps from black to white along the foot.
    fn bars(&mut self, layout: &Layout, palette: &Palette) {
        let whole = Area {
            left: 0,
            top: 0,
            width: layout.width,
            height: layout.ramp.top,
        };
        self.columns(whole, &palette.bars);
        let greys: [Rgb; 11] = std::array::from_fn(|step| [(step * 255 / 10) as u8; 3]);
        self.columns(layout.ramp, &greys);
    }

    fn columns(&mut self, area: Area, colours: &[Rgb]) {
        for y in area.top..area.bottom() {
            let wide = area.width;
            for (x, pixel) in self.row(area, y).iter_mut().enumerate() {
                *pixel = colours[x * colours.len() / wide];
            }
        }
    }

    /// The first-frame picture as large as it fits uncropped, with a row of the order's colours on top.
    fn backdrop(&mut self, picture: &DynamicImage, layout: &Layout, palette: &Palette) {
        let (width, height) = (layout.width as u32, layout.height as u32);
        let fitted = picture
            .resize(width, height, image::imageops::FilterType::Triangle)
            .to_rgba8();
        let left = (width - fitted.width()) / 2;
        let top = (height - fitted.height()) / 2;
        for (x, y, pixel) in fitted.enumerate_pixels() {
            let [red, green, blue, alpha] = pixel.0;
            let at = (top + y) as usize * self.width + (left + x) as usize;
            blend(
                &mut self.pixels[at],
                [red, green, blue],
                f32::from(alpha) / 255.0,
            );
        }
        let ribbon = Area {
            left: 0,
            top: 0,
            width: layout.width,
            height: even(layout.margin / 2).max(2),
        };
        self.columns(ribbon, &palette.bars);
    }

    /// The panel with the mark, the facts and the prompt, as high as its text needs.
    fn panel(&mut self, order: &RenderOrder, layout: &Layout, palette: &Palette) {
        let room = layout.room;
        let pad = even(layout.margin * 3 / 4).max(4);
        let small = Type::new(small_size(layout));
        let step = (small_size(layout) * text::LINE_HEIGHT).ceil() as usize;
        let inner = room.width - 2 * pad;

        let mark = even(2 * step).max(10);
        let beside = (inner - mark - pad) as f32;
        let facts = facts(order);
        let facts = text::fit(
            &facts,
            beside,
            4.0 * step as f32,
            small_size(layout),
            small_size(layout),
        );
        let head = mark.max((facts.lines.len() + 1) * step);

        let most_type = if layout.over_picture { 18.0 } else { 11.0 };
        let space = room.height.saturating_sub(head + 3 * pad) as f32;
        let prompt = text::fit(
            &order.prompt,
            inner as f32,
            space,
            layout.side / most_type,
            small_size(layout),
        );
        let line = prompt.size * text::LINE_HEIGHT;
        let text_height = (prompt.lines.len() as f32 * line).ceil() as usize;

        let height = even(head + text_height + 3 * pad + 1).min(room.height);
        let slack = room.height - height;
        let area = Area {
            top: room.top
                + even(if layout.over_picture {
                    slack
                } else {
                    slack / 2
                }),
            height,
            ..room
        };
        self.tint(area, PANEL, if layout.over_picture { 0.86 } else { 0.94 });
        self.fill(
            Area {
                width: even(pad / 3).max(2),
                ..area
            },
            palette.accent,
        );

        let (left, top) = (area.left + pad, area.top + pad);
        self.mark(left, top, mark, palette);
        let beside = left + mark + pad;
        self.write("FILMGATE TESTCARD", &small, beside, top, palette.accent);
        for (row, fact) in facts.lines.iter().enumerate() {
            self.write(fact, &small, beside, top + (row + 1) * step, QUIET);
        }
        self.prompt(&prompt, left, top + head + pad);
    }

    fn prompt(&mut self, prompt: &Wrapped, left: usize, top: usize) {
        let face = Type::new(prompt.size);
        let line = prompt.size * text::LINE_HEIGHT;
        for (row, words) in prompt.lines.iter().enumerate() {
            self.write(words, &face, left, top + (row as f32 * line) as usize, INK);
        }
    }

    /// A little figure of five by five cells, mirrored, that follows from the digest.
    fn mark(&mut self, left: usize, top: usize, side: usize, palette: &Palette) {
        let cell = side / 5;
        let bits = u32::from_be_bytes([0, palette.mark[0], palette.mark[1], palette.mark[2]]);
        for row in 0..5 {
            for column in 0..5 {
                let half = column.min(4 - column);
                let lit = bits >> (row * 3 + half) & 1 == 1;
                self.fill(
                    Area {
                        left: left + column * cell,
                        top: top + row * cell,
                        width: cell,
                        height: cell,
                    },
                    if lit { palette.accent } else { [38, 44, 51] },
                );
            }
        }
    }

    /// Converts to I420 in BT.709, limited range, as the stream's headers say.
    fn planes(&self) -> Planes {
        let (width, height) = (self.width, self.height);
        let mut planes = Planes {
            width,
            height,
            luma: self.pixels.iter().map(|pixel| luma(*pixel)).collect(),
            blue: Vec::with_capacity(width * height / 4),
            red: Vec::with_capacity(width * height / 4),
        };
        for rows in self.pixels.chunks_exact(2 * width) {
            let (upper, lower) = rows.split_at(width);
            for (above, below) in upper.chunks_exact(2).zip(lower.chunks_exact(2)) {
                let sum: [i32; 3] = std::array::from_fn(|channel| {
                    [above[0], above[1], below[0], below[1]]
                        .iter()
                        .map(|pixel| i32::from(pixel[channel]))
                        .sum()
                });
                let [r, g, b] = sum;
                planes
                    .blue
                    .push(chroma(-6_596 * r - 22_189 * g + 28_785 * b));
                planes.red.push(chroma(28_785 * r - 26_145 * g - 2_640 * b));
            }
        }
        planes
    }
}

fn small_size(layout: &Layout) -> f32 {
    (layout.side / 28.0).max(9.0)
}

fn facts(order: &RenderOrder) -> String {
    let digest = hex::encode(&order.digest[..8]);
    let mut facts = format!(
        "{}, {FRAME_RATE} fps, {} s{}\ndigest {digest}",
        order.size,
        order.seconds,
        if order.audio { ", sound" } else { "" },
    );
    if let Some(seed) = order.seed {
        facts += &format!(", seed {seed}");
    }
    if order.sample_count > 1 {
        facts += &format!(
            ", output {} of {}",
            order.sample_index + 1,
            order.sample_count
        );
    }
    facts
}

fn blend(pixel: &mut Rgb, with: Rgb, strength: f32) {
    for (below, above) in pixel.iter_mut().zip(with) {
        let mixed = f32::from(*below) * (1.0 - strength) + f32::from(above) * strength;
        *below = mixed.round() as u8;
    }
}

/// BT.709 luma in 16 bit fixed point, from 16 to 235.
fn luma([r, g, b]: Rgb) -> u8 {
    let sum = 11_966 * u32::from(r) + 40_254 * u32::from(g) + 4_064 * u32::from(b);
    (16 + ((sum + 32_768) >> 16)) as u8
}

/// BT.709 chroma of the sum of four pixels, from 16 to 240.
fn chroma(sum: i32) -> u8 {
    (128 + ((sum + 131_072) >> 18)).clamp(16, 240) as u8
}

/// The part that moves: a clock, a marker that sweeps once a second and a bar that fills once.
struct Strip {
    area: Area,
    digits: Digits,
    clock: (usize, usize),
    sweep: Area,
    bar: Area,
    frames: u32,
}

impl Strip {
    /// Draws what stands still of the strip, and keeps the shapes of what moves.
    fn new(order: &RenderOrder, layout: &Layout, canvas: &mut Canvas) -> Self {
        let area = layout.strip;
        let pad = even(area.height / 4);
        let digits = Digits::new(area.height as f32 * 0.56);
        let clock = (
            area.left + pad,
            area.top + (area.height - digits.height) / 2,
        );
        let left = even(clock.0 + CLOCK_LETTERS * digits.width + pad + 1);
        let lanes = Area {
            left,
            top: area.top + pad,
            width: even(area.left + area.width - pad - left),
            height: area.height - 2 * pad,
        };
        let lane = even(lanes.height / 3).max(2);
        let sweep = Area {
            height: even(lanes.height - lane - lane / 2),
            ..lanes
        };
        let bar = Area {
            top: even(lanes.bottom() - lane),
            height: lane,
            ..lanes
        };
        canvas.fill(sweep, [44; 3]);
        canvas.fill(bar, [60; 3]);
        for second in 1..order.seconds as usize {
            let tick = Area {
                left: even(bar.left + bar.width * second / order.seconds as usize),
                width: 2,
                ..bar
            };
            canvas.fill(tick, STRIP);
        }
        Self {
            area,
            digits,
            clock,
            sweep,
            bar,
            frames: order.seconds * FRAME_RATE,
        }
    }

    fn draw(&self, index: u32, still: &Planes, shown: &mut Planes) {
        let Area { left, width, .. } = self.area;
        for y in self.area.top..self.area.bottom() {
            let row = y * still.width + left..y * still.width + left + width;
            shown.luma[row.clone()].copy_from_slice(&still.luma[row]);
        }
        let (mut x, y) = self.clock;
        for letter in clock(index).bytes() {
            self.digits.draw(letter, x, y, shown);
            x += self.digits.width;
        }
        let marker = even(self.sweep.width / 16).max(4);
        let path = self.sweep.width - marker;
        let lap = index % FRAME_RATE;
        let place = path * lap as usize / (FRAME_RATE as usize - 1);
        shown.shade(self.sweep, place, marker, 235);
        let filled = self.bar.width * (index as usize + 1) / self.frames.max(1) as usize;
        shown.brighten(self.bar, filled.min(self.bar.width));
    }
}

impl Planes {
    fn shade(&mut self, lane: Area, from: usize, width: usize, luma: u8) {
        for y in lane.top..lane.bottom() {
            let start = y * self.width + lane.left + from;
            self.luma[start..start + width].fill(luma);
        }
    }

    /// Lights the first `width` pixels of a lane, and leaves its ticks dark.
    fn brighten(&mut self, lane: Area, width: usize) {
        for y in lane.top..lane.bottom() {
            let start = y * self.width + lane.left;
            for luma in &mut self.luma[start..start + width] {
                *luma = luma.saturating_mul(2).min(190);
            }
        }
    }
}

const CLOCK_LETTERS: usize = 9;

/// Media time of a frame as minutes, seconds and thousandths.
fn clock(index: u32) -> String {
    let thousandths = u64::from(index) * 1000 / u64::from(FRAME_RATE);
    let seconds = thousandths / 1000;
    format!(
        "{:02}:{:02}.{:03}",
        seconds / 60,
        seconds % 60,
        thousandths % 1000
    )
}

/// The clock's letters as luma, drawn once and copied from then on.
struct Digits {
    width: usize,
    height: usize,
    cells: Vec<Vec<u8>>,
}

impl Digits {
    const LETTERS: &[u8] = b"0123456789:.";

    fn new(size: f32) -> Self {
        let face = Type::new(size);
        let (width, height) = (face.advance().ceil() as usize, size.ceil() as usize);
        let paper = luma(STRIP);
        let cells = Self::LETTERS
            .iter()
            .map(|letter| {
                let mut cell = vec![paper; width * height];
                face.draw(
                    &char::from(*letter).to_string(),
                    0.0,
                    0.0,
                    |x, y, coverage| {
                        if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
                            let ink = f32::from(paper) + (235.0 - f32::from(paper)) * coverage;
                            cell[y as usize * width + x as usize] = ink as u8;
                        }
                    },
                );
                cell
            })
            .collect();
        Self {
            width,
            height,
            cells,
        }
    }

    fn draw(&self, letter: u8, left: usize, top: usize, shown: &mut Planes) {
        let Some(cell) = Self::LETTERS
            .iter()
            .position(|known| *known == letter)
            .map(|at| &self.cells[at])
        else {
            return;
        };
        for (y, row) in cell.chunks_exact(self.width).enumerate() {
            let start = (top + y) * shown.width + left;
            shown.luma[start..start + self.width].copy_from_slice(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_core::frame_size::FrameSize;

    fn order(width: u32, height: u32, prompt: &str) -> RenderOrder {
        RenderOrder {
            prompt: prompt.to_owned(),
            size: FrameSize::new(width, height),
            seconds: 1,
            audio: false,
            seed: Some(7),
            sample_index: 0,
            sample_count: 1,
            first_frame: None,
            digest: [9; 32],
        }
    }

    #[test]
    fn white_and_black_are_the_ends_of_the_limited_range() {
        assert_eq!((luma([0; 3]), luma([255; 3])), (16, 235));
        assert_eq!(chroma(0), 128);
    }

    #[test]
    fn the_clock_shows_media_time() {
        assert_eq!(clock(0), "00:00.000");
        assert_eq!(clock(25), "00:01.041");
        assert_eq!(clock(24 * 61).len(), CLOCK_LETTERS);
    }

    #[test]
    fn a_frame_depends_on_its_index_alone_and_not_on_the_frames_before() {
        let mut straight = Card::new(&order(320, 180, "a fox")).unwrap();
        let mut jumping = Card::new(&order(320, 180, "a fox")).unwrap();
        for index in 0..20 {
            straight.frame(index);
        }
        assert!(straight.frame(7).luma == jumping.frame(7).luma);
        assert!(straight.frame(8).luma != jumping.frame(7).luma);
    }

    #[test]
    fn every_text_and_shape_can_be_drawn() {
        let long = "word ".repeat(2000);
        let wide = "x".repeat(5000);
        for prompt in ["", "\n\n\n", "日本語 🦊 \u{0}", &long, &wide] {
            for (width, height) in [
                (320, 180),
                (180, 320),
                (180, 180),
                (854, 480),
                (1920, 180),
                (180, 1920),
            ] {
                let mut order = order(width, height, prompt);
                order.seed = Some(i64::MIN);
                order.audio = true;
                order.sample_count = 4;
                Card::new(&order).unwrap().frame(23);
                order.first_frame = Some(png(90, 160).into());
                Card::new(&order).unwrap().frame(23);
            }
        }
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut png = Vec::new();
        image::RgbImage::from_pixel(width, height, image::Rgb([255, 0, 0]))
            .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
            .unwrap();
        png
    }

    #[test]
    fn a_first_frame_is_shown() {
        let mut order = order(320, 180, "a fox");
        order.first_frame = Some(png(160, 90).into());
        let mut card = Card::new(&order).unwrap();
        let frame = card.frame(0);
        assert_eq!(frame.luma[40 * 320 + 100], luma([255, 0, 0]));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(input_size(b"not a picture").is_err());
    }
}

//! Text: the embedded font, wrapping to a box and drawing with smooth edges.
//!
//! Not here: where on the picture text stands (`picture`).

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

/// Shown in place of a character that the font cannot draw.
const REPLACEMENT: char = '\u{25a1}';

/// One typeface at one size. Every character is as wide as every other.
pub(crate) struct Type {
    font: FontRef<'static>,
    scale: PxScale,
}

/// Some lines of text that fit their box.
pub(crate) struct Wrapped {
    pub(crate) lines: Vec<String>,
    pub(crate) size: f32,
}

impl Type {
    /// The embedded typeface, `size` pixels from the top of the tallest to the foot of the deepest letter.
    pub(crate) fn new(size: f32) -> Self {
        let font = FontRef::try_from_slice(include_bytes!("../font/DejaVuSansMono.ttf"))
            .expect("the embedded font is a font");
        Self {
            font,
            scale: PxScale::from(size),
        }
    }

    /// The width of one character.
    pub(crate) fn advance(&self) -> f32 {
        let scaled = self.font.as_scaled(self.scale);
        scaled.h_advance(self.font.glyph_id('0'))
    }

    /// Calls `paint(x, y, coverage)` for every pixel that `text` touches when its first letter's box has
    /// its top left corner at `(left, top)`.
    pub(crate) fn draw(
        &self,
        text: &str,
        left: f32,
        top: f32,
        mut paint: impl FnMut(i32, i32, f32),
    ) {
        let baseline = top + self.font.as_scaled(self.scale).ascent();
        let advance = self.advance();
        for (column, letter) in text.chars().enumerate() {
            let glyph = self.glyph(letter).with_scale_and_position(
                self.scale,
                point(left + column as f32 * advance, baseline),
            );
            if let Some(outline) = self.font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                let (x0, y0) = (corner.x as i32, corner.y as i32);
                outline.draw(|x, y, coverage| {
                    paint(x0 + x as i32, y0 + y as i32, coverage.clamp(0.0, 1.0));
                });
            }
        }
    }

    fn glyph(&self, letter: char) -> GlyphId {
        let glyph = self.font.glyph_id(letter);
        if glyph.0 == 0 {
            self.font.glyph_id(REPLACEMENT)
        } else {
            glyph
        }
    }
}

/// Wraps `text` to a box, at the greatest size between `most` and `least` at which all of it fits. What
/// does not fit even at the least size is cut off and ends in an ellipsis.
pub(crate) fn fit(text: &str, width: f32, height: f32, most: f32, least: f32) -> Wrapped {
    let text = legible(text);
    let unit = Type::new(100.0).advance() / 100.0;
    let mut size = most.max(least);
    loop {
        let columns = ((width / (unit * size)) as usize).max(1);
        let rows = ((height / (size * LINE_HEIGHT)) as usize).max(1);
        let (lines, all) = wrap(&text, columns, rows);
        if all || size <= least {
            return Wrapped { lines, size };
        }
        size = (size * 0.92).max(least);
    }
}

/// From one line's top to the next one's, in type sizes.
pub(crate) const LINE_HEIGHT: f32 = 1.18;

/// The text as it can be shown: line ends kept, other control characters made spaces, and what has no
/// width of its own left out, because a fixed-width line has no place for it.
fn legible(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter(|letter| !is_invisible(*letter))
        .map(|letter| match letter {
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => '\n',
            other if other.is_control() || other.is_whitespace() => ' ',
            other => other,
        })
        .collect()
}

fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{00ad}'
        | '\u{0300}'..='\u{036f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{20d0}'..='\u{20f0}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0000}'..='\u{e01ef}')
}

/// At most `rows` lines of at most `columns` characters, and whether that is the whole text.
fn wrap(text: &str, columns: usize, rows: usize) -> (Vec<String>, bool) {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.trim().split('\n') {
        let mut line = String::new();
        let mut length = 0;
        for word in paragraph.split_whitespace() {
            let letters: Vec<char> = word.chars().collect();
            if length > 0 && length + 1 + letters.len() > columns {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            // A word wider than the box is broken wherever the box ends.
            for piece in letters.chunks(columns) {
                if length + piece.len() > columns {
                    lines.push(std::mem::take(&mut line));
                    length = 0;
                }
                length += piece.len();
                line.extend(piece);
                if lines.len() > rows {
                    return (cut(lines, columns, rows), false);
                }
            }
        }
        lines.push(line);
        if lines.len() > rows {
            return (cut(lines, columns, rows), false);
        }
    }
    (lines, true)
}

fn cut(mut lines: Vec<String>, columns: usize, rows: usize) -> Vec<String> {
    lines.truncate(rows);
    if let Some(last) = lines.last_mut() {
        let kept: String = last.chars().take(columns.saturating_sub(1)).collect();
        *last = kept + "\u{2026}";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_wrap_at_spaces_and_long_words_where_the_box_ends() {
        let (lines, all) = wrap("a quick brown foxxxxxxxxx", 8, 9);
        assert_eq!(lines, ["a quick", "brown", "foxxxxxx", "xxx"]);
        assert!(all);
    }

    #[test]
    fn text_that_does_not_fit_ends_in_an_ellipsis() {
        let (lines, all) = wrap("one two three four", 5, 2);
        assert_eq!(lines, ["one", "two\u{2026}"]);
        assert!(!all);
    }

    #[test]
    fn a_line_end_is_kept_and_a_control_character_is_not() {
        assert_eq!(legible("a\r\nb\tc\u{7}d\u{200d}e"), "a\nb c de");
    }

    proptest! {
        #[test]
        fn wrapped_text_stays_inside_its_box(text in "\\PC{0,400}", columns in 1usize..60, rows in 1usize..20) {
            let (lines, _) = wrap(&legible(&text), columns, rows);
            prop_assert!(lines.len() <= rows);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= columns));
        }
    }
}

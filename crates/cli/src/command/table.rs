//! Rows in columns, and how amounts and instants stand in them.

use filmgate_core::calendar::Day;
use filmgate_core::money::Delta;
use filmgate_core::time::UnixTime;
use serde_json::Value;

use crate::print;

/// A field of a row.
pub(super) enum Cell {
    Text(String),
    /// Stands on the right of its column, digits under digits.
    Number(String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number as it was sent.
    pub(super) fn number(value: &Value) -> Self {
        Self::Number(value.to_string())
    }

    pub(super) fn dollars(nanos: &Value) -> Self {
        Self::Number(dollars(nanos))
    }

    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Number(content) => content,
        }
    }

    fn filled(&self, width: usize) -> String {
        match self {
            Self::Text(text) => format!("{text:width$}"),
            Self::Number(number) => format!("{number:>width$}"),
        }
    }
}

/// Prints rows of equally many cells, each column as wide as its widest.
pub(super) fn print(rows: &[Vec<Cell>]) {
    for line in aligned(rows) {
        print::line(line);
    }
}

/// Integer nano-dollars as decimal dollars, to the last digit; `-` where there is no amount.
pub(super) fn dollars(nanos: &Value) -> String {
    nanos
        .as_i64()
        .map_or_else(|| "-".to_owned(), |nanos| Delta(nanos).to_string())
}

/// Unix seconds as a UTC instant; `-` where there is none.
pub(super) fn instant(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_i64() else {
        return "-".to_owned();
    };
    let day = Day::of(UnixTime::from_seconds(seconds));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}Z")
}

fn aligned(rows: &[Vec<Cell>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.content().chars().count()).max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<Cell>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, width)| cell.filled(*width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_stand_on_the_left_and_numbers_on_the_right() {
        let row = |text: &str, number: i64| vec![Cell::text(text), Cell::dollars(&json!(number))];
        let rows = [row("ä", 1), row("bcd", -1_500_000_000)];
        assert_eq!(aligned(&rows), ["ä    0.000000001", "bcd        -1.50"]);
    }

    #[test]
    fn instants_are_in_utc() {
        assert_eq!(instant(&json!(1_795_420_801)), "2026-11-23T08:00:01Z");
        assert_eq!(instant(&Value::Null), "-");
    }
}

//! Tables for people: aligned by what a terminal shows, and never wider than it is.

use std::io::{self, IsTerminal};

use clap::builder::StyledStr;

/// Between columns.
const GAP: usize = 2;
/// What stands for what was left out.
const CUT: char = '…';

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Where its cells stand.
    pub align: Align,
    /// How narrow it may become where there is no room; `None` for one that is shown whole.
    pub least: Option<usize>,
    /// Whether it is left out, and how soon, where there is no room at all: the highest goes first, 0 never.
    pub leaves: u8,
}

/// Where a cell's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right, as numbers do.
    Right,
}

/// The lines of a table, the titles first. Columns in which nothing stands are left out. With a width, long cells are
/// shortened in the middle until all lines fit.
pub fn lines(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let cell = |row: &Vec<String>, index: usize| row.get(index).map(|text| plain(text)).unwrap_or_default();
    let mut shown: Vec<(usize, Column, usize)> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let widest = rows.iter().map(|row| width_of(&cell(row, index))).max().unwrap_or(0);
        if widest > 0 {
            shown.push((index, *column, widest.max(width_of(column.title))));
        }
    }
    if let Some(width) = width {
        fit(&mut shown, width);
    }
    let line = |text: &dyn Fn(usize, &Column) -> String| {
        let cells = shown.iter().map(|(index, column, width)| pad(&shorten(&text(*index, column), *width), *width, column.align));
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let head = line(&|_, column| column.title.to_owned());
    std::iter::once(head).chain(rows.iter().map(|row| line(&|index, _| cell(row, index)))).collect()
}

/// Makes columns narrower, and leaves some out if that is not enough.
fn fit(shown: &mut Vec<(usize, Column, usize)>, width: usize) {
    let total = |shown: &[(usize, Column, usize)], of: &dyn Fn(&Column, usize) -> usize| {
        let cells: usize = shown.iter().map(|(_, column, width)| of(column, *width)).sum();
        cells + GAP * shown.len().saturating_sub(1)
    };
    let least = |column: &Column, width: usize| column.least.map_or(width, |least| least.min(width));
    while total(shown, &least) > width {
        let Some(last) = shown.iter().map(|(_, column, _)| column.leaves).max().filter(|last| *last > 0) else { break };
        shown.retain(|(_, column, _)| column.leaves != last);
    }
    while total(shown, &|_, width| width) > width {
        // The widest gives first, so that none becomes unreadable while another has room.
        let can = |(_, column, width): &&mut (usize, Column, usize)| column.least.is_some_and(|least| *width > least);
        match shown.iter_mut().filter(can).max_by_key(|(_, _, width)| *width) {
            Some((_, _, width)) => *width -= 1,
            None => break,
        }
    }
}

/// The width of the terminal that the standard output is, in columns; `None` if it is none, and lines may be of any length.
pub fn terminal_width() -> Option<usize> {
    // clap asks the system how wide the terminal is when it breaks the lines of a help text. It gives no number away, but
    // the longest line of a text of single letters does.
    const WORDS: usize = 1000;
    if !io::stdout().is_terminal() {
        return None;
    }
    let text: StyledStr = "x ".repeat(WORDS).into();
    let mut probe = clap::Command::new("probe").max_term_width(WORDS).about(text).help_template("{about}");
    let help = probe.render_help().to_string();
    // Of an even width the last column was left to a blank.
    help.lines().map(|line| line.trim_end().len()).max().filter(|width| *width < WORDS)
}

/// Without what would break a line of a table or harm a terminal.
fn plain(text: &str) -> String {
    let text = text.replace(['\n', '\t'], " ");
    crate::terminal::harmless(&text).into_owned()
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let blanks = " ".repeat(width.saturating_sub(width_of(text)));
    match align {
        Align::Left => format!("{text}{blanks}"),
        Align::Right => format!("{blanks}{text}"),
    }
}

/// A text that is no wider: what is too much is taken out of the middle, for names differ at their ends.
pub fn shorten(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut head = String::new();
    let mut left = room.div_ceil(2);
    for c in text.chars() {
        let Some(rest) = left.checked_sub(columns_of(c)) else { break };
        left = rest;
        head.push(c);
    }
    let mut tail = Vec::new();
    let mut left = room.saturating_sub(width_of(&head));
    for c in text.chars().rev() {
        let Some(rest) = left.checked_sub(columns_of(c)) else { break };
        left = rest;
        tail.push(c);
    }
    // An accent at the beginning would stand on the sign for what was left out.
    while tail.last().is_some_and(|c| columns_of(*c) == 0) {
        tail.pop();
    }
    head.push(CUT);
    head.extend(tail.into_iter().rev());
    head
}

/// How many columns a text takes on a terminal.
pub fn width_of(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Characters that are put on the one before, or show nothing.
const NONE: &[(char, char)] = &[
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{300}', '\u{36f}'),
    ('\u{483}', '\u{489}'),
    ('\u{591}', '\u{5bd}'),
    ('\u{610}', '\u{61a}'),
    ('\u{64b}', '\u{65f}'),
    ('\u{93c}', '\u{93c}'),
    ('\u{941}', '\u{948}'),
    ('\u{94d}', '\u{94d}'),
    ('\u{e31}', '\u{e31}'),
    ('\u{e34}', '\u{e3a}'),
    ('\u{e47}', '\u{e4e}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{3099}', '\u{309a}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{1f3fb}', '\u{1f3ff}'),
    ('\u{e0100}', '\u{e01ef}'),
];

/// Characters of two columns: those of East Asia (UAX 11, W and F), and pictures.
const TWO: &[(char, char)] = &[
    ('\u{1100}', '\u{115f}'),
    ('\u{231a}', '\u{231b}'),
    ('\u{23e9}', '\u{23ec}'),
    ('\u{2614}', '\u{2615}'),
    ('\u{2648}', '\u{2653}'),
    ('\u{26a1}', '\u{26a1}'),
    ('\u{2705}', '\u{2705}'),
    ('\u{2728}', '\u{2728}'),
    ('\u{274c}', '\u{274c}'),
    ('\u{2b50}', '\u{2b50}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff01}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f7e0}', '\u{1f7eb}'),
    ('\u{1f900}', '\u{1f9ff}'),
    ('\u{1fa70}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

fn columns_of(c: char) -> usize {
    let is_in = |ranges: &[(char, char)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c));
    match c {
        ' '..='~' => 1,
        _ if is_in(NONE) => 0,
        _ if is_in(TWO) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shortened_in_the_middle() {
        for (text, width, expected) in [
            ("lighthouse", 10, "lighthouse"),
            ("lighthouse", 7, "lig…use"),
            ("lighthouse", 1, "…"),
            ("絵の具の箱", 7, "絵…の箱"),
            ("a\u{301}bcdefgh", 5, "a\u{301}b…gh"),
            ("", 0, ""),
        ] {
            let found = shorten(text, width);
            assert_eq!(found, expected, "{text} in {width}");
            assert!(width_of(&found) <= width.max(1), "{text} in {width}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let column = |title, least, leaves| Column { title, align: Align::Left, least, leaves };
        let columns = [column("NAME", Some(8), 0), column("SIZE", None, 0), column("NONE", None, 0), column("PLACE", Some(4), 1)];
        let row = |name: &str, place: &str| vec![name.to_owned(), "12 MB".to_owned(), String::new(), place.to_owned()];
        let rows = [row("絵の具の箱🎨-v1.5", "own"), row(&"long".repeat(20), &"far/away/".repeat(9)), row("a\nb", "x")];
        let whole = lines(&columns, &rows, None);
        assert!(whole[0].starts_with("NAME ") && !whole[0].contains("NONE") && whole[2].contains(&"long".repeat(20)));
        assert!(whole[3].starts_with("a b "));
        for width in 15..120 {
            let lines = lines(&columns, &rows, Some(width));
            assert!(lines.iter().all(|line| width_of(line) <= width), "{width}: {lines:#?}");
        }
    }
}

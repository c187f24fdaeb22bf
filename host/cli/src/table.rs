//! Aligned columns.

use crate::style::{Painter, Style, clean};

/// Space between two columns.
const GAP: &str = "  ";

/// Rows of cells; each column is as wide as its widest cell.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_header(header: &[&str]) -> Self {
        let cells = header.iter().map(|title| (Style::Faint, title.to_string()));
        Self {
            rows: vec![cells.collect()],
        }
    }

    /// Each cell is put into one line; blanks within a line stay, as branches of a tree need them.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (Style, String)>) {
        let cells = cells
            .into_iter()
            .map(|(style, text)| (style, joined_lines(&text)));
        self.rows.push(cells.collect());
    }

    /// The rows as lines, without blanks at their ends.
    #[must_use]
    pub fn render(&self, painter: Painter) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(_, text)| text.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        let mut lines = String::new();
        for row in &self.rows {
            let filled = row.iter().rposition(|(_, text)| !text.is_empty());
            let shown = filled.map_or(0, |last| last + 1);
            for (column, ((style, text), width)) in row.iter().zip(&widths).take(shown).enumerate()
            {
                lines.push_str(&painter.paint(*style, text));
                if column + 1 < shown {
                    let missing = width.saturating_sub(text.chars().count());
                    lines.extend(std::iter::repeat_n(' ', missing));
                    lines.push_str(GAP);
                }
            }
            lines.push('\n');
        }
        lines
    }
}

fn joined_lines(text: &str) -> String {
    let text = clean(text).replace('\t', " ");
    let mut lines = text.lines();
    let mut joined = lines.next().unwrap_or_default().trim_end().to_owned();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let mut table = Table::with_header(&["NAME", "STATE", "NOTE"]);
        let plain = |text: &str| (Style::Plain, text.to_owned());
        table.row([plain("größer"), plain("deployed"), plain("")]);
        table.row([plain("b"), plain(""), plain("\ntwo \n\t lines")]);
        table.row([plain("│  └─ c")]);
        let painter = Painter { colour: false };
        let expected = "\
NAME     STATE     NOTE
größer   deployed
b                  two lines
│  └─ c
";
        assert_eq!(table.render(painter), expected);
    }
}

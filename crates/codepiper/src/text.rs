//! Text as a terminal shows it: how many columns it takes, where it breaks, what must not get through. Pure.
//!
//! The width tables are the common blocks only: the rest does not earn a dependency.

/// Columns a character takes: 0 joins the one before it, 2 is a wide one.
pub(crate) fn char_width(c: char) -> usize {
    let code = c as u32;
    match code {
        0x20..=0x7e => 1,
        0..=0x1f | 0x7f..=0x9f => 0,
        _ if in_ranges(code, &ZERO) => 0,
        _ if in_ranges(code, &WIDE) => 2,
        _ => 1,
    }
}

pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Text that can be put on the screen: escape sequences and control characters are gone, a tab is spaces.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            // Marks that turn the direction of writing would show another text than the one that is there.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
    out
}

/// The same for text of several lines.
pub(crate) fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// The longest beginning that fits, with `…` where something was cut.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The longest end that fits, with `…` where something was cut: of a path, the end is what tells.
pub(crate) fn clip_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        used += char_width(c);
        if used > columns {
            break;
        }
        start = at;
    }
    if columns > 0 { format!("…{}", &text[start..]) } else { String::new() }
}

/// Breaks text into rows at blanks, and inside a word only when it is longer than a row.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let bare = width(word.trim_end());
            if used > 0 && used + bare > columns {
                rows.push(std::mem::take(&mut row).trim_end().to_owned());
                used = 0;
            }
            for c in word.chars() {
                let wide = char_width(c);
                if used + wide > columns {
                    if c == ' ' {
                        continue; // a blank at the edge is the break itself
                    }
                    rows.push(std::mem::take(&mut row));
                    used = 0;
                }
                row.push(c);
                used += wide;
            }
        }
        rows.push(row.trim_end().to_owned());
    }
    rows
}

/// Skips what follows an ESC: CSI to its final byte, OSC and its like to their terminator, else one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('\x40'..='\x7e').contains(&c) {
                    break;
                }
            }
        }
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(c) = chars.next() {
                if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

fn in_ranges(code: u32, ranges: &[(u32, u32)]) -> bool {
    ranges
        .binary_search_by(|&(first, last)| {
            if last < code {
                std::cmp::Ordering::Less
            } else if first > code {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

const ZERO: [(u32, u32); 18] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x093c, 0x093c),
    (0x0941, 0x0948),
    (0x0e31, 0x0e31),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0x1f3fb, 0x1f3ff),
    (0xe0100, 0xe01ef),
];

const WIDE: [(u32, u32); 30] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26a1, 0x26a1),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26d4, 0x26d4),
    (0x26f2, 0x26f5),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x2753, 0x2755),
    (0x2795, 0x2797),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0x1f300, 0x1faff),
    (0x20000, 0x3fffd),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, columns: usize, expected: &[&str]) {
        assert_eq!(wrap(text, columns), expected, "{text:?} in {columns}");
    }

    #[test]
    fn rows_break_at_blanks_and_never_overflow() {
        check("one two three", 8, &["one two", "three"]);
        check("one two", 7, &["one two"]);
        check("abcdefgh ij", 4, &["abcd", "efgh", "ij"]);
        check("a\n\nb", 4, &["a", "", "b"]);
        check("日本語 text", 5, &["日本", "語", "text"]);
        check("  indented", 20, &["  indented"]);
    }

    #[test]
    fn widths_are_columns_not_bytes() {
        assert_eq!(width("plain"), 5);
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("🚀"), 2);
        assert_eq!(clip("日本語", 4), "日…");
        assert_eq!(clip_start("~/projects/日本語", 6), "…本語");
        assert_eq!(clip_start("abc", 3), "abc");
        assert_eq!(clip_start("abc", 0), "");
    }

    #[test]
    fn nothing_that_steers_the_terminal_gets_through() {
        assert_eq!(visible("a\x1b[31mb\x1b]0;title\x07c\x1b]8;;x\x1b\\d\re\x07"), "abcde");
        assert_eq!(visible("\ta"), "    a");
        assert_eq!(visible("rm \u{202e}gpj.x\u{2066}"), "rm gpj.x");
    }
}

//! Lines that matter to the count, found without reading the others.
//!
//! Most of a transcript is what tools gave, and says nothing of tokens. A line is passed over only where it cannot matter:
//! it does not hold the words in which JSON would say what matters, nor a letter written as an escape, by which the words
//! could be there all the same.

use memchr::memmem::{Finder, find_iter};
use std::sync::LazyLock;

/// Words of which a line that matters has at least one.
pub(crate) struct Words(LazyLock<Vec<Finder<'static>>>);

impl Words {
    /// Words of small letters and `_`, and quotes around them.
    pub(crate) const fn new(find: fn() -> Vec<Finder<'static>>) -> Self {
        Self(LazyLock::new(find))
    }

    /// Whether the line may hold one of them, as it stands or with escapes.
    pub(crate) fn may_stand_in(&self, line: &[u8]) -> bool {
        self.0.iter().any(|word| word.find(line).is_some()) || has_escaped_letter(line)
    }
}

/// Whether a small letter or `_` is written as `\u0061`, which nobody does who means well.
fn has_escaped_letter(line: &[u8]) -> bool {
    find_iter(line, br"\u00").any(|at| matches!(line.get(at + 4), Some(b'5'..=b'7')))
}

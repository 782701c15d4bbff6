//! What a person types to find something, as a query that the search understands and that can do no harm.
//!
//! Everything that was typed ends up in quotes: no operator of the search's own language can be reached. Words must
//! all occur; `"words in quotes"` must stand together; `-word` must not occur; `word*` is a beginning, and so is the
//! last word, because the person may still be typing it. An identifier or a path is a phrase of its parts, which the
//! search's own reader of words takes apart as it did with the text.

use std::fmt;

/// The longest query, in bytes. A person pastes a line of an error, not a page.
pub const QUERY_MAX: usize = 1_000;

/// The most words and phrases of a query. Each is looked up by itself.
pub const TERMS_MAX: usize = 32;

/// The last word is taken for a beginning from so many letters on: a single one begins half of all words. One letter
/// of a script without blanks is a word already.
const BEGINNING_MIN: usize = 2;

/// A query that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    wanted: Vec<Term>,
    unwanted: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    /// With something in it that makes a word.
    text: String,
    is_beginning: bool,
}

/// Why there is nothing to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// No letter, no digit.
    #[error("has no word to look for")]
    NoWord,
    /// Only what must not occur.
    #[error("only says what must not be there")]
    OnlyWithout,
    /// Too long.
    #[error("is longer than {QUERY_MAX} bytes")]
    TooLong,
    /// Too many words.
    #[error("has more than {TERMS_MAX} words")]
    TooManyTerms,
}

impl SearchQuery {
    /// Reads what was typed.
    pub fn parse(typed: &str) -> Result<Self, BadQuery> {
        if typed.len() > QUERY_MAX {
            return Err(BadQuery::TooLong);
        }
        let mut query = Self { wanted: Vec::new(), unwanted: Vec::new() };
        let mut rest = typed;
        while let Some((piece, behind)) = next(rest) {
            rest = behind;
            if let Some(term) = piece.term() {
                if piece.is_without { &mut query.unwanted } else { &mut query.wanted }.push(term);
            }
        }
        match query.wanted.len() + query.unwanted.len() {
            0 => Err(BadQuery::NoWord),
            _ if query.wanted.is_empty() => Err(BadQuery::OnlyWithout),
            1..=TERMS_MAX => Ok(query),
            _ => Err(BadQuery::TooManyTerms),
        }
    }

    /// The query in the language of SQLite's FTS5.
    pub fn fts5(&self) -> String {
        let join =
            |terms: &[Term], with: &str| terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(with);
        match self.unwanted.as_slice() {
            [] => join(&self.wanted, " AND "),
            unwanted => format!("({}) NOT ({})", join(&self.wanted, " AND "), join(unwanted, " OR ")),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_beginning { " *" } else { "" };
        write!(f, "\"{}\"{star}", self.text.replace('"', "\"\""))
    }
}

/// A word or a phrase as it was typed.
struct Piece<'a> {
    text: &'a str,
    is_without: bool,
    is_phrase: bool,
    is_last: bool,
}

impl Piece<'_> {
    /// What is to be looked up, if there is anything in it.
    fn term(&self) -> Option<Term> {
        let text: String =
            self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().into();
        let is_word = |c: char| c.is_alphanumeric();
        let last_part = text.rsplit(|c| !is_word(c)).find(|part| !part.is_empty())?;
        let is_long = last_part.chars().count() >= BEGINNING_MIN || !last_part.is_ascii();
        let is_unfinished = self.is_last && !self.is_without && is_long && text.ends_with(is_word);
        let is_beginning = is_unfinished || (!self.is_phrase && text.ends_with('*'));
        Some(Term { text, is_beginning })
    }
}

/// The first piece, and what is behind it.
fn next(text: &str) -> Option<(Piece<'_>, &str)> {
    let text = text.trim_start();
    // Two dashes are an option of a command, which is a thing to look for.
    let without = text.strip_prefix('-').filter(|rest| !rest.starts_with(['-', ' ']) && !rest.is_empty());
    let (is_without, text) = (without.is_some(), without.unwrap_or(text));
    if let Some(inside) = text.strip_prefix('"') {
        // A quote that is not closed yet goes on to the end.
        let (text, rest) = inside.split_once('"').unwrap_or((inside, ""));
        let is_open = text.len() == inside.len();
        return Some((Piece { text, is_without, is_phrase: true, is_last: is_open }, rest));
    }
    if text.is_empty() {
        return None;
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    Some((Piece { text: word, is_without, is_phrase: false, is_last: rest.is_empty() }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(typed: &str, expected: &str) {
        let got = SearchQuery::parse(typed).map_or_else(|bad| format!("{bad:?}"), |query| query.fts5());
        assert_eq!(got, expected, "for {typed:?}");
    }

    #[test]
    fn words_must_all_occur_and_the_last_may_be_unfinished() {
        check("flaky tes", r#""flaky" AND "tes" *"#);
        check("flaky test ", r#""flaky" AND "test""#);
        check("  one  ", r#""one""#);
        check("conf*  file ", r#""conf*" * AND "file""#);
        check("x", r#""x""#);
        check("step x", r#""step" AND "x""#);
        check("日", r#""日" *"#);
        check("größ", r#""größ" *"#);
    }

    #[test]
    fn identifiers_and_paths_are_phrases_of_their_parts() {
        check("src/lib.rs ", r#""src/lib.rs""#);
        check("read_transcript_line", r#""read_transcript_line" *"#);
        check("foo-bar ", r#""foo-bar""#);
        check("--no-verify ", r#""--no-verify""#);
        check("std::fs::read(x)", r#""std::fs::read(x)""#);
        check("a.b:c ", r#""a.b:c""#);
    }

    #[test]
    fn quotes_keep_words_together_and_a_dash_leaves_them_out() {
        check(r#""no space left" disk "#, r#""no space left" AND "disk""#);
        check(r#"disk "no space le"#, r#""disk" AND "no space le" *"#);
        check(r#""no space""#, r#""no space""#);
        check("build -test", r#"("build") NOT ("test")"#);
        check(r#"-"unit test" build -x "#, r#"("build") NOT ("unit test" OR "x")"#);
        check("a - b ", r#""a" AND "b""#);
        check("build -", r#""build""#);
        check(r#"say"hi" "#, r#""say""hi""""#);
    }

    #[test]
    fn the_searchs_own_language_cannot_be_reached() {
        check("a OR b ", r#""a" AND "OR" AND "b""#);
        check("NEAR(a b) ", r#""NEAR(a" AND "b)""#);
        check("text:x ", r#""text:x""#);
        check("^one + {two} ", r#""^one" AND "{two}""#);
        check("a\0b ", r#""a b""#);
        check(r#"" OR "1"="1"#, r#""OR" AND "1""=""1""#);
    }

    #[test]
    fn what_cannot_be_looked_for_is_said() {
        check("", "NoWord");
        check(" \"\" - ++ 🚀", "NoWord");
        check("-test", "OnlyWithout");
        check(&"a ".repeat(33), "TooManyTerms");
        check(&"a".repeat(1_001), "TooLong");
    }

    proptest! {
        #[test]
        fn any_text_is_a_query_or_a_reason_and_its_quotes_are_closed(typed in r#"[ -"*a-c(日\x00\n]{0,40}"#) {
            if let Ok(query) = SearchQuery::parse(&typed) {
                let fts5 = query.fts5();
                prop_assert_eq!(fts5.matches('"').count() % 2, 0);
                prop_assert!(!fts5.contains(char::is_control));
            }
        }
    }
}

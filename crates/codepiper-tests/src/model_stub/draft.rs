//! A reply between the script and the wire: tools have their names, texts are words, nothing is of a provider yet.

use std::time::Duration;

use serde_json::Value;

use super::script::{Call, Ending, Part, Reply, Usage};

/// A reply that only lacks its form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    /// Unique over all stubs: ids of messages, calls and requests are made of it.
    pub(super) stem: String,
    pub(super) model: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) usage: Usage,
    /// Whether the connection is dropped after the last piece.
    pub(super) cut: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Think(String),
    Text { words: Vec<String>, pause: Duration },
    Call { id: String, name: String, input: Value },
}

/// What a streamed reply is sent as.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// An event; its `type` is the event's name.
    Event(Value),
    /// Nothing for a while.
    Pause(Duration),
    /// The connection is dropped.
    Cut,
}

impl Draft {
    /// `wire` gives a call its name and input; a call that can't be made becomes a text that says why.
    pub(super) fn new(
        stem: String,
        model: String,
        reply: &Reply,
        wire: impl Fn(&Call) -> Result<(String, Value), String>,
    ) -> Draft {
        let mut pieces: Vec<Piece> = vec![];
        for part in &reply.parts {
            pieces.push(match part {
                Part::Think(text) => Piece::Think(text.clone()),
                Part::Say(text) => Piece::text(text),
                Part::Stream { words, pause } => {
                    Piece::Text { words: (1..=*words).map(|n| format!("word{n} ")).collect(), pause: *pause }
                }
                Part::Call(call) => match wire(call) {
                    Ok((name, input)) => Piece::Call { id: format!("{stem}_{}", pieces.len()), name, input },
                    Err(why) => Piece::text(&why),
                },
            });
        }
        let cut = matches!(reply.ending, Ending::Cut { .. });
        Draft { stem, model, pieces, usage: reply.usage(), cut }
    }

    pub(super) fn calls_tools(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Call { .. }))
    }
}

impl Piece {
    fn text(text: &str) -> Piece {
        Piece::Text { words: text.split_inclusive(' ').map(str::to_owned).collect(), pause: Duration::ZERO }
    }
}

/// The frames of a text: each word as an event, with the pause before it.
pub(super) fn paced<'a>(
    words: &'a [String],
    pause: Duration,
    event: impl Fn(&str) -> Value + 'a,
) -> impl Iterator<Item = Frame> + 'a {
    words.iter().flat_map(move |word| {
        let pause = (!pause.is_zero()).then_some(Frame::Pause(pause));
        pause.into_iter().chain([Frame::Event(event(word))])
    })
}

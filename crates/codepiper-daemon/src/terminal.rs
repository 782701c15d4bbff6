//! A session's terminal: its recording as a stream with positions, and the screen that the stream draws.
//!
//! The recording is the one truth. A reader holds a place in it and reads on when told that there is more;
//! late, slow and returning readers are the same thing, and cost no memory. Who falls behind what is still
//! kept gets the screen as it is then, and goes on from there.

mod cursor;
mod screen;
mod view;

pub use cursor::{Cursor, Read};
pub use screen::{Screen, plain_text};
pub(crate) use view::View;

#[cfg(test)]
mod tests;

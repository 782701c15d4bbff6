//! What tests of the whole are built from: a private daemon with everything it needs, the real agent CLIs, and
//! a model server that says what a test tells it to.

pub mod agents;
pub mod bench;
pub mod lab;
pub mod model_stub;

mod socket;

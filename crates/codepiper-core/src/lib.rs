//! What CodePiper knows and decides.
//!
//! Pure: no clock, no I/O, no randomness, no runtime. What must come from outside (the time, a line of a
//! file, the bytes of a hook) comes in as an argument; what must happen outside goes out as a value. Every
//! function is total: input from agents is hostile and bad input is data, never a panic.
//!
//! Read in this order.

pub mod hex;
pub mod ids;
pub mod session;
pub mod transcript;
pub mod usage;

pub mod budget;
pub mod pricing;

pub mod env_set;

pub mod approval;
pub mod gate;
pub mod hook;
pub mod provider;

pub mod policy;

pub mod live;

pub mod handler;
pub mod notification;

pub mod images;
pub mod keys;
pub mod masking;
pub mod recording;

pub mod launch;

pub mod calendar;
pub mod search_query;

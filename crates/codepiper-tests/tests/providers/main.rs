//! Tests with the real Claude Code and Codex, which talk to a scripted model on loopback.

mod ccusage;
mod claude;
mod codex;
mod guard;
mod knowledge;
mod live;
mod notifications;
mod stub;

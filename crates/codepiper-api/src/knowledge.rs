//! Taking in what agents left on this machine.

use serde::{Deserialize, Serialize};

/// Takes in everything that Claude Code and Codex left on this machine, in sessions of ours and others.
/// `POST /import` answers with lines of [`ImportProgress`] until all is done; who joins a running import gets its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// Only of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where Claude Code keeps its files, when that is not where the daemon would look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claude_config_dir: Option<String>,
    /// Where Codex keeps its files, when that is not where the daemon would look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codex_home: Option<String>,
}

/// How far an import is. It first counts the replies of all transcripts, then reads everything in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportProgress {
    /// Transcripts found.
    pub files: u64,
    /// Of these, read to their ends.
    pub files_done: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Of these, with their replies counted by this import or before.
    pub bytes_counted: u64,
    /// Whether all replies are counted: tokens and costs are complete.
    pub counted: bool,
    /// Of all bytes, read by this import or before.
    pub bytes_done: u64,
    /// Pieces of conversations that were new.
    pub entries: u64,
    /// Replies of models that were new.
    pub replies: u64,
    /// Files that could not be read, and why; the first hundred.
    pub problems: Vec<ImportProblem>,
    /// Whether everything was read. The search takes it in from then on.
    pub done: bool,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportProblem {
    /// The file.
    pub path: String,
    /// Why.
    pub why: String,
}

/// What new prices changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repriced {
    /// Replies that cost something else now.
    pub changed: u64,
}

//! CodePiper's own files, which no agent is to read or write.

use crate::paths::RealPaths;
use codepiper_core::hook::ToolCall;
use serde_json::Value;
use std::path::Path;

/// What an agent is told.
pub const WHY: &str = "CodePiper's own files hold keys, rules and other sessions: they are not for agents";

/// Whether a call names a file below our folder. It stops an agent that looks around, not one that hides what it
/// looks for: that is what rules are for.
pub fn names_own_files(own: &Path, call: &ToolCall, cwd: &Path, paths: &RealPaths) -> bool {
    let text = |name: &str| call.args.get(name).and_then(Value::as_str);
    let files = ["file_path", "notebook_path", "path"].into_iter().filter_map(text);
    if files.into_iter().any(|file| paths.of(&cwd.join(file)).starts_with(paths.of(own))) {
        return true;
    }
    let shown = own.display().to_string();
    // As people write it where it is at its usual place.
    let usual = own.file_name().filter(|name| *name == ".codepiper").map(|_| "/.codepiper/");
    text("command")
        .is_some_and(|command| command.contains(&shown) || usual.is_some_and(|usual| command.contains(usual)))
}

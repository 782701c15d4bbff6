//! The tools: what a call is, how it looks, and what the quick ones do. Running a command is the turn's affair,
//! for it takes time.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::permission::Tool;

/// A file longer than this is not read: a demo, like a model, has no use for more.
const READ_MAX: u64 = 256 << 10;

/// One call of a tool.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) tool: Tool,
    pub(super) id: String,
    pub(super) input: Value,
}

/// What a call gave.
#[derive(Debug)]
pub(super) enum Given {
    Done {
        /// For the model.
        content: String,
        /// For hooks and transcript, in parts.
        response: Value,
        /// For the screen, below the call; empty when that was shown already.
        shown: String,
    },
    Failed {
        error: String,
    },
}

impl Call {
    /// `Bash(ls -la)`
    pub(super) fn shown(&self, cwd: &Path) -> String {
        let about = match self.tool {
            Tool::Bash => self.input["command"].as_str().unwrap_or_default().to_owned(),
            Tool::Read | Tool::Write | Tool::Edit => {
                let path = Path::new(self.input["file_path"].as_str().unwrap_or_default());
                path.strip_prefix(cwd).unwrap_or(path).to_string_lossy().into_owned()
            }
            Tool::AskUserQuestion => String::new(),
        };
        match self.tool {
            Tool::AskUserQuestion => "Question".to_owned(),
            tool => format!("{}({about})", tool.name()),
        }
    }

    /// What leave is asked for, line by line.
    pub(super) fn about(&self) -> Vec<String> {
        let text = |name: &str| self.input[name].as_str().unwrap_or_default();
        let lines = |sign: &str, text: &str| text.lines().map(|line| format!("{sign}{line}")).collect();
        match self.tool {
            Tool::Bash => text("command").lines().map(str::to_owned).collect(),
            Tool::Read => vec![text("file_path").to_owned()],
            Tool::Write => {
                let content: Vec<String> = lines("+ ", text("content"));
                [vec![text("file_path").to_owned(), String::new()], content].concat()
            }
            Tool::Edit => {
                let (old, new): (Vec<_>, Vec<_>) =
                    (lines("- ", text("old_string")), lines("+ ", text("new_string")));
                [vec![text("file_path").to_owned(), String::new()], old, new].concat()
            }
            Tool::AskUserQuestion => Vec::new(),
        }
    }
}

pub(super) fn read(input: &Value) -> Given {
    let path = path_of(input);
    match std::fs::metadata(&path) {
        Ok(file) if file.is_dir() => return failed("EISDIR: illegal operation on a directory, read"),
        Ok(file) if file.len() > READ_MAX => {
            return failed(format!("File content ({} bytes) exceeds maximum of {READ_MAX}.", file.len()));
        }
        Ok(_) => {}
        Err(_) => return failed("File does not exist."),
    }
    let content = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return failed(error.to_string()),
    };
    let lines: Vec<&str> = content.split('\n').collect();
    let numbered = lines.iter().enumerate().fold(String::new(), |mut text, (index, line)| {
        if index > 0 {
            text.push('\n');
        }
        let _ = write!(text, "{}\t{line}", index + 1);
        text
    });
    let count = lines.len();
    let shown = match content.lines().count() {
        1 => "Read 1 line".to_owned(),
        shown => format!("Read {shown} lines"),
    };
    let file = json!({
        "filePath": path,
        "content": content,
        "numLines": count,
        "startLine": 1,
        "totalLines": count,
    });
    Given::Done { content: numbered, response: json!({ "type": "text", "file": file }), shown }
}

pub(super) fn write(input: &Value) -> Given {
    let path = path_of(input);
    let content = input["content"].as_str().unwrap_or_default();
    let before = std::fs::read_to_string(&path).ok();
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| std::fs::write(&path, content)) {
        return failed(error.to_string());
    }
    let (kind, said, patch) = match &before {
        Some(before) => ("update", "has been updated successfully", patch(before, content)),
        None => ("create", "created successfully at", None),
    };
    let shown = path.display();
    Given::Done {
        content: match kind {
            "create" => format!("File {said}: {shown}"),
            _ => format!("The file {shown} {said}."),
        },
        shown: match &patch {
            Some(patch) => patch.shown(),
            None => format!("Wrote {} lines", content.lines().count()),
        },
        response: json!({
            "type": kind,
            "filePath": path,
            "content": content,
            "structuredPatch": patch.iter().map(Patch::to_json).collect::<Vec<_>>(),
            "originalFile": before,
            "userModified": false,
        }),
    }
}

pub(super) fn edit(input: &Value) -> Given {
    let path = path_of(input);
    let (old, new) =
        (input["old_string"].as_str().unwrap_or_default(), input["new_string"].as_str().unwrap_or_default());
    let before = match std::fs::read_to_string(&path) {
        Ok(before) => before,
        Err(_) => return failed("File does not exist."),
    };
    if old.is_empty() || !before.contains(old) {
        return failed(format!("String to replace not found in file.\nString: {old}"));
    }
    let all = input["replace_all"] == true;
    let after = if all { before.replace(old, new) } else { before.replacen(old, new, 1) };
    if let Err(error) = std::fs::write(&path, &after) {
        return failed(error.to_string());
    }
    let patch = patch(&before, &after);
    Given::Done {
        content: format!("The file {} has been updated successfully.", path.display()),
        shown: patch.as_ref().map_or_else(|| "No change".to_owned(), Patch::shown),
        response: json!({
            "filePath": path,
            "oldString": old,
            "newString": new,
            "originalFile": before,
            "structuredPatch": patch.iter().map(Patch::to_json).collect::<Vec<_>>(),
            "userModified": false,
            "replaceAll": all,
        }),
    }
}

/// Lines a response's patch adds and removes.
pub(super) fn changed_lines(response: &Value) -> (usize, usize) {
    let hunks = response["structuredPatch"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<&str> = hunks
        .iter()
        .flat_map(|hunk| hunk["lines"].as_array().map(Vec::as_slice).unwrap_or_default())
        .filter_map(Value::as_str)
        .collect();
    let count = |sign: char| lines.iter().filter(|line| line.starts_with(sign)).count();
    let created = if response["type"] == "create" {
        response["content"].as_str().unwrap_or_default().lines().count()
    } else {
        0
    };
    (count('+') + created, count('-'))
}

/// A path as it is meant from a folder, without `.` and `..`: what is asked leave for is where it leads.
pub(super) fn resolve(cwd: &Path, path: &str) -> String {
    let mut resolved = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            part => resolved.push(part),
        }
    }
    resolved.to_string_lossy().into_owned()
}

fn path_of(input: &Value) -> PathBuf {
    PathBuf::from(input["file_path"].as_str().unwrap_or_default())
}

fn failed(error: impl Into<String>) -> Given {
    Given::Failed { error: error.into() }
}

/// One hunk from the first changed line to the last, with a little around it.
struct Patch {
    old_start: usize,
    old_lines: usize,
    new_start: usize,
    new_lines: usize,
    lines: Vec<String>,
}

fn patch(before: &str, after: &str) -> Option<Patch> {
    /// Unchanged lines shown on each side.
    const AROUND: usize = 3;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let same_end =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    if same == old.len() && same == new.len() {
        return None;
    }
    let start = same.saturating_sub(AROUND);
    let after_end = same_end.min(AROUND);
    let (old_end, new_end) = (old.len() - same_end, new.len() - same_end);
    let signed = |sign: &str, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| format!("{sign}{line}")).collect()
    };
    let lines = [
        signed(" ", &old[start..same]),
        signed("-", &old[same..old_end]),
        signed("+", &new[same..new_end]),
        signed(" ", &old[old_end..old_end + after_end]),
    ]
    .concat();
    Some(Patch {
        old_start: start + 1,
        old_lines: old_end + after_end - start,
        new_start: start + 1,
        new_lines: new_end + after_end - start,
        lines,
    })
}

impl Patch {
    fn to_json(&self) -> Value {
        json!({
            "oldStart": self.old_start,
            "oldLines": self.old_lines,
            "newStart": self.new_start,
            "newLines": self.new_lines,
            "lines": self.lines,
        })
    }

    fn shown(&self) -> String {
        self.lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_the_recorded_one() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../testdata/claude-code/hooks/PostToolUse.Edit.json"))
                .expect("recorded JSON");
        let ours = patch("alpha\nbeta\n", "ALPHA\nbeta\n").expect("a change");
        assert_eq!(ours.to_json(), recorded["tool_response"]["structuredPatch"][0]);
    }

    #[test]
    fn responses_are_the_recorded_ones() {
        let check = |name: &str, recorded: &str, tool: fn(&Value) -> Given, prepare: Option<&str>| {
            let folder = tempfile::tempdir().expect("a folder");
            let recorded: Value = serde_json::from_str(recorded).expect("recorded JSON");
            let mut input = recorded["tool_input"].clone();
            let file = folder.path().join("file.txt");
            input["file_path"] = file.to_str().into();
            if let Some(content) = prepare {
                std::fs::write(&file, content).expect("written");
            }
            let Given::Done { response, .. } = tool(&input) else { panic!("{name} failed") };
            let place = recorded["tool_input"]["file_path"].as_str().expect("a path");
            let ours = response.to_string().replace(file.to_str().expect("UTF-8"), place);
            let ours: Value = serde_json::from_str(&ours).expect("still JSON");
            assert_eq!(ours, recorded["tool_response"], "{name}");
        };
        let before = Some("alpha\nbeta\n");
        check("Read", include_str!("../../testdata/claude-code/hooks/PostToolUse.Read.json"), read, before);
        check("Edit", include_str!("../../testdata/claude-code/hooks/PostToolUse.Edit.json"), edit, before);
        check("Write", include_str!("../../testdata/claude-code/hooks/PostToolUse.Write.json"), write, None);
    }

    #[test]
    fn paths_lead_where_they_lead() {
        let check = |path: &str, expected: &str| assert_eq!(resolve(Path::new("/a/b"), path), expected);
        check("c", "/a/b/c");
        check("./c/../d", "/a/b/d");
        check("../../etc/x", "/etc/x");
        check("/etc/x", "/etc/x");
    }
}

//! A rule ready to be held against calls, and the call prepared for it.

use super::paths::{self, PathForms};
use super::pattern::{List, PathPattern, TextPattern};
use super::{Action, Call};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Arguments in which tools name the file they work on. For rules they are one: a criterion on any of them
/// is held against whichever the call has, so a rule for `Read` with `file_path` also knows `Grep`'s `path`.
pub(super) const FILE_ARGS: &[&str] = &["file_path", "notebook_path", "path", "filePath", "absolute_path"];

/// Other arguments that are paths.
pub(super) const FOLDER_ARGS: &[&str] = &["cwd", "workdir", "directory", "dir_path"];

/// Tools that read files, and tools that write them: a rule for one of them reaches shell commands.
pub(super) const READ_TOOLS: &[&str] = &["Read", "Grep", "Glob", "NotebookRead", "LS"];
pub(super) const WRITE_TOOLS: &[&str] = &["Write", "Edit", "MultiEdit", "NotebookEdit"];

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) action: Action,
    pub(super) priority: i64,
    /// Which of the book's policies, and which of its rules.
    pub(super) origin: (usize, usize),
    pub(super) tool: Option<List<TextPattern>>,
    pub(super) command: Option<List<TextPattern>>,
    pub(super) files: Vec<List<PathPattern>>,
    pub(super) folders: Vec<(String, List<PathPattern>)>,
    pub(super) texts: Vec<(String, List<TextPattern>)>,
    pub(super) cwd: Option<List<PathPattern>>,
    pub(super) session: Option<List<TextPattern>>,
    /// By kind: whether it is for a tool that reads files, or writes them.
    pub(super) reads_files: bool,
    pub(super) writes_files: bool,
}

/// How well a rule fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hit {
    No,
    /// It can't be told; for deny and ask that is reason to ask.
    Maybe,
    Yes,
    /// The rule was made for this very text.
    Exact,
}

impl std::convert::From<bool> for Hit {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// A call with what rules ask of it, found out once and only when asked.
pub(super) struct Prepared<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) cwd: PathBuf,
    pub(super) home: Option<PathBuf>,
    real_cwd: OnceCell<PathBuf>,
    real_home: OnceCell<Option<PathBuf>>,
    views: RefCell<BTreeMap<OsString, std::rc::Rc<View>>>,
    /// Of working directories: few, and looked at by every rule that names some.
    cwds: RefCell<Vec<(PathBuf, std::rc::Rc<View>)>>,
}

/// A path in all its forms.
#[derive(Debug)]
pub(super) struct View {
    /// As written, made normal.
    written: PathForms,
    /// With links resolved, seen from the same working directory, where that is another.
    seen: Option<PathForms>,
    /// With links resolved from the root, where that is another still.
    real: Option<PathForms>,
}

impl View {
    pub(super) fn forms(&self) -> impl Iterator<Item = &PathForms> {
        [Some(&self.written), self.seen.as_ref(), self.real.as_ref()].into_iter().flatten()
    }

    /// For deny and ask any form will do, for allow all must.
    pub(super) fn fits(&self, list: &List<PathPattern>, action: Action) -> bool {
        let holds = |path: &PathForms| list.holds(|pattern| pattern.is_match(path));
        match action {
            Action::Allow => holds(&self.written) && self.seen.as_ref().is_none_or(holds),
            Action::Ask | Action::Deny => self.forms().any(holds),
        }
    }
}

impl<'a> Prepared<'a> {
    pub(super) fn new(call: &'a Call<'a>) -> Self {
        Self {
            cwd: paths::normal("", call.cwd, None),
            home: call.home.map(|home| paths::normal("", home, None)),
            real_cwd: OnceCell::new(),
            real_home: OnceCell::new(),
            views: RefCell::default(),
            cwds: RefCell::default(),
            call,
        }
    }

    pub(super) fn view(&self, path: &str, cwd: &Path) -> std::rc::Rc<View> {
        let path = paths::normal(path, cwd, self.home.as_deref());
        if let Some(view) = self.views.borrow().get(path.as_os_str()) {
            return view.clone();
        }
        let real = (self.call.real)(&path);
        let view = std::rc::Rc::new(match self.has_no_links(&path, &real) {
            true => View { written: self.forms(&path), seen: None, real: None },
            false => self.view_with_links(&path, &real),
        });
        self.views.borrow_mut().insert(path.into_os_string(), view.clone());
        view
    }

    /// Whether [`Self::view_with_links`] would see nothing but the path as it is written, as nearly always.
    pub(super) fn has_no_links(&self, path: &Path, real: &Path) -> bool {
        let same = |one: &Path, other: &Path| one.as_os_str() == other.as_os_str();
        let (real_cwd, real_home) = self.real_folders();
        let folders = [Some((&*self.cwd, real_cwd)), self.home.as_deref().zip(real_home)];
        let is_plain = |(folder, real): (&Path, &Path)| same(folder, real) && !same(folder, path);
        same(path, real) && folders.into_iter().flatten().all(is_plain)
    }

    pub(super) fn view_with_links(&self, path: &Path, real: &Path) -> View {
        let (real_cwd, real_home) = self.real_folders();
        // A link on the way to the working directory is no way out of it.
        let seen = match (real.strip_prefix(real_cwd), real_home.zip(self.home.as_deref())) {
            (Ok(rest), _) => self.cwd.join(rest),
            (_, Some((real_home, home))) => match real.strip_prefix(real_home) {
                Ok(rest) => home.join(rest),
                Err(_) => real.to_owned(),
            },
            _ => real.to_owned(),
        };
        View {
            written: self.forms(path),
            seen: (seen.as_os_str() != path.as_os_str()).then(|| self.forms(&seen)),
            real: (real.as_os_str() != seen.as_os_str()).then(|| self.forms(real)),
        }
    }

    /// The working directory and the home with links resolved.
    fn real_folders(&self) -> (&Path, Option<&Path>) {
        let real_cwd = self.real_cwd.get_or_init(|| (self.call.real)(&self.cwd));
        let real_home =
            self.real_home.get_or_init(|| self.home.as_deref().map(|home| (self.call.real)(home)));
        (real_cwd, real_home.as_deref())
    }

    fn forms(&self, path: &Path) -> PathForms {
        PathForms::new(path, &self.cwd, self.home.as_deref())
    }

    fn cwd_view(&self, cwd: &Path) -> std::rc::Rc<View> {
        let is_it = |(own, _): &&(PathBuf, std::rc::Rc<View>)| own.as_os_str() == cwd.as_os_str();
        if let Some((_, view)) = self.cwds.borrow().iter().find(is_it) {
            return view.clone();
        }
        let view = self.view("", cwd);
        self.cwds.borrow_mut().push((cwd.to_owned(), view.clone()));
        view
    }

    pub(super) fn paths_seen(&self) -> usize {
        self.views.borrow().len()
    }

    /// The arguments that name the call's file.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a str> {
        let args = self.call.args;
        FILE_ARGS.iter().filter_map(|name| args.get(name)?.as_str()).filter(|path| !path.is_empty())
    }
}

impl Compiled {
    pub(super) fn is_for(&self, tool: &str) -> bool {
        self.tool.as_ref().is_none_or(|list| list.holds(|pattern| pattern.is_match(tool)))
    }

    /// Whether it says nothing about arguments.
    pub(super) fn takes_any_args(&self) -> bool {
        self.command.is_none() && self.files.is_empty() && self.has_no_others()
    }

    /// Whether it says nothing about arguments but the command and the file.
    pub(super) fn has_no_others(&self) -> bool {
        self.folders.is_empty() && self.texts.is_empty()
    }

    /// Whether it is a deny or ask rule on files that commands may name.
    pub(super) fn reaches_commands(&self) -> bool {
        self.action != Action::Allow
            && !self.files.is_empty()
            && self.command.is_none()
            && self.has_no_others()
            && (self.reads_files || self.writes_files)
    }

    /// All criteria but tool, command and file. `cwds`: where it may run, empty if unknown.
    pub(super) fn fits_around(&self, call: &Prepared<'_>, cwds: &[PathBuf]) -> Hit {
        let session = call.call.session.as_str();
        let args = call.call.args;
        if self.session.as_ref().is_some_and(|list| !list.holds(|pattern| pattern.is_match(session))) {
            return Hit::No;
        }
        let text_fits = |(path, list): &(String, List<TextPattern>)| {
            argument(args, path).is_some_and(|text| list.holds(|pattern| pattern.is_match(&text)))
        };
        let folder_fits = |(path, list): &(String, List<PathPattern>)| {
            argument(args, path).is_some_and(|text| call.view(&text, &call.cwd).fits(list, self.action))
        };
        if !self.texts.iter().all(text_fits) || !self.folders.iter().all(folder_fits) {
            return Hit::No;
        }
        let Some(list) = &self.cwd else { return Hit::Yes };
        let fits = |cwd: &Path| call.cwd_view(cwd).fits(list, self.action);
        match self.action {
            Action::Allow => (fits(&call.cwd) && !cwds.is_empty() && cwds.iter().all(|cwd| fits(cwd))).into(),
            _ if fits(&call.cwd) || cwds.iter().any(|cwd| fits(cwd)) => Hit::Yes,
            _ if cwds.is_empty() => Hit::Maybe,
            _ => Hit::No,
        }
    }

    /// Against a call that is no shell command. The tool was looked at before.
    pub(super) fn fits_call(&self, call: &Prepared<'_>) -> bool {
        if let Some(list) = &self.command {
            let args = call.call.args;
            let Some(text) = argument(args, "command").or_else(|| argument(args, "cmd")) else {
                return false;
            };
            if !list.holds(|pattern| pattern.is_match(text.trim())) {
                return false;
            }
        }
        for list in &self.files {
            let mut files = call.files().peekable();
            if files.peek().is_none() {
                return false;
            }
            let fits = |path: &str| call.view(path, &call.cwd).fits(list, self.action);
            let fit = if self.action == Action::Allow { files.all(fits) } else { files.any(fits) };
            if !fit {
                return false;
            }
        }
        self.fits_around(call, std::slice::from_ref(&call.cwd)) == Hit::Yes
    }
}

/// An argument as text, by its dotted path. What is missing or null is not there, and so is an empty text.
pub(super) fn argument<'a>(args: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    let whole = args.get(path);
    let value = whole.or_else(|| {
        path.split('.').try_fold(args, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        })
    })?;
    let text = match value {
        Value::Null => return None,
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    (!text.is_empty()).then_some(text)
}

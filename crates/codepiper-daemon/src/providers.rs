//! The providers that are known here: those inside this program and the user's own, and what of them is
//! installed.

use anyhow::Result;
use codepiper_api::providers::{LaunchHints, ProviderView, ResumeCommands};
use codepiper_api::{Fault, Refusal};
use codepiper_core::provider::{Definition, Provider, built_in};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a program may take to say its version; Gemini CLI takes 2.7 s.
pub const VERSION_TIME_MAX: Duration = Duration::from_secs(10);

/// All providers.
pub struct Providers {
    all: Vec<Provider>,
    /// Definition files that could not be used, for `doctor`.
    pub bad: Vec<(PathBuf, String)>,
    codepiper: PathBuf,
    versions: Mutex<HashMap<(PathBuf, SystemTime, u64), Option<String>>>,
}

impl Providers {
    /// Reads the user's definitions; one with a known id takes its place.
    pub fn load(folder: &Path, codepiper: &Path) -> Result<Self> {
        let mut all: Vec<Provider> = built_in().into_iter().map(Provider::new).collect();
        let mut bad = Vec::new();
        for (path, definition) in read_folder(folder) {
            match definition {
                Ok(definition) => {
                    all.retain(|known| known.id() != definition.id);
                    all.push(Provider::new(definition));
                }
                Err(why) => {
                    tracing::warn!(file = %path.display(), why, "a provider definition cannot be used");
                    bad.push((path, why));
                }
            }
        }
        Ok(Self { all, bad, codepiper: codepiper.to_owned(), versions: Mutex::default() })
    }

    /// All of them, those of this program first.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter()
    }

    /// The provider a person means.
    pub fn find(&self, name: &str) -> Result<&Provider, Refusal> {
        self.all.iter().find(|provider| provider.definition.answers_to(name)).ok_or_else(|| {
            let known: Vec<&str> = self.all.iter().map(Provider::id).collect();
            let mut refusal =
                Refusal::new(Fault::Usage, format!("`provider`: there is no provider `{name}`")).hint(
                    format!("known are {}; `codepiper providers` shows what they can do", known.join(", ")),
                );
            refusal.field = Some("provider".into());
            refusal
        })
    }

    /// Where the provider's program is in this PATH.
    pub fn program(&self, provider: &Provider, path: Option<&str>) -> Option<PathBuf> {
        if provider.definition.program.is_empty() {
            return Some(self.codepiper.clone());
        }
        find_program(&provider.definition.program, path?)
    }

    /// The program, or a refusal that says how to get it.
    pub fn require(&self, provider: &Provider, path: Option<&str>) -> Result<PathBuf, Refusal> {
        self.program(provider, path).ok_or_else(|| {
            let definition = &provider.definition;
            Refusal::new(
                Fault::Missing,
                format!("`{}` is not installed: {} needs it", definition.program, definition.label),
            )
            .hint(format!("install it with `{}`, or put it on the PATH and try again", definition.install))
        })
    }

    /// The version a program says, asked once for each program file.
    pub async fn version(&self, program: &Path) -> Option<String> {
        if program == self.codepiper {
            return Some(env!("CARGO_PKG_VERSION").to_owned());
        }
        let facts = fs::metadata(program).ok()?;
        let key = (program.to_owned(), facts.modified().ok()?, facts.len());
        if let Some(known) = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let version = ask_version(program).await;
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(key, version.clone());
        version
    }

    /// The providers as clients see them.
    pub async fn view(&self, path: Option<&str>) -> Vec<ProviderView> {
        // All at once: each may take seconds.
        join_all(self.all.iter().map(async |provider| {
            let definition = &provider.definition;
            let program = self.program(provider, path);
            let version = match &program {
                Some(program) => self.version(program).await,
                None => None,
            };
            let words = |template: &[String]| -> Vec<String> {
                let mut words = Vec::from([definition.program.clone()]);
                words.extend(template.iter().cloned());
                if template.is_empty() { Vec::new() } else { words }
            };
            ProviderView {
                id: definition.id.clone(),
                label: definition.label.clone(),
                runtime: "tmux".into(),
                capabilities: definition.capabilities.clone(),
                launch_hints: LaunchHints {
                    dangerous_mode_flags: definition.launch.dangerous.clone(),
                    resume_commands: ResumeCommands {
                        resume: words(&definition.launch.resume),
                        fork: words(&definition.launch.fork),
                        id_placeholder: "{parent}".into(),
                    },
                },
                program: program.map(|program| program.display().to_string()),
                version,
                install: definition.install.clone(),
            }
        }))
        .await
    }

    /// Those of these variables that hold a credential of a provider.
    pub fn credentials<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        names.filter(|name| self.all.iter().any(|provider| provider.definition.is_credential(name))).collect()
    }
}

/// The version a program says.
pub async fn ask_version(program: &Path) -> Option<String> {
    let asked = tokio::process::Command::new(program)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(VERSION_TIME_MAX, asked).await {
        Ok(Ok(output)) => version_in(&String::from_utf8_lossy(&output.stdout)),
        Ok(Err(_)) | Err(_) => None,
    }
}

fn read_folder(folder: &Path) -> Vec<(PathBuf, Result<Definition, String>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() }; // none yet
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        Definition::parse(&text).map_err(|error| error.to_string())
    };
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// Looks a program up in a PATH; a name with a slash is a path itself.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |candidate: &PathBuf| {
        fs::metadata(candidate).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// The first word that begins with a digit and has a point: `2.1.197 (Claude Code)`, `codex-cli 0.169.0`.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

/// A version as numbers.
pub fn version_numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(version_in("2.1.197 (Claude Code)\n").as_deref(), Some("2.1.197"));
        assert_eq!(version_in("codex-cli 0.169.0").as_deref(), Some("0.169.0"));
        assert_eq!(version_in("aider 0.86.2").as_deref(), Some("0.86.2"));
        assert_eq!(version_in("usage: x"), None);
        assert_eq!(version_numbers("2.1.197"), Some((2, 1, 197)));
        assert_eq!(version_numbers("3.0-beta"), Some((3, 0, 0)));
    }

    #[test]
    fn the_users_definition_takes_the_place_of_a_built_in_one_and_a_bad_one_is_kept_for_the_doctor() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.toml"), "id = 'aider'\nprogram = 'my-aider'").unwrap();
        fs::write(folder.path().join("b.toml"), "id = 'broken'").unwrap();
        let providers = Providers::load(folder.path(), Path::new("/bin/codepiper")).unwrap();
        assert_eq!(providers.find("aider").unwrap().definition.program, "my-aider");
        assert_eq!(providers.find("claude").unwrap().id(), "claude-code");
        assert_eq!(providers.bad.len(), 1);
        let refusal = providers.find("nope").err().unwrap();
        assert!(refusal.hint.unwrap().contains("claude-code, codex, demo"));
    }

    #[test]
    fn a_program_is_looked_up_in_absolute_folders_only() {
        assert!(find_program("sh", "/nowhere:/bin").is_some());
        assert!(find_program("sh", ".:bin").is_none());
        assert!(find_program("/bin/sh", "").is_some());
    }
}

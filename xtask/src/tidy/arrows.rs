//! Which of our crates may know which. A cycle is impossible in cargo; a wrong arrow is not.

use serde_json::Value;

use super::{Finding, Tree};

/// Each crate of ours and the crates of ours it may name in its `Cargo.toml`, for tests and builds as well.
/// A new line, or a new word in one, is a change of its own that says why.
const ARROWS: &[(&str, &[&str])] = &[
    ("codepiper-core", &[]),
    ("codepiper-api", &["codepiper-core"]),
    ("codepiper-store", &["codepiper-core"]),
    ("codepiper-tmux", &[]),
    ("codepiper-daemon", &["codepiper-api", "codepiper-core", "codepiper-store", "codepiper-tmux"]),
    ("codepiper", &["codepiper-api", "codepiper-core", "codepiper-daemon"]),
    (
        "codepiper-tests",
        // The store is for the bench: its floor commits to the same SQLite.
        &[
            "codepiper",
            "codepiper-api",
            "codepiper-core",
            "codepiper-daemon",
            "codepiper-store",
            "codepiper-tmux",
        ],
    ),
    ("xtask", &[]),
];
const ARROWS_WHY: &str = "crates know each other in one direction only, see ARCHITECTURE.md; \
                          the list is in xtask/src/tidy/arrows.rs";

/// A crate of others that not all of ours may depend on.
struct Reserved {
    name: &'static str,
    allowed: fn(&str) -> bool,
    why: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        name: "rusqlite",
        allowed: |ours| ours == "codepiper-store",
        why: "only codepiper-store has SQL",
    },
    Reserved { name: "tokio", allowed: |ours| ours != "codepiper-core", why: CORE_WHY },
    Reserved { name: "rand", allowed: |ours| ours != "codepiper-core", why: CORE_WHY },
];
const CORE_WHY: &str = "codepiper-core is pure: no I/O, no clock, no randomness";

const LINTS_WHY: &str = "a crate without `[lints]` with `workspace = true` is checked by no lint of ours";

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let root = tree.metadata["workspace_root"].as_str().unwrap_or_default();
    let mut findings = Vec::new();
    for package in list(&tree.metadata["packages"]) {
        let name = text(&package["name"]);
        let manifest_path = text(&package["manifest_path"]);
        let manifest = Manifest {
            path: manifest_path.strip_prefix(root).unwrap_or(manifest_path).trim_start_matches('/'),
            tree,
        };
        match ARROWS.iter().find(|(crate_name, _)| *crate_name == name) {
            None => {
                let what = format!("crate `{name}` is not in the list of arrows");
                findings.push(manifest.finding(&format!("name = \"{name}\""), what, ARROWS_WHY));
            }
            Some((_, may)) => {
                for other in dependencies(package).filter(|other| is_ours(tree, other)) {
                    if other != name && !may.contains(&other) {
                        let what = format!("`{name}` must not depend on `{other}`");
                        findings.push(manifest.finding(other, what, ARROWS_WHY));
                    }
                }
            }
        }
        for reserved in RESERVED {
            let Reserved { name: other, allowed, why } = reserved;
            if !allowed(name) && dependencies(package).any(|dependency| dependency == *other) {
                findings.push(manifest.finding(other, format!("`{name}` must not depend on `{other}`"), why));
            }
        }
        if !manifest.text().is_none_or(takes_workspace_lints) {
            let what = format!("`{name}` does not take the lints of the workspace");
            findings.push(manifest.finding("[lints", what, LINTS_WHY));
        }
    }
    findings
}

fn is_ours(tree: &Tree, name: &str) -> bool {
    list(&tree.metadata["packages"]).any(|package| package["name"] == name)
}

/// Of every kind: a dev-dependency is an arrow too.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    list(&package["dependencies"]).map(|dependency| text(&dependency["name"]))
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let compact: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        if (section == "[lints]" && compact == "workspace=true") || compact == "lints.workspace=true" {
            return true;
        }
    }
    false
}

struct Manifest<'a> {
    path: &'a str,
    tree: &'a Tree,
}

impl<'a> Manifest<'a> {
    /// `None` for a manifest git knows nothing of: an ignored one.
    fn text(&self) -> Option<&'a str> {
        self.tree.files.iter().find(|file| file.path == self.path).map(|file| file.text.as_str())
    }

    /// At the first line that begins with `start`, else at the first line.
    fn finding(&self, start: &str, what: String, why: &'static str) -> Finding {
        let line = self.text().and_then(|text| {
            text.lines().position(|line| {
                line.strip_prefix(start)
                    .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
            })
        });
        Finding { file: self.path.to_owned(), line: line.map_or(1, |index| index + 1), what, why }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::File;
    use super::*;

    const GOOD_LINTS: &str = "[lints]\nworkspace = true\n";

    /// `crates`: a line a crate, `name: dependency dependency`. All our crates exist, these have dependencies.
    fn tree(crates: &str, lints: &str) -> Tree {
        let mut files = Vec::new();
        let mut packages = Vec::new();
        let named: Vec<(&str, &str)> =
            crates.lines().filter_map(|line| line.trim().split_once(':')).collect();
        let others = ARROWS.iter().filter(|(name, _)| named.iter().all(|(other, _)| other != name));
        for (name, dependencies) in named.iter().copied().chain(others.map(|(name, _)| (*name, ""))) {
            let path = format!("crates/{name}/Cargo.toml");
            let dependencies: Vec<&str> = dependencies.split_whitespace().collect();
            let lines: String =
                dependencies.iter().map(|other| format!("{other}.workspace = true\n")).collect();
            let text = format!("[package]\nname = \"{name}\"\n\n{lints}\n[dependencies]\n{lines}");
            packages.push(json!({
                "name": name,
                "manifest_path": format!("/somewhere/{path}"),
                "dependencies": dependencies.iter().map(|other| json!({ "name": other })).collect::<Vec<_>>(),
            }));
            files.push(File { path, text });
        }
        Tree { files, metadata: json!({ "workspace_root": "/somewhere", "packages": packages }) }
    }

    fn check(crates: &str, expected: &[&str]) {
        let got: Vec<String> = findings(&tree(crates, GOOD_LINTS))
            .iter()
            .map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.what))
            .collect();
        assert_eq!(got, expected, "{crates}");
    }

    #[test]
    fn the_arrows_we_want_are_allowed() {
        check("", &[]);
        check(
            "codepiper-api: codepiper-core serde
             codepiper-store: codepiper-core rusqlite tokio
             codepiper-tmux: tokio
             codepiper-daemon: codepiper-api codepiper-core codepiper-store codepiper-tmux
             codepiper: codepiper-api codepiper-core codepiper-daemon
             codepiper-tests: codepiper-api codepiper-core codepiper-daemon codepiper-tmux
             xtask: anyhow",
            &[],
        );
    }

    #[test]
    fn every_other_arrow_is_named_with_its_line() {
        for (from, to) in [
            ("codepiper-core", "codepiper-api"),
            ("codepiper-api", "codepiper-store"),
            ("codepiper-api", "codepiper-daemon"),
            ("codepiper-store", "codepiper-api"),
            ("codepiper-tmux", "codepiper-core"),
            ("codepiper-daemon", "codepiper"),
            ("codepiper-daemon", "codepiper-tests"),
            ("codepiper", "codepiper-store"),
            ("codepiper", "codepiper-tmux"),
            ("codepiper-tests", "xtask"),
            ("xtask", "codepiper-core"),
        ] {
            check(
                &format!("{from}: serde {to}"),
                &[&format!("crates/{from}/Cargo.toml:9: `{from}` must not depend on `{to}`")],
            );
        }
    }

    #[test]
    fn a_new_crate_needs_its_line_in_the_list() {
        check(
            "codepiper-utils: codepiper-core",
            &["crates/codepiper-utils/Cargo.toml:2: crate `codepiper-utils` is not in the list of arrows"],
        );
    }

    #[test]
    fn some_dependencies_are_reserved() {
        check(
            "codepiper-core: tokio rand
             codepiper-daemon: rusqlite",
            &[
                "crates/codepiper-core/Cargo.toml:8: `codepiper-core` must not depend on `tokio`",
                "crates/codepiper-core/Cargo.toml:9: `codepiper-core` must not depend on `rand`",
                "crates/codepiper-daemon/Cargo.toml:8: `codepiper-daemon` must not depend on `rusqlite`",
            ],
        );
    }

    #[test]
    fn every_crate_takes_the_lints_of_the_workspace() {
        for bad in ["", "[lints]\n", "[lints]\nworkspace = false\n", "[other]\nworkspace = true\n"] {
            assert_eq!(findings(&tree("", bad)).len(), ARROWS.len(), "{bad}");
        }
        for good in [GOOD_LINTS, "[lints]\nworkspace=true\n"] {
            assert_eq!(findings(&tree("", good)), [], "{good}");
        }
        assert!(takes_workspace_lints("lints.workspace = true"));
    }
}

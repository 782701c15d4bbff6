//! From what was found on the machine to what is to be done. Pure: looks at nothing, runs nothing.

use std::fmt::{self, Display, Formatter};

use super::{Need, Source, Version};

/// Everything the plan depends on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) found: Vec<(&'static Need, Found)>,
    pub(super) manager: Option<Manager>,
    /// The manager has no package lists yet, as in a fresh container.
    pub(super) lists_empty: bool,
    pub(super) rustup: bool,
    pub(super) root: bool,
    pub(super) sudo: bool,
    /// Nobody is there to answer a question.
    pub(super) ci: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// It is on `PATH` and fails when asked for its version: a rustup proxy without its component, for instance.
    Broken,
    /// It is on `PATH`; its version was not asked for.
    There,
    Answer(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Brew,
}

impl Manager {
    /// In the order of the columns of `NEEDS`, which is also the order in which we look for them.
    pub(super) const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Apk, Self::Pacman, Self::Brew];

    pub(super) fn binary(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Apk => "apk",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    /// Fetches the lists of packages; `None` where installing does it.
    fn refresh(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Apt => Some(&["apt-get", "update"]),
            Self::Pacman => Some(&["pacman", "-Sy"]),
            Self::Dnf | Self::Apk | Self::Brew => None,
        }
    }

    /// Never asks: we have said what comes, and CI has nobody to answer.
    fn install(self) -> &'static [&'static str] {
        match self {
            // `env` because sudo clears the environment. Without the recommended packages Debian 12 installs 373
            // packages (223 MB) for npm, with them 583 (548 MB).
            Self::Apt => &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "-y",
                "--no-install-recommends",
            ],
            Self::Dnf => &["dnf", "install", "-y"],
            Self::Apk => &["apk", "add", "--no-cache"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        }
    }

    /// Homebrew refuses to run as root, the others need it.
    fn needs_root(self) -> bool {
        self != Self::Brew
    }
}

/// What a person does when we can't become root.
pub(super) const BY_HAND: &str = "run the commands above as root, then this again";

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) lacking: Vec<(&'static Need, Found)>,
    pub(super) commands: Vec<Line>,
    /// Why the commands can't be run, or don't bring everything.
    pub(super) obstacle: Option<String>,
}

/// A command and its arguments; no word of them needs quoting.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    /// Fetches package lists that are there already. Run when this line failed, which then gets one more try: lists
    /// older than the mirror's last change name files that are gone.
    pub(super) renew: Option<Vec<String>>,
}

impl Line {
    fn new(parts: &[&[&str]]) -> Self {
        Self { words: words(parts), renew: None }
    }

    pub(super) fn by_sudo(&self) -> bool {
        self.words.first().is_some_and(|word| word == "sudo")
    }
}

pub(super) fn plan(facts: &Facts) -> Plan {
    let lacking: Vec<(&Need, Found)> =
        facts.found.iter().filter(|(need, found)| !enough(need, found)).cloned().collect();
    let mut packages: Vec<&str> = Vec::new();
    let mut components: Vec<&str> = Vec::new();
    let mut obstacles: Vec<String> = Vec::new();
    for (need, _) in &lacking {
        match (&need.source, facts.manager) {
            (Source::Rustup(component), _) if facts.rustup => components.push(component),
            (Source::Rustup(component), _) => {
                obstacles.push(format!("no rustup on PATH to install `{component}`"));
            }
            (Source::Packages(_), None) => {
                let known: Vec<&str> = Manager::ALL.map(Manager::binary).to_vec();
                obstacles.push(format!(
                    "no package manager we know ({}) to install `{}`",
                    known.join(", "),
                    need.name()
                ));
            }
            (Source::Packages(names), Some(manager)) => match names[manager as usize] {
                "" => obstacles.push(format!("{} has no package for `{}`", manager.binary(), need.name())),
                names => packages.extend(names.split(' ')),
            },
        }
    }

    let mut commands = Vec::new();
    if let Some(manager) = facts.manager
        && !packages.is_empty()
    {
        let prefix: &[&str] = match (manager.needs_root() && !facts.root, facts.sudo) {
            (true, true) if facts.ci => &["sudo", "-n"], // fails instead of waiting for a password
            (true, true) => &["sudo"],
            (true, false) => {
                obstacles.push(format!("installing packages takes root, and there is no sudo; {BY_HAND}"));
                &[]
            }
            (false, _) => &[],
        };
        let (fetch, renew): (Option<_>, Option<_>) = match manager.refresh() {
            Some(refresh) if facts.lists_empty => (Some(Line::new(&[prefix, refresh])), None),
            Some(refresh) => (None, Some(words(&[prefix, refresh]))),
            None => (None, None),
        };
        commands.extend(fetch);
        // One package can bring two needs (brew's `node` has npm): name it once.
        let mut named = Vec::new();
        packages.retain(|name| {
            !named.contains(name) && {
                named.push(*name);
                true
            }
        });
        commands.push(Line { renew, ..Line::new(&[prefix, manager.install(), &packages]) });
    }
    if !components.is_empty() {
        commands.push(Line::new(&[&["rustup", "component", "add"], &components]));
    }
    Plan { lacking, commands, obstacle: (!obstacles.is_empty()).then(|| obstacles.join("; ")) }
}

/// A version we can't read, `tmux master` for instance, is one that somebody built: we let it be.
fn enough(need: &Need, found: &Found) -> bool {
    match (found, need.at_least) {
        (Found::Nothing | Found::Broken, _) => false,
        (Found::There, _) | (Found::Answer(_), None) => true,
        (Found::Answer(answer), Some(least)) => version(answer).is_none_or(|version| version >= least),
    }
}

/// The first number in the answer: `tmux 3.3a` and `tmux next-3.4` are 3.3 and 3.4, `v20.20.2` is 20.20.
fn version(answer: &str) -> Option<Version> {
    let start = answer.find(|c: char| c.is_ascii_digit())?;
    let mut numbers =
        answer[start..].split(|c: char| !c.is_ascii_digit() && c != '.').next()?.split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next().and_then(Result::ok).unwrap_or(0);
    Some(Version(major, minor))
}

fn words(parts: &[&[&str]]) -> Vec<String> {
    parts.concat().into_iter().map(String::from).collect()
}

/// One line: what there is.
pub(super) fn found(facts: &Facts) -> String {
    let all: Vec<String> =
        facts.found.iter().map(|(need, found)| format!("{} {found}", need.name())).collect();
    all.join(", ")
}

impl Plan {
    pub(super) fn lacking_names(&self) -> String {
        let names: Vec<String> = self.lacking.iter().map(|(need, _)| format!("`{}`", need.name())).collect();
        names.join(", ")
    }

    pub(super) fn what_is_lacking(&self) -> String {
        let mut text = String::from("Missing:\n");
        for (need, found) in &self.lacking {
            let wanted = match need.at_least {
                Some(least) => format!("{} >= {least}", need.name()),
                None => need.name().into(),
            };
            text += &format!("  {wanted:<14} {:<12} {}\n", found.to_string(), need.why);
        }
        text
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what_is_lacking())?;
        if !self.commands.is_empty() {
            writeln!(f, "This installs it:")?;
        }
        for command in &self.commands {
            writeln!(f, "  {command}")?;
        }
        Ok(())
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("not found"),
            Self::Broken => f.write_str("fails"),
            Self::There => f.write_str("found"),
            Self::Answer(answer) => match version(answer) {
                Some(version) => version.fmt(f),
                None => f.write_str("(unknown version)"),
            },
        }
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::NEEDS;
    use super::*;

    /// `machine` in words: `apt`/`dnf`/… , `root`, `sudo`, `ci`, `empty` (lists), `rustup`.
    /// `found` as `name=answer`, with `!` for a program that fails; what isn't named isn't there.
    fn plan_for(machine: &str, found: &[&str]) -> Plan {
        let has = |word: &str| machine.split(' ').any(|other| other == word);
        let found = NEEDS
            .iter()
            .map(|need| {
                let answer = found.iter().find_map(|line| line.strip_prefix(&format!("{}=", need.name())));
                let found = match answer {
                    None => Found::Nothing,
                    Some("!") => Found::Broken,
                    Some("there") => Found::There,
                    Some(answer) => Found::Answer(answer.into()),
                };
                (need, found)
            })
            .collect();
        plan(&Facts {
            found,
            manager: Manager::ALL.into_iter().find(|manager| has(manager.binary())),
            lists_empty: has("empty"),
            rustup: has("rustup"),
            root: has("root"),
            sudo: has("sudo"),
            ci: has("ci"),
        })
    }

    fn check(machine: &str, found: &[&str], expected: &[&str]) {
        let plan = plan_for(machine, found);
        let mut got: Vec<String> = plan.commands.iter().map(ToString::to_string).collect();
        got.extend(plan.obstacle.map(|obstacle| format!("but {obstacle}")));
        assert_eq!(got, expected, "{machine}: {found:?}");
    }

    const ALL_THERE: [&str; 10] = [
        "tmux=tmux 3.3a",
        "git=git version 2.39.5",
        "cc=cc (Debian 12.2.0-14) 12.2.0",
        "node=v18.20.4",
        "npm=9.2.0",
        "pgrep=there",
        "kill=there",
        "curl=curl 7.88.1",
        "cargo-fmt=rustfmt 1.8.0",
        "cargo-clippy=clippy 0.1.95",
    ];

    /// `ALL_THERE` with some lines replaced; an empty answer takes the program away.
    fn but(changes: &[&'static str]) -> Vec<&'static str> {
        let name = |line: &str| line.split('=').next().map(String::from);
        let kept =
            ALL_THERE.into_iter().filter(|line| changes.iter().all(|change| name(change) != name(line)));
        kept.chain(changes.iter().copied().filter(|change| !change.ends_with('='))).collect()
    }

    #[test]
    fn nothing_is_done_when_everything_is_there() {
        check("apt-get sudo", &ALL_THERE, &[]);
        check("", &ALL_THERE, &[]);
        assert!(plan_for("", &ALL_THERE).lacking.is_empty());
    }

    #[test]
    fn each_manager_in_its_own_words() {
        let lacking = but(&["tmux=", "npm="]);
        let apt = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tmux npm";
        check("apt-get root", &lacking, &[apt]);
        check("apt-get root empty", &lacking, &["apt-get update", apt]);
        check("dnf root empty", &lacking, &["dnf install -y tmux npm"]);
        check("apk root", &lacking, &["apk add --no-cache tmux npm"]);
        check("pacman root", &lacking, &["pacman -S --needed --noconfirm tmux npm"]);
        check("pacman root empty", &lacking, &["pacman -Sy", "pacman -S --needed --noconfirm tmux npm"]);
        check("brew", &lacking, &["brew install tmux node"]);
        check("brew", &but(&["node=", "npm="]), &["brew install node"]);
        check("apt-get brew root", &lacking, &[apt]);
        let processes = but(&["pgrep=", "kill="]);
        check("dnf root", &processes, &["dnf install -y procps-ng util-linux-core"]);
        check("apk root", &processes, &["apk add --no-cache procps"]);
    }

    #[test]
    fn sudo_when_not_root_and_never_a_question_in_ci() {
        let lacking = but(&["git="]);
        let apt = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git";
        check("apt-get sudo empty", &lacking, &["sudo apt-get update", &format!("sudo {apt}")]);
        check("apt-get sudo ci", &lacking, &[&format!("sudo -n {apt}")]);
        check("apt-get root sudo", &lacking, &[apt]);
        let no_sudo = "but installing packages takes root, and there is no sudo; \
                       run the commands above as root, then this again";
        check("apt-get", &lacking, &[apt, no_sudo]);
    }

    fn check_renew(machine: &str, expected: &[&str]) {
        let plan = plan_for(machine, &but(&["git=", "cargo-fmt=!"]));
        let renew = |line: Line| line.renew.unwrap_or_default().join(" ");
        assert_eq!(plan.commands.into_iter().map(renew).collect::<Vec<_>>(), expected, "{machine}");
    }

    #[test]
    fn lists_that_are_there_are_fetched_anew_only_when_installing_failed() {
        check_renew("apt-get sudo rustup", &["sudo apt-get update", ""]);
        check_renew("apt-get sudo ci rustup", &["sudo -n apt-get update", ""]);
        check_renew("apt-get root rustup", &["apt-get update", ""]);
        check_renew("apt-get root rustup empty", &["", "", ""]);
        check_renew("dnf root rustup", &["", ""]);
    }

    #[test]
    fn components_come_from_rustup_and_need_no_root() {
        let lacking = but(&["cargo-fmt=!", "cargo-clippy="]);
        check("apt-get rustup", &lacking, &["rustup component add rustfmt clippy"]);
        check(
            "apt-get root",
            &lacking,
            &["but no rustup on PATH to install `rustfmt`; no rustup on PATH to install `clippy`"],
        );
    }

    #[test]
    fn what_cannot_be_installed_is_said() {
        check(
            "root",
            &but(&["tmux="]),
            &["but no package manager we know (apt-get, dnf, apk, pacman, brew) to install `tmux`"],
        );
        check("brew", &but(&["cc="]), &["but brew has no package for `cc`"]);
    }

    #[test]
    fn too_old_is_missing_and_unreadable_is_not() {
        let apt = |name: &str| {
            format!("env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {name}")
        };
        check("apt-get root", &but(&["tmux=tmux 3.1c"]), &[&apt("tmux")]);
        check("apt-get root", &but(&["node=v12.22.9"]), &[&apt("nodejs ca-certificates")]);
        for fine in ["tmux=tmux 3.2", "tmux=tmux 10.0", "tmux=tmux next-3.5", "tmux=tmux master"] {
            check("apt-get root", &but(&[fine]), &[]);
        }
    }

    #[test]
    fn the_plan_reads_as_what_why_and_how() {
        assert_eq!(
            plan_for("apt-get sudo", &but(&["tmux=tmux 2.9", "cargo-clippy=!"])).to_string(),
            "Missing:\n\
             \x20 tmux >= 3.2    2.9          every session lives in tmux\n\
             \x20 cargo-clippy   fails        `cargo clippy`\n\
             This installs it:\n\
             \x20 sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tmux\n"
        );
    }

    #[test]
    fn every_need_has_a_package_where_its_manager_offers_one() {
        for need in NEEDS {
            if let Source::Packages(names) = &need.source {
                assert!(names.iter().filter(|name| name.is_empty()).count() <= 1, "{}", need.name());
            }
        }
    }
}

//! The rules of one session, compiled, and how they decide.

use super::pattern::TextPattern;
use super::reach::{Counts, names_file, names_one_of};
use super::read::{Problem, compile};
use super::rule::{Compiled, Hit, Prepared, READ_TOOLS, WRITE_TOOLS};
use super::shell::{self, Field, Form, Part, What};
use super::{Action, Call, Decider, Decision, Fallback, PartDecision, Policy, Rule};
use std::collections::HashMap;

/// Compiled policies. Make it once, ask it often.
#[derive(Debug)]
pub struct RuleBook {
    fallback: Fallback,
    policies: Vec<PolicyNames>,
    /// Strictest first within a priority, higher priorities before: the first that hits decides.
    rules: Vec<Compiled>,
    /// Rules for a tool by its exact name, in order, those for any tool among them.
    by_tool: HashMap<String, Bucket>,
    /// Those that may be for a tool whose name no rule spells out.
    other_tools: Bucket,
}

#[derive(Debug)]
struct PolicyNames {
    id: String,
    name: String,
    rules: Vec<(Option<String>, Option<String>)>,
}

/// Rules of one tool, as places in the book, in order.
#[derive(Debug, Default)]
struct Bucket {
    all: Vec<u32>,
    /// Those whose every pattern for commands says the first word.
    by_word: HashMap<String, Vec<u32>>,
    /// Those with regular expressions only, all in one automaton.
    regexes: Option<(regex::RegexSet, Vec<u32>)>,
    /// The rest.
    loose: Vec<u32>,
}

/// The most memory the automaton of a tool's regular expressions may take, in bytes.
const REGEXES_MAX: usize = 16 * 1024 * 1024;

impl RuleBook {
    /// Compiles the enabled ones of these policies. All must belong to the session: see
    /// [`applies_to`](super::applies_to).
    pub fn compile(policies: &[Policy], fallback: Fallback) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        for (at, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.enabled) {
            for (index, rule) in policy.rules.iter().enumerate() {
                let place = format!("policies[{at}].rules[{index}]");
                match compile(rule, &place, policy.priority, (at, index)) {
                    Ok(rule) => rules.push(rule),
                    Err(wrong) => problems.extend(wrong),
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.priority), std::cmp::Reverse(rule.action), rule.origin));
        let names = |rule: &Rule| (rule.id.clone(), rule.reason.clone());
        let policies = policies
            .iter()
            .map(|policy| PolicyNames {
                id: policy.id.clone(),
                name: policy.name.clone(),
                rules: policy.rules.iter().map(names).collect(),
            })
            .collect();
        let mut tools: Vec<&str> = Vec::new();
        for pattern in rules.iter().filter_map(|rule| rule.tool.as_ref()).flat_map(|list| &list.positive) {
            if let TextPattern::Globs(globs) = pattern {
                tools.extend(globs.iter().filter_map(|glob| glob.literal()));
            }
        }
        tools.extend(shell::SHELL_TOOLS);
        let bucket = |fits: &dyn Fn(&Compiled) -> bool| {
            Bucket::new((0..rules.len()).filter(|at| fits(&rules[*at])).map(|at| at as u32).collect(), &rules)
        };
        tools.sort_unstable();
        tools.dedup();
        let by_tool = tools.iter().map(|tool| ((*tool).to_owned(), bucket(&|rule| reaches(rule, tool)))).collect();
        let other_tools = bucket(&|rule| !names_tools_only(rule));
        Ok(Self { fallback, policies, by_tool, other_tools, rules })
    }

    /// Decides one call. Total: every call gets an answer.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        let prepared = Prepared::new(call);
        if let Some(command) = shell::command_of(call.tool, call.args) {
            return self.decide_command(&prepared, &command);
        }
        let rules = self.bucket(call.tool).all.iter().map(|at| &self.rules[*at as usize]);
        let plain = self.first(rules, None, false, |rule| {
            Hit::from(rule.is_for(call.tool) && rule.fits_call(&prepared))
        });
        if matches!(call.tool, "apply_patch" | "ApplyPatch") {
            return self.decide_patch(&prepared, plain);
        }
        Decision { action: plain.action, by: plain.by, reason: plain.reason, parts: Vec::new() }
    }

    fn decide_command(&self, call: &Prepared<'_>, command: &str) -> Decision {
        let bucket = self.bucket(call.call.tool);
        let parts = shell::parts(command, &call.cwd, call.home.as_deref());
        // Only after it was read: a blank at the end may be escaped.
        let command = command.trim();
        let one = matches!(parts.as_slice(), [Part { unreadable: None, .. }]);
        let mut judged: Vec<(String, Judged)> = Vec::new();
        for part in &parts {
            let judgement = self.judge_part(bucket, call, part, command);
            // What is only looked at for the files it names isn't worth a line when nobody minds.
            let quiet = matches!(part.what, What::Words(_)) && judgement.by == Decider::Harmless;
            if !quiet {
                judged.push((part.shown.clone(), judgement));
            }
        }
        let whole = Form { text: command.to_owned(), known: None };
        let level = judged.iter().map(|(_, judged)| judged.priority).min().flatten();
        if let Some(whole) = self.judge_whole(bucket, call, &whole, one).filter(|whole| whole.priority >= level) {
            judged.push((crate::hook::shorten(command, 300), whole));
        }
        self.strictest(judged)
    }

    /// The whole text, against deny and ask rules whose patterns cross the borders of parts: `curl *|*sh*`.
    fn judge_whole(&self, bucket: &Bucket, call: &Prepared<'_>, whole: &Form, one: bool) -> Option<Judged> {
        let candidates = bucket.candidates(std::slice::from_ref(whole), "");
        candidates.into_iter().map(|at| &self.rules[at as usize]).find_map(|rule| {
            let list = rule.command.as_ref().filter(|list| !list.positive.is_empty())?;
            let hits = |pattern: &TextPattern| match rule.action {
                Action::Allow if !one => pattern.is_exactly(&whole.text),
                _ => pattern.is_match(&whole.text),
            };
            let fits = rule.is_for(call.call.tool)
                && rule.files.is_empty()
                && list.holds(hits)
                && rule.fits_around(call, std::slice::from_ref(&call.cwd)) == Hit::Yes;
            fits.then(|| self.by(rule)).filter(|judged| judged.action != Action::Allow)
        })
    }

    fn judge_part(&self, bucket: &Bucket, call: &Prepared<'_>, part: &Part, whole: &str) -> Judged {
        let candidates = match &part.what {
            What::Command { forms, .. } if part.unreadable.is_none() => bucket.candidates(forms, whole),
            _ => bucket.all.clone(),
        };
        let rules = candidates.into_iter().map(|at| &self.rules[at as usize]);
        self.first(rules, part.unreadable, part.harmless, |rule| match &part.what {
            What::Command { .. } => hit_command(rule, call, part, whole),
            What::File { writes, is_new, name } => {
                let tool = match (writes, is_new) {
                    (false, _) => "Read",
                    (true, true) => "Write",
                    (true, false) => "Edit",
                };
                hit_file(rule, call, &part.cwds, tool, name, whole)
            }
            What::Words(names) if rule.reaches_commands() => {
                names_one_of(rule, names, &part.cwds, Counts::Globs, call).min(rule.fits_around(call, &part.cwds))
            }
            What::Words(_) => Hit::No,
        })
    }

    /// The files of a patch, each like a call of `Edit` or `Write`; and the patch tool itself.
    fn decide_patch(&self, call: &Prepared<'_>, plain: Judged) -> Decision {
        let args = call.call.args;
        let text = ["command", "input", "patch"].iter().find_map(|name| args.get(name)?.as_str());
        let mut judged = Vec::new();
        let cwds = std::slice::from_ref(&call.cwd);
        match text.or(args.as_str()).and_then(shell::patched_files) {
            Some(files) => {
                for (name, is_new) in files {
                    let tool = if is_new { "Write" } else { "Edit" };
                    let field = Field::literal(name);
                    let rules = self.rules.iter();
                    let judgement = self.first(rules, None, false, |rule| hit_file(rule, call, cwds, tool, &field, ""));
                    judged.push((format!("{tool} {name}"), judgement));
                }
            }
            None => {
                let hit = |rule: &Compiled| match rule.is_for(call.call.tool) && rule.fits_call(call) {
                    true => Hit::Yes,
                    false if rule.action != Action::Allow && rule.writes_files && !rule.files.is_empty() => Hit::Maybe,
                    false => Hit::No,
                };
                let why = "the patch it applies can't be seen";
                judged.push(("patch".into(), self.first(self.rules.iter(), Some(why), false, hit)));
            }
        }
        if plain.action != Action::Allow && plain.by != Decider::Fallback {
            judged.push((call.call.tool.to_owned(), plain));
        }
        self.strictest(judged)
    }

    fn strictest(&self, judged: Vec<(String, Judged)>) -> Decision {
        let shown = |(part, judged): &(String, Judged)| PartDecision {
            part: part.clone(),
            action: judged.action,
            by: judged.by.clone(),
            reason: judged.reason.clone(),
        };
        let parts: Vec<PartDecision> = judged.iter().map(shown).collect();
        let decided = judged.iter().filter(|(_, judged)| judged.by != Decider::Harmless);
        let worst = decided.fold(None, |worst: Option<&(String, Judged)>, one| match worst {
            Some(worst) if worst.1.action >= one.1.action => Some(worst),
            _ => Some(one),
        });
        match worst {
            Some((part, worst)) => {
                let about = if parts.len() > 1 { format!("`{part}`: ") } else { String::new() };
                Decision {
                    action: worst.action,
                    by: worst.by.clone(),
                    reason: format!("{about}{}", worst.reason),
                    parts,
                }
            }
            None => {
                let Judged { action, by, reason, .. } = self.nobody();
                Decision { action, by, reason, parts }
            }
        }
    }

    fn bucket(&self, tool: &str) -> &Bucket {
        self.by_tool.get(tool).unwrap_or(&self.other_tools)
    }

    /// The order of decision. `rules` must be in order.
    fn first<'a>(
        &self,
        rules: impl Iterator<Item = &'a Compiled>,
        unreadable: Option<&'static str>,
        harmless: bool,
        hit: impl Fn(&Compiled) -> Hit,
    ) -> Judged {
        // A deny or ask rule that may be meant: nothing is allowed past it but by a rule for exactly this.
        let mut caution: Option<&Compiled> = None;
        for rule in rules {
            match hit(rule) {
                Hit::No => {}
                Hit::Maybe => {
                    if rule.action != Action::Allow && caution.is_none() {
                        caution = Some(rule);
                    }
                }
                Hit::Yes | Hit::Exact if rule.action != Action::Allow => return self.by(rule),
                Hit::Exact if caution.is_none_or(|caution| caution.priority <= rule.priority) => return self.by(rule),
                Hit::Yes | Hit::Exact => match caution {
                    None => return self.by(rule),
                    Some(caution) => return self.careful(Action::Ask, caution, unreadable, rule.priority),
                },
            }
        }
        let nobody = self.nobody();
        match (caution, unreadable) {
            (Some(caution), why) => Judged { priority: None, ..self.careful(nobody.action, caution, why, 0) },
            (None, Some(why)) => {
                let reason = format!("it can't be known what this would do: {why}");
                Judged { by: Decider::Unreadable { why: why.into() }, reason, ..nobody }
            }
            (None, None) if harmless => Judged {
                action: Action::Allow,
                by: Decider::Harmless,
                reason: "it needs no rule".into(),
                priority: Some(i64::MAX),
            },
            (None, None) => nobody,
        }
    }

    fn nobody(&self) -> Judged {
        let action = Action::from(self.fallback);
        let reason = match self.fallback {
            Fallback::Ask => "no rule decides this, so a person is asked",
            Fallback::Deny => "no rule allows this",
        };
        Judged { action, by: Decider::Fallback, reason: reason.into(), priority: None }
    }

    fn careful(&self, action: Action, rule: &Compiled, why: Option<&'static str>, priority: i64) -> Judged {
        let why = why.unwrap_or("a variable, a wildcard or what comes from elsewhere decides it");
        let policy = &self.policies[rule.origin.0].name;
        let reason = format!("a rule of policy `{policy}` may be meant, and it can't be known: {why}");
        Judged { action, by: Decider::Unreadable { why: why.into() }, reason, priority: Some(priority) }
    }

    fn by(&self, rule: &Compiled) -> Judged {
        let (policy, index) = rule.origin;
        let policy = &self.policies[policy];
        let (id, reason) = policy.rules.get(index).cloned().unwrap_or_default();
        let says = match rule.action {
            Action::Allow => "allows this",
            Action::Ask => "wants a person to decide this",
            Action::Deny => "forbids this",
        };
        let said = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Judged {
            action: rule.action,
            reason: format!("policy `{}` {says}{said}", policy.name),
            by: Decider::Rule { policy: policy.id.clone(), policy_name: policy.name.clone(), index, rule: id },
            priority: Some(rule.priority),
        }
    }
}

#[derive(Debug)]
struct Judged {
    action: Action,
    by: Decider,
    reason: String,
    /// At which priority; none for the fallback.
    priority: Option<i64>,
}

/// Whether a rule can hit a call of this tool: it is for it, or for what a shell command does to files.
fn reaches(rule: &Compiled, tool: &str) -> bool {
    let is_shell = shell::SHELL_TOOLS.contains(&tool);
    rule.is_for(tool) || is_shell && (rule.reads_files || rule.writes_files)
}

/// Whether every tool it is for is spelled out.
fn names_tools_only(rule: &Compiled) -> bool {
    rule.tool.as_ref().is_some_and(|list| {
        !list.positive.is_empty()
            && list.positive.iter().all(|pattern| match pattern {
                TextPattern::Globs(globs) => globs.iter().all(|glob| glob.literal().is_some()),
                TextPattern::Regex(_) => false,
            })
    })
}

impl Bucket {
    fn new(all: Vec<u32>, rules: &[Compiled]) -> Self {
        let mut bucket = Self { all, ..Self::default() };
        let (mut regexes, mut places) = (Vec::new(), Vec::new());
        for at in bucket.all.clone() {
            let patterns = rules[at as usize].command.as_ref().map_or(&[][..], |list| &list.positive);
            let sources = patterns.iter().map(|pattern| match pattern {
                TextPattern::Regex(regex) => Some(regex.as_str()),
                TextPattern::Globs(_) => None,
            });
            if let Some(sources) = sources.collect::<Option<Vec<_>>>().filter(|sources| !sources.is_empty()) {
                places.extend(sources.iter().map(|_| at));
                regexes.extend(sources);
            } else if let Some(words) = first_words(patterns) {
                for word in words {
                    let rules = bucket.by_word.entry(word).or_default();
                    if rules.last() != Some(&at) {
                        rules.push(at);
                    }
                }
            } else {
                bucket.loose.push(at);
            }
        }
        if !regexes.is_empty() {
            let set = regex::RegexSetBuilder::new(regexes).size_limit(REGEXES_MAX).dfa_size_limit(REGEXES_MAX).build();
            match set {
                Ok(set) => bucket.regexes = Some((set, places)),
                Err(_) => bucket.loose.extend(places),
            }
        }
        bucket
    }

    /// The rules worth trying on a command of these forms, in order.
    fn candidates(&self, forms: &[Form], whole: &str) -> Vec<u32> {
        let mut candidates = self.loose.clone();
        let mut seen: Vec<&str> = Vec::new();
        for text in forms.iter().map(|form| form.text.as_str()).chain([whole]) {
            let word = first_word(text);
            if !seen.contains(&word) {
                seen.push(word);
                candidates.extend(self.by_word.get(word).into_iter().flatten());
            }
            if let Some((set, places)) = &self.regexes {
                candidates.extend(set.matches(text).iter().filter_map(|at| places.get(at)));
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The first words of all texts the patterns match; `None` if they may begin with any.
fn first_words(patterns: &[TextPattern]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for pattern in patterns {
        let TextPattern::Globs(globs) = pattern else { return None };
        for glob in globs {
            let prefix = glob.prefix();
            if glob.literal().is_none() && !prefix.contains(' ') {
                return None;
            }
            words.push(first_word(prefix).to_owned());
        }
    }
    (!words.is_empty()).then_some(words)
}

fn hit_command(rule: &Compiled, call: &Prepared<'_>, part: &Part, whole: &str) -> Hit {
    let What::Command { forms, allowed_by, source, names, only_reads, opens_nothing } = &part.what else {
        return Hit::No;
    };
    let denies = rule.action != Action::Allow;
    let around = || rule.fits_around(call, &part.cwds);
    if rule.reaches_commands() {
        let reaches = rule.reads_files || !only_reads;
        let counts = if *opens_nothing { Counts::Known } else { Counts::All };
        let named = match reaches {
            false => Hit::No,
            true => match names_one_of(rule, names, &part.cwds, counts, call) {
                Hit::No if part.unreadable.is_some() => Hit::Maybe,
                hit => hit,
            },
        };
        return if named == Hit::No { Hit::No } else { named.min(around()) };
    }
    if !rule.files.is_empty() || !rule.is_for(call.call.tool) {
        return Hit::No;
    }
    let Some(list) = &rule.command else { return around() };
    let matched = if denies {
        let fits = |form: &Form| list.holds(|pattern| pattern.is_match(&form.text));
        let may = |form: &Form| {
            form.known.is_some_and(|known| {
                let known = form.text.get(..known).unwrap_or_default();
                list.positive.iter().any(|pattern| pattern.may_match_after(known))
            })
        };
        let excepted = || allowed_by.iter().any(|text| !list.holds(|pattern| pattern.is_match(text)));
        match () {
            // Only exceptions: whatever the command's words are not.
            () if list.positive.is_empty() && !allowed_by.is_empty() => (!excepted()).into(),
            () if forms.iter().any(fits) => Hit::Yes,
            () if part.unreadable.is_some() || forms.iter().any(may) => Hit::Maybe,
            () => Hit::No,
        }
    } else {
        let exactly = |text: &str| list.holds(|pattern| pattern.is_exactly(text)) && !list.positive.is_empty();
        let fits = |text: &String| list.holds(|pattern| pattern.is_match(text));
        match () {
            () if exactly(whole) => Hit::Exact,
            () if part.unreadable.is_some() => Hit::No,
            () if allowed_by.iter().any(fits) || exactly(source) => Hit::Yes,
            () => Hit::No,
        }
    };
    if matched == Hit::No {
        return Hit::No;
    }
    match around() {
        Hit::Yes | Hit::Exact => matched,
        less => less.min(matched),
    }
}

/// A file that a command or a patch opens, as if the tool for it were called.
fn hit_file(
    rule: &Compiled,
    call: &Prepared<'_>,
    cwds: &[std::path::PathBuf],
    tool: &str,
    name: &Field,
    whole: &str,
) -> Hit {
    let around = rule.fits_around(call, cwds);
    if around == Hit::No {
        return Hit::No;
    }
    let own_tool = rule.is_for(call.call.tool);
    if own_tool && rule.takes_any_args() {
        return around;
    }
    if let Some(list) = &rule.command {
        let exact = own_tool
            && rule.action == Action::Allow
            && around == Hit::Yes
            && !whole.is_empty()
            && list.positive.iter().any(|pattern| pattern.is_exactly(whole));
        return if exact { Hit::Exact } else { Hit::No };
    }
    if !rule.has_no_others() {
        return Hit::No;
    }
    if rule.action == Action::Allow {
        let known = name.known().filter(|_| !cwds.is_empty() || name.text.starts_with('/'));
        let folders = if cwds.is_empty() { std::slice::from_ref(&call.cwd) } else { cwds };
        let fits = rule.files.iter().all(|list| {
            known.is_some_and(|name| folders.iter().all(|cwd| call.view(name, cwd).fits(list, rule.action)))
        });
        return (rule.is_for(tool) && fits && around == Hit::Yes).into();
    }
    let tools = if tool == "Read" { READ_TOOLS } else { WRITE_TOOLS };
    if !tools.iter().any(|tool| rule.is_for(tool)) {
        return Hit::No;
    }
    let lists = rule.files.iter().map(|list| names_file(list, rule.action, name, cwds, call));
    lists.min().unwrap_or(Hit::Yes).min(around)
}

//! The rules of one session, compiled, and how they decide.

use super::hits::{hit_command, hit_file};
use super::index::{Bucket, Candidates, Wanted};
use super::pattern::TextPattern;
use super::reach::{Counts, Spot, names_one_of, spots_in};
use super::read::{Problem, compile};
use super::rule::{Compiled, Hit, Prepared, argument};
use super::shell::{self, Field, Form, Part, What};
use super::{Action, Call, Decider, Decision, Fallback, PartDecision, Policy, Rule};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Compiled policies. Make it once, ask it often.
#[derive(Debug)]
pub struct RuleBook {
    fallback: Fallback,
    policies: Vec<PolicyNames>,
    /// Strictest first within a priority, higher priorities before: the first that hits decides.
    rules: Vec<Compiled>,
    /// Rules for a tool by its exact name, in order, those for any tool among them.
    by_tool: HashMap<String, Arc<Bucket>>,
    /// Those that may be for a tool whose name no rule spells out.
    other_tools: Arc<Bucket>,
    /// All; made when the first patch comes.
    any_tool: OnceLock<Bucket>,
    make: MakeBucket,
}

/// How rules are arranged, for finding them again.
type MakeBucket = fn(Vec<u32>, &[Compiled]) -> Bucket;

#[derive(Debug)]
struct PolicyNames {
    id: String,
    name: String,
    rules: Vec<(Option<String>, Option<String>)>,
}

impl RuleBook {
    /// Compiles the enabled ones of these policies. All must belong to the session: see
    /// [`applies_to`](super::applies_to).
    pub fn compile(policies: &[Policy], fallback: Fallback) -> Result<Self, Vec<Problem>> {
        Self::arranged(policies, fallback, Bucket::new)
    }

    /// One that tries every rule of a tool on every call: slow, and easily seen to be right.
    #[cfg(test)]
    pub(super) fn one_by_one(policies: &[Policy], fallback: Fallback) -> Self {
        Self::arranged(policies, fallback, Bucket::one_by_one).unwrap()
    }

    fn arranged(policies: &[Policy], fallback: Fallback, make: MakeBucket) -> Result<Self, Vec<Problem>> {
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
        rules.sort_by_key(|rule| {
            (std::cmp::Reverse(rule.priority), std::cmp::Reverse(rule.action), rule.origin)
        });
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
        // Many tools have the same rules; all shells at least.
        let mut made: HashMap<Vec<u32>, Arc<Bucket>> = HashMap::new();
        let mut bucket = |fits: &dyn Fn(&Compiled) -> bool| {
            let all: Vec<u32> = (0..rules.len()).filter(|at| fits(&rules[*at])).map(|at| at as u32).collect();
            let new = || Arc::new(make(all.clone(), &rules));
            made.entry(all.clone()).or_insert_with(new).clone()
        };
        tools.sort_unstable();
        tools.dedup();
        let by_tool =
            tools.iter().map(|tool| ((*tool).to_owned(), bucket(&|rule| reaches(rule, tool)))).collect();
        let other_tools = bucket(&|rule| !names_tools_only(rule));
        Ok(Self { fallback, policies, by_tool, other_tools, any_tool: OnceLock::new(), make, rules })
    }

    /// Decides one call. Total: every call gets an answer.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        let prepared = Prepared::new(call);
        if let Some(command) = shell::command_of(call.tool, call.args) {
            return self.decide_command(&prepared, &command);
        }
        let command =
            argument(call.args, "command").or_else(|| argument(call.args, "cmd")).unwrap_or_default();
        let files: Vec<Spot> =
            prepared.files().map(|path| Spot::of(prepared.view(path, &prepared.cwd))).collect();
        let wanted = Wanted { whole: command.trim(), spots: &files, ..Wanted::default() };
        let candidates = self.bucket(call.tool).candidates(&wanted);
        let plain = self.first(candidates, None, false, |rule| {
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
        if let Some(whole) =
            self.judge_whole(bucket, call, &whole, one).filter(|whole| whole.priority >= level)
        {
            judged.push((crate::hook::shorten(command, 300), whole));
        }
        self.strictest(judged)
    }

    /// The whole text, against deny and ask rules whose patterns cross the borders of parts: `curl *|*sh*`.
    /// Not those with exceptions, which are about commands: of the whole they would hit all but one.
    fn judge_whole(&self, bucket: &Bucket, call: &Prepared<'_>, whole: &Form, one: bool) -> Option<Judged> {
        let mut candidates = bucket.candidates(&Wanted { whole: &whole.text, ..Wanted::default() });
        std::iter::from_fn(|| candidates.next(true)).map(|at| &self.rules[at as usize]).find_map(|rule| {
            let list =
                rule.command.as_ref().filter(|list| !list.positive.is_empty() && list.negative.is_empty())?;
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
        let (forms, names, counts): (&[Form], _, _) = match &part.what {
            What::File { writes, is_new, name } => {
                let tool = match (writes, is_new) {
                    (false, _) => "Read",
                    (true, true) => "Write",
                    (true, false) => "Edit",
                };
                return self.judge_file(bucket, call, tool, name, &part.cwds, whole);
            }
            What::Command { forms, names, opens_nothing: true, .. } => (forms, names, Counts::Known),
            What::Command { forms, names, .. } => (forms, names, Counts::All),
            What::Words(names) => (&[], names, Counts::Globs),
        };
        let spots = match bucket.reaches_commands {
            true => spots_in(names, &part.cwds, counts, call),
            false => Vec::new(),
        };
        let wanted = Wanted { forms, whole, spots: &spots, unreadable: part.unreadable.is_some() };
        let candidates = bucket.candidates(&wanted);
        self.first(candidates, part.unreadable, part.harmless, |rule| match &part.what {
            What::Words(_) if rule.reaches_commands() => {
                names_one_of(rule, &spots).min(rule.fits_around(call, &part.cwds))
            }
            What::Words(_) => Hit::No,
            What::Command { .. } | What::File { .. } => hit_command(rule, call, part, &spots, whole),
        })
    }

    /// A file that is opened. `cwds`: where a relative name starts, empty if unknown.
    fn judge_file(
        &self,
        bucket: &Bucket,
        call: &Prepared<'_>,
        tool: &str,
        name: &Field,
        cwds: &[PathBuf],
        whole: &str,
    ) -> Judged {
        let spot = Spot::new(name, cwds, call);
        let candidates = match name.text.is_empty() {
            true => bucket.everything(), // nothing is said by which rules could be found
            false => {
                let spots = std::slice::from_ref(&spot);
                bucket.candidates(&Wanted { whole, spots, ..Wanted::default() })
            }
        };
        self.first(candidates, None, false, |rule| hit_file(rule, call, cwds, tool, (name, &spot), whole))
    }

    /// The files of a patch, each like a call of `Edit` or `Write`; and the patch tool itself.
    fn decide_patch(&self, call: &Prepared<'_>, plain: Judged) -> Decision {
        let args = call.call.args;
        let text = ["command", "input", "patch"].iter().find_map(|name| args.get(name)?.as_str());
        let mut judged = Vec::new();
        let cwds = std::slice::from_ref(&call.cwd);
        let bucket =
            self.any_tool.get_or_init(|| (self.make)((0..self.rules.len() as u32).collect(), &self.rules));
        match text.or(args.as_str()).and_then(shell::patched_files) {
            Some(files) => {
                for (name, is_new) in files {
                    let tool = if is_new { "Write" } else { "Edit" };
                    let judgement = self.judge_file(bucket, call, tool, &Field::literal(name), cwds, "");
                    judged.push((format!("{tool} {name}"), judgement));
                }
            }
            None => {
                let hit = |rule: &Compiled| match rule.is_for(call.call.tool) && rule.fits_call(call) {
                    true => Hit::Yes,
                    false if rule.action != Action::Allow && rule.writes_files && !rule.files.is_empty() => {
                        Hit::Maybe
                    }
                    false => Hit::No,
                };
                let why = "the patch it applies can't be seen";
                judged.push(("patch".into(), self.first(bucket.everything(), Some(why), false, hit)));
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

    /// The order of decision.
    fn first(
        &self,
        mut candidates: Candidates<'_>,
        unreadable: Option<&'static str>,
        harmless: bool,
        hit: impl Fn(&Compiled) -> Hit,
    ) -> Judged {
        // A deny or ask rule that may be meant: nothing is allowed past it but by a rule for exactly this.
        let mut caution: Option<&Compiled> = None;
        let has_rules = !candidates.is_empty();
        while let Some(at) = candidates.next(caution.is_some()) {
            let rule = &self.rules[at as usize];
            match hit(rule) {
                Hit::No => {}
                Hit::Maybe => {
                    if rule.action != Action::Allow && caution.is_none() {
                        caution = Some(rule);
                    }
                }
                Hit::Yes | Hit::Exact if rule.action != Action::Allow => return self.by(rule),
                Hit::Exact if caution.is_none_or(|caution| caution.priority <= rule.priority) => {
                    return self.by(rule);
                }
                Hit::Yes | Hit::Exact => match caution {
                    None => return self.by(rule),
                    Some(caution) => return self.careful(Action::Ask, caution, unreadable, rule.priority),
                },
            }
        }
        let nobody = self.nobody();
        match (caution, unreadable) {
            (Some(caution), why) => Judged { priority: None, ..self.careful(nobody.action, caution, why, 0) },
            // Whoever has no rules for such calls has not asked to be asked.
            (None, Some(why)) if has_rules => {
                let reason = format!("it can't be known what this would do: {why}");
                Judged { by: Decider::Unreadable { why: why.into() }, reason, ..nobody }
            }
            (None, None) if harmless => Judged {
                action: Action::Allow,
                by: Decider::Harmless,
                reason: "it needs no rule".into(),
                priority: Some(i64::MAX),
            },
            (None, _) => nobody,
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
            by: Decider::Rule {
                policy: policy.id.clone(),
                policy_name: policy.name.clone(),
                index,
                rule: id,
            },
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

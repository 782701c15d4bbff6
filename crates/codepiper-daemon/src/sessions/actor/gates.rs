//! Hooks whose answer decides: rules first, then a person.

use super::Actor;
use super::approvals::{Open, Question};
use super::commit::Batch;
use crate::own_files::{WHY, names_own_files};
use crate::paths::RealPaths;
use crate::settings;
use crate::stand_in::RECORD_FIELD;
use codepiper_api::settings::APPROVAL_SECONDS_MAX;
use codepiper_api::{Fault, Refusal};
use codepiper_core::approval::digest;
use codepiper_core::gate::{Gate, Verdict, Wants};
use codepiper_core::hook::{HookEvent, Learned, ToolCall, bounded};
use codepiper_core::policy::{Action, Call, Decider};
use codepiper_core::provider::{Approval as ChannelQuestion, ChannelMessage};
use codepiper_core::session::{Happening, Need, Waiting};
use codepiper_store::audit::NewEntry;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a hook gets.
pub enum HookAnswer {
    /// It prints this and ends; empty for no answer.
    Now(String),
    /// A person is asked.
    Waits {
        /// The approval's number.
        number: u64,
        /// What the hook prints should there be no daemon any more to wait for.
        without_us: String,
    },
}

/// A decision and why.
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    /// Which rule, or what else decided; for the audit.
    pub(super) by: Value,
    /// The priority of the policy that decided: a rule that is to be stronger needs a higher one.
    pub(super) priority: Option<i64>,
}

impl Decided {
    fn is_for_budget(&self) -> bool {
        self.by.get("budget").is_some()
    }
}

impl Actor {
    /// Decides a call, stores all of it, and says what the hook prints.
    pub(super) async fn at_gate(
        &mut self,
        gate: Gate,
        uid: Option<String>,
        mut hook: HookEvent,
    ) -> Result<HookAnswer, Refusal> {
        let Some(mut call) = hook.tool.clone() else {
            self.take_hook(uid, Timestamp::now(), hook, Batch::default()).await?;
            return Ok(HookAnswer::Now(String::new()));
        };
        call.use_id = self.recognise(gate, &call, Timestamp::now());
        let cwd = hook.raw.get("cwd").and_then(Value::as_str).map(PathBuf::from);
        let began = Instant::now();
        let decided = self.decide(&call, cwd.as_deref());
        let decided = self.within_budget(&call, decided).await;
        let waits = self.provider.dialect().waits_at() == Some(gate);
        let asks = match (&decided.verdict, gate) {
            (Verdict::Ask { reason }, _) => Some(reason.clone()),
            (Verdict::Nothing, Gate::Question) => Some("the agent asks by its own rules".to_owned()),
            _ => None,
        };
        let mut batch = Batch::default();
        batch.audit.push(self.decision_entry(&call, gate, &decided, began));
        match asks.filter(|_| waits) {
            Some(why) => {
                let asked_here = matches!(hook.happenings.as_slice(), [Happening::Asked(_)]);
                let mut waiting = match hook.happenings.first() {
                    Some(Happening::Asked(waiting)) => waiting.clone(),
                    _ => Waiting {
                        need: Need::Permission,
                        question: call.in_one_line(),
                        how: String::new(),
                        about: self.provider.dialect().call_key(&call),
                    },
                };
                let question = Question {
                    call,
                    gate: Some(gate),
                    channel: None,
                    about: waiting.about.clone(),
                    why,
                    priority: decided.priority,
                    for_budget: decided.is_for_budget(),
                    cwd,
                };
                let open = self.prepare_question(question, self.expires_at().await);
                waiting.how = how_to_answer(&open);
                match asked_here {
                    true => hook.happenings = vec![Happening::Asked(waiting)],
                    false => hook.happenings.push(Happening::Asked(waiting)),
                }
                batch.events.push(self.opened_event(&open));
                batch.approvals.push(open.row.clone());
                let number = open.row.id.number();
                if !self.take_hook(uid, Timestamp::now(), hook, batch).await? {
                    return Ok(HookAnswer::Now(String::new())); // asked before; whoever waits has the number
                }
                let without_us = match gate {
                    // The agent's own dialog still stands.
                    Gate::Question => String::new(),
                    Gate::ToolUse => {
                        let reason = "nobody could be asked: the codepiper daemon is gone".to_owned();
                        self.provider.dialect().answer(gate, &open.call, &Verdict::Deny { reason })
                    }
                };
                self.add_question(open);
                Ok(HookAnswer::Waits { number, without_us })
            }
            None => {
                let says = self.provider.dialect().answer(gate, &call, &decided.verdict);
                if !says.is_empty() {
                    // Answered before anybody sees a question.
                    hook.happenings.retain(|happening| !matches!(happening, Happening::Asked(_)));
                }
                self.take_hook(uid, Timestamp::now(), hook, batch).await?;
                Ok(HookAnswer::Now(says))
            }
        }
    }

    /// A question of the control channel. What rules say to it is the answer; `Nothing` means that a person is asked.
    pub(super) async fn channel_asked(
        &mut self,
        question: ChannelQuestion,
        message: ChannelMessage,
    ) -> Result<Verdict, Refusal> {
        let began = Instant::now();
        let learned = Learned { provider_session: message.thread, ..message.learned };
        let mut happenings = message.happenings;
        let about = happenings.iter().find_map(|happening| match happening {
            Happening::Asked(waiting) => Some(waiting.about.clone()),
            _ => None,
        });
        let Some(about) = about else {
            self.happen(&happenings, &learned, None).await?;
            return Ok(Verdict::Nothing);
        };
        if let Some(open) = self.question_about(&about) {
            open.channel = Some(question); // told again after the connection was lost
            self.happen(&happenings, &learned, None).await?;
            return Ok(Verdict::Nothing);
        }
        let call = question.call.clone().unwrap_or_else(|| ToolCall {
            tool: format!("{:?}", question.kind),
            args: question.params.clone(),
            use_id: None,
            agent: None,
        });
        let mut batch = Batch::default();
        let cwd = question.params.get("cwd").and_then(Value::as_str).map(PathBuf::from);
        let decided = self.decide(&call, cwd.as_deref());
        let decided = self.within_budget(&call, decided).await;
        batch.audit.push(self.decision_entry(&call, Gate::Question, &decided, began));
        if matches!(decided.verdict, Verdict::Allow { .. } | Verdict::Deny { .. }) && question.call.is_some()
        {
            happenings.retain(|happening| !matches!(happening, Happening::Asked(_)));
            self.happen_with(&happenings, &learned, batch).await?;
            return Ok(decided.verdict);
        }
        let (priority, for_budget) = (decided.priority, decided.is_for_budget());
        let why = match decided.verdict {
            Verdict::Ask { reason } => reason,
            _ => "the agent asks by its own rules".to_owned(),
        };
        let opening =
            Question { call, gate: None, channel: Some(question), about, why, priority, for_budget, cwd };
        let open = self.prepare_question(opening, None);
        for happening in &mut happenings {
            if let Happening::Asked(waiting) = happening {
                waiting.how = how_to_answer(&open);
            }
        }
        batch.events.push(self.opened_event(&open));
        batch.approvals.push(open.row.clone());
        self.happen_with(&happenings, &learned, batch).await?;
        self.add_question(open);
        Ok(Verdict::Nothing)
    }

    /// Holds what is typed against the rules, for agents that report nothing themselves. It is no guard on the agent:
    /// what it does with the input, and what a person types in its terminal, is not seen.
    pub(super) async fn preflight(&mut self, call: &ToolCall) -> Result<(), Refusal> {
        let began = Instant::now();
        let decided = self.decide(call, None);
        if decided.verdict == Verdict::Nothing {
            return Ok(());
        }
        let entry = self.decision_entry(call, Gate::ToolUse, &decided, began);
        let batch = Batch { audit: vec![entry], ..Batch::default() };
        self.happen_with(&[], &Learned::default(), batch).await?;
        let id = &self.known.row.id;
        let details = |word: &str| json!({ "policyAction": word, "provider": self.known.row.provider });
        match decided.verdict {
            Verdict::Deny { reason } => {
                Err(Refusal::new(Fault::Forbidden, format!("it was not typed: {reason}"))
                    .details(details("deny")))
            }
            Verdict::Ask { reason } => {
                Err(Refusal::new(Fault::Conflict, format!("it was not typed: {reason}"))
                    .hint(format!("type it yourself with `codepiper attach {id}`"))
                    .details(details("ask")))
            }
            Verdict::Allow { .. } | Verdict::Answers { .. } | Verdict::Nothing => Ok(()),
        }
    }

    /// What the rules say to a call. `cwd` is where the agent says that it works now.
    fn decide(&self, call: &ToolCall, cwd: Option<&Path>) -> Decided {
        if self.known.launch.dangerous {
            return Decided {
                verdict: Verdict::Nothing,
                by: json!({ "bypass": "dangerous" }),
                priority: None,
            };
        }
        let cwd = cwd.filter(|cwd| cwd.is_absolute()).unwrap_or(Path::new(&self.known.row.cwd));
        let paths = RealPaths::near(cwd);
        if names_own_files(&self.app.config.home, call, cwd, &paths) {
            return Decided {
                verdict: Verdict::Deny { reason: WHY.into() },
                by: json!({ "guard": "own files" }),
                priority: None,
            };
        }
        let home = self.app.config.environment.get("HOME").map(Path::new);
        let decision = self.app.policies.book(&self.known).decide(&Call {
            tool: &call.tool,
            args: &call.args,
            cwd,
            session: &self.known.row.id,
            home,
            real: &|path| paths.of(path),
        });
        let mut priority = None;
        let by = match &decision.by {
            Decider::Rule { policy, policy_name, index, rule } => {
                priority = self.app.policies.table().find(policy).map(|stored| stored.policy.priority);
                json!({ "policy": policy, "name": policy_name, "index": index, "rule": rule })
            }
            Decider::Unreadable { why } => json!({ "unreadable": why }),
            Decider::Fallback => json!({ "fallback": decision.action }),
            Decider::Harmless => json!({ "harmless": true }),
        };
        let reason = format!("CodePiper: {}", decision.reason); // it names the policy
        let is_rule = matches!(decision.by, Decider::Rule { .. } | Decider::Unreadable { .. });
        let verdict = match (decision.action, Wants::of(call)) {
            (Action::Deny, _) => Verdict::Deny { reason },
            // A rule knows no answer to a question, and no plan is approved unread.
            (_, Wants::Answers | Wants::Plan) => Verdict::Nothing,
            (Action::Allow, Wants::Permission) => Verdict::Allow { reason },
            (Action::Ask, Wants::Permission) if is_rule => Verdict::Ask { reason },
            // Nothing was said about it: the agent's own rules decide whether a person is asked.
            (Action::Ask, Wants::Permission) => Verdict::Nothing,
        };
        Decided { verdict, by, priority }
    }

    fn decision_entry(&self, call: &ToolCall, gate: Gate, decided: &Decided, began: Instant) -> NewEntry {
        let latency = began.elapsed();
        let (decision, reason) = match &decided.verdict {
            Verdict::Nothing => ("none", None),
            Verdict::Allow { reason } => ("allow", Some(reason)),
            Verdict::Deny { reason } => ("deny", Some(reason)),
            Verdict::Ask { reason } => ("ask", Some(reason)),
            Verdict::Answers { .. } => ("allow", None),
        };
        NewEntry {
            at: Timestamp::now(),
            session: Some(self.known.row.id.clone()),
            kind: "decision".into(),
            tool: Some(call.tool.clone()),
            decision: Some(decision.into()),
            body: json!({
                "args": bounded(self.masker.value(call.args.clone())), "digest": digest(&call.tool, &call.args),
                "call": call.use_id, "gate": gate, "by": decided.by, "reason": reason, "agent": call.agent,
                "latencyUs": latency.as_micros() as u64,
            }),
        }
    }

    /// What a hook decided while there was no daemon, from the spool.
    pub(super) fn stood_in_entry(&mut self, hook: &HookEvent, at: Timestamp) -> Option<NewEntry> {
        let (record, call) = (hook.raw.get(RECORD_FIELD)?, hook.tool.as_ref()?);
        let gate = self.provider.dialect().gate(&hook.name)?;
        let use_id = self.recognise(gate, call, at);
        let word = record.pointer("/verdict/says").and_then(Value::as_str);
        let word = word.filter(|word| ["allow", "deny", "ask"].contains(word)).unwrap_or("none");
        Some(NewEntry {
            at,
            session: Some(self.known.row.id.clone()),
            kind: "decision".into(),
            tool: Some(call.tool.clone()),
            decision: Some(word.into()),
            body: json!({
                "args": bounded(self.masker.value(call.args.clone())), "digest": digest(&call.tool, &call.args),
                "call": use_id, "gate": gate, "by": { "snapshot": record["decision"]["by"] },
                "reason": record.pointer("/verdict/reason"), "agent": call.agent,
            }),
        })
    }

    async fn expires_at(&self) -> Option<Timestamp> {
        let patience = settings::get(&self.app, settings::APPROVAL_SECONDS).await;
        let patience = patience.as_i64().unwrap_or(APPROVAL_SECONDS_MAX);
        Timestamp::now().checked_add(jiff::SignedDuration::from_secs(patience)).ok()
    }
}

/// How a person answers from outside, for the session list.
fn how_to_answer(open: &Open) -> String {
    let id = &open.row.id;
    match open.asked.wants {
        Wants::Permission | Wants::Plan => {
            format!("`codepiper approvals allow {id}`, `codepiper approvals deny {id}`")
        }
        Wants::Answers => format!("`codepiper approvals show {id}` shows how"),
    }
}

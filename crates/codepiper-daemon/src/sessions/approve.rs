//! Answering a question that waits: by its hook or by the agent's control channel, whichever asked.

use super::{Asked, Closed, Closing, Command, Handle, Open};
use crate::app::App;
use crate::codex_channel::ChannelError;
use codepiper_api::approvals::{AnswerApproval, Word};
use codepiper_api::{Fault, Refusal};
use codepiper_core::approval::{ApprovalId, Reach, Standing, digest};
use codepiper_core::gate::{Verdict, Wants};
use codepiper_core::policy::{Action, Call, Rule, narrowest_rule};
use codepiper_core::provider::Provider;
use codepiper_core::provider::codex::requests;
use serde_json::Value;
use std::path::Path;

/// What an agent is told when the person said nothing.
const NO: &str = "the user said no";

impl Handle {
    /// Answers an open question. Comes back when the answer is stored and on its way to the agent.
    pub async fn answer_approval(
        &self,
        app: &App,
        provider: &Provider,
        id: &ApprovalId,
        answer: &AnswerApproval,
        by: &str,
    ) -> Result<(), Refusal> {
        let number = id.number();
        let open = self.ask(|reply| Command::OpenApproval { number, reply }).await?;
        check(&open, answer)?;
        let verdict = verdict(&open, answer)?;
        let standing = match (&verdict, answer.decision) {
            (Verdict::Answers { .. }, _) => Standing::Answered,
            (_, Word::Allow) => Standing::Allowed,
            (_, Word::Deny) => Standing::Denied,
        };
        let rule = match answer.reach {
            Reach::Once => None,
            Reach::Session | Reach::Always => Some(self.rule_for(&open.asked, &open.row.digest)?),
        };
        let closed = Closed { by: by.to_owned(), reach: answer.reach, note: answer.note.clone() };
        let closing = |says: String| Closing { standing, closed: closed.clone(), says };
        match (&open.channel, open.asked.gate) {
            (Some(question), _) => {
                let closing = closing(String::new());
                let underway = Some(closing.clone());
                self.ask(|reply| Command::AnswerUnderway { number, closing: underway, reply }).await?;
                if let Err(refusal) = self.answer_on_channel(id, question, answer).await {
                    let withdrawn =
                        self.ask(|reply| Command::AnswerUnderway { number, closing: None, reply });
                    let _closed_meanwhile = withdrawn.await;
                    return Err(refusal);
                }
                // The agent took it, and may have told of it first: then it is closed already, with our answer.
                let _closed_already =
                    self.ask(|reply| Command::CloseApproval { number, closing, reply }).await;
            }
            (None, Some(gate)) => {
                let says = provider.dialect().answer(gate, &open.call, &verdict);
                // No word lets the call go on: that is what a yes means where there is none for it.
                if says.is_empty() && !matches!(verdict, Verdict::Allow { .. }) {
                    return Err(only_at_terminal(id));
                }
                let closing = closing(says);
                self.ask(|reply| Command::CloseApproval { number, closing, reply }).await?;
            }
            (None, None) => return Err(only_at_terminal(id)),
        }
        let Some(mut rule) = rule else { return Ok(()) };
        rule.action = match answer.decision {
            Word::Allow => Action::Allow,
            Word::Deny => Action::Deny,
        };
        rule.reason = Some(format!("decided by {by} in session {}", self.id));
        let session = (answer.reach == Reach::Session).then_some(&self.id);
        app.policies.remember(app, rule, session, open.asked.priority, by).await
    }

    /// The narrowest rule that decides a call like this one. It is made of what is stored, so no secret gets into it.
    pub fn rule_for(&self, asked: &Asked, asked_digest: &str) -> Result<Rule, Refusal> {
        if asked.for_budget {
            return Err(Refusal::field(
                "reach",
                "must be `once`: a budget is used up, and asks with every call",
            )
            .hint(format!("`codepiper budget {} 10usd` sets another one", self.id)));
        }
        if digest(&asked.tool, &asked.args) != asked_digest {
            // Masked or cut, it would be the rule of another call.
            return Err(Refusal::field(
                "reach",
                "must be `once`: the call holds a secret, or is too long for a rule",
            )
            .hint("`codepiper policy create` writes a rule of your own"));
        }
        let known = self.known();
        let cwd = asked.cwd.as_deref().unwrap_or(Path::new(&known.row.cwd));
        let real = |path: &Path| path.to_owned();
        let call =
            Call { tool: &asked.tool, args: &asked.args, cwd, session: &self.id, home: None, real: &real };
        Ok(narrowest_rule(&call, Action::Allow))
    }

    async fn answer_on_channel(
        &self,
        id: &ApprovalId,
        question: &codepiper_core::provider::Approval,
        answer: &AnswerApproval,
    ) -> Result<(), Refusal> {
        let open = self.channel.borrow().clone();
        let Some(open) = open else { return Err(only_at_terminal(id)) };
        let verdict = match (answer.decision, &answer.answers) {
            (Word::Allow, Some(answers)) => {
                let first = answers.values().next().and_then(Value::as_str).unwrap_or_default();
                requests::Verdict::Say(first.to_owned())
            }
            // How far it reaches is our rule's to say: the agent's own word for it is wider.
            (Word::Allow, None) => requests::Verdict::Accept,
            (Word::Deny, _) => requests::Verdict::Decline,
        };
        match open.channel.answer(question, &verdict).await {
            Ok(()) => Ok(()),
            Err(ChannelError::NotOpen) => {
                Err(Refusal::new(Fault::Conflict, format!("approval {id} was answered at the terminal")))
            }
            Err(ChannelError::NoSuchAnswer) => {
                let refusal = format!("approval {id} cannot be answered like this");
                Err(Refusal::new(Fault::Usage, refusal)
                    .hint(format!("`codepiper approvals show {id}` shows what it asks")))
            }
            Err(error) => {
                Err(Refusal::new(Fault::Agent, format!("the agent did not take the answer: {error}")))
            }
        }
    }
}

fn check(open: &Open, answer: &AnswerApproval) -> Result<(), Refusal> {
    let id = &open.row.id;
    if answer.digest.as_ref().is_some_and(|digest| *digest != open.row.digest) {
        let refusal = format!("approval {id} asks something else than was shown");
        return Err(Refusal::new(Fault::Conflict, refusal)
            .hint(format!("`codepiper approvals show {id}` shows what it asks now")));
    }
    if answer.reach != Reach::Once && open.asked.wants != Wants::Permission {
        return Err(Refusal::field("reach", "must be `once`: questions and plans are answered one by one"));
    }
    Ok(())
}

fn verdict(open: &Open, answer: &AnswerApproval) -> Result<Verdict, Refusal> {
    match (answer.decision, open.asked.wants, &answer.answers) {
        (Word::Deny, ..) => {
            let note = answer.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
            let reason = match note {
                Some(note) => format!("{NO}: {note}"),
                None => NO.to_owned(),
            };
            Ok(Verdict::Deny { reason })
        }
        (Word::Allow, Wants::Answers, Some(answers)) => {
            check_answers(open, answers)?;
            Ok(Verdict::Answers { answers: answers.clone() })
        }
        (Word::Allow, Wants::Answers, None) => {
            let id = &open.row.id;
            Err(Refusal::new(Fault::Usage, format!("approval {id} asks a question"))
                .hint(format!("`codepiper approvals answer {id} …`; `show` has the options")))
        }
        (Word::Allow, Wants::Permission | Wants::Plan, _) => {
            Ok(Verdict::Allow { reason: "allowed by the user".into() })
        }
    }
}

/// Each question that is asked has an answer, and nothing else has one.
fn check_answers(open: &Open, answers: &serde_json::Map<String, Value>) -> Result<(), Refusal> {
    let asked: Vec<&str> = open
        .call
        .args
        .get("questions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|question| question.get("question")?.as_str())
        .collect();
    if let Some(missing) = asked.iter().find(|question| !answers.contains_key(**question)) {
        return Err(Refusal::field("answers", format_args!("has no answer to `{missing}`")));
    }
    if let Some(foreign) = answers.keys().find(|question| !asked.contains(&question.as_str())) {
        return Err(Refusal::field("answers", format_args!("answers `{foreign}`, which was not asked")));
    }
    match answers.values().all(Value::is_string) {
        true => Ok(()),
        false => Err(Refusal::field("answers", "must be texts")),
    }
}

fn only_at_terminal(id: &ApprovalId) -> Refusal {
    Refusal::new(Fault::Conflict, format!("approval {id} can only be answered at the agent's terminal now"))
        .hint(format!("`codepiper attach {}` shows it", id.session()))
}

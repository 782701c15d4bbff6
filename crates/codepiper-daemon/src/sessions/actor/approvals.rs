//! The questions of a session that wait for a person: opened by a hook or the control channel, closed by the first
//! answer, wherever it is given.
//!
//! The laws to keep: an approval is closed once, and its closing is stored before anybody is told. And where a tool waits
//! for our word, only an answer lets it run: the agent's own reports can take its question back, and that is a no.

use super::commit::Batch;
use super::{Actor, internal};
use crate::settings;
use codepiper_api::{Fault, Refusal};
use codepiper_core::approval::{ApprovalId, Reach, Standing, digest, shown};
use codepiper_core::gate::{Gate, Verdict, Wants};
use codepiper_core::hook::{Learned, ToolCall, bounded};
use codepiper_core::provider::Approval as ChannelQuestion;
use codepiper_core::session::Happening;
use codepiper_store::approvals::{self, ApprovalRow};
use codepiper_store::audit::NewEntry;
use codepiper_store::events::NewEvent;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long after the hook that asked has gone the agent may take to say what became of its question.
const HOOK_GONE_GRACE: Duration = Duration::from_secs(1);

/// Who answered what was not answered here.
const AT_TERMINAL: &str = "somebody at the terminal";

/// What is stored of a question beside its standing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What it wants of a person.
    pub wants: Wants,
    /// The tool.
    pub tool: String,
    /// Its arguments, secrets masked and long texts cut.
    pub args: Value,
    /// The call as a person should read it.
    pub shown: Vec<String>,
    /// The sub-agent that asks, when it is not the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The hook that waits; a question of the control channel has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Why a person is asked: a rule's words, or that the agent itself asks.
    pub why: String,
    /// The priority of the policy whose rule asks. A rule that answers it for good must be stronger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Whether a budget that is used up asks: it asks again with the next call, whatever rules say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_budget: bool,
    /// Where the agent worked, when it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The agent's id of the call, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The key by which the session's state knows the question.
    pub about: String,
    /// How it was closed, by whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// What the hook prints. Kept for a helper that comes back after the daemon was started anew.
    #[serde(default)]
    pub says: String,
}

/// How a question was closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// Who or what did it.
    pub by: String,
    /// How far the answer reaches.
    #[serde(default)]
    pub reach: Reach,
    /// What the person said to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A question that waits.
#[derive(Debug, Clone)]
pub struct Open {
    /// As it is stored.
    pub row: ApprovalRow,
    /// The same, understood.
    pub asked: Asked,
    /// The call with all of its arguments; after a start of the daemon only what was stored.
    pub call: ToolCall,
    /// The question of the control channel, when it is one and the channel has told of it.
    pub channel: Option<ChannelQuestion>,
    says: watch::Sender<Option<String>>,
    /// When the hook's going counts as an answer at the terminal.
    gone_by: Option<Instant>,
    /// An answer of ours that is on its way to the agent, which may tell of it before we hear that it arrived.
    underway: Option<Closing>,
}

impl Open {
    /// Whether a tool waits for us, and nobody else would ask.
    fn holds_a_tool(&self) -> bool {
        self.asked.gate == Some(Gate::ToolUse)
    }
}

/// An answer that is to close a question.
#[derive(Debug, Clone)]
pub struct Closing {
    /// As what.
    pub standing: Standing,
    /// By whom, how far, with which words.
    pub closed: Closed,
    /// What the hook prints.
    pub says: String,
}

/// What a hook that waits is given.
pub enum Waits {
    /// The question is closed; this is to be printed.
    Closed(String),
    /// It is open; the text comes once it is closed.
    Open(watch::Receiver<Option<String>>),
}

/// The open questions of a session.
#[derive(Default)]
pub struct Approvals {
    open: Vec<Open>,
    last_number: u64,
}

impl Approvals {
    /// Those that an earlier daemon left open.
    pub fn from_stored(rows: Vec<ApprovalRow>, last_number: u64) -> Self {
        let open = rows.into_iter().filter_map(|row| {
            let asked: Asked = serde_json::from_value(row.body.clone())
                .inspect_err(|error| tracing::error!(%error, approval = %row.id, "it cannot be understood"))
                .ok()?;
            let call = ToolCall {
                tool: asked.tool.clone(),
                args: asked.args.clone(),
                use_id: asked.call.clone(),
                agent: asked.agent.clone(),
            };
            Some(Open {
                row,
                asked,
                call,
                channel: None,
                says: watch::Sender::new(None),
                gone_by: None,
                underway: None,
            })
        });
        Self { open: open.collect(), last_number }
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.open.iter().position(|open| open.row.id.number() == number)
    }

    /// Whether a tool waits for us before it runs.
    pub(super) fn hold_a_tool(&self) -> bool {
        self.open.iter().any(Open::holds_a_tool)
    }

    /// Whether the happening says that a tool was let go which still waits for us: it is about the same call made at the
    /// same time, or not true.
    pub(super) fn refute(&self, happening: &Happening, closed: &[(u64, String)]) -> bool {
        let Happening::Answered { about } = happening else { return false };
        let is_closed = |open: &Open| closed.iter().any(|(number, _)| *number == open.row.id.number());
        self.open.iter().any(|open| {
            open.holds_a_tool()
                && about.as_ref().is_none_or(|about| open.asked.about == *about)
                && !is_closed(open)
        })
    }

    /// When there is something to do about one of them.
    pub(super) fn due(&self) -> Option<Instant> {
        let expires = self.open.iter().filter_map(|open| open.row.expires_at).min().map(|first| {
            let left = first.duration_since(Timestamp::now());
            Instant::now() + left.try_into().unwrap_or_default()
        });
        self.open.iter().filter_map(|open| open.gone_by).chain(expires).min()
    }

    /// What a happening closes: the question it answers, or all of them.
    pub(super) fn closed_by(&self, happening: &Happening) -> Vec<(u64, Closing)> {
        let (wanted, standing, by) = match happening {
            Happening::Answered { about } => (about.as_ref(), Standing::AtTerminal, AT_TERMINAL),
            Happening::Interrupted => (None, Standing::Withdrawn, "the turn was interrupted"),
            Happening::TurnEnded | Happening::TurnFailed { .. } => {
                (None, Standing::Withdrawn, "the turn is over")
            }
            Happening::Launched | Happening::Exited { .. } => (None, Standing::Withdrawn, "the agent ended"),
            _ => return Vec::new(),
        };
        let closing = |open: &Open| {
            let closed = Closed { by: by.into(), reach: Reach::Once, note: None };
            let seen = Closing { standing, closed, says: String::new() };
            (open.row.id.number(), open.underway.clone().unwrap_or(seen))
        };
        self.open
            .iter()
            .filter(|open| wanted.is_none_or(|about| open.asked.about == *about))
            .filter(|open| standing != Standing::AtTerminal || !open.holds_a_tool())
            .map(closing)
            .collect()
    }

    /// The stored form of a question that is closed like this.
    pub(super) fn as_closed(
        &self,
        number: u64,
        closing: &Closing,
        at: Timestamp,
    ) -> Option<(ApprovalRow, Asked)> {
        let open = &self.open[self.position(number)?];
        let mut asked = open.asked.clone();
        asked.closed = Some(closing.closed.clone());
        asked.says.clone_from(&closing.says);
        let mut row = open.row.clone();
        (row.standing, row.closed_at) = (closing.standing, Some(at));
        row.body = json!(asked);
        Some((row, asked))
    }

    /// Forgets a question that is stored as closed, and tells who waits for it. The id of the call it was about.
    pub(super) fn forget(&mut self, number: u64, says: &str) -> Option<String> {
        let open = self.open.swap_remove(self.position(number)?);
        open.says.send_replace(Some(says.to_owned()));
        open.call.use_id
    }
}

/// What opens a question.
pub(super) struct Question {
    pub(super) call: ToolCall,
    pub(super) gate: Option<Gate>,
    pub(super) channel: Option<ChannelQuestion>,
    pub(super) about: String,
    pub(super) why: String,
    pub(super) priority: Option<i64>,
    pub(super) for_budget: bool,
    pub(super) cwd: Option<PathBuf>,
}

impl Actor {
    /// A question that is about to be opened: what to store of it, and itself.
    pub(super) fn prepare_question(&mut self, question: Question, expires_at: Option<Timestamp>) -> Open {
        let number = self.approvals.last_number + 1;
        let id = ApprovalId::new(self.known.row.id.clone(), number);
        let Question { call, gate, channel, about, why, priority, for_budget, cwd } = question;
        let masked = ToolCall { args: self.masker.value(call.args.clone()), ..call.clone() };
        let asked = Asked {
            wants: Wants::of(&call),
            tool: call.tool.clone(),
            shown: shown(&masked),
            args: bounded(masked.args),
            agent: call.agent.clone(),
            gate,
            why,
            priority,
            for_budget,
            cwd,
            call: call.use_id.clone(),
            about,
            closed: None,
            says: String::new(),
        };
        let row = ApprovalRow {
            id,
            standing: Standing::Open,
            digest: digest(&call.tool, &call.args),
            body: json!(asked),
            asked_at: Timestamp::now(),
            expires_at,
            closed_at: None,
        };
        Open { row, asked, call, channel, says: watch::Sender::new(None), gone_by: None, underway: None }
    }

    /// The event that tells of an open question.
    pub(super) fn opened_event(&self, open: &Open) -> NewEvent {
        let payload = json!({
            "approval": open.row.id, "wants": open.asked.wants, "tool": open.asked.tool,
            "shown": open.asked.shown, "why": open.asked.why, "expiresAt": open.row.expires_at,
        });
        self.event("policy", "approval-opened", payload)
    }

    /// Adds a question that is stored.
    pub(super) fn add_question(&mut self, open: Open) {
        self.approvals.last_number = open.row.id.number();
        self.approvals.open.push(open);
    }

    /// Puts into the batch what the happenings close.
    pub(super) fn close_by_happenings(&self, happenings: &[Happening], batch: &mut Batch) {
        for happening in happenings {
            for (number, closing) in self.approvals.closed_by(happening) {
                self.put_closing(number, closing, batch);
            }
        }
    }

    /// Puts a closing into the batch: the row, an event, an audit entry.
    pub(super) fn put_closing(&self, number: u64, closing: Closing, batch: &mut Batch) {
        if batch.closings.iter().any(|(closed, _)| *closed == number) {
            return;
        }
        let at = Timestamp::now();
        let closing = self.without_a_silent_yes(number, closing);
        let Some((row, asked)) = self.approvals.as_closed(number, &closing, at) else { return };
        let payload = json!({
            "approval": row.id, "standing": row.standing, "by": closing.closed.by, "tool": asked.tool,
        });
        batch.events.push(self.event("policy", "approval-closed", payload));
        let waited = at.duration_since(row.asked_at);
        batch.audit.push(NewEntry {
            at,
            session: Some(self.known.row.id.clone()),
            kind: "answer".into(),
            tool: Some(asked.tool),
            decision: Some(closing.standing.word().into()),
            body: json!({
                "approval": row.id, "digest": row.digest, "call": asked.call, "by": closing.closed.by,
                "reach": closing.closed.reach, "note": closing.closed.note,
                "waitedMs": waited.as_millis() as i64,
            }),
        });
        batch.approvals.push(row);
        batch.closings.push((number, closing.says));
    }

    /// A question that went away unanswered is a no where a tool waits: it takes our silence for a yes.
    fn without_a_silent_yes(&self, number: u64, mut closing: Closing) -> Closing {
        let unanswered =
            matches!(closing.standing, Standing::AtTerminal | Standing::Expired | Standing::Withdrawn);
        let open = self.approvals.position(number).map(|position| &self.approvals.open[position]);
        if let Some(open) = open.filter(|open| unanswered && open.holds_a_tool())
            && closing.says.is_empty()
        {
            let reason = format!("nobody answered: {}", closing.closed.by);
            closing.says = self.says(Gate::ToolUse, &open.call, Verdict::Deny { reason });
        }
        closing
    }

    /// An open question, for whoever answers it.
    pub(super) async fn open_question(&self, number: u64) -> Result<Open, Refusal> {
        match self.approvals.position(number) {
            Some(position) => Ok(self.approvals.open[position].clone()),
            None => Err(self.why_not_open(number).await),
        }
    }

    /// Notes an answer that is on its way to the agent, or that it did not arrive.
    pub(super) async fn answer_underway(
        &mut self,
        number: u64,
        closing: Option<Closing>,
    ) -> Result<(), Refusal> {
        let Some(position) = self.approvals.position(number) else {
            return Err(self.why_not_open(number).await);
        };
        let underway = &mut self.approvals.open[position].underway;
        if underway.is_some() && closing.is_some() {
            let id = ApprovalId::new(self.known.row.id.clone(), number);
            return Err(Refusal::new(Fault::Conflict, format!("approval {id} is just being answered")));
        }
        *underway = closing;
        Ok(())
    }

    /// Closes a question, unless somebody was faster.
    pub(super) async fn close_question(&mut self, number: u64, closing: Closing) -> Result<(), Refusal> {
        let Some(position) = self.approvals.position(number) else {
            return Err(self.why_not_open(number).await);
        };
        let open = &self.approvals.open[position];
        // The state goes on with the answer; the agent's own word of it comes later, or not at all.
        let answered = matches!(closing.standing, Standing::Allowed | Standing::Denied | Standing::Answered);
        let happenings = match answered {
            true => vec![Happening::Answered { about: Some(open.asked.about.clone()) }],
            false => Vec::new(),
        };
        let mut batch = Batch::default();
        self.put_closing(number, closing, &mut batch);
        self.happen_with(&happenings, &Learned::default(), batch).await.map(drop)
    }

    /// What a hook that waits is to print, or when it will be known.
    pub(super) async fn wait_for_question(&self, number: u64, secret: &str) -> Result<Waits, Refusal> {
        self.check_secret(secret)?;
        if let Some(position) = self.approvals.position(number) {
            return Ok(Waits::Open(self.approvals.open[position].says.subscribe()));
        }
        let id = ApprovalId::new(self.known.row.id.clone(), number);
        let row = self.stored_question(&id).await?;
        let asked: Option<Asked> = row.and_then(|row| serde_json::from_value(row.body).ok());
        asked.map(|asked| Waits::Closed(asked.says)).ok_or_else(|| no_such_approval(&id))
    }

    /// The hook that waited is gone: the question was answered at the terminal, or nobody asks any more. What says
    /// which of them comes a little later.
    pub(super) fn hook_gone(&mut self, number: u64) {
        if let Some(position) = self.approvals.position(number) {
            self.approvals.open[position].gone_by = Some(Instant::now() + HOOK_GONE_GRACE);
        }
    }

    /// Does what is due: closes what was answered at the terminal, and what nobody answered in time.
    pub(super) async fn mind_questions(&mut self) {
        let now = Instant::now();
        let gone: Vec<(u64, bool)> = self
            .approvals
            .open
            .iter()
            .filter(|open| open.gone_by.is_some_and(|by| by <= now))
            .map(|open| (open.row.id.number(), open.holds_a_tool()))
            .collect();
        for (number, holds_a_tool) in gone {
            let (standing, by) = match holds_a_tool {
                true => (Standing::Withdrawn, "the hook that asked has ended"),
                false => (Standing::AtTerminal, AT_TERMINAL),
            };
            let closed = Closed { by: by.into(), reach: Reach::Once, note: None };
            let closing = Closing { standing, closed, says: String::new() };
            if let Err(refusal) = self.close_question(number, closing).await {
                tracing::warn!(%refusal, session = %self.known.row.id, "a question stays open");
            }
        }
        let denies = settings::get(&self.app, settings::APPROVAL_ON_EXPIRY).await == json!("deny");
        self.expire_questions(denies).await;
    }

    /// Closes what nobody answered in time.
    async fn expire_questions(&mut self, denies: bool) {
        let now = Timestamp::now();
        let due: Vec<Open> = self
            .approvals
            .open
            .iter()
            .filter(|open| open.row.expires_at.is_some_and(|at| at <= now))
            .cloned()
            .collect();
        for open in due {
            let minutes =
                open.row.expires_at.map_or(0, |at| at.duration_since(open.row.asked_at).as_secs() / 60);
            let reason = format!("nobody answered within {minutes} minutes");
            let says = match open.asked.gate {
                // Nothing else asks a person there, so no answer would be a yes.
                Some(gate @ Gate::ToolUse) => self.says(gate, &open.call, Verdict::Deny { reason }),
                Some(gate) if denies => self.says(gate, &open.call, Verdict::Deny { reason }),
                _ => String::new(),
            };
            let closed = Closed { by: "time".into(), reach: Reach::Once, note: None };
            let closing = Closing { standing: Standing::Expired, closed, says };
            if let Err(refusal) = self.close_question(open.row.id.number(), closing).await {
                tracing::warn!(%refusal, session = %self.known.row.id, "a question did not expire");
            }
        }
    }

    /// The open question with this key of the state, when there is one.
    pub(super) fn question_about(&mut self, about: &str) -> Option<&mut Open> {
        self.approvals.open.iter_mut().find(|open| open.asked.about == about)
    }

    fn says(&self, gate: Gate, call: &ToolCall, verdict: Verdict) -> String {
        self.provider.dialect().answer(gate, call, &verdict)
    }

    async fn stored_question(&self, id: &ApprovalId) -> Result<Option<ApprovalRow>, Refusal> {
        let wanted = id.clone();
        let read = self.app.store.read(move |connection| approvals::get(connection, &wanted)).await;
        read.map_err(|error| internal("reading the approval", error))
    }

    async fn why_not_open(&self, number: u64) -> Refusal {
        let id = ApprovalId::new(self.known.row.id.clone(), number);
        match self.stored_question(&id).await {
            Err(refusal) => refusal,
            Ok(None) => no_such_approval(&id),
            Ok(Some(row)) => {
                let by =
                    row.body.pointer("/closed/by").and_then(Value::as_str).unwrap_or("somebody").to_owned();
                let word = row.standing.word();
                Refusal::new(Fault::Conflict, format!("approval {id} is not open any more: {word}, by {by}"))
            }
        }
    }
}

fn no_such_approval(id: &ApprovalId) -> Refusal {
    Refusal::new(Fault::NotFound, format!("there is no approval `{id}`"))
        .hint("`codepiper approvals` lists the open ones")
}

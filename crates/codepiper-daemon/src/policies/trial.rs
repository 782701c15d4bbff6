//! What rules would say: to one call, and to the calls that were recorded. Nothing is changed by asking.

use super::{Place, Table, compile, deny_all};
use crate::app::App;
use crate::own_files::{WHY, names_own_files};
use crate::paths::RealPaths;
use crate::sessions::{Known, internal};
use codepiper_api::Refusal;
use codepiper_api::policies::{Backtested, ChangedCall, Counts, Effect, PolicyName, Tested};
use codepiper_core::gate::Wants;
use codepiper_core::hook::ToolCall;
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Action, Call, Decider, Decision, Policy, RuleBook, applies_to, explain};
use codepiper_store::events::{self, Filter, StoredEvent};
use codepiper_store::sessions;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Events that are read and decided at a time, between which others get their turn.
const PAGE: u32 = 500;

/// Sessions whose rules are kept compiled in a backtest. More are compiled anew when they are met again.
const BOOKS_MAX: usize = 64;

/// Backtests at a time: each takes a core.
static TURN: Semaphore = Semaphore::const_new(1);

/// Whose call is tried out.
#[derive(Debug, Clone)]
pub struct Subject {
    session: SessionId,
    provider: String,
    cwd: PathBuf,
    sets: Vec<String>,
    is_dangerous: bool,
}

impl Subject {
    /// A session that is there.
    pub fn session(table: &Table, known: &Known) -> Self {
        Self {
            session: known.row.id.clone(),
            provider: known.row.provider.clone(),
            cwd: PathBuf::from(&known.row.cwd),
            sets: table.sets_of(&known.row.id).to_vec(),
            is_dangerous: known.launch.dangerous,
        }
    }

    /// A session as it would be if it were started now.
    pub fn fresh(table: &Table, provider: &str, cwd: PathBuf) -> Self {
        Self {
            session: SessionId::from_bits(0),
            provider: provider.to_owned(),
            cwd,
            sets: table.sets.iter().filter(|set| set.is_default).map(|set| set.id.clone()).collect(),
            is_dangerous: false,
        }
    }

    /// The policies that hold for it.
    fn effective(&self, table: &Table) -> Vec<Policy> {
        let Self { session, provider, cwd, sets, .. } = self;
        table.effective_at(Place { session, provider, cwd, sets })
    }
}

/// What a call gets by the rules in force, or by a draft in their place.
pub fn test(
    app: &App,
    subject: &Subject,
    tool: &str,
    args: Value,
    cwd: &Path,
    draft: Option<Policy>,
) -> Tested {
    let table = app.policies.table();
    let is_denied = draft.is_none() && !table.unreadable.is_empty();
    let policies = match draft {
        Some(draft) => vec![draft],
        None => subject.effective(&table),
    };
    let book = if is_denied { deny_all() } else { compile(&policies, table.fallback) };
    let paths = RealPaths::default();
    let decision = book.decide(&Call {
        tool,
        args: &args,
        cwd,
        session: &subject.session,
        home: app.config.environment.get("HOME").map(Path::new),
        real: &|path| paths.of(path),
    });
    let call = ToolCall { tool: tool.to_owned(), args, use_id: None, agent: None };
    let is_guarded = names_own_files(&app.config.home, &call, cwd, &paths);
    let effect = match (subject.is_dangerous, is_guarded) {
        (true, _) => Effect::None,
        (false, true) => Effect::Deny,
        (false, false) => effect(&decision, Wants::of(&call)),
    };
    let (lines, decision) = match is_guarded {
        // Before any rule, as at the gate.
        true => (
            vec![format!("deny: {WHY}")],
            json!({ "action": "deny", "by": { "kind": "ownFiles" }, "reason": WHY, "parts": [] }),
        ),
        false => (explain(&decision), json!(decision)),
    };
    let names = |policy: &Policy| PolicyName { id: policy.id.clone(), name: policy.name.clone() };
    Tested {
        effect,
        lines,
        decision,
        policies: policies.iter().map(names).collect(),
        fallback: table.fallback,
        bypassed: subject.is_dangerous,
    }
}

/// What is said at the gate, as the session's own task says it.
fn effect(decision: &Decision, wants: Wants) -> Effect {
    let is_rule = matches!(decision.by, Decider::Rule { .. } | Decider::Unreadable { .. });
    match (decision.action, wants) {
        (Action::Deny, _) => Effect::Deny,
        (_, Wants::Answers | Wants::Plan) => Effect::None,
        (Action::Allow, Wants::Permission) => Effect::Allow,
        (Action::Ask, Wants::Permission) if is_rule => Effect::Ask,
        (Action::Ask, Wants::Permission) => Effect::None,
    }
}

/// Which recorded calls are decided anew.
pub struct Over {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// At most so many, the latest.
    pub limit: u32,
    /// At most so many of those whose action changes are listed.
    pub show: usize,
}

/// Decides recorded calls by the rules in force, by these with the draft, and by the draft alone. Links are not looked
/// up: the files may be others by now.
pub async fn backtest(app: &Arc<App>, draft: Policy, over: Over) -> Result<Backtested, Refusal> {
    let _turn = TURN.acquire().await.map_err(|error| internal("waiting for another backtest", error))?;
    let mut run = Run {
        app: app.clone(),
        table: app.policies.table(),
        draft,
        show: over.show,
        subjects: HashMap::new(),
        books: HashMap::new(),
        result: Backtested {
            calls: 0,
            skipped: 0,
            more: false,
            now: Counts::default(),
            with: Counts::default(),
            alone: Counts::default(),
            changed: 0,
            changes: Vec::new(),
        },
    };
    let (mut before, mut left) = (None, over.limit);
    while left > 0 {
        let filter = Filter {
            session: over.session.clone(),
            source: Some("hook".into()),
            kind: Some("PreToolUse".into()),
            before,
            since: over.since,
            last: true,
            limit: left.min(PAGE),
            ..Filter::default()
        };
        let read = app.store.read(move |connection| events::list(connection, &filter)).await;
        let (page, more) = read.map_err(|error| internal("reading the recorded calls", error))?;
        before = page.first().map(|event| event.seq);
        left -= page.len() as u32;
        run.result.more = more;
        run.meet(&page).await?;
        let decided = tokio::task::spawn_blocking(move || {
            page.into_iter().rev().for_each(|event| run.decide(event));
            run
        });
        run = decided.await.map_err(|error| internal("deciding the recorded calls", error))?;
        if !more {
            break;
        }
    }
    Ok(run.result)
}

struct Run {
    app: Arc<App>,
    table: Arc<Table>,
    draft: Policy,
    show: usize,
    /// Whom the calls were made by; none where it is not known any more, or no rule is asked.
    subjects: HashMap<SessionId, Option<Subject>>,
    books: HashMap<SessionId, Books>,
    result: Backtested,
}

/// The rules of one session, three ways.
struct Books {
    now: RuleBook,
    with: RuleBook,
    alone: RuleBook,
}

impl Run {
    /// Looks up the sessions of these events, also those that have left the list.
    async fn meet(&mut self, page: &[StoredEvent]) -> Result<(), Refusal> {
        let mut new: Vec<SessionId> = page.iter().map(|stored| stored.event.session.clone()).collect();
        new.retain(|session| !self.subjects.contains_key(session));
        new.sort();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let read = self.app.store.read(move |connection| {
            let origin = |id: SessionId| sessions::origin(connection, &id).map(|found| (id, found));
            new.into_iter().map(origin).collect::<Result<Vec<_>, _>>()
        });
        let found = read.await.map_err(|error| internal("reading the sessions", error))?;
        for (session, origin) in found {
            let sets = self.table.sets_of(&session).to_vec();
            let asks = origin.filter(|(_, _, launch)| launch["dangerous"] != true);
            let subject = asks.map(|(provider, cwd, _)| Subject {
                session: session.clone(),
                provider,
                cwd: cwd.into(),
                sets,
                is_dangerous: false,
            });
            self.subjects.insert(session, subject);
        }
        Ok(())
    }

    fn decide(&mut self, StoredEvent { seq, event }: StoredEvent) {
        let Some(Some(subject)) = self.subjects.get(&event.session) else {
            self.result.skipped += 1;
            return;
        };
        let cwd = event.payload["cwd"].as_str().map(PathBuf::from).filter(|cwd| cwd.is_absolute());
        let cwd = cwd.unwrap_or_else(|| subject.cwd.clone());
        let provider = self.app.providers.find(&subject.provider).ok();
        let Some(call) = provider.and_then(|provider| provider.dialect().read_hook(event.payload).tool)
        else {
            self.result.skipped += 1;
            return;
        };
        if self.books.len() >= BOOKS_MAX && !self.books.contains_key(&event.session) {
            self.books.clear();
        }
        let books = self
            .books
            .entry(event.session.clone())
            .or_insert_with(|| Books::new(&self.table, subject, &self.draft));
        let asked = Call {
            tool: &call.tool,
            args: &call.args,
            cwd: &cwd,
            session: &event.session,
            home: self.app.config.environment.get("HOME").map(Path::new),
            real: &|path: &Path| path.to_owned(),
        };
        let result = &mut self.result;
        result.calls += 1;
        if names_own_files(&self.app.config.home, &call, &cwd, &RealPaths::default()) {
            for counts in [&mut result.now, &mut result.with, &mut result.alone] {
                counts.count(Action::Deny);
            }
            return;
        }
        let (now, with) = (books.now.decide(&asked), books.with.decide(&asked));
        result.now.count(now.action);
        result.with.count(with.action);
        result.alone.count(books.alone.decide(&asked).action);
        if now.action != with.action {
            result.changed += 1;
            if result.changes.len() < self.show {
                result.changes.push(ChangedCall {
                    event: seq,
                    at: event.at,
                    call: call.in_one_line(),
                    tool: call.tool,
                    session: event.session,
                    now: now.action,
                    with: with.action,
                    reason: with.reason,
                });
            }
        }
    }
}

impl Books {
    fn new(table: &Table, subject: &Subject, draft: &Policy) -> Self {
        let now = subject.effective(table);
        let mut with: Vec<Policy> = now.iter().filter(|policy| policy.id != draft.id).cloned().collect();
        let mut alone = Vec::new();
        // One for sets is tried as if the session had such a set.
        if applies_to(draft, &subject.session, &subject.provider, &subject.cwd, true) {
            with.push(draft.clone());
            alone.push(draft.clone());
        }
        let fallback = table.fallback;
        let now = if table.unreadable.is_empty() { compile(&now, fallback) } else { deny_all() };
        Self { now, with: compile(&with, fallback), alone: compile(&alone, fallback) }
    }
}

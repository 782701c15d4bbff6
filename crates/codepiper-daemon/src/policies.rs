//! The policies that are in force: kept in memory, changed through the store, compiled for each session when it asks.
//!
//! The laws to keep: a change is stored, with its audit entry, before it counts; and a session that is deciding sees
//! either all of a change or none of it.

mod change;
mod find;
mod trial;

pub use change::{Change, Draft, attach_at_start, session_gone};
pub use find::{find_policy, find_set};
pub use trial::{Over, Subject, backtest, test};

use crate::app::App;
use crate::sessions::{Known, Sessions, internal};
use crate::settings;
use crate::stand_in::Rules;
use codepiper_api::Refusal;
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Fallback, Policy, Rule, RuleBook, Scope, Snapshot, applies_to, read_policy};
use codepiper_store::audit::{self, NewEntry};
use codepiper_store::policies::{self, PolicyRow, SetRow};
use codepiper_store::settings as stored_settings;
use codepiper_store::{Store, Transaction};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// All policies and sets, as they were after the last change.
#[derive(Default)]
pub struct Table {
    /// The policies, newest first.
    pub policies: Vec<Stored>,
    /// The sets, by name.
    pub sets: Vec<SetRow>,
    /// The sets of each session.
    pub attached: HashMap<SessionId, Vec<String>>,
    /// What happens to a call that no rule decides.
    pub fallback: Fallback,
    /// Policies that are stored and cannot be read. As long as there are any, every call is denied: what they forbid is
    /// not known.
    pub unreadable: Vec<String>,
    /// Counts changes.
    version: u64,
}

/// A policy with its times.
#[derive(Debug, Clone)]
pub struct Stored {
    /// It.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The policies in force.
pub struct Policies {
    table: RwLock<Arc<Table>>,
    books: Mutex<HashMap<SessionId, (u64, Arc<RuleBook>)>>,
    changed: watch::Sender<u64>,
    /// The version of the table that is read next.
    next: AtomicU64,
}

/// What decides which policies hold for a session.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its id.
    pub session: &'a SessionId,
    /// Its provider's id.
    pub provider: &'a str,
    /// Where it works.
    pub cwd: &'a Path,
    /// Its sets.
    pub sets: &'a [String],
}

impl Table {
    /// The policies that hold for a session, the first to decide first.
    pub fn effective(&self, known: &Known) -> Vec<Policy> {
        let row = &known.row;
        let sets = self.sets_of(&row.id);
        self.effective_at(Place { session: &row.id, provider: &row.provider, cwd: Path::new(&row.cwd), sets })
    }

    /// The sets that a session has, by id.
    pub fn sets_of(&self, session: &SessionId) -> &[String] {
        self.attached.get(session).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same for what need be no session.
    pub fn effective_at(&self, Place { session, provider, cwd, sets }: Place<'_>) -> Vec<Policy> {
        let in_sets: HashSet<&str> = self
            .sets
            .iter()
            .filter(|set| sets.contains(&set.id))
            .flat_map(|set| set.policies.iter().map(String::as_str))
            .collect();
        let mut effective: Vec<Policy> = self
            .policies
            .iter()
            .map(|stored| &stored.policy)
            .filter(|policy| {
                let in_set = in_sets.contains(policy.id.as_str());
                applies_to(policy, session, provider, cwd, in_set)
            })
            .cloned()
            .collect();
        effective.sort_by_key(|policy| std::cmp::Reverse(policy.priority));
        effective
    }

    /// The policy with this id.
    pub fn find(&self, id: &str) -> Option<&Stored> {
        self.policies.iter().find(|stored| stored.policy.id == id)
    }
}

impl Policies {
    /// Reads what is stored.
    pub async fn load(store: &Store) -> Result<Self, Refusal> {
        store
            .write(policies::detach_from_strangers)
            .await
            .map_err(|error| internal("tidying the policy sets", error))?;
        let table = read(store, 1).await?;
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
            books: Mutex::default(),
            changed: watch::Sender::new(1),
            next: AtomicU64::new(2),
        })
    }

    /// All of it as it is now.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The compiled rules of a session.
    pub fn book(&self, known: &Known) -> Arc<RuleBook> {
        let table = self.table();
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, book)) = books.get(&known.row.id)
            && *version == table.version
        {
            return book.clone();
        }
        let policies = table.effective(known);
        let book = match table.unreadable.is_empty() {
            true => compile(&policies, table.fallback),
            false => deny_all(),
        };
        let book = Arc::new(book);
        books.insert(known.row.id.clone(), (table.version, book.clone()));
        book
    }

    fn snapshot(&self, known: &Known) -> Snapshot {
        let table = self.table();
        Snapshot::new(table.effective(known), table.fallback)
    }

    /// Forgets the rules of a session that has gone.
    pub fn forget(&self, id: &SessionId) {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Carries out a change, puts it on record, and lets it count. What is stored is looked at in the same transaction:
    /// the change is refused before it wrote anything, or says what it did; `None` where all was so already.
    pub async fn change<T: Send + 'static, C: Into<Option<Change>>>(
        &self,
        app: &App,
        work: impl FnOnce(&Transaction<'_>) -> codepiper_store::Result<Result<(T, C), Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let changed = app.store.write(move |tx| {
            let (changed, change) = match work(tx)? {
                Ok(done) => done,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let Some(Change { session, body }) = change.into() else { return Ok(Ok(changed)) };
            let at = Timestamp::now();
            let kind = "change".to_owned();
            audit::append(tx, &NewEntry { at, session, kind, tool: None, decision: None, body })?;
            Ok(Ok(changed))
        });
        let changed = changed.await.map_err(|error| internal("storing the policy", error))??;
        app.audited.send_replace(());
        self.reload(&app.store).await?;
        Ok(changed)
    }

    /// Writes the rule behind "do not ask me this again", into a policy that is stronger than the one that asked, and
    /// not stronger than it must be.
    pub async fn remember(
        &self,
        app: &App,
        rule: Rule,
        session: Option<&SessionId>,
        asked_by: Option<i64>,
        by: &str,
    ) -> Result<(), Refusal> {
        let priority = asked_by.map_or(0, |priority| priority.saturating_add(1));
        let (id, name, scope) = match session {
            Some(id) => {
                (format!("{id}-approved-{priority}"), format!("Approved in {id}"), Scope::Session(id.clone()))
            }
            None => (format!("approved-{priority}"), "Approved for good".to_owned(), Scope::Global),
        };
        let is_same = |known: &Rule| is_same_rule(known, &rule);
        if self.table().find(&id).is_some_and(|stored| stored.policy.rules.iter().any(is_same)) {
            return Ok(());
        }
        let by = by.to_owned();
        // Read where it is written: two answers at a time both count, and so does a person's change between them.
        let remember = move |tx: &Transaction<'_>| {
            let stored = policies::get(tx, &id)?;
            let created_at = stored.as_ref().map_or_else(Timestamp::now, |stored| stored.created_at);
            let mut fields = stored.map(|stored| stored.body).unwrap_or_else(|| {
                let description = "Written by answers to questions. Deleting a rule asks again.";
                json!({
                    "id": id, "name": name, "description": description, "priority": priority, "scope": scope,
                    "rules": [],
                })
            });
            if let Some(rules) = fields.get_mut("rules").and_then(Value::as_array_mut) {
                rules.push(json!(rule));
            }
            let policy = match read_policy(&fields) {
                Ok(policy) => policy,
                Err(problems) => return Ok(Err(change::refuse(problems))),
            };
            policies::put(tx, &row(&policy, created_at))?;
            let body = json!({ "remembered": rule, "policy": policy.id, "by": by });
            Ok(Ok(((), Change { session: None, body })))
        };
        self.change(app, remember).await
    }

    /// Reads what is stored anew: policies, or the setting they fall back on, have changed.
    pub async fn reload(&self, store: &Store) -> Result<(), Refusal> {
        // Of two changes at a time the table with the higher version was read after both.
        let version = self.next.fetch_add(1, Ordering::SeqCst);
        let read = read(store, version).await?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.version < version {
            *table = Arc::new(read);
            self.changed.send_replace(version);
        }
        Ok(())
    }
}

/// Writes the rules of a session into its folder, for hooks that find no daemon.
pub fn write_rules(app: &App, known: &Known) {
    let Ok(provider) = app.providers.find(&known.row.provider) else { return };
    let rules = Rules {
        speaks: provider.definition.speaks,
        session: known.row.id.clone(),
        cwd: known.row.cwd.clone().into(),
        home: app.config.environment.get("HOME").map(Into::into),
        own: app.config.home.clone(),
        bypass: known.launch.dangerous,
        snapshot: app.policies.snapshot(known),
    };
    if let Err(error) = rules.write(&app.config.session_folder(&known.row.id)) {
        tracing::warn!(%error, session = %known.row.id, "its rules could not be written down");
    }
}

/// Keeps the rules in the folders of live sessions as they are.
pub async fn keep_rules(app: Arc<App>, sessions: Sessions) {
    let mut changes = app.policies.changed.subscribe();
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        changes.mark_unchanged();
        for known in sessions.list().iter().filter(|known| known.state().is_live()) {
            write_rules(&app, known);
        }
    }
}

/// The change that writes a policy, for [`Policies::change`].
pub fn row(policy: &Policy, created_at: Timestamp) -> PolicyRow {
    PolicyRow { id: policy.id.clone(), body: json!(policy), created_at, updated_at: Timestamp::now() }
}

/// Whether two rules say the same of the same calls.
fn is_same_rule(a: &Rule, b: &Rule) -> bool {
    let plain = |rule: &Rule| Rule { id: None, reason: None, ..rule.clone() };
    plain(a) == plain(b)
}

/// Rules were checked when they were written. If one cannot be compiled all the same, because an older version took
/// it, nothing is allowed that it might forbid.
fn compile(policies: &[Policy], fallback: Fallback) -> RuleBook {
    RuleBook::compile(policies, fallback).unwrap_or_else(|problems| {
        tracing::error!(?problems, "stored rules cannot be used; calls are denied until they are mended");
        deny_all()
    })
}

fn deny_all() -> RuleBook {
    RuleBook::compile(&[], Fallback::Deny).expect("no rules are good rules")
}

async fn read(store: &Store, version: u64) -> Result<Table, Refusal> {
    let read = store.read(move |connection| {
        let rows = policies::list(connection)?;
        let sets = policies::sets(connection)?;
        let mut attached: HashMap<SessionId, Vec<String>> = HashMap::new();
        for (session, set) in policies::attached(connection)? {
            attached.entry(session).or_default().push(set);
        }
        let fallback = stored_settings::get(connection, settings::DEFAULT_POLICY_ACTION)?;
        Ok((rows, sets, attached, fallback))
    });
    let (rows, sets, attached, fallback) =
        read.await.map_err(|error| internal("reading the policies", error))?;
    let fallback = match fallback {
        Some(value) if value == "deny" => Fallback::Deny,
        _ => Fallback::Ask,
    };
    let (mut policies, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        match read_policy(&row.body) {
            Ok(policy) => {
                policies.push(Stored { policy, created_at: row.created_at, updated_at: row.updated_at })
            }
            Err(problems) => {
                tracing::error!(
                    ?problems,
                    policy = row.id,
                    "a stored policy cannot be read: every call is denied"
                );
                unreadable.push(row.id);
            }
        }
    }
    Ok(Table { policies, sets, attached, fallback, unreadable, version })
}

//! Changes of policies and sets: checked, carried out in one transaction with their entry in the audit log.
//!
//! The law to keep: what the entry says is what the transaction found and wrote, and nothing read before it.

use super::{Policies, find_policy, find_set, row};
use crate::app::App;
use crate::sessions::{Sessions, fresh_name};
use codepiper_api::policies::{
    ChangePolicySet, CreatePolicySet, POLICY_ID_MAX, POLICY_NAME_MAX, Problem as WireProblem,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Policy, Problem, Scope, read_policy, read_rules};
use codepiper_store::Transaction;
use codepiper_store::policies::{self, PolicyRow, SetRow};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Policies that are kept. Every session compiles those that hold for it.
const POLICIES_MAX: usize = 1_000;

/// Policy sets that are kept.
const SETS_MAX: usize = 1_000;

/// Words that stand where an id would in a path of the API.
const RESERVED: [&str; 4] = ["backtest", "import", "starters", "test"];

/// What a change did, for the audit log.
pub struct Change {
    /// The session it is about, if it is about one.
    pub session: Option<SessionId>,
    /// What was changed, by whom, before and after.
    pub body: Value,
}

/// A policy as somebody wrote it, with the names of sessions and providers looked up.
#[derive(Debug, Clone)]
pub struct Draft(Map<String, Value>);

impl Draft {
    /// Looks up what the draft names. Whether its rules are good is said when it is read.
    pub fn new(app: &App, sessions: &Sessions, mut fields: Map<String, Value>) -> Result<Self, Refusal> {
        // What a client read from us and sends back.
        for name in ["createdAt", "updatedAt"] {
            fields.remove(name);
        }
        let given = fields.remove("sessionId");
        let session = match &given {
            Some(Value::String(wanted)) => Some(sessions.find(wanted)?.id),
            None | Some(Value::Null) => None,
            Some(_) => return Err(Refusal::field("sessionId", "must be a session, or null")),
        };
        if let Some(scope) = fields.get_mut("scope").and_then(Value::as_object_mut) {
            if let Some(wanted) = scope.get("session").and_then(Value::as_str) {
                let id = sessions.find(wanted)?.id;
                scope.insert("session".into(), json!(id));
            }
            if let Some(wanted) = scope.get("provider").and_then(Value::as_str) {
                let mut found = app.providers.find(wanted).map(|provider| provider.id().to_owned());
                if let Err(refusal) = &mut found {
                    refusal.field = Some("scope.provider".into());
                }
                scope.insert("provider".into(), json!(found?));
            }
        }
        match (session, fields.get("scope").filter(|scope| !scope.is_null())) {
            (Some(id), None) => {
                fields.insert("scope".into(), json!(Scope::Session(id)));
            }
            (Some(id), Some(scope)) if scope.pointer("/session") != Some(&json!(id)) => {
                return Err(Refusal::field("sessionId", "says something else than `scope`"));
            }
            // The original's word for all sessions.
            (None, None) if given.is_some() => {
                fields.insert("scope".into(), json!(Scope::Global));
            }
            _ => {}
        }
        if fields.get("scope").is_some_and(Value::is_null) {
            fields.remove("scope");
        }
        Ok(Self(fields))
    }

    /// The policy it makes. What is not in the draft stays as in `base`.
    fn over(self, base: Map<String, Value>) -> Result<Policy, Refusal> {
        let mut fields = base;
        for (name, value) in self.0 {
            match value.is_null() {
                true => fields.remove(&name),
                false => fields.insert(name, value),
            };
        }
        let policy = read_policy(&Value::Object(fields)).map_err(refuse)?;
        check_name(&policy.name)?;
        Ok(policy)
    }

    /// A policy to try out: it needs no name.
    pub fn on_trial(mut self) -> Result<Policy, Refusal> {
        self.0.entry("name").or_insert_with(|| "the draft".into());
        self.0.entry("id").or_insert_with(|| "the-draft".into());
        self.0.remove("enabled");
        self.over(Map::new())
    }

    /// Rules to try out.
    pub fn rules_on_trial(rules: &Value) -> Result<Policy, Refusal> {
        Ok(Policy {
            id: "the-draft".into(),
            name: "the draft".into(),
            description: None,
            enabled: true,
            priority: 0,
            scope: Scope::Global,
            rules: read_rules(rules).map_err(refuse)?,
        })
    }
}

/// All that is wrong with a draft.
pub(super) fn refuse(problems: Vec<Problem>) -> Refusal {
    let Some(first) = problems.first() else { return Refusal::new(Fault::Usage, "the policy is not good") };
    let more = match problems.len() - 1 {
        0 => String::new(),
        1 => "; there is one more problem".into(),
        more => format!("; there are {more} more problems"),
    };
    let at = if first.at.is_empty() { "policy" } else { &first.at };
    let refusal = Refusal::field(at, format_args!("{}{more}", first.what)).hint(first.hint.clone());
    let problems: Vec<WireProblem> = problems.into_iter().map(Into::into).collect();
    refusal.details(json!({ "problems": problems }))
}

impl Policies {
    /// Makes a policy.
    pub async fn create(&self, app: &App, draft: Draft, by: &'static str) -> Result<String, Refusal> {
        let mut policy = draft.over(Map::new())?;
        if policy.id.is_empty() {
            policy.id = format!("p-{}", &fresh_name()[..8]);
        }
        check_id(&policy.id)?;
        let create = move |tx: &Transaction<'_>| {
            let id = policy.id.clone();
            if policies::get(tx, &id)?.is_some() {
                return Ok(Err(taken("policy", "id", &id)));
            }
            if policies::list(tx)?.len() >= POLICIES_MAX {
                return Ok(Err(too_many(POLICIES_MAX, "policies")));
            }
            policies::put(tx, &row(&policy, Timestamp::now()))?;
            Ok(Ok((id, created(&policy, by))))
        };
        self.change(app, create).await
    }

    /// Changes what the draft says of a policy.
    pub async fn update(&self, app: &App, id: String, draft: Draft, by: &'static str) -> Result<(), Refusal> {
        if let Some(other) = draft.0.get("id").filter(|other| **other != json!(id)) {
            return Err(Refusal::field("id", format_args!("cannot become {other}: ids stay")));
        }
        let fields = ["name", "description", "enabled", "priority", "scope", "rules"];
        if draft.0.keys().all(|name| name == "id") {
            let refusal = Refusal::new(Fault::Usage, "nothing is to be changed");
            return Err(refusal.hint(format!("give one of {}", fields.join(", "))));
        }
        let update = move |tx: &Transaction<'_>| {
            let Some(PolicyRow { body: Value::Object(before), created_at, .. }) = policies::get(tx, &id)?
            else {
                return Ok(Err(gone("policy", &id)));
            };
            let policy = match draft.over(before.clone()) {
                Ok(policy) => policy,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let change = updated(&policy, &Value::Object(before), by);
            if change.is_some() {
                policies::put(tx, &row(&policy, created_at))?;
            }
            Ok(Ok(((), change)))
        };
        self.change(app, update).await
    }

    /// Writes a policy under an id: a new one, or a new form of the one that is there. Whether it is new.
    pub async fn put(
        &self,
        app: &App,
        id: String,
        mut draft: Draft,
        by: &'static str,
    ) -> Result<bool, Refusal> {
        check_id(&id)?;
        draft.0.insert("id".into(), json!(id));
        let put = move |tx: &Transaction<'_>| {
            let policy = match draft.over(Map::new()) {
                Ok(policy) => policy,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let before = policies::get(tx, &id)?;
            let is_new = before.is_none();
            let created_at = before.as_ref().map_or_else(Timestamp::now, |before| before.created_at);
            let change = match before {
                Some(before) => updated(&policy, &before.body, by),
                None => Some(created(&policy, by)),
            };
            if change.is_some() {
                policies::put(tx, &row(&policy, created_at))?;
            }
            Ok(Ok((is_new, change)))
        };
        self.change(app, put).await
    }

    /// Removes a policy, from its sets too. One that cannot be read any more goes by its whole id.
    pub async fn remove(&self, app: &App, wanted: &str, by: &'static str) -> Result<(), Refusal> {
        let table = self.table();
        let id = match table.unreadable.iter().find(|id| *id == wanted) {
            Some(id) => id.clone(),
            None => find_policy(&table, wanted)?.policy.id.clone(),
        };
        let remove = move |tx: &Transaction<'_>| {
            let Some(before) = policies::get(tx, &id)? else { return Ok(Err(gone("policy", &id))) };
            let sets = policies::sets(tx)?.into_iter().filter(|set| set.policies.contains(&id));
            let sets: Vec<String> = sets.map(|set| set.name).collect();
            policies::remove(tx, &id)?;
            let session = session_of(&before.body);
            let body = json!({
                "change": "policy deleted", "policy": id, "name": before.body["name"], "sets": sets, "by": by,
                "before": before.body,
            });
            Ok(Ok(((), Change { session, body })))
        };
        self.change(app, remove).await
    }

    /// Makes a set.
    pub async fn create_set(
        &self,
        app: &App,
        wanted: CreatePolicySet,
        by: &'static str,
    ) -> Result<String, Refusal> {
        let id = wanted.id.unwrap_or_else(|| format!("s-{}", &fresh_name()[..8]));
        check_id(&id)?;
        check_name(&wanted.name)?;
        let members = self.members(&wanted.policy_ids)?;
        let now = Timestamp::now();
        let set = SetRow {
            id,
            name: wanted.name,
            description: wanted.description.filter(|text| !text.is_empty()),
            is_default: wanted.is_default,
            policies: members,
            created_at: now,
            updated_at: now,
        };
        let create = move |tx: &Transaction<'_>| {
            if let Err(refusal) = may_be_made(tx, &set)? {
                return Ok(Err(refusal));
            }
            policies::put_set(tx, &set)?;
            let body = json!({
                "change": "policy set created", "set": set.id, "name": set.name, "by": by, "after": shown(&set),
            });
            Ok(Ok((set.id, Change { session: None, body })))
        };
        self.change(app, create).await
    }

    /// Changes a set's name, description, or whether it is the default.
    pub async fn update_set(
        &self,
        app: &App,
        id: String,
        wanted: ChangePolicySet,
        by: &'static str,
    ) -> Result<(), Refusal> {
        if wanted.name.is_none() && wanted.description.is_none() && wanted.is_default.is_none() {
            let refusal = Refusal::new(Fault::Usage, "nothing is to be changed");
            return Err(refusal.hint("give one of name, description, isDefault"));
        }
        wanted.name.as_deref().map(check_name).transpose()?;
        self.change_set(app, id, by, move |sets, set| {
            if let Some(name) = wanted.name {
                if sets.iter().any(|other| other.name == name && other.id != set.id) {
                    return Err(taken("policy set", "name", &name));
                }
                set.name = name;
            }
            if let Some(description) = wanted.description {
                set.description = Some(description).filter(|text| !text.is_empty());
            }
            set.is_default = wanted.is_default.unwrap_or(set.is_default);
            Ok(())
        })
        .await
    }

    /// Puts a policy into a set.
    pub async fn add_to_set(
        &self,
        app: &App,
        set: String,
        policy: &str,
        by: &'static str,
    ) -> Result<(), Refusal> {
        let policy = find_policy(&self.table(), policy)?.policy.clone();
        self.change_set(app, set, by, move |_, set| {
            if set.policies.contains(&policy.id) {
                let refusal = format!("policy `{}` is in set `{}` already", policy.name, set.name);
                return Err(Refusal::new(Fault::Conflict, refusal));
            }
            set.policies.push(policy.id);
            Ok(())
        })
        .await
    }

    /// Takes a policy out of a set.
    pub async fn take_from_set(
        &self,
        app: &App,
        set: String,
        policy: &str,
        by: &'static str,
    ) -> Result<(), Refusal> {
        let policy = find_policy(&self.table(), policy)?.policy.clone();
        self.change_set(app, set, by, move |_, set| {
            let members = set.policies.len();
            set.policies.retain(|member| *member != policy.id);
            if set.policies.len() == members {
                let refusal = format!("policy `{}` is not in set `{}`", policy.name, set.name);
                return Err(Refusal::new(Fault::NotFound, refusal));
            }
            Ok(())
        })
        .await
    }

    async fn change_set(
        &self,
        app: &App,
        id: String,
        by: &'static str,
        edit: impl FnOnce(&[SetRow], &mut SetRow) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), Refusal> {
        let change = move |tx: &Transaction<'_>| {
            let sets = policies::sets(tx)?;
            let Some(before) = sets.iter().find(|set| set.id == id) else {
                return Ok(Err(gone("policy set", &id)));
            };
            let mut set = before.clone();
            if let Err(refusal) = edit(&sets, &mut set) {
                return Ok(Err(refusal));
            }
            if set == *before {
                return Ok(Ok(((), None)));
            }
            set.updated_at = Timestamp::now();
            // Somebody may have deleted it since it was looked up.
            let missing = first_missing(tx, &set)?;
            if let Some(missing) = missing {
                return Ok(Err(gone("policy", &missing)));
            }
            policies::put_set(tx, &set)?;
            let (before, after) = differences(&shown(before), &shown(&set));
            let body = json!({
                "change": "policy set updated", "set": set.id, "name": set.name, "by": by, "before": before,
                "after": after,
            });
            Ok(Ok(((), Some(Change { session: None, body }))))
        };
        self.change(app, change).await
    }

    /// Removes a set, from its sessions too; its policies stay.
    pub async fn remove_set(&self, app: &App, id: String, by: &'static str) -> Result<(), Refusal> {
        let remove = move |tx: &Transaction<'_>| {
            let sets = policies::sets(tx)?;
            let Some(before) = sets.iter().find(|set| set.id == id) else {
                return Ok(Err(gone("policy set", &id)));
            };
            let attached = policies::attached(tx)?.into_iter().filter(|(_, set)| *set == id);
            let sessions: Vec<SessionId> = attached.map(|(session, _)| session).collect();
            policies::remove_set(tx, &id)?;
            let body = json!({
                "change": "policy set deleted", "set": id, "name": before.name, "sessions": sessions, "by": by,
                "before": shown(before),
            });
            Ok(Ok(((), Change { session: None, body })))
        };
        self.change(app, remove).await
    }

    /// Makes a policy that counts through a set, and the set.
    pub async fn install(
        &self,
        app: &App,
        mut policy: Policy,
        name: &str,
        is_default: bool,
        by: &'static str,
    ) -> Result<(String, String), Refusal> {
        policy.scope = Scope::Set;
        let now = Timestamp::now();
        let set = SetRow {
            id: name.to_owned(),
            name: name.to_owned(),
            description: policy.description.clone(),
            is_default,
            policies: vec![policy.id.clone()],
            created_at: now,
            updated_at: now,
        };
        let install = move |tx: &Transaction<'_>| {
            if policies::get(tx, &policy.id)?.is_some() {
                let hint = format!("`codepiper policy delete {}` makes room for a new one", policy.id);
                return Ok(Err(taken("policy", "id", &policy.id).hint(hint)));
            }
            if let Err(refusal) = may_be_made(tx, &set)? {
                return Ok(Err(refusal));
            }
            policies::put(tx, &row(&policy, now))?;
            policies::put_set(tx, &set)?;
            let body = json!({
                "change": "starter installed", "policy": policy.id, "name": policy.name, "set": set.id, "by": by,
                "after": { "policy": policy, "set": shown(&set) },
            });
            Ok(Ok(((policy.id, set.id), Change { session: None, body })))
        };
        self.change(app, install).await
    }

    /// Gives a session a set.
    pub async fn attach(
        &self,
        app: &App,
        session: SessionId,
        set: &str,
        by: &'static str,
    ) -> Result<(), Refusal> {
        let set = find_set(&self.table(), set)?.clone();
        let attach = move |tx: &Transaction<'_>| {
            if !policies::sets(tx)?.iter().any(|known| known.id == set.id) {
                return Ok(Err(gone("policy set", &set.id)));
            }
            if !policies::attach(tx, &session, &set.id)? {
                let refusal = format!("session {session} has policy set `{}` already", set.name);
                return Ok(Err(Refusal::new(Fault::Conflict, refusal)));
            }
            let body = json!({ "change": "policy set applied", "set": set.id, "name": set.name, "by": by });
            Ok(Ok(((), Change { session: Some(session), body })))
        };
        self.change(app, attach).await
    }

    /// Takes a set from a session.
    pub async fn detach(
        &self,
        app: &App,
        session: SessionId,
        set: &str,
        by: &'static str,
    ) -> Result<(), Refusal> {
        let set = find_set(&self.table(), set)?.clone();
        let detach = move |tx: &Transaction<'_>| {
            if !policies::detach(tx, &session, &set.id)? {
                let refusal = format!("session {session} does not have policy set `{}`", set.name);
                return Ok(Err(Refusal::new(Fault::NotFound, refusal)));
            }
            let body = json!({ "change": "policy set removed", "set": set.id, "name": set.name, "by": by });
            Ok(Ok(((), Change { session: Some(session), body })))
        };
        self.change(app, detach).await
    }

    /// The ids of the policies that are to be in a set.
    fn members(&self, wanted: &[String]) -> Result<Vec<String>, Refusal> {
        let table = self.table();
        let mut members: Vec<String> = Vec::new();
        let mut missing = Vec::new();
        for wanted in wanted {
            match find_policy(&table, wanted) {
                Ok(stored) if members.contains(&stored.policy.id) => {}
                Ok(stored) => members.push(stored.policy.id.clone()),
                Err(refusal) if refusal.code == Fault::NotFound => missing.push(wanted),
                Err(refusal) => return Err(refusal),
            }
        }
        if missing.is_empty() {
            return Ok(members);
        }
        let mut refusal =
            Refusal::new(Fault::NotFound, format!("`policyIds`: there is no policy `{}`", missing[0]));
        refusal.field = Some("policyIds".into());
        Err(refusal.hint("`codepiper policy list` has all").details(json!({ "missingPolicyIds": missing })))
    }
}

/// Gives a session that is about to be made its sets: those asked for, and the default one. Refused before anything
/// is made when one is not there.
pub async fn attach_at_start(app: &App, session: &SessionId, wanted: &[String]) -> Result<(), Refusal> {
    let table = app.policies.table();
    let mut sets = Vec::new();
    for wanted in wanted {
        let mut found = find_set(&table, wanted).map(|set| (set.id.clone(), set.name.clone()));
        if let Err(refusal) = &mut found {
            refusal.field = Some("policySetIds".into());
        }
        sets.push(found?);
    }
    let default = table.sets.iter().find(|set| set.is_default);
    sets.extend(default.map(|set| (set.id.clone(), set.name.clone())));
    sets.sort();
    sets.dedup();
    if sets.is_empty() {
        return Ok(());
    }
    let session = session.clone();
    let attach = move |tx: &Transaction<'_>| {
        let known = policies::sets(tx)?;
        for (id, _) in &sets {
            if !known.iter().any(|set| set.id == *id) {
                return Ok(Err(gone("policy set", id)));
            }
            policies::attach(tx, &session, id)?;
        }
        let names: Vec<&String> = sets.iter().map(|(_, name)| name).collect();
        let ids: Vec<&String> = sets.iter().map(|(id, _)| id).collect();
        let body = json!({
            "change": "policy sets applied", "sets": ids, "names": names, "by": "the start of the session",
        });
        Ok(Ok(((), Change { session: Some(session), body })))
    };
    app.policies.change(app, attach).await
}

/// Forgets what was only for a session that has left the list: its sets, and the policies scoped to it.
pub async fn session_gone(app: &App, session: &SessionId) -> Result<(), Refusal> {
    app.policies.forget(session);
    let table = app.policies.table();
    let scope = Scope::Session(session.clone());
    if !table.attached.contains_key(session) && table.policies.iter().all(|known| known.policy.scope != scope)
    {
        return Ok(());
    }
    let session = session.clone();
    let forget = move |tx: &Transaction<'_>| {
        let mut deleted = Vec::new();
        for row in policies::list(tx)? {
            if session_of(&row.body).as_ref() == Some(&session) {
                policies::remove(tx, &row.id)?;
                deleted.push(row.body);
            }
        }
        policies::detach_all(tx, &session)?;
        let body = json!({
            "change": "session left the list", "session": session, "by": "codepiper", "before": deleted,
        });
        Ok(Ok(((), Change { session: Some(session), body })))
    };
    app.policies.change(app, forget).await
}

fn created(policy: &Policy, by: &str) -> Change {
    let body = json!({
        "change": "policy created", "policy": policy.id, "name": policy.name, "by": by, "after": policy,
    });
    Change { session: session_of(&json!(policy)), body }
}

/// `None` when nothing is changed.
fn updated(policy: &Policy, before: &Value, by: &str) -> Option<Change> {
    let (before, after) = differences(before, &json!(policy));
    if before == after {
        return None;
    }
    let body = json!({
        "change": "policy updated", "policy": policy.id, "name": policy.name, "by": by, "before": before,
        "after": after,
    });
    Some(Change { session: session_of(&json!(policy)), body })
}

/// The fields that are not the same in both.
fn differences(before: &Value, after: &Value) -> (Value, Value) {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return (before.clone(), after.clone());
    };
    let (mut was, mut is) = (Map::new(), Map::new());
    for name in old.keys().chain(new.keys()) {
        let (old, new) = (old.get(name), new.get(name));
        if old != new {
            was.insert(name.clone(), old.cloned().unwrap_or_default());
            is.insert(name.clone(), new.cloned().unwrap_or_default());
        }
    }
    (Value::Object(was), Value::Object(is))
}

fn session_of(body: &Value) -> Option<SessionId> {
    SessionId::parse(body.pointer("/scope/session")?.as_str()?).ok()
}

/// A set for the audit log.
fn shown(set: &SetRow) -> Value {
    json!({
        "name": set.name, "description": set.description, "isDefault": set.is_default, "policies": set.policies,
    })
}

fn may_be_made(tx: &Transaction<'_>, set: &SetRow) -> codepiper_store::Result<Result<(), Refusal>> {
    let sets = policies::sets(tx)?;
    if sets.iter().any(|other| other.id == set.id) {
        return Ok(Err(taken("policy set", "id", &set.id)));
    }
    if sets.iter().any(|other| other.name == set.name) {
        return Ok(Err(taken("policy set", "name", &set.name)));
    }
    if sets.len() >= SETS_MAX {
        return Ok(Err(too_many(SETS_MAX, "policy sets")));
    }
    Ok(Ok(()))
}

fn first_missing(tx: &Transaction<'_>, set: &SetRow) -> codepiper_store::Result<Option<String>> {
    for id in &set.policies {
        if policies::get(tx, id)?.is_none() {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let good = (1..=POLICY_ID_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && id.bytes().any(|byte| byte != b'.');
    if !good {
        let rule = format!("must be 1 to {POLICY_ID_MAX} of letters, digits, `_`, `.` and `-`");
        return Err(Refusal::field("id", rule));
    }
    check_reserved("id", id)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > POLICY_NAME_MAX || name.chars().any(char::is_control) {
        let rule = format!("must be 1 to {POLICY_NAME_MAX} characters, none of them control");
        return Err(Refusal::field("name", rule));
    }
    check_reserved("name", name)
}

fn check_reserved(field: &str, text: &str) -> Result<(), Refusal> {
    match RESERVED.contains(&text) {
        true => Err(Refusal::field(field, format_args!("`{text}` is a word of the API; take another"))),
        false => Ok(()),
    }
}

fn taken(what: &str, field: &str, value: &str) -> Refusal {
    let mut refusal = Refusal::new(Fault::Conflict, format!("there is a {what} with the {field} `{value}`"));
    refusal.field = Some(field.to_owned());
    refusal
}

fn gone(what: &str, id: &str) -> Refusal {
    Refusal::new(Fault::NotFound, format!("{what} `{id}` has just been deleted"))
}

fn too_many(max: usize, what: &str) -> Refusal {
    Refusal::new(Fault::Conflict, format!("there are {max} {what}, and more are not kept"))
        .hint("delete some, or put several rules into one policy")
}

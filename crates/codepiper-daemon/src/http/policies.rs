//! Policies: list, write, try out, import; and those that come with us.

use super::Http;
use super::error::{Answer, Body, Query};
use crate::policies::{
    Draft, Over, Stored, Subject, Table, backtest as run_backtest, find_policy, test as run_test,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use codepiper_api::policies::{
    BACKTEST_EVENTS, BACKTEST_EVENTS_MAX, BACKTEST_SHOWN, BACKTEST_SHOWN_MAX, Backtest, Backtested,
    ImportPolicy, Imported, InstallStarter, Installed, PolicyBody, PolicyList, PolicyQuery, PolicyView,
    StarterList, StarterView, TestCall, Tested,
};
use codepiper_api::sessions::Done;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Policy, Scope, import_claude, starters as built_in};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Who asked, for the audit. Logins come with the dashboard.
pub(super) const BY: &str = "the owner, through the socket";

/// What an imported policy is called.
const IMPORTED: &str = "Imported from Claude Code";

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<PolicyQuery>,
) -> Answer<Json<PolicyList>> {
    let scope = match query.session_id.as_deref() {
        None => None,
        Some("null") => Some(None),
        Some(session) => Some(Some(http.sessions.find(session)?.id)),
    };
    let table = http.app.policies.table();
    let mut policies: Vec<PolicyView> = table.policies.iter().map(view).collect();
    policies.retain(|view| query.enabled.is_none_or(|enabled| view.policy.enabled == enabled));
    policies.retain(|view| scope.as_ref().is_none_or(|scope| view.session_id == *scope));
    policies.sort_by_key(|view| std::cmp::Reverse(view.policy.priority));
    Ok(Json(PolicyList { policies, unreadable: table.unreadable.clone() }))
}

pub(super) async fn create(
    State(http): State<Http>,
    Body(fields): Body<Map<String, Value>>,
) -> Answer<(StatusCode, Json<PolicyBody>)> {
    let draft = Draft::new(&http.app, &http.sessions, fields)?;
    let id = http.app.policies.create(&http.app, draft, BY).await?;
    Ok((StatusCode::CREATED, Json(body(&http, &id)?)))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<PolicyBody>> {
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn update(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(fields): Body<Map<String, Value>>,
) -> Answer<Json<PolicyBody>> {
    let id = find_policy(&http.app.policies.table(), &id)?.policy.id.clone();
    let draft = Draft::new(&http.app, &http.sessions, fields)?;
    http.app.policies.update(&http.app, id.clone(), draft, BY).await?;
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn remove(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    http.app.policies.remove(&http.app, &id, BY).await?;
    Ok(Json(Done { success: true }))
}

pub(super) async fn test(State(http): State<Http>, Body(wanted): Body<TestCall>) -> Answer<Json<Tested>> {
    if wanted.tool.is_empty() {
        return Err(Refusal::field("tool", "is missing: which tool does the call use?").into());
    }
    if let Some(cwd) = wanted.cwd.as_deref().filter(|cwd| !cwd.starts_with('/')) {
        return Err(Refusal::field("cwd", format_args!("must be an absolute path, `{cwd}` is not")).into());
    }
    let draft = draft(&http, wanted.policy, wanted.rules)?;
    let table = http.app.policies.table();
    let cwd = wanted.cwd.map(PathBuf::from);
    let (subject, cwd) = match wanted.session.as_deref() {
        Some(session) => {
            let known = http.sessions.find(session)?.known();
            (Subject::session(&table, &known), cwd.unwrap_or_else(|| PathBuf::from(&known.row.cwd)))
        }
        None => {
            let provider =
                wanted.provider.as_deref().map(|name| http.app.providers.find(name)).transpose()?;
            let home = || http.app.config.environment.get("HOME").map_or("/".into(), PathBuf::from);
            let cwd = cwd.unwrap_or_else(home);
            (Subject::fresh(&table, provider.map_or("", |provider| provider.id()), cwd.clone()), cwd)
        }
    };
    let args = Value::Object(wanted.args);
    Ok(Json(run_test(&http.app, &subject, &wanted.tool, args, &cwd, draft)))
}

pub(super) async fn backtest(
    State(http): State<Http>,
    Body(wanted): Body<Backtest>,
) -> Answer<Json<Backtested>> {
    let limit = wanted.limit.unwrap_or(BACKTEST_EVENTS);
    if limit == 0 || limit > BACKTEST_EVENTS_MAX {
        return Err(Refusal::field("limit", format_args!("must be from 1 to {BACKTEST_EVENTS_MAX}")).into());
    }
    let show = wanted.show.unwrap_or(BACKTEST_SHOWN);
    if show > BACKTEST_SHOWN_MAX {
        return Err(Refusal::field("show", format_args!("must be at most {BACKTEST_SHOWN_MAX}")).into());
    }
    let session = match wanted.session.as_deref() {
        None => None,
        Some(session) => Some(match (http.sessions.find(session), SessionId::parse(session)) {
            (Ok(handle), _) => handle.id,
            (Err(_), Ok(id)) => id,
            (Err(refusal), Err(_)) => return Err(refusal.into()),
        }),
    };
    let draft = draft(&http, wanted.policy, wanted.rules)?
        .ok_or_else(|| Refusal::field("policy", "is missing: which draft is to be tried out?"))?;
    let over = Over { session, since: wanted.since, limit, show: show as usize };
    Ok(Json(run_backtest(&http.app, draft, over).await?))
}

/// What is to be tried out in place of, or beside, what is in force.
fn draft(http: &Http, policy: Option<Value>, rules: Option<Value>) -> Result<Option<Policy>, Refusal> {
    match (policy, rules) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::field("rules", "cannot be given together with `policy`")),
        (None, Some(rules)) => Draft::rules_on_trial(&rules).map(Some),
        (Some(Value::Object(fields)), None) => {
            Draft::new(&http.app, &http.sessions, fields)?.on_trial().map(Some)
        }
        (Some(_), None) => Err(Refusal::field("policy", "must be an object")),
    }
}

pub(super) async fn import(
    State(http): State<Http>,
    Body(wanted): Body<ImportPolicy>,
) -> Answer<(StatusCode, Json<Imported>)> {
    if !wanted.claude.is_object() {
        return Err(Refusal::field("claude", "must be the contents of a Claude Code settings file").into());
    }
    let (rules, problems) = import_claude(&wanted.claude);
    let problems = problems.into_iter().map(Into::into).collect();
    if wanted.dry_run {
        return Ok((StatusCode::OK, Json(Imported { rules, problems, policy: None })));
    }
    if rules.is_empty() {
        let refusal = Refusal::field("claude", "has no permission rules that can be imported");
        return Err(refusal.details(json!({ "problems": problems })).into());
    }
    let policies = &http.app.policies;
    let is_there = wanted.id.as_ref().is_some_and(|id| policies.table().find(id).is_some());
    let mut fields = Map::from_iter([("rules".to_owned(), json!(rules))]);
    if !is_there {
        fields.insert("name".into(), IMPORTED.into());
    }
    fields.extend(wanted.id.clone().map(|id| ("id".to_owned(), json!(id))));
    fields.extend(wanted.name.map(|name| ("name".to_owned(), json!(name))));
    fields.extend(wanted.priority.map(|priority| ("priority".to_owned(), json!(priority))));
    fields.extend(wanted.scope.map(|scope| ("scope".to_owned(), scope)));
    let draft = Draft::new(&http.app, &http.sessions, fields)?;
    let (status, id) = match wanted.id.filter(|_| is_there) {
        Some(id) => {
            policies.update(&http.app, id.clone(), draft, BY).await?;
            (StatusCode::OK, id)
        }
        None => (StatusCode::CREATED, policies.create(&http.app, draft, BY).await?),
    };
    let policy = Some(body(&http, &id)?.policy);
    Ok((status, Json(Imported { rules, problems, policy })))
}

pub(super) async fn starters() -> Json<StarterList> {
    let starters = built_in().into_iter().map(|starter| StarterView {
        name: starter.name.into(),
        description: starter.description,
        fallback: starter.fallback,
        policy: Policy { scope: Scope::Set, ..starter.policy },
    });
    Json(StarterList { starters: starters.collect() })
}

pub(super) async fn install(
    State(http): State<Http>,
    Path(name): Path<String>,
    Body(wanted): Body<InstallStarter>,
) -> Answer<(StatusCode, Json<Installed>)> {
    let all = built_in();
    let starter = all.iter().find(|starter| starter.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|starter| starter.name).collect();
        Refusal::new(Fault::NotFound, format!("there is no starter `{name}`"))
            .hint(format!("there are {}", names.join(", ")))
    })?;
    let policies = &http.app.policies;
    let installed = policies.install(&http.app, starter.policy.clone(), starter.name, wanted.is_default, BY);
    let (policy, set) = installed.await?;
    let policy = body(&http, &policy)?.policy;
    let policy_set = super::policy_sets::body(&http, &set)?.policy_set;
    Ok((StatusCode::CREATED, Json(Installed { policy, policy_set, fallback: starter.fallback })))
}

fn body(http: &Http, id: &str) -> Result<PolicyBody, Refusal> {
    Ok(PolicyBody { policy: view(find_policy(&http.app.policies.table(), id)?) })
}

/// A policy for clients.
pub(super) fn view(stored: &Stored) -> PolicyView {
    let session_id = match &stored.policy.scope {
        Scope::Session(id) => Some(id.clone()),
        _ => None,
    };
    PolicyView {
        policy: stored.policy.clone(),
        session_id,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    }
}

/// Policies by id, for clients, in the order given.
pub(super) fn views<'a>(table: &Table, ids: impl Iterator<Item = &'a str>) -> Vec<PolicyView> {
    ids.filter_map(|id| table.find(id)).map(view).collect()
}

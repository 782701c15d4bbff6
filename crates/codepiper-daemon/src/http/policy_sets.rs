//! Policy sets, and what policies a session has.

use super::Http;
use super::error::{Answer, Body};
use super::policies::{BY, view, views};
use crate::policies::{Draft, Table, find_set};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use codepiper_api::Refusal;
use codepiper_api::policies::{
    AddPolicy, ApplyPolicySet, ChangePolicySet, CreatePolicySet, EffectivePolicies, PolicyList, PolicySet,
    PolicySetBody, PolicySetList, PutSessionPolicy, SessionPolicyPut,
};
use codepiper_api::sessions::Done;
use codepiper_core::policy::Scope;
use codepiper_store::policies::SetRow;
use serde_json::json;

/// The priority of a session's own policy unless said otherwise, as the original: above what is for all.
const OWN_PRIORITY: i64 = 50;

pub(super) async fn list(State(http): State<Http>) -> Json<PolicySetList> {
    let table = http.app.policies.table();
    Json(PolicySetList { policy_sets: table.sets.iter().map(|set| set_view(&http, &table, set)).collect() })
}

pub(super) async fn create(
    State(http): State<Http>,
    Body(wanted): Body<CreatePolicySet>,
) -> Answer<(StatusCode, Json<PolicySetBody>)> {
    let id = http.app.policies.create_set(&http.app, wanted, BY).await?;
    Ok((StatusCode::CREATED, Json(body(&http, &id)?)))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<PolicySetBody>> {
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn update(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(wanted): Body<ChangePolicySet>,
) -> Answer<Json<PolicySetBody>> {
    let id = find(&http, &id)?;
    http.app.policies.update_set(&http.app, id.clone(), wanted, BY).await?;
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn remove(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    http.app.policies.remove_set(&http.app, find(&http, &id)?, BY).await?;
    Ok(Json(Done { success: true }))
}

pub(super) async fn add_policy(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(wanted): Body<AddPolicy>,
) -> Answer<Json<PolicySetBody>> {
    let id = find(&http, &id)?;
    let policy = must_be(&wanted.policy_id, "policyId")?;
    http.app.policies.add_to_set(&http.app, id.clone(), policy, BY).await?;
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn take_policy(
    State(http): State<Http>,
    Path((id, policy)): Path<(String, String)>,
) -> Answer<Json<PolicySetBody>> {
    let id = find(&http, &id)?;
    http.app.policies.take_from_set(&http.app, id.clone(), &policy, BY).await?;
    Ok(Json(body(&http, &id)?))
}

pub(super) async fn of_session(
    State(http): State<Http>,
    Path(id): Path<String>,
) -> Answer<Json<PolicySetList>> {
    let id = http.sessions.find(&id)?.id;
    let table = http.app.policies.table();
    let has = table.sets_of(&id);
    let sets = table.sets.iter().filter(|set| has.contains(&set.id));
    Ok(Json(PolicySetList { policy_sets: sets.map(|set| set_view(&http, &table, set)).collect() }))
}

pub(super) async fn apply(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(wanted): Body<ApplyPolicySet>,
) -> Answer<(StatusCode, Json<PolicySetBody>)> {
    let id = http.sessions.find(&id)?.id;
    let wanted = must_be(&wanted.policy_set_id, "policySetId")?;
    let set = find(&http, wanted)?;
    http.app.policies.attach(&http.app, id, &set, BY).await?;
    Ok((StatusCode::CREATED, Json(body(&http, &set)?)))
}

pub(super) async fn take(
    State(http): State<Http>,
    Path((id, set)): Path<(String, String)>,
) -> Answer<Json<Done>> {
    let id = http.sessions.find(&id)?.id;
    http.app.policies.detach(&http.app, id, &set, BY).await?;
    Ok(Json(Done { success: true }))
}

/// The policies that hold for a session now.
pub(super) async fn effective(
    State(http): State<Http>,
    Path(id): Path<String>,
) -> Answer<Json<EffectivePolicies>> {
    let known = http.sessions.find(&id)?.known();
    let table = http.app.policies.table();
    let effective = table.effective(&known);
    let policies = views(&table, effective.iter().map(|policy| policy.id.as_str()));
    Ok(Json(EffectivePolicies { policies, fallback: table.fallback }))
}

/// The policies that are for this session only.
pub(super) async fn own(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<PolicyList>> {
    let scope = Scope::Session(http.sessions.find(&id)?.id);
    let table = http.app.policies.table();
    let own = table.policies.iter().filter(|stored| stored.policy.scope == scope);
    let mut policies: Vec<_> = own.map(view).collect();
    policies.sort_by_key(|view| std::cmp::Reverse(view.policy.priority));
    Ok(Json(PolicyList { policies, unreadable: Vec::new() }))
}

/// Writes the policy of a session, which has its id: `<session>-policy`.
pub(super) async fn put_own(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(wanted): Body<PutSessionPolicy>,
) -> Answer<Json<SessionPolicyPut>> {
    let session = http.sessions.find(&id)?.id;
    let policy_id = format!("{session}-policy");
    let mut fields = wanted.policy;
    for name in ["id", "scope", "sessionId"] {
        if fields.get(name).is_some_and(|given| !given.is_null() && *given != json!(policy_id)) {
            return Err(Refusal::field(&format!("policy.{name}"), "is given by the session").into());
        }
        fields.remove(name);
    }
    fields.insert("scope".into(), json!(Scope::Session(session)));
    fields.entry("priority").or_insert_with(|| OWN_PRIORITY.into());
    let draft = Draft::new(&http.app, &http.sessions, fields)?;
    let is_new = http.app.policies.put(&http.app, policy_id.clone(), draft, BY).await?;
    let action = if is_new { "created" } else { "updated" };
    Ok(Json(SessionPolicyPut { success: true, policy_id, action: action.into() }))
}

fn find(http: &Http, wanted: &str) -> Result<String, Refusal> {
    Ok(find_set(&http.app.policies.table(), wanted)?.id.clone())
}

fn must_be<'a>(text: &'a str, field: &str) -> Result<&'a str, Refusal> {
    match text {
        "" => Err(Refusal::field(field, "is missing")),
        text => Ok(text),
    }
}

/// A set with its policies.
pub(super) fn body(http: &Http, id: &str) -> Result<PolicySetBody, Refusal> {
    let table = http.app.policies.table();
    let set = find_set(&table, id)?;
    let policies = views(&table, set.policies.iter().map(String::as_str));
    Ok(PolicySetBody { policy_set: PolicySet { policies: Some(policies), ..set_view(http, &table, set) } })
}

fn set_view(http: &Http, table: &Table, set: &SetRow) -> PolicySet {
    let sessions = http.sessions.list();
    let has = |id| table.sets_of(id).contains(&set.id);
    PolicySet {
        id: set.id.clone(),
        name: set.name.clone(),
        description: set.description.clone(),
        is_default: set.is_default,
        policy_count: set.policies.len(),
        session_count: sessions.iter().filter(|known| has(&known.row.id)).count(),
        policies: None,
        created_at: set.created_at,
        updated_at: set.updated_at,
    }
}

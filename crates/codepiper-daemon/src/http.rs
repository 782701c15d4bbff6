//! The API on the Unix socket: routes, and how handlers get their input and refuse it.
//!
//! Whoever reaches the socket has its owner's user id (files are owner-only and the peer's is checked), so there is no
//! login here. But agents have it too: what descends from a session may only report.

mod analytics;
mod approvals;
mod audit;
mod budgets;
mod conversations;
mod env_sets;
mod error;
mod events;
mod filters;
mod hooks;
mod input;
mod knowledge;
mod notifications;
mod output;
mod output_stream;
mod policies;
mod policy_sets;
mod search;
mod service;
mod sessions;
mod workspaces;

use crate::app::App;
use crate::caller::Peer;
use crate::sessions::Sessions;
use crate::status_line::STATUS_LINE_BODY_MAX;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::HOOK_BODY_MAX;
use codepiper_core::images::IMAGE_MAX;
use error::Refused;
use std::sync::Arc;

/// The largest ordinary body, in bytes: a text of 1,048,576 characters of four bytes, and its JSON.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// What handlers share.
#[derive(Clone)]
pub struct Http {
    /// The parts of the daemon.
    pub app: Arc<App>,
    /// The sessions.
    pub sessions: Sessions,
}

/// All routes.
pub fn router(http: Http) -> Router {
    let for_the_person =
        for_the_person().route_layer(middleware::from_fn_with_state(http.clone(), must_be_person));
    for_the_person
        .merge(for_sessions())
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(http)
}

/// What a process of a session may ask for too: reports of its own session, which carry its secret.
fn for_sessions() -> Router<Http> {
    Router::new()
        .route("/health", get(service::health))
        .route("/version", get(service::version))
        .route("/sessions/{id}/hooks", post(hooks::report).layer(DefaultBodyLimit::max(HOOK_BODY_MAX)))
        .route("/sessions/{id}/hooks/waits/{number}", get(hooks::wait))
        .route(
            "/sessions/{id}/status-line",
            post(hooks::status_line).layer(DefaultBodyLimit::max(STATUS_LINE_BODY_MAX)),
        )
        .route("/hooks/claude", post(hooks::report_as_original).layer(DefaultBodyLimit::max(HOOK_BODY_MAX)))
}

/// Everything else. A route that is added here is closed to agents.
fn for_the_person() -> Router<Http> {
    Router::new()
        .route("/providers", get(service::providers))
        .route("/backup", post(service::backup))
        .route("/budget", get(budgets::of_day).put(budgets::put_of_day))
        .route("/sessions/{id}/budget", get(budgets::of_session).put(budgets::put_of_session))
        .route("/import", post(knowledge::import))
        .route("/analytics/reprice", post(knowledge::reprice))
        .route("/settings/daemon", get(service::settings).put(service::change_settings))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::get))
        .route("/approvals/{id}/answer", post(approvals::answer))
        .route("/audit", get(audit::list))
        .route("/audit/verify", get(audit::verify))
        .route("/policy-decisions", get(audit::as_original))
        .route("/env-sets", get(env_sets::list).post(env_sets::create))
        .route("/env-sets/rotate-key", post(env_sets::rotate))
        .route("/env-sets/{id}", get(env_sets::get).put(env_sets::change).delete(env_sets::remove))
        .route("/workspaces", get(workspaces::list).post(workspaces::create))
        .route("/workspaces/{id}", get(workspaces::get).put(workspaces::change).delete(workspaces::remove))
        .merge(about_policies())
        .merge(about_knowledge())
        .merge(about_notifications())
        .route("/events", get(events::list_all))
        .route("/events/stream", get(events::stream))
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route("/sessions/validate", post(sessions::validate))
        .route("/sessions/{id}", get(sessions::get).delete(sessions::remove))
        .route("/sessions/{id}/name", put(sessions::rename))
        .route("/sessions/{id}/stop", post(sessions::stop))
        .route("/sessions/{id}/kill", post(sessions::kill))
        .route("/sessions/{id}/resume", post(sessions::resume))
        .route("/sessions/{id}/recover", post(sessions::recover))
        .route("/sessions/{id}/resize", post(sessions::resize))
        .route("/sessions/{id}/attach", get(sessions::attach))
        .route("/sessions/{id}/model", get(input::model).put(input::set_model))
        .route("/sessions/{id}/send", post(input::send))
        .route("/sessions/{id}/keys", post(input::keys))
        .route("/sessions/{id}/interrupt", post(input::interrupt))
        .route("/sessions/{id}/slash", post(input::slash))
        .route(
            "/sessions/{id}/upload-image",
            post(input::upload_image).layer(DefaultBodyLimit::max(IMAGE_MAX + 64 * 1024)),
        )
        .route("/sessions/{id}/output", get(output::screen))
        .route("/sessions/{id}/output/text", get(output::text))
        .route("/sessions/{id}/output/stream", get(output_stream::stream))
        .route("/sessions/{id}/recording", get(output::recording))
        .route("/sessions/{id}/events", get(events::list))
        .route("/sessions/{id}/transcript/events", get(events::transcript))
}

/// What agents wrote down: conversations, what was said in them, what it took.
fn about_knowledge() -> Router<Http> {
    Router::new()
        .route("/analytics/overview", get(analytics::overview))
        .route("/analytics/usage", get(analytics::usage))
        .route("/analytics/token-usage", get(analytics::token_usage))
        .route("/analytics/tokens-by-model", get(analytics::tokens_by_model))
        .route("/analytics/activity-timeline", get(analytics::activity_timeline))
        .route("/analytics/sessions-by-provider", get(analytics::sessions_by_provider))
        .route("/analytics/tool-usage", get(analytics::tool_usage))
        .route("/analytics/policy-decisions", get(analytics::policy_decisions))
        .route("/conversations", get(conversations::list))
        .route("/conversations/{id}", get(conversations::get))
        .route("/sessions/{id}/conversation", get(conversations::of_session))
        .route("/search", get(search::find))
}

/// The inbox, what a person wants to hear, and their handlers.
fn about_notifications() -> Router<Http> {
    Router::new()
        .route("/notifications", get(notifications::list))
        .route("/notifications/counts", get(notifications::counts))
        .route("/notifications/read", post(notifications::read_some))
        .route("/notifications/{id}/read", post(notifications::read_one))
        .route("/notifications/stream", get(notifications::stream))
        .route("/notifications/handlers", get(notifications::handlers))
        .route("/notifications/test", post(notifications::test))
        .route("/sessions/{id}/notifications/prefs", get(notifications::prefs).put(notifications::put_prefs))
}

/// Policies and sets of them.
fn about_policies() -> Router<Http> {
    Router::new()
        .route("/policies", get(policies::list).post(policies::create))
        .route("/policies/{id}", get(policies::get).put(policies::update).delete(policies::remove))
        .route("/policies/test", post(policies::test))
        .route("/policies/backtest", post(policies::backtest))
        .route("/policies/import", post(policies::import))
        .route("/policies/starters", get(policies::starters))
        .route("/policies/starters/{name}", post(policies::install))
        .route("/policy-sets", get(policy_sets::list).post(policy_sets::create))
        .route(
            "/policy-sets/{id}",
            get(policy_sets::get).put(policy_sets::update).delete(policy_sets::remove),
        )
        .route("/policy-sets/{id}/policies", post(policy_sets::add_policy))
        .route("/policy-sets/{id}/policies/{policy}", delete(policy_sets::take_policy))
        .route("/sessions/{id}/policy-sets", get(policy_sets::of_session).post(policy_sets::apply))
        .route("/sessions/{id}/policy-sets/{set}", delete(policy_sets::take))
        .route("/sessions/{id}/effective-policies", get(policy_sets::effective))
        .route("/sessions/{id}/policy", get(policy_sets::own).put(policy_sets::put_own))
}

/// Refuses processes of sessions. Without a peer there is nobody to trust.
async fn must_be_person(State(http): State<Http>, request: Request, next: Next) -> Response {
    let allowed = match request.extensions().get::<Peer>() {
        Some(peer) => peer.must_be_person(&http.sessions),
        None => Err(Refusal::new(Fault::Forbidden, "nobody is known at the other end")),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => Refused(refusal).into_response(),
    }
}

//! Conversations: which there are, and what was said in them.

use super::Http;
use super::analytics::amounts;
use super::error::{Answer, Query};
use super::filters;
use crate::sessions::internal;
use axum::Json;
use axum::extract::{Path, State};
use codepiper_api::conversations::{
    CONVERSATIONS, CONVERSATIONS_MAX, Conversation, ConversationList, ConversationQuery, ENTRIES,
    ENTRIES_MAX, ENTRIES_WAIT_MAX, Entry, EntryPage, EntryQuery,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::calendar::Edge;
use codepiper_store::conversations::{self, Filter, Page, StoredConversation, StoredEntry, Whose};
use codepiper_store::{Connection, Result as Stored};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<ConversationQuery>,
) -> Answer<Json<ConversationList>> {
    let zone = filters::zone(query.tz.as_deref())?;
    let filter = Filter {
        session: filters::session(&http, query.session.as_deref())?,
        folder: filters::folder(&http, query.workspace.as_deref()).await?,
        since: filters::time("since", Edge::Since, query.since.as_deref(), &zone)?,
        until: filters::time("until", Edge::Until, query.until.as_deref(), &zone)?,
        provider: query.provider,
        behind: query.behind,
        limit: filters::limit(query.limit, CONVERSATIONS, CONVERSATIONS_MAX)?,
    };
    let (found, has_more) = read(&http, move |connection| conversations::list(connection, &filter)).await?;
    Ok(Json(ConversationList { conversations: found.into_iter().map(view).collect(), has_more }))
}

pub(super) async fn of_session(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<EntryQuery>,
) -> Answer<Json<EntryPage>> {
    let session = super::audit::find_session(&http, &id)?;
    let known = session.clone();
    let origin = read(&http, move |connection| codepiper_store::sessions::origin(connection, &known)).await?;
    if origin.is_none() {
        // An id that was never one: the list says so in its own words.
        http.sessions.find(&id)?;
    }
    page(&http, query, move |connection| conversations::of_session(connection, &session)).await
}

pub(super) async fn get(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<EntryQuery>,
) -> Answer<Json<EntryPage>> {
    let wanted = id.clone();
    let (meant, candidates) = read(&http, move |connection| {
        let meant = conversations::find(connection, &wanted)?;
        let candidates = if meant.len() > 1 { conversations::get(connection, &meant)? } else { Vec::new() };
        Ok((meant, candidates))
    })
    .await?;
    match meant.as_slice() {
        [] => Err(Refusal::new(Fault::NotFound, format!("no conversation `{id}`"))
            .hint("`codepiper search WORDS` finds one by what was said in it, and shows its id")
            .into()),
        [_] => page(&http, query, move |_| Ok(meant.clone())).await,
        several => {
            let names: Vec<String> = candidates.iter().map(full_name).collect();
            let refusal = format!("`{id}` means {} conversations: {}", several.len(), names.join(", "));
            Err(Refusal::new(Fault::Ambiguous, refusal)
                .hint("type more of its id, or the provider before it: `codex:0198…`")
                .details(json!({ "candidates": names }))
                .into())
        }
    }
}

fn full_name(conversation: &StoredConversation) -> String {
    format!("{}:{}", conversation.provider, conversation.provider_id)
}

/// A page of the entries of some conversations, which are looked up anew with every look: a session may begin another
/// one meanwhile.
async fn page(
    http: &Http,
    query: EntryQuery,
    of: impl Fn(&Connection) -> Stored<Vec<i64>> + Clone + Send + 'static,
) -> Answer<Json<EntryPage>> {
    if query.before.is_some() && query.after.is_some() {
        return Err(Refusal::field("before", "cannot stand beside `after`").hint("leave one out").into());
    }
    let wait = query.wait.unwrap_or(0);
    if wait > ENTRIES_WAIT_MAX {
        return Err(Refusal::field("wait", format_args!("must be at most {ENTRIES_WAIT_MAX} seconds")).into());
    }
    if wait > 0 && query.after.is_none() {
        return Err(Refusal::field("wait", "needs `after`: the entry behind which to wait").into());
    }
    let limit = filters::limit(query.limit, ENTRIES, ENTRIES_MAX)?;
    let whose = match query.agent {
        None => Whose::Main,
        Some(all) if all == "all" => Whose::All,
        Some(agent) => Whose::Agent(agent),
    };
    let wanted = Page { conversations: Vec::new(), whose, before: query.before, after: query.after, limit };
    let until = Instant::now() + Duration::from_secs(wait.into());
    let mut grown = http.app.knowledge.grown();
    loop {
        grown.mark_unchanged();
        let (of, wanted) = (of.clone(), wanted.clone());
        let (found, entries, has_more) = read(http, move |connection| {
            let ids = of(connection)?;
            let found = conversations::get(connection, &ids)?;
            let (entries, has_more) =
                conversations::page(connection, &Page { conversations: ids, ..wanted })?;
            Ok((found, entries, has_more))
        })
        .await?;
        let is_over = !entries.is_empty() || timeout_at(until, grown.changed()).await.is_err();
        if is_over {
            return Ok(Json(EntryPage {
                conversations: found.into_iter().map(view).collect(),
                entries: entries.into_iter().map(entry).collect(),
                has_more,
            }));
        }
    }
}

async fn read<T: Send + 'static>(
    http: &Http,
    work: impl FnOnce(&Connection) -> Stored<T> + Send + 'static,
) -> Result<T, Refusal> {
    http.app.store.read(work).await.map_err(|error| internal("reading conversations", error))
}

/// A conversation as it is sent.
pub(super) fn view(stored: StoredConversation) -> Conversation {
    Conversation {
        id: stored.provider_id,
        number: stored.id,
        provider: stored.provider,
        parent: stored.parent,
        session: stored.session,
        title: stored.title,
        cwd: stored.cwd,
        branch: stored.branch,
        repo: stored.repo,
        model: stored.model,
        first_at: stored.first_at,
        last_at: stored.last_at,
        usage: amounts(&stored.sums),
    }
}

fn entry(stored: StoredEntry) -> Entry {
    Entry {
        id: stored.id,
        conversation: stored.conversation,
        uid: stored.uid,
        timestamp: stored.at,
        agent: stored.agent,
        body: stored.kind,
        text: stored.text,
    }
}

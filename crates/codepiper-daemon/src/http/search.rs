//! The search in everything that was said.

use super::Http;
use super::conversations::view;
use super::error::{Answer, Query};
use super::filters;
use crate::sessions::internal;
use axum::Json;
use axum::extract::State;
use codepiper_api::Refusal;
use codepiper_api::search::{Found, HITS, HITS_MAX, Hit, Piece, ROLES, SearchRequest};
use codepiper_core::calendar::Edge;
use codepiper_core::search_query::SearchQuery;
use codepiper_store::conversations;
use codepiper_store::search::{self, Filter};

pub(super) async fn find(
    State(http): State<Http>,
    Query(request): Query<SearchRequest>,
) -> Answer<Json<Found>> {
    let query = SearchQuery::parse(&request.q).map_err(|bad| {
        Refusal::field("q", bad).hint(
            "words that must all be there, \"words in this order\", -without: `flaky test -ci`; words have \
             letters or digits",
        )
    })?;
    if let Some(role) = request.role.as_deref().filter(|role| !ROLES.contains(role)) {
        return Err(Refusal::field("role", format_args!("`{role}` is none of {}", ROLES.join(", "))).into());
    }
    let zone = filters::zone(request.tz.as_deref())?;
    let filter = Filter {
        session: filters::session(&http, request.session.as_deref())?,
        folder: filters::folder(&http, request.workspace.as_deref()).await?,
        since: filters::time("since", Edge::Since, request.since.as_deref(), &zone)?,
        until: filters::time("until", Edge::Until, request.until.as_deref(), &zone)?,
        provider: request.provider,
        role: request.role,
        limit: filters::limit(request.limit, HITS, HITS_MAX)?,
    };
    let read = http.app.store.read(move |connection| {
        let (hits, has_more) = search::search(connection, &query, &filter)?;
        let mut ids: Vec<i64> = hits.iter().map(|hit| hit.conversation).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = conversations::get(connection, &ids)?;
        Ok((hits, found, has_more, search::behind(connection)?))
    });
    let (hits, found, has_more, behind) = read.await.map_err(|error| internal("searching", error))?;
    Ok(Json(Found {
        hits: hits.into_iter().map(hit).collect(),
        conversations: found.into_iter().map(view).collect(),
        has_more,
        behind,
    }))
}

fn hit(found: search::Hit) -> Hit {
    let piece = |piece: search::Piece| Piece { text: piece.text, hit: piece.is_hit };
    Hit {
        entry: found.entry,
        conversation: found.conversation,
        timestamp: found.at,
        role: found.role,
        agent: found.agent,
        snippet: found.snippet.into_iter().map(piece).collect(),
    }
}

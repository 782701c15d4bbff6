//! What agents took and did: the original's answers, and one question of ours that sorts usage by anything.

use super::Http;
use super::error::{Answer, Query};
use super::filters::{self, Asked};
use crate::sessions::internal;
use axum::Json;
use axum::extract::State;
use codepiper_api::Refusal;
use codepiper_api::analytics::{
    Activity, Amounts, AnalyticsQuery, BY, ModelUsage, Overview, PolicyDecisions, ProviderSessions, ROWS,
    ROWS_MAX, TOOLS, TokenUsage, ToolUsage, Usage, UsageRow,
};
use codepiper_core::calendar::{Every, Piece};
use codepiper_core::ids::SessionId;
use codepiper_store::analytics::{self, By, Filter, Group, Groups, Messages, Sums, ToolUse};
use std::collections::BTreeMap;

pub(super) async fn overview(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Overview>> {
    knows(&query, &["session"])?;
    let asked = ask(&http, &query).await?;
    let filter = filter(&http, &query).await?;
    let (range, whole) = (asked.quarters(), asked.whole());
    let of = filter.session.clone();
    let (sums, messages, (tool_calls, tool_failures), started) = read(&http, move |connection| {
        let session = filter.session.as_ref();
        Ok((
            analytics::sums(connection, &filter, range)?,
            analytics::messages(connection, session, &whole)?,
            analytics::tool_calls(connection, session, range)?,
            analytics::sessions_by_provider(connection, range)?,
        ))
    })
    .await?;
    let known = http.sessions.list();
    let is_asked = |id: &SessionId| of.as_ref().is_none_or(|of| of == id);
    let active = known.iter().filter(|known| known.state().is_live() && is_asked(&known.row.id)).count();
    let messages = messages.first().copied().unwrap_or_default();
    let usage = amounts(&sums);
    Ok(Json(Overview {
        sessions_count: of.map_or(started.iter().map(|(_, count)| count).sum(), |_| 1),
        active_sessions: active as u64,
        total_tokens: usage.tokens,
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        cache_creation_tokens: usage.cache_write_5m + usage.cache_write_1h,
        total_messages: messages.person + messages.assistant,
        cache_hit_rate: usage.cache_hit_rate,
        cost_estimate: usage.cost.map(cents),
        tool_calls,
        tool_failures,
        usage,
        range: asked.view()?,
    }))
}

pub(super) async fn usage(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Usage>> {
    knows(&query, &["session", "provider", "model", "workspace", "by", "limit"])?;
    let by = query.by.as_deref().unwrap_or("model");
    let asked = ask(&http, &query).await?;
    let filter = filter(&http, &query).await?;
    if Every::parse(by).is_some() {
        if query.limit.is_some() {
            let refusal = Refusal::field("limit", "is not for pieces of time").hint("shorten the range");
            return Err(refusal.into());
        }
        let pieces = asked.pieces(Some(by))?;
        let (pieces, series) = series(&http, filter, pieces).await?;
        let total = series.iter().copied().fold(Sums::default(), |mut total, sums| {
            total += sums;
            total
        });
        let row = |(piece, sums): (Piece, &Sums)| UsageRow {
            key: Some(piece.label),
            label: None,
            provider: None,
            start: Some(piece.start),
            amounts: amounts(sums),
        };
        let rows = pieces.into_iter().zip(&series).map(row).collect();
        return Ok(Json(answer(&asked, by, rows, (0, Sums::default()), &total)?));
    }
    let sorted = sorted_by(by)?;
    let limit = filters::limit(query.limit, ROWS, ROWS_MAX)? as usize;
    let range = asked.quarters();
    let Groups { groups, more, rest } =
        read(&http, move |connection| analytics::groups(connection, &filter, range, sorted, limit)).await?;
    let mut total = rest;
    groups.iter().for_each(|group| total += group.sums);
    let row = |Group { key, label, provider, sums }| UsageRow {
        key,
        label,
        provider,
        start: None,
        amounts: amounts(&sums),
    };
    let rows = groups.into_iter().map(row).collect();
    Ok(Json(answer(&asked, by, rows, (more, rest), &total)?))
}

fn answer(
    asked: &Asked,
    by: &str,
    rows: Vec<UsageRow>,
    (more, rest): (u64, Sums),
    total: &Sums,
) -> Result<Usage, Refusal> {
    let (rest, total) = (amounts(&rest), amounts(total));
    Ok(Usage { range: asked.view()?, by: by.to_owned(), rows, more, rest, total })
}

fn sorted_by(word: &str) -> Result<By, Refusal> {
    Ok(match word {
        "model" => By::Model,
        "provider" => By::Provider,
        "session" => By::Session,
        "conversation" => By::Conversation,
        "folder" => By::Folder,
        "repo" => By::Repo,
        "branch" => By::Branch,
        _ => return Err(Refusal::field("by", format_args!("`{word}` is none of {}", BY.join(", ")))),
    })
}

pub(super) async fn token_usage(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<TokenUsage>>> {
    knows(&query, &["session", "provider", "model", "workspace", "every"])?;
    let pieces = ask(&http, &query).await?.pieces(query.every.as_deref())?;
    let (pieces, series) = series(&http, filter(&http, &query).await?, pieces).await?;
    let row = |(piece, sums): (Piece, &Sums)| {
        let usage = amounts(sums);
        TokenUsage {
            date: piece.label,
            start: piece.start,
            prompt: usage.input,
            completion: usage.output,
            cache_creation: usage.cache_write_5m + usage.cache_write_1h,
            cache_read: usage.cache_read,
            usage,
        }
    };
    Ok(Json(pieces.into_iter().zip(&series).map(row).collect()))
}

pub(super) async fn tokens_by_model(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<ModelUsage>>> {
    knows(&query, &["session", "provider", "model", "workspace", "limit"])?;
    let range = ask(&http, &query).await?.quarters();
    let filter = filter(&http, &query).await?;
    let limit = filters::limit(query.limit, ROWS_MAX, ROWS_MAX)? as usize;
    let found =
        read(&http, move |connection| analytics::groups(connection, &filter, range, By::Model, limit))
            .await?;
    let row = |group: Group| {
        let usage = amounts(&group.sums);
        ModelUsage {
            model: group.key.unwrap_or_default(),
            tokens: usage.tokens,
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            cache_read: usage.cache_read,
            cache_creation: usage.cache_write_5m + usage.cache_write_1h,
            requests: usage.requests,
            cost_estimate: usage.cost.map(cents),
            provider: group.provider,
            usage,
        }
    };
    Ok(Json(found.groups.into_iter().map(row).collect()))
}

pub(super) async fn activity_timeline(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<Activity>>> {
    knows(&query, &["session", "every"])?;
    let pieces = ask(&http, &query).await?.pieces(query.every.as_deref())?;
    let session = filters::session(&http, query.session.as_deref())?;
    let (pieces, counts) = read(&http, move |connection| {
        let counts = analytics::messages(connection, session.as_ref(), &pieces)?;
        Ok((pieces, counts))
    })
    .await?;
    let row = |(piece, count): (Piece, Messages)| Activity {
        date: piece.label,
        start: piece.start,
        user_messages: count.person,
        assistant_messages: count.assistant,
        total: count.person + count.assistant,
    };
    Ok(Json(pieces.into_iter().zip(counts).map(row).collect()))
}

pub(super) async fn sessions_by_provider(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<ProviderSessions>>> {
    knows(&query, &[])?;
    let range = ask(&http, &query).await?.quarters();
    let found = read(&http, move |connection| analytics::sessions_by_provider(connection, range)).await?;
    Ok(Json(found.into_iter().map(|(provider, count)| ProviderSessions { provider, count }).collect()))
}

pub(super) async fn tool_usage(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<ToolUsage>>> {
    knows(&query, &["session", "limit"])?;
    let range = ask(&http, &query).await?.quarters();
    let session = filters::session(&http, query.session.as_deref())?;
    let limit = filters::limit(query.limit, TOOLS, ROWS_MAX)?;
    let found =
        read(&http, move |connection| analytics::tools(connection, session.as_ref(), range, limit)).await?;
    Ok(Json(found.into_iter().map(tool).collect()))
}

fn tool(used: ToolUse) -> ToolUsage {
    let ended = used.ok + used.failed;
    ToolUsage {
        failure_rate: (ended > 0).then(|| percent(used.failed, ended)),
        tool: used.tool,
        count: used.calls,
        ok: used.ok,
        failed: used.failed,
        refused: used.refused,
        interrupted: used.interrupted,
        average_ms: used.average_ms.map(f64::round),
        longest_ms: used.longest_ms,
    }
}

pub(super) async fn policy_decisions(
    State(http): State<Http>,
    Query(query): Query<AnalyticsQuery>,
) -> Answer<Json<Vec<PolicyDecisions>>> {
    knows(&query, &["session", "every"])?;
    let pieces = ask(&http, &query).await?.pieces(query.every.as_deref())?;
    let session = filters::session(&http, query.session.as_deref())?;
    let (pieces, found) = read(&http, move |connection| {
        let found = analytics::decisions(connection, session.as_ref(), &pieces)?;
        Ok((pieces, found))
    })
    .await?;
    let mut rows = Vec::new();
    for (piece, decisions) in pieces.into_iter().zip(found) {
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in decisions {
            let word = if word == "none" { "ask".to_owned() } else { word };
            *words.entry(word).or_default() += count;
        }
        rows.extend(words.into_iter().map(|(decision, count)| PolicyDecisions {
            date: piece.label.clone(),
            start: piece.start,
            decision,
            count,
        }));
    }
    Ok(Json(rows))
}

async fn series(http: &Http, filter: Filter, pieces: Vec<Piece>) -> Result<(Vec<Piece>, Vec<Sums>), Refusal> {
    read(http, move |connection| {
        let series = analytics::series(connection, &filter, &pieces)?;
        Ok((pieces, series))
    })
    .await
}

async fn read<T: Send + 'static>(
    http: &Http,
    work: impl FnOnce(&codepiper_store::Connection) -> codepiper_store::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    http.app.store.read(work).await.map_err(|error| internal("summing up", error))
}

async fn ask(http: &Http, query: &AnalyticsQuery) -> Result<Asked, Refusal> {
    let AnalyticsQuery { range, since, until, tz, .. } = query;
    Asked::read(http, range.as_deref(), since.as_deref(), until.as_deref(), tz.as_deref()).await
}

async fn filter(http: &Http, query: &AnalyticsQuery) -> Result<Filter, Refusal> {
    Ok(Filter {
        session: filters::session(http, query.session.as_deref())?,
        provider: query.provider.clone(),
        model: query.model.clone(),
        folder: filters::folder(http, query.workspace.as_deref()).await?,
    })
}

/// Refuses what this answer does not look at: it would be a sum of something else than what was asked for.
fn knows(query: &AnalyticsQuery, known: &[&str]) -> Result<(), Refusal> {
    let said = [
        ("by", query.by.is_some()),
        ("every", query.every.is_some()),
        ("session", query.session.is_some()),
        ("provider", query.provider.is_some()),
        ("model", query.model.is_some()),
        ("workspace", query.workspace.is_some()),
        ("limit", query.limit.is_some()),
    ];
    match said.into_iter().find(|(name, is_said)| *is_said && !known.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::field(name, "cannot be asked for here").hint(
            "`codepiper analytics tokens` and `costs`, which are `GET /analytics/usage`, know most filters",
        )),
    }
}

/// Sums as they are sent.
pub(super) fn amounts(sums: &Sums) -> Amounts {
    let tokens = &sums.tokens;
    let has_price = sums.unpriced == 0 || sums.unpriced < tokens.total();
    Amounts {
        requests: sums.requests,
        tokens: tokens.total(),
        input: tokens.input,
        output: tokens.output,
        reasoning: tokens.reasoning,
        cache_read: tokens.cache_read,
        cache_write_5m: tokens.cache_write_5m,
        cache_write_1h: tokens.cache_write_1h,
        cache_hit_rate: percent(tokens.cache_read, tokens.prompt()),
        cost: has_price.then_some(sums.cost as f64 / 1e9),
        unpriced: sums.unpriced,
    }
}

/// With one decimal; of nothing nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 1_000.0 / whole as f64).round() / 10.0 }
}

fn cents(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use codepiper_core::usage::Tokens;

    #[test]
    fn what_has_no_price_costs_nothing_known_and_not_nothing() {
        let check = |tokens: u64, unpriced: u64, cost: u64, expected: Option<f64>| {
            let tokens = Tokens { output: tokens, ..Tokens::default() };
            let sums = Sums { requests: 1, tokens, cost, unpriced };
            assert_eq!(amounts(&sums).cost, expected, "{sums:?}");
        };
        check(0, 0, 0, Some(0.0));
        check(10, 0, 1_230_000_000, Some(1.23));
        check(10, 10, 0, None);
        check(10, 4, 500_000_000, Some(0.5));
    }

    #[test]
    fn rates_have_one_decimal_and_nothing_is_divided_by_nothing() {
        assert_eq!((percent(1, 3), percent(2, 3), percent(0, 0), percent(5, 5)), (33.3, 66.7, 0.0, 100.0));
        assert_eq!((cents(1.006), cents(0.004)), (1.01, 0.0));
    }
}

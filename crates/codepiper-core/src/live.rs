//! What an agent tells of itself while it works: how full its context is, and what its service still allows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The used part of a limit from which on its reset is worth a word, in percent.
pub const NEAR_PERCENT: f64 = 80.0;

/// Figures of a live session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Figures {
    /// The context window, once a model has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// The limits of the service, shortest first; none where it tells none, as with an API key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

/// A context window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Tokens of the last request.
    pub used: u64,
    /// Tokens that fit.
    pub size: u64,
}

impl Context {
    /// How full it is, in whole percent, rounded down.
    pub fn percent(self) -> u64 {
        self.used.saturating_mul(100).checked_div(self.size).unwrap_or(0)
    }
}

/// A limit of the service over a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// How long its time is, in minutes: 300 for five hours, 10,080 for a week.
    pub minutes: u32,
    /// How much of it is used, in percent.
    pub used_percent: f64,
    /// When it begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

impl Limit {
    /// Its time as people say it: `5 h`, `7 d`.
    pub fn window(&self) -> String {
        match self.minutes {
            minutes if minutes % 1_440 == 0 && minutes > 0 => format!("{} d", minutes / 1_440),
            minutes if minutes % 60 == 0 && minutes > 0 => format!("{} h", minutes / 60),
            minutes => format!("{minutes} min"),
        }
    }

    /// Whether it says something about now: after its reset it does not.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.resets_at.is_none_or(|resets_at| resets_at > now)
    }
}

impl Figures {
    /// What Claude Code gives its status line. The limits are there for subscribers, after the first reply
    /// (documented, not measured).
    pub fn of_claude_status_line(body: &Value) -> Self {
        let window = &body["context_window"];
        let used = window["total_input_tokens"].as_u64();
        let size = window["context_window_size"].as_u64().filter(|size| *size > 0);
        let limit = |name: &str, minutes| {
            let limit = &body["rate_limits"][name];
            limit_of(minutes, limit["used_percentage"].as_f64(), limit["resets_at"].as_i64())
        };
        Self {
            context: used.zip(size).map(|(used, size)| Context { used, size }),
            limits: [limit("five_hour", 300), limit("seven_day", 10_080)].into_iter().flatten().collect(),
        }
    }

    /// What Codex writes into its rollout after each reply (`token_count`).
    pub fn of_codex_token_count(payload: &Value) -> Self {
        let info = &payload["info"];
        let used = info["last_token_usage"]["total_tokens"].as_u64();
        let size = info["model_context_window"].as_u64().filter(|size| *size > 0);
        let limit = |name: &str| {
            let limit = &payload["rate_limits"][name];
            let minutes = limit["window_minutes"].as_u64().and_then(|minutes| u32::try_from(minutes).ok())?;
            limit_of(minutes, limit["used_percent"].as_f64(), limit["resets_at"].as_i64())
        };
        let mut limits: Vec<Limit> = ["primary", "secondary"].into_iter().filter_map(limit).collect();
        limits.sort_by_key(|limit| limit.minutes);
        Self { context: used.zip(size).map(|(used, size)| Context { used, size }), limits }
    }

    /// Takes newer figures over. What they do not tell stays as it was.
    pub fn update(&mut self, newer: Self) {
        self.context = newer.context.or(self.context);
        if !newer.limits.is_empty() {
            self.limits = newer.limits;
        }
    }
}

fn limit_of(minutes: u32, used_percent: Option<f64>, resets_at: Option<i64>) -> Option<Limit> {
    let used_percent = used_percent.filter(|used| used.is_finite() && *used >= 0.0)?;
    Some(Limit { minutes, used_percent, resets_at: resets_at.and_then(|at| Timestamp::from_second(at).ok()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_read_from_what_agents_recorded_and_document() {
        let line = include_str!("../testdata/claude-code/statusline/statusline.json");
        let read = Figures::of_claude_status_line(&serde_json::from_str(line).unwrap());
        assert_eq!(read.context, Some(Context { used: 24_006, size: 1_000_000 }));
        assert_eq!((read.context.unwrap().percent(), read.limits.len()), (2, 0));
        let limits = json!({ "rate_limits": {
            "five_hour": { "used_percentage": 23.5, "resets_at": 1_738_425_600 },
            "seven_day": { "used_percentage": 41.2, "resets_at": 1_738_857_600 },
        } });
        let read = Figures::of_claude_status_line(&limits);
        assert_eq!(read.limits.iter().map(Limit::window).collect::<Vec<_>>(), ["5 h", "7 d"]);
        assert_eq!(read.limits[0].resets_at, Timestamp::from_second(1_738_425_600).ok());
        assert_eq!(read.limits[1].used_percent, 41.2);

        let count = json!({
            "info": { "last_token_usage": { "total_tokens": 14_052 }, "model_context_window": 258_400 },
            "rate_limits": {
                "primary": { "used_percent": 91.0, "window_minutes": 300, "resets_at": 1_795_000_000 },
                "secondary": { "used_percent": 12.0, "window_minutes": 10_080, "resets_at": null },
            },
        });
        let read = Figures::of_codex_token_count(&count);
        assert_eq!(read.context, Some(Context { used: 14_052, size: 258_400 }));
        assert_eq!(read.limits.iter().map(Limit::window).collect::<Vec<_>>(), ["5 h", "7 d"]);
        assert_eq!(read.limits[1].resets_at, None);
    }

    #[test]
    fn nonsense_tells_nothing() {
        for body in
            [json!(7), json!({ "context_window": { "context_window_size": 0, "total_input_tokens": 5 } })]
        {
            assert_eq!(Figures::of_claude_status_line(&body), Figures::default());
            assert_eq!(Figures::of_codex_token_count(&body), Figures::default());
        }
        let limits = json!({ "rate_limits": {
            "five_hour": { "used_percentage": -1, "resets_at": i64::MAX },
            "seven_day": { "used_percentage": 1, "resets_at": i64::MAX },
            "primary": { "used_percent": 5, "window_minutes": u64::MAX },
        } });
        assert_eq!(Figures::of_claude_status_line(&limits).limits[0].resets_at, None);
        assert_eq!(Figures::of_codex_token_count(&limits), Figures::default());
        assert_eq!(Context { used: u64::MAX, size: 1 }.percent(), u64::MAX);
    }

    #[test]
    fn newer_figures_leave_what_they_do_not_tell() {
        let limit = Limit { minutes: 300, used_percent: 5.0, resets_at: Timestamp::from_second(100).ok() };
        let mut figures = Figures { context: Some(Context { used: 1, size: 2 }), limits: vec![limit] };
        figures.update(Figures { context: Some(Context { used: 2, size: 2 }), limits: Vec::new() });
        assert_eq!((figures.context.unwrap().used, figures.limits.len()), (2, 1));
        figures.update(Figures::default());
        assert_eq!((figures.context.unwrap().used, figures.limits.len()), (2, 1));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!((limit.holds(at(99)), limit.holds(at(100))), (true, false));
    }
}

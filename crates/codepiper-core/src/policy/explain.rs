//! A decision in lines for a person, as `codepiper policy test` prints them.

use super::{Action, Decider, Decision};

/// What was decided, by whom, and for commands each part. No colour, nothing to parse.
pub fn explain(decision: &Decision) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", word(decision.action), decision.reason)];
    if let Decider::Rule { policy, index, rule, .. } = &decision.by {
        let called = rule.as_ref().map(|id| format!(" (`{id}`)")).unwrap_or_default();
        lines.push(format!("by rules[{index}]{called} of policy {policy}"));
    }
    if decision.parts.len() > 1 {
        lines.push("its parts:".into());
        let parts = decision.parts.iter();
        lines.extend(parts.map(|part| {
            let text = part.part.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("  {:<5}  {text}  ({})", word(part.action), part.reason)
        }));
    }
    lines
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

//! Shell commands: what gets past no rule, and what no rule may stop.

use super::*;

#[derive(serde::Deserialize)]
struct Groups {
    group: Vec<Group>,
}

#[derive(serde::Deserialize)]
struct Group {
    why: String,
    rules: String,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    ask: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    /// Other commands than the one attacked: whatever is decided, the rules under attack say nothing.
    #[serde(default)]
    other: Vec<String>,
}

fn groups(file: &str) -> Vec<Group> {
    let path = format!("{}/testdata/policy/{file}", env!("CARGO_MANIFEST_DIR"));
    toml::from_str::<Groups>(&std::fs::read_to_string(path).unwrap()).unwrap().group
}

/// All wrong ones at once: a table is corrected in one go.
/// `padded`: with so many other rules that they are looked up and not tried one by one.
fn wrong_in(file: &str, padded: bool) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for group in groups(file) {
        let mut policies = rules(&group.rules);
        if padded {
            let many = (0..40)
                .map(|n| format!("allow Bash command=*nothing {n}*\nallow Other file_path=nothing{n}\n"));
            policies.extend(rules(&many.collect::<String>()));
        }
        let book = RuleBook::compile(&policies, Fallback::Ask).unwrap();
        let Group { why, allow, ask, deny, other, .. } = group;
        for (expected, commands) in [("allow", allow), ("ask", ask), ("deny", deny), ("allow", other)] {
            for command in commands {
                count += 1;
                let args = json!({ "command": command });
                let decision = super::ask(&book, "Bash", &args);
                if word(decision.action) != expected {
                    wrong.push(format!(
                        "{why}: {command:?} must be {expected}\n    {}",
                        explain(&decision).join("\n    ")
                    ));
                }
            }
        }
    }
    (count, wrong)
}

#[test]
fn no_writing_of_a_command_gets_past_a_rule() {
    for padded in [false, true] {
        let (count, wrong) = wrong_in("bypass.toml", padded);
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count > 150);
    }
}

#[test]
fn ordinary_commands_are_no_alarm() {
    for padded in [false, true] {
        let (count, wrong) = wrong_in("ordinary.toml", padded);
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count > 60);
    }
}

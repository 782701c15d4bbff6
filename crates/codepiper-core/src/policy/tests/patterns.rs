//! What patterns mean: the table in `testdata/policy/patterns.toml`.

use super::*;

#[derive(serde::Deserialize)]
struct Table {
    text: Vec<Line>,
    command: Vec<Line>,
    path: Vec<Line>,
}

#[derive(serde::Deserialize)]
struct Line {
    pattern: Vec<String>,
    yes: Vec<String>,
    no: Vec<String>,
}

fn check_lines(lines: &[Line], rule: impl Fn(&[String]) -> Value, call: impl Fn(&str) -> (String, Value)) {
    let mut wrong = Vec::new();
    for Line { pattern, yes, no } in lines {
        let policy = json!({ "name": "x", "rules": [rule(pattern)] });
        let policies = [read_policy(&policy).unwrap_or_else(|problems| panic!("{pattern:?}: {problems:?}"))];
        for (texts, expected) in [(yes, Action::Deny), (no, Action::Ask)] {
            for text in texts {
                let (tool, args) = call(text);
                if decide(&policies, Fallback::Ask, &tool, &args).action != expected {
                    wrong.push(format!("{pattern:?} and {text:?}: not {}", word(expected)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patterns_mean_what_the_table_says() {
    let path = format!("{}/testdata/policy/patterns.toml", env!("CARGO_MANIFEST_DIR"));
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    check_lines(
        &table.text,
        |pattern| json!({ "action": "deny", "tool": pattern }),
        |text| (text.to_owned(), json!({})),
    );
    check_lines(
        &table.text,
        |pattern| json!({ "action": "deny", "args": { "query": pattern } }),
        |text| ("Search".into(), json!({ "query": text })),
    );
    check_lines(
        &table.command,
        |pattern| json!({ "action": "deny", "args": { "command": pattern } }),
        |text| ("Bash".into(), json!({ "command": text })),
    );
    check_lines(
        &table.path,
        |pattern| json!({ "action": "deny", "tool": "Read", "args": { "file_path": pattern } }),
        |text| ("Read".into(), json!({ "file_path": text })),
    );
    check_lines(
        &table.path,
        |pattern| json!({ "action": "deny", "args": { "workdir": pattern } }),
        |text| ("Run".into(), json!({ "workdir": text })),
    );
}

#[test]
fn arguments_are_found_by_dotted_path_and_compared_as_text() {
    let args = |args: &str| format!("Tool {args}");
    let holds = |rule: &str, given: &str| check(&format!("deny Tool {rule}"), &args(given), "deny");
    let fails = |rule: &str, given: &str| check(&format!("deny Tool {rule}"), &args(given), "ask");
    holds("a.b.0.c=x", r#"a={"b": [{"c": "x"}]}"#);
    holds("a.b=x", r#"a.b="x""#);
    holds("n=3", "n=3");
    holds("n=1.5", "n=1.5");
    holds("on=true", "on=true");
    holds(r#"a=\{"b":1\}"#, r#"a={"b": 1}"#);
    holds("list=\\[1,2\\]", "list=[1, 2]");
    fails("a=*", "b=x");
    fails("a=*", "a=null");
    fails("a=*", r#"a="""#);
    fails("a=!x", "b=y");
    fails("a.b.1.c=x", r#"a={"b": [{"c": "x"}]}"#);
    fails("a.b.c.d=x", "a=x");
    fails("a.-1=x", "a=[1]");
}

#[test]
fn a_rule_may_name_sessions() {
    check("deny * session=a1b2c3d4", "Read file_path=/x", "deny");
    check("deny * session=a1*", "Read file_path=/x", "deny");
    check("deny * session=!a1b2c3d4", "Read file_path=/x", "ask");
}

use super::*;
use serde_json::json;

const GOOD: &str = r#"
[[handler]]
name = "desktop"
on = ["session.crashed", "hook/Post*"]
run = ["sh", "-c", "cat"]

[[handler]]
name = "slack"
on = ["*"]
post = "https://me:pw@hooks.example.com/services/T0/B0/secret?x=1"
json = { text = "{title}\n{body}", blocks = [{ n = 1, who = "{name} {{x}}" }] }
headers = { X-Title = "{title}" }
secret = "a-long-enough-secret"
seconds = 3
retries = 0
"#;

fn message() -> Map<String, Value> {
    let message = json!({
        "type": "session.crashed", "title": "api \"crashed\"", "body": "a\nb ü {title}", "createdAt": "2026-11-21T00:00:00Z",
        "session": { "id": "a1b2c3d4", "name": "api", "provider": "codex", "cwd": "/w" },
    });
    message.as_object().unwrap().clone()
}

#[test]
fn a_file_is_read_with_what_was_not_said() {
    let handlers = parse(GOOD).unwrap();
    assert_eq!((handlers[0].seconds, handlers[0].retries), (10, 5));
    assert_eq!(handlers[0].action, Action::Run(vec!["sh".into(), "-c".into(), "cat".into()]));
    assert_eq!((handlers[1].seconds, handlers[1].retries), (3, 0));
    let Action::Post(post) = &handlers[1].action else { panic!() };
    assert_eq!(post.host(), "hooks.example.com");
    assert_eq!(format!("{post:?}"), "Post(hooks.example.com)");
    assert_eq!(parse("").unwrap(), []);
}

#[test]
fn handlers_want_what_they_name() {
    let handlers = parse(GOOD).unwrap();
    let check = |name: &str, expected: [bool; 2]| {
        assert_eq!([handlers[0].wants(name), handlers[1].wants(name)], expected, "{name}");
    };
    check("session.crashed", [true, true]);
    check("session.completed", [false, true]);
    check("hook/PostToolUse", [true, false]);
    check("hook/PreToolUse", [false, false]);
    assert_eq!([handlers[0].wants_log(), handlers[1].wants_log()], [true, false]);
}

#[test]
fn stars_stand_for_any_text() {
    let check = |pattern: &str, name: &str, expected: bool| {
        assert_eq!(Pattern(pattern.into()).matches(name), expected, "{pattern} {name}");
    };
    check("a", "a", true);
    check("a", "ab", false);
    check("*", "", true);
    check("a*", "abc", true);
    check("*c", "abc", true);
    check("a*c", "abc", true);
    check("a*c", "abd", false);
    check("a*b*c", "a-b-b-c", true);
    check("ab*b", "ab", false);
}

#[test]
fn what_an_agent_wrote_stays_text() {
    let handlers = parse(GOOD).unwrap();
    let Action::Post(post) = &handlers[1].action else { panic!() };
    let body: Value = serde_json::from_str(&post.body(&message())).unwrap();
    assert_eq!(
        body,
        json!({ "text": "api \"crashed\"\na\nb ü {title}", "blocks": [{ "n": 1, "who": "api {x}" }] })
    );
    assert_eq!(post.headers(&message()), [("X-Title".to_owned(), "api \"crashed\"".to_owned())]);
    let plain = parse("[[handler]]\nname='x'\non=['*']\npost='http://h'\nheaders={A='{body}'}").unwrap();
    let Action::Post(post) = &plain[0].action else { panic!() };
    assert_eq!(serde_json::from_str::<Value>(&post.body(&message())).unwrap(), Value::Object(message()));
    assert_eq!(post.headers(&message())[0].1, "a b  {title}");
}

#[test]
fn a_bad_file_says_where_and_why() {
    let check = |entry: &str, expected: &str| {
        let error = parse(&format!("[[handler]]\n{entry}")).unwrap_err().to_string();
        assert!(error.contains(expected), "{entry}: {error}");
    };
    check("name = 'x'\non = ['*']", "handler `x`: needs either `run` or `post`");
    check("name = 'x'\non = ['*']\nrun = ['a']\npost = 'http://h'", "needs either");
    check("name = 'x'\non = []\nrun = ['a']", "`on` names nothing");
    check("name = 'x'\non = ['frob']\nrun = ['a']", "there is no `frob`; there are session.turn_completed,");
    check("name = 'x'\non = ['*']\nrun = []", "must begin with the program");
    check("name = 'x'\non = ['*']\npost = 'ftp://h'", "https://");
    check("name = 'x'\non = ['*']\npost = 'https:///x'", "https://");
    check("name = 'x'\non = ['*']\npost = 'http://h'\nsecret = 'short'", "at least 16");
    check(
        "name = 'x'\non = ['*']\npost = 'http://h'\njson = { a = '{frob}' }",
        "names none of {type}, {title}",
    );
    check("name = 'x'\non = ['*']\npost = 'http://h'\njson = { a = ['}'] }", "names none of");
    check("name = 'x'\non = ['*']\npost = 'http://h'\nheaders = { 'a b' = '' }", "no name of a header");
    check("name = 'x'\non = ['*']\nrun = ['a']\nsecret = '0123456789abcdef'", "go with `post`");
    check("name = 'x'\non = ['*']\nrun = ['a']\nseconds = 0", "`seconds`: must be 1 to 300");
    check("name = 'x'\non = ['*']\nrun = ['a']\nretries = 21", "`retries`");
    check("name = 'x y'\non = ['*']\nrun = ['a']", "`name`: `x y`");
    check("name = 'x'\non = ['*']\nrun = ['a']\nfrob = 1", "line 5");
    check(
        "name = 'x'\non = ['*']\nrun = ['a']\n[[handler]]\nname = 'x'\non = ['*']\nrun = ['a']",
        "two handlers",
    );
}

#[test]
fn the_examples_of_the_documents_can_be_used() {
    let text = include_str!("../../../../docs/notifications.md");
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        assert_eq!(parse(example).map(|handlers| handlers.len()), Ok(1), "{example}");
    }
}

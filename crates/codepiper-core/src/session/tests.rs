use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn happening(word: &str) -> Happening {
    use Happening as H;
    let ask =
        |need| H::Asked(Waiting { need, question: "May I?".into(), how: String::new(), about: "it".into() });
    match word {
        "launched" => H::Launched,
        "ready" => H::Ready,
        "prompt" => H::PromptTaken,
        "working" => H::Working,
        "permission?" => ask(Need::Permission),
        "question?" => ask(Need::Input),
        "answered" => H::Answered { about: Some("it".into()) },
        "other-answered" => H::Answered { about: Some("something else".into()) },
        "done" => H::TurnEnded,
        "interrupted" => H::Interrupted,
        "failed" => H::TurnFailed { error: "429".into() },
        "seen-idle" => H::Seen { activity: Activity::Idle, noted: at(1_000) },
        "seen-busy" => H::Seen { activity: Activity::Busy, noted: at(1_000) },
        "late-idle" => H::Seen { activity: Activity::Idle, noted: at(0) },
        "stop" => H::EndRequested { by: "you".into() },
        "exit-0" => H::Exited { exit: Exit::Code(0), requested: false },
        "exit-3" => H::Exited { exit: Exit::Code(3), requested: false },
        "sigsegv" => H::Exited { exit: Exit::Signal(11), requested: false },
        "asked-exit" => H::Exited { exit: Exit::Signal(15), requested: true },
        other => panic!("no happening {other}"),
    }
}

/// Plays the happenings after `launched` and shows the final state and reason.
fn check(story: &str, expected: &str) {
    let mut now = Standing { state: State::Starting, since: at(0), reason: "the agent is starting".into() };
    for (second, word) in story.split_whitespace().enumerate() {
        if let Some(next) = step(&now, &happening(word), at(second as i64 + 1)) {
            now = next;
        }
    }
    assert_eq!(format!("{} since {}: {}", now.state.word(), now.since.as_second(), now.reason), expected);
}

#[test]
fn a_turn_goes_from_idle_through_running_back_to_idle() {
    check("ready prompt working done", "idle since 4: ready for a prompt");
    check("ready prompt", "running since 2: working on a prompt");
    check("ready prompt failed", "idle since 3: the last turn failed: 429");
    check("ready prompt interrupted", "idle since 3: interrupted; ready for a prompt");
}

#[test]
fn a_question_stands_until_it_is_answered_or_the_turn_ends() {
    check("ready prompt permission? working", "waiting since 3: needs permission: May I?");
    check("ready prompt permission? other-answered", "waiting since 3: needs permission: May I?");
    check("ready prompt permission? answered", "running since 4: working; the question was answered");
    check("ready prompt question? done", "idle since 4: ready for a prompt");
    check("question? ready", "idle since 2: ready for a prompt");
}

#[test]
fn what_the_agent_notes_of_itself_counts_only_when_it_is_younger_than_what_we_know() {
    check("ready prompt permission? late-idle", "waiting since 3: needs permission: May I?");
    check("ready prompt permission? seen-idle", "idle since 4: ready for a prompt");
    check("ready prompt permission? seen-busy", "running since 4: working");
    check("ready prompt late-idle", "running since 2: working on a prompt");
    check("ready seen-busy seen-idle", "idle since 3: ready for a prompt");
}

#[test]
fn what_repeats_changes_nothing() {
    check("ready prompt working working", "running since 2: working on a prompt");
    check("ready ready", "idle since 1: ready for a prompt");
    check("prompt prompt", "running since 1: working on a prompt");
}

#[test]
fn an_end_is_a_stop_when_asked_for_or_clean_and_a_crash_otherwise() {
    check("ready exit-0", "stopped since 2: the agent ended by itself (exit code 0)");
    check("ready exit-3", "crashed since 2: the agent ended by itself (exit code 3)");
    check("ready sigsegv", "crashed since 2: the agent ended by itself (signal 11 SIGSEGV)");
    check("ready stop asked-exit", "stopped since 3: stopped as asked (signal 15 SIGTERM)");
}

#[test]
fn an_ended_session_only_comes_back_by_being_launched() {
    check(
        "ready exit-3 prompt working done ready question? exit-0",
        "crashed since 2: the agent ended by itself (exit code 3)",
    );
    check("ready exit-3 launched", "starting since 3: the agent is starting");
    check("ready exit-3 launched ready", "idle since 4: ready for a prompt");
}

#[test]
fn asking_for_the_end_keeps_the_state_and_its_moment() {
    check("ready prompt stop", "running since 2: stopping: you");
}

#[test]
fn the_wire_knows_six_words() {
    let shown: Vec<String> = ["launched", "ready", "prompt", "permission?", "question?", "exit-0", "exit-3"]
        .iter()
        .map(|word| {
            let start = Standing { state: State::Idle, since: at(0), reason: String::new() };
            let next = step(&start, &happening(word), at(1)).map_or(start.state, |next| next.state);
            serde_json::to_string(&next.status()).unwrap()
        })
        .collect();
    assert_eq!(
        shown.join(" ").replace('"', ""),
        "STARTING RUNNING RUNNING NEEDS_PERMISSION NEEDS_INPUT STOPPED CRASHED"
    );
}

//! `codepiper start`

use super::{absolute, called, of_this_shell};
use crate::args::StartArgs;
use crate::client::{Client, Route};
use crate::output::{self, Page, Style, with_tilde};
use codepiper_api::Refusal;
use codepiper_api::providers::ProviderList;
use codepiper_api::sessions::{
    CreateSession, ProviderResume, ResumeMode, SHELL_VARIABLES, Session, SessionBody, WorktreeRequest,
};
use codepiper_core::provider;
use hyper::Method;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) async fn run(args: StartArgs, daemon: &Client) -> Result<(), Refusal> {
    let provider = match (args.provider.clone(), &args.workspace) {
        (Some(provider), _) => provider,
        (None, Some(_)) => String::new(), // the workspace's own
        (None, None) => return Err(no_provider(daemon).await),
    };
    let json = args.format.json();
    let dangerous = args.dangerous;
    let request = request(provider, args, &|name| std::env::var(name).ok())?;
    let SessionBody { session, notes } = daemon.call(Method::POST, Route::new("/sessions"), &request).await?;
    notes.iter().for_each(|note| output::note(note));
    if dangerous {
        output::warn("the agent asks for no permission: it may do whatever you may");
    }
    if json {
        return output::print_json(&session);
    }
    output::done(&format!("Session {} started ({})", called(&session), session.provider))?;
    output::say(next_steps(&session, Page::stderr()).trim_end());
    Ok(())
}

fn request(
    provider: String,
    args: StartArgs,
    here: &dyn Fn(&str) -> Option<String>,
) -> Result<CreateSession, Refusal> {
    let worktree =
        args.worktree || args.branch.is_some() || args.create_branch.is_some() || args.start_point.is_some();
    let worktree = worktree.then(|| WorktreeRequest {
        create_branch: args.branch.is_none(),
        branch: args.branch.or(args.create_branch),
        start_point: args.start_point,
    });
    let resumed = args.resume.map(|id| (id, ResumeMode::Resume));
    let provider_resume = resumed
        .or(args.fork.map(|id| (id, ResumeMode::Fork)))
        .map(|(provider_session_id, mode)| ProviderResume { provider_session_id, mode });
    Ok(CreateSession {
        provider,
        cwd: match (&args.dir, &args.workspace) {
            (None, Some(_)) => String::new(), // the workspace's own
            (dir, _) => absolute(dir.as_deref().unwrap_or(Path::new(".")))?,
        },
        name: args.name,
        env: environment(args.variables, here)?,
        shell_env: of_this_shell(&SHELL_VARIABLES, here),
        env_set_ids: args.env_sets,
        workspace_id: args.workspace,
        args: args.args,
        billing_mode: args.billing.map(Into::into),
        dangerous_mode: args.dangerous,
        model: args.model,
        budget: super::budget::budget(&args.budget)?,
        worktree,
        provider_resume,
        policy_set_ids: args.policy_sets,
        cols: args.cols,
        rows: args.rows,
    })
}

/// The variables asked for.
fn environment(
    variables: Vec<(String, Option<String>)>,
    here: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut environment = BTreeMap::new();
    for (name, value) in variables {
        let value = value.or_else(|| here(&name)).ok_or_else(|| {
            Refusal::field("env", format!("names {name}, which is not set here"))
                .hint(format!("`--env {name}=VALUE` gives it a value, `export {name}` lets it be seen"))
        })?;
        environment.insert(name, value);
    }
    Ok(environment)
}

/// Says which providers there are: those the daemon knows, else those that are built in.
async fn no_provider(daemon: &Client) -> Refusal {
    let refusal = Refusal::field("provider", "is missing: which agent is it to be?");
    match daemon.get::<ProviderList>(Route::new("/providers")).await {
        Ok(list) => {
            let (here, missing): (Vec<_>, Vec<_>) =
                list.providers.into_iter().partition(|provider| provider.program.is_some());
            let ids = |list: Vec<codepiper_api::providers::ProviderView>| {
                list.into_iter().map(|provider| provider.id).collect::<Vec<_>>().join(", ")
            };
            let mut hint = "`codepiper start -p PROVIDER`".to_owned();
            if !here.is_empty() {
                hint.push_str(&format!("; installed: {}", ids(here)));
            }
            if !missing.is_empty() {
                hint.push_str(&format!("; not installed: {}", ids(missing)));
            }
            refusal.hint(hint)
        }
        Err(_) => {
            let ids: Vec<String> = provider::built_in().into_iter().map(|definition| definition.id).collect();
            refusal.hint(format!("`codepiper start -p PROVIDER`: {}", ids.join(", ")))
        }
    }
}

fn next_steps(session: &Session, page: Page) -> String {
    let id = &session.id;
    let folder = with_tilde(&session.cwd, std::env::var("HOME").ok().as_deref());
    let mut out = format!("  in {}\n", crate::text::visible(&folder));
    if session.question.is_some() {
        let reason = crate::text::visible(&session.reason);
        out.push_str(&format!("  {}\n", page.paint(Style::Warn, &reason)));
    }
    out.push_str("\nNext steps:\n");
    let steps = [
        (format!("codepiper attach {id}"), "go to its terminal"),
        (format!("codepiper send {id} \"…\""), "send a prompt"),
        (format!("codepiper tail {id} --follow"), "watch it"),
    ];
    for (command, what) in steps {
        out.push_str(&format!("  {command:<34}{}\n", page.paint(Style::Dim, what)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use serde_json::json;

    fn asked(line: &str) -> serde_json::Value {
        let Ok(Cli { command: Some(Command::Start(crate::args::Lazy(args))), .. }) =
            Cli::try_parse_from(line.split(' '))
        else {
            panic!("`{line}` is no start")
        };
        let here =
            |name: &str| (name != "UNSET" && name != "SSH_AGENT_PID").then(|| format!("{name} of here"));
        match request(args.provider.clone().unwrap_or_default(), args, &here) {
            Ok(request) => serde_json::to_value(request).unwrap(),
            Err(refusal) => json!(refusal.error),
        }
    }

    #[test]
    fn what_is_typed_becomes_a_request() {
        let start = "codepiper start -p demo -d /w";
        let check = |options: &str, field: &str, expected: serde_json::Value| {
            let got = asked(format!("{start} {options}").trim_end());
            assert_eq!(got[field], expected, "for {options:?}: {got}");
        };
        let shell = json!({"PATH": "PATH of here", "SSH_AUTH_SOCK": "SSH_AUTH_SOCK of here"});
        assert_eq!(asked(start), json!({"provider": "demo", "cwd": "/w", "shellEnv": shell}));
        check("--env-set b --env-set a", "envSetIds", json!(["b", "a"]));
        check("--workspace w", "workspaceId", json!("w"));
        check("--workspace w", "cwd", json!("/w"));
        assert_eq!(asked("codepiper start --workspace w")["cwd"], json!(""));
        check("--worktree", "worktree", json!({"createBranch": true}));
        check("--branch x", "worktree", json!({"branch": "x", "createBranch": false}));
        check("--create-branch x", "worktree", json!({"branch": "x", "createBranch": true}));
        check("--worktree --start-point v1", "worktree", json!({"createBranch": true, "startPoint": "v1"}));
        check("--resume r", "providerResume", json!({"providerSessionId": "r", "mode": "resume"}));
        check("--fork r", "providerResume", json!({"providerSessionId": "r", "mode": "fork"}));
        check("--env A=b --env C", "env", json!({"A": "b", "C": "C of here"}));
        check("--env PATH=/x", "env", json!({"PATH": "/x"}));
        check("-b api", "billingMode", json!("api"));
        check("--dangerous", "dangerousMode", json!(true));
        check("--cols 100 --rows 40", "cols", json!(100));
        check("--policy-set a --policy-set b", "policySetIds", json!(["a", "b"]));
        check("-- --model opus -- x", "args", json!(["--model", "opus", "--", "x"]));
        assert_eq!(asked(&format!("{start} --env UNSET")), json!("`env` names UNSET, which is not set here"));
    }
}

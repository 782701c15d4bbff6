//! `codepiper policy-set`

use super::{for_each, policies};
use crate::args::{Format, PolicySetArgs, PolicySetCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, ago};
use codepiper_api::Refusal;
use codepiper_api::policies::{
    AddPolicy, ApplyPolicySet, ChangePolicySet, CreatePolicySet, PolicySet, PolicySetBody, PolicySetList,
};
use codepiper_api::sessions::Done;
use hyper::Method;
use jiff::Timestamp;

pub(super) async fn run(args: PolicySetArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: Format| format.json() || args.format.json();
    match args.command {
        None => list(daemon, None, args.format.json()).await,
        Some(PolicySetCommand::List { session, format }) => list(daemon, session, json(format)).await,
        Some(PolicySetCommand::Get { id, format }) => {
            let PolicySetBody { policy_set } = daemon.get(Route::set(&id, "")).await?;
            match json(format) {
                true => output::print_json(&policy_set),
                false => output::print(&details(&policy_set, Page::stdout(), Timestamp::now())),
            }
        }
        Some(PolicySetCommand::Create { name, id, description, default, policies, format }) => {
            let wanted = CreatePolicySet { id, name, description, is_default: default, policy_ids: policies };
            let made = daemon.call(Method::POST, Route::new("/policy-sets"), &wanted).await?;
            told(made, json(format), |set| format!("policy set {} created", called(set)))
        }
        Some(PolicySetCommand::Update { id, name, description, default, no_default, format }) => {
            let is_default = (default || no_default).then_some(default);
            let wanted = ChangePolicySet { name, description, is_default };
            let changed = daemon.call(Method::PUT, Route::set(&id, ""), &wanted).await?;
            told(changed, json(format), |set| match is_default {
                Some(true) => format!("new sessions get policy set {}", called(set)),
                Some(false) => format!("new sessions get policy set {} no more", called(set)),
                None => format!("policy set {} changed", called(set)),
            })
        }
        Some(PolicySetCommand::Delete { ids }) => {
            for_each(&ids, async |id| {
                let Done { .. } = daemon.call(Method::DELETE, Route::set(id, ""), &()).await?;
                Ok(format!("policy set `{id}` deleted; its policies stay"))
            })
            .await
        }
        Some(PolicySetCommand::AddPolicy { set, policy, format }) => {
            let wanted = AddPolicy { policy_id: policy.clone() };
            let changed = daemon.call(Method::POST, Route::set(&set, "/policies"), &wanted).await?;
            told(changed, json(format), |set| format!("policy `{policy}` is in policy set {}", called(set)))
        }
        Some(PolicySetCommand::RemovePolicy { set, policy, format }) => {
            let route = Route::set(&set, "/policies/").then(&policy);
            let changed = daemon.call(Method::DELETE, route, &()).await?;
            told(changed, json(format), |set| {
                format!("policy `{policy}` is not in policy set {} any more", called(set))
            })
        }
        Some(PolicySetCommand::Apply { set, session, format }) => {
            let wanted = ApplyPolicySet { policy_set_id: set };
            let route = Route::session(&session, "/policy-sets");
            let applied = daemon.call(Method::POST, route, &wanted).await?;
            told(applied, json(format), |set| format!("session {session} has policy set {}", called(set)))
        }
        Some(PolicySetCommand::Remove { set, session }) => {
            let route = Route::session(&session, "/policy-sets/").then(&set);
            let Done { .. } = daemon.call(Method::DELETE, route, &()).await?;
            output::done(&format!("session {session} does not have policy set `{set}` any more"))
        }
    }
}

impl Route {
    /// A set by whatever a person called it.
    fn set(id: &str, rest: &str) -> Self {
        Self::part("/policy-sets/", id, rest)
    }
}

fn told(
    PolicySetBody { policy_set }: PolicySetBody,
    json: bool,
    message: impl Fn(&PolicySet) -> String,
) -> Result<(), Refusal> {
    match json {
        true => output::print_json(&policy_set),
        false => output::done(&message(&policy_set)),
    }
}

fn called(set: &PolicySet) -> String {
    match set.id == set.name {
        true => set.id.clone(),
        false => format!("{} ({})", set.id, set.name),
    }
}

async fn list(daemon: &Client, session: Option<String>, json: bool) -> Result<(), Refusal> {
    let route = match &session {
        Some(session) => Route::session(session, "/policy-sets"),
        None => Route::new("/policy-sets"),
    };
    let PolicySetList { policy_sets } = daemon.get(route).await?;
    if json {
        return output::print_json(&policy_sets);
    }
    if policy_sets.is_empty() {
        output::say("no policy sets");
        return Ok(());
    }
    output::print(&table(&policy_sets, Timestamp::now()).render(Page::stdout()))
}

fn table(sets: &[PolicySet], now: Timestamp) -> Table {
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("NAME", Cut::End),
        ("DEFAULT", Cut::Never),
        ("POLICIES", Cut::Never),
        ("SESSIONS", Cut::Never),
        ("CREATED", Cut::Never),
        ("", Cut::End),
    ]);
    for set in sets {
        table.row(
            [
                set.id.as_str().into(),
                set.name.as_str().into(),
                Cell::new(if set.is_default { "yes" } else { "" }, Style::Bold),
                set.policy_count.to_string().as_str().into(),
                set.session_count.to_string().as_str().into(),
                ago(set.created_at, now).as_str().into(),
                Cell::new(set.description.as_deref().unwrap_or_default(), Style::Dim),
            ],
            None,
        );
    }
    table
}

fn details(set: &PolicySet, page: Page, now: Timestamp) -> String {
    let mut details = Details::default();
    details.styled("policy set", set.id.clone(), Style::Bold);
    details.add("name", set.name.clone());
    details.add("description", set.description.clone());
    details.add("default", if set.is_default { "yes: new sessions get it" } else { "no" }.to_owned());
    details.add("sessions", set.session_count.to_string());
    details.add("created", ago(set.created_at, now));
    details.add("changed", ago(set.updated_at, now));
    let mut shown = details.render(page);
    let policies = set.policies.as_deref().unwrap_or_default();
    if !policies.is_empty() {
        shown.push('\n');
        shown.push_str(&policies::table(policies, now).render(page));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_listed_with_what_is_in_them_and_who_has_them() {
        let set = PolicySet {
            id: "s-1".into(),
            name: "careful".into(),
            description: Some("everyday".into()),
            is_default: true,
            policy_count: 2,
            session_count: 1,
            policies: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let expected = "\
ID   NAME     DEFAULT  POLICIES  SESSIONS  CREATED
s-1  careful  yes      2         1         now      everyday
";
        let page = Page { columns: None, colour: false };
        assert_eq!(table(&[set], Timestamp::UNIX_EPOCH).render(page), expected);
    }
}

//! `codepiper workspace`

use super::{absolute, for_each};
use crate::args::{Defaults, WorkspaceArgs, WorkspaceCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Page, Style, Table, with_tilde};
use codepiper_api::Refusal;
use codepiper_api::sessions::Done;
use codepiper_api::workspaces::{ChangeDefaults, ChangeWorkspace, Workspace, WorkspaceBody, WorkspaceList};
use codepiper_core::provider::Billing;
use hyper::Method;

pub(super) async fn run(args: WorkspaceArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: crate::args::Format| format.json() || args.json;
    match args.command {
        WorkspaceCommand::List(format) => {
            let WorkspaceList { workspaces } = daemon.get(Route::new("/workspaces")).await?;
            if json(format) {
                return output::print_json(&workspaces);
            }
            output::print(&list(&workspaces, std::env::var("HOME").ok().as_deref(), Page::stdout()))
        }
        WorkspaceCommand::Show { name, format } => {
            let WorkspaceBody { workspace } = daemon.get(Route::one_of("workspaces", &name)).await?;
            if json(format) {
                return output::print_json(&workspace);
            }
            output::print(&details(&workspace).render(Page::stdout()))
        }
        WorkspaceCommand::Add { name, path, defaults, format } => {
            let path = Some(absolute(&path)?);
            let wanted = ChangeWorkspace { name: Some(name), path, defaults: said(defaults) };
            let answer: WorkspaceBody = daemon.call(Method::POST, Route::new("/workspaces"), &wanted).await?;
            told(&answer, json(format), "made")
        }
        WorkspaceCommand::Update {
            name,
            path,
            defaults,
            no_provider,
            no_model,
            no_billing,
            no_env_sets,
            no_policy_set,
            format,
        } => {
            let mut defaults = said(defaults);
            if no_provider {
                defaults.provider = Some(None);
            }
            if no_model {
                defaults.model = Some(None);
            }
            if no_billing {
                defaults.billing_mode = Some(None);
            }
            if no_env_sets {
                defaults.env_set_ids = Some(None);
            }
            if no_policy_set {
                defaults.policy_set = Some(None);
            }
            let path = path.map(|path| absolute(&path)).transpose()?;
            changed(&name, &ChangeWorkspace { name: None, path, defaults }, json(format), daemon).await
        }
        WorkspaceCommand::Rename { name, new, format } => {
            let change = ChangeWorkspace { name: Some(new), ..ChangeWorkspace::default() };
            changed(&name, &change, json(format), daemon).await
        }
        WorkspaceCommand::Remove { names } => {
            for_each(&names, async |name| {
                let route = Route::one_of("workspaces", name);
                let Done { .. } = daemon.call(Method::DELETE, route, &()).await?;
                Ok(format!("Workspace {name} removed; its folder stays"))
            })
            .await
        }
    }
}

async fn changed(name: &str, change: &ChangeWorkspace, json: bool, daemon: &Client) -> Result<(), Refusal> {
    let answer: WorkspaceBody = daemon.call(Method::PUT, Route::one_of("workspaces", name), change).await?;
    told(&answer, json, "changed")
}

fn told(WorkspaceBody { workspace }: &WorkspaceBody, json: bool, what: &str) -> Result<(), Refusal> {
    if json {
        return output::print_json(workspace);
    }
    output::done(&format!("Workspace {} {what}: {}", workspace.name, workspace.path))
}

fn said(defaults: Defaults) -> ChangeDefaults {
    ChangeDefaults {
        provider: defaults.provider.map(Some),
        model: defaults.model.map(Some),
        billing_mode: defaults.billing.map(|billing| Some(billing.into())),
        env_set_ids: Some(defaults.env_sets).filter(|sets| !sets.is_empty()).map(Some),
        policy_set: defaults.policy_set.map(Some),
    }
}

fn list(workspaces: &[Workspace], home: Option<&str>, page: Page) -> String {
    if workspaces.is_empty() {
        return "No workspaces. `codepiper workspace add NAME FOLDER` makes one.\n".into();
    }
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("NAME", Cut::Never),
        ("FOLDER", Cut::Start),
        ("PROVIDER", Cut::Never),
        ("ENV SETS", Cut::End),
    ]);
    for workspace in workspaces {
        table.row(
            [
                Cell::new(&workspace.id, Style::Dim),
                Cell::new(&workspace.name, Style::Bold),
                with_tilde(&workspace.path, home).into(),
                workspace.defaults.provider.as_deref().unwrap_or_default().into(),
                workspace.env_set_names.join(", ").into(),
            ],
            None,
        );
    }
    table.render(page)
}

fn details(workspace: &Workspace) -> output::Details {
    let defaults = &workspace.defaults;
    let billing = defaults.billing_mode.map(|billing| match billing {
        Billing::Subscription => "subscription".to_owned(),
        Billing::Api => "api".to_owned(),
    });
    let mut about = output::Details::default();
    about.styled("Name", workspace.name.clone(), Style::Bold);
    about.add("ID", workspace.id.clone());
    about.add("Folder", workspace.path.clone());
    about.add("Provider", defaults.provider.clone());
    about.add("Model", defaults.model.clone());
    about.add("Billing", billing);
    about.add("Env sets", Some(workspace.env_set_names.join(", ")).filter(|names| !names.is_empty()));
    about.add("Policy set", defaults.policy_set.clone());
    about
}

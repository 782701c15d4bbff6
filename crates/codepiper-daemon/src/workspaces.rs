//! Workspaces: folders with a name, and what a start there takes when nothing else is said.

use crate::app::App;
use crate::env_sets::{self, EnvSetRef};
use crate::policies::find_set;
use crate::sessions::{internal, is_model, random};
use codepiper_api::sessions::CreateSession;
use codepiper_api::workspaces::{ChangeDefaults, ChangeWorkspace, Workspace, WorkspaceDefaults};
use codepiper_api::{Fault, Refusal};
use codepiper_core::env_set::check_name;
use codepiper_core::ids::{Found, WorkspaceId, find_named};
use codepiper_core::provider::Billing;
use codepiper_store::workspaces::{self as rows, WorkspaceRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Component, Path};

/// Workspaces that are kept. A person has some dozen.
const WORKSPACES_MAX: usize = 1_000;

/// Bytes of a path, as with a session's folder in the original.
const PATH_MAX: usize = 4_096;

/// Attempts to find an id that is free; with a thousand workspaces the first one is.
const ID_ATTEMPTS: usize = 16;

/// A workspace that a session was started in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkspaceRef {
    pub(crate) id: WorkspaceId,
    pub(crate) name: String,
}

/// The defaults as they are stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Defaults {
    provider: Option<String>,
    model: Option<String>,
    billing_mode: Option<Billing>,
    env_sets: Vec<EnvSetRef>,
    policy_set: Option<String>,
}

/// All workspaces, by name.
pub(crate) async fn list(app: &App) -> Result<Vec<Workspace>, Refusal> {
    let names = env_set_names(app).await?;
    all(app).await?.iter().map(|row| view(row, &names)).collect()
}

/// The workspace a person means.
pub(crate) async fn get(app: &App, wanted: &str) -> Result<Workspace, Refusal> {
    view(find(&all(app).await?, wanted)?, &env_set_names(app).await?)
}

/// Makes a workspace.
pub(crate) async fn create(app: &App, wanted: ChangeWorkspace) -> Result<Workspace, Refusal> {
    let name = wanted.name.ok_or_else(|| Refusal::field("name", "is missing"))?;
    let path = wanted.path.ok_or_else(|| Refusal::field("path", "is missing"))?;
    check_name(&name).map_err(|bad| Refusal::field("name", bad))?;
    check_path(&path)?;
    let defaults = changed(app, Defaults::default(), wanted.defaults).await?;
    let now = Timestamp::now();
    let one = || WorkspaceId::from_bits(random(4).try_into().map_or(0, u32::from_le_bytes));
    let ids: Vec<WorkspaceId> = (0..ID_ATTEMPTS).map(|_| one()).collect();
    let work = move |tx: &codepiper_store::Transaction<'_>| {
        let all = rows::list(tx)?;
        if let Err(refusal) = check_free(&all, &name, None) {
            return Ok(Err(refusal));
        }
        if all.len() >= WORKSPACES_MAX {
            let refusal = format!("there are {WORKSPACES_MAX} workspaces, and no more are kept");
            return Ok(Err(Refusal::new(Fault::Conflict, refusal)));
        }
        let Some(id) = ids.into_iter().find(|id| all.iter().all(|row| row.id != *id)) else {
            return Ok(Err(Refusal::new(Fault::Internal, "no free id of a workspace was found")));
        };
        let row = WorkspaceRow {
            id,
            name,
            path: without_end(&path),
            defaults: json!(defaults),
            created_at: now,
            updated_at: now,
        };
        rows::insert(tx, &row)?;
        Ok(Ok(row))
    };
    let row = app.store.write(work).await.map_err(|error| internal("storing the workspace", error))??;
    view(&row, &env_set_names(app).await?)
}

/// Changes a workspace; what is not said stays.
pub(crate) async fn change(app: &App, wanted: &str, change: ChangeWorkspace) -> Result<Workspace, Refusal> {
    if change == ChangeWorkspace::default() {
        return Err(Refusal::new(Fault::Usage, "there is nothing to change")
            .hint("say one of `name`, `path`, `defaults`"));
    }
    if let Some(name) = &change.name {
        check_name(name).map_err(|bad| Refusal::field("name", bad))?;
    }
    if let Some(path) = &change.path {
        check_path(path)?;
    }
    let id = find(&all(app).await?, wanted)?.id.clone();
    let old = find(&all(app).await?, id.as_str())?.defaults.clone();
    let defaults = changed(app, understood(&id, &old)?, change.defaults).await?;
    let (name, path, now) = (change.name, change.path, Timestamp::now());
    let work = move |tx: &codepiper_store::Transaction<'_>| {
        let all = rows::list(tx)?;
        let prepared = (|| {
            let mut row = find(&all, id.as_str())?.clone();
            if row.defaults != old {
                return Err(
                    Refusal::new(Fault::Conflict, "somebody else changed it in between").hint("try again")
                );
            }
            if let Some(name) = name {
                check_free(&all, &name, Some(&row.id))?;
                row.name = name;
            }
            if let Some(path) = path {
                row.path = without_end(&path);
            }
            row.defaults = json!(defaults);
            row.updated_at = now;
            Ok(row)
        })();
        match prepared {
            Ok(row) => rows::update(tx, &row).map(|()| Ok(row)),
            Err(refusal) => Ok(Err(refusal)),
        }
    };
    let row = app.store.write(work).await.map_err(|error| internal("storing the workspace", error))??;
    view(&row, &env_set_names(app).await?)
}

/// Removes a workspace; its name. The folder is not ours, and sessions go on.
pub(crate) async fn remove(app: &App, wanted: &str) -> Result<String, Refusal> {
    let all = all(app).await?;
    let row = find(&all, wanted)?;
    let (id, name) = (row.id.clone(), row.name.clone());
    let removed = app.store.write(move |tx| rows::remove(tx, &id)).await;
    removed.map_err(|error| internal("removing the workspace", error))?;
    Ok(name)
}

/// The names of the workspaces that have this env set among their defaults.
pub(crate) async fn using(app: &App, set: &EnvSetRef) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for row in all(app).await? {
        if understood(&row.id, &row.defaults)?.env_sets.iter().any(|known| known.id == set.id) {
            names.push(row.name);
        }
    }
    Ok(names)
}

/// What a request takes from its workspace.
pub(crate) struct Filled {
    /// The workspace.
    pub(crate) workspace: WorkspaceRef,
    /// The env sets among its defaults, weaker than those of the request.
    pub(crate) env_sets: Vec<EnvSetRef>,
}

/// Fills what a request does not say from the workspace that it names.
pub(crate) async fn fill(app: &App, request: &mut CreateSession) -> Result<Option<Filled>, Refusal> {
    let Some(wanted) = request.workspace_id.take() else { return Ok(None) };
    let all = all(app).await?;
    let row = find(&all, &wanted)?;
    let defaults = understood(&row.id, &row.defaults)?;
    if request.cwd.is_empty() {
        if !Path::new(&row.path).is_dir() {
            let refusal = format!("the folder `{}` of workspace `{}` is not there", row.path, row.name);
            return Err(Refusal::new(Fault::Missing, refusal)
                .hint(format!("`codepiper workspace update {} --path FOLDER` gives it another", row.name)));
        }
        request.cwd.clone_from(&row.path);
    }
    if request.provider.is_empty() {
        request.provider = defaults.provider.clone().ok_or_else(|| {
            Refusal::field("provider", format_args!("is missing, and workspace `{}` names none", row.name))
                .hint("`-p PROVIDER` says which agent; `codepiper providers` lists them")
        })?;
    }
    // A model is one of a provider: it does not go with another one.
    let same_provider = match &defaults.provider {
        None => true,
        Some(known) => app.providers.find(&request.provider)?.id() == known,
    };
    if request.model.is_none() && same_provider {
        request.model.clone_from(&defaults.model);
    }
    request.billing_mode = request.billing_mode.or(defaults.billing_mode);
    request.policy_set_ids.extend(defaults.policy_set);
    Ok(Some(Filled {
        workspace: WorkspaceRef { id: row.id.clone(), name: row.name.clone() },
        env_sets: defaults.env_sets,
    }))
}

async fn changed(app: &App, mut defaults: Defaults, change: ChangeDefaults) -> Result<Defaults, Refusal> {
    if let Some(provider) = change.provider {
        defaults.provider = match provider {
            Some(provider) => Some(app.providers.find(&provider)?.id().to_owned()),
            None => None,
        };
    }
    if let Some(model) = change.model {
        if model.as_ref().is_some_and(|model| !is_model(model)) {
            return Err(Refusal::field("defaults.model", "must be 1 to 100 characters without blanks"));
        }
        defaults.model = model;
    }
    if let Some(billing) = change.billing_mode {
        defaults.billing_mode = billing;
    }
    if let Some(sets) = change.env_set_ids {
        defaults.env_sets = env_sets::resolve(app, &sets.unwrap_or_default()).await?;
    }
    if let Some(policy_set) = change.policy_set {
        if let Some(name) = &policy_set {
            let mut found = find_set(&app.policies.table(), name).map(|_| ());
            if let Err(refusal) = &mut found {
                refusal.field = Some("defaults.policySet".into());
            }
            found?;
        }
        defaults.policy_set = policy_set;
    }
    Ok(defaults)
}

fn understood(id: &WorkspaceId, defaults: &serde_json::Value) -> Result<Defaults, Refusal> {
    serde_json::from_value(defaults.clone())
        .map_err(|error| internal(&format!("reading the defaults of workspace {id}"), error))
}

async fn all(app: &App) -> Result<Vec<WorkspaceRow>, Refusal> {
    app.store.read(rows::list).await.map_err(|error| internal("reading the workspaces", error))
}

async fn env_set_names(app: &App) -> Result<Vec<EnvSetRef>, Refusal> {
    env_sets::known(app).await
}

fn view(row: &WorkspaceRow, sets: &[EnvSetRef]) -> Result<Workspace, Refusal> {
    let defaults = understood(&row.id, &row.defaults)?;
    let name = |wanted: &EnvSetRef| {
        let known = sets.iter().find(|set| set.id == wanted.id);
        known.map_or_else(|| wanted.id.to_string(), |set| set.name.clone())
    };
    Ok(Workspace {
        id: row.id.to_string(),
        name: row.name.clone(),
        path: row.path.clone(),
        env_set_names: defaults.env_sets.iter().map(name).collect(),
        defaults: WorkspaceDefaults {
            provider: defaults.provider,
            model: defaults.model,
            billing_mode: defaults.billing_mode,
            env_set_ids: defaults.env_sets.iter().map(|set| set.id.to_string()).collect(),
            policy_set: defaults.policy_set,
        },
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn find<'a>(all: &'a [WorkspaceRow], wanted: &str) -> Result<&'a WorkspaceRow, Refusal> {
    match find_named(wanted, all.iter().map(|row| (&row.id, Some(row.name.as_str())))) {
        Found::One(id) => Ok(all.iter().find(|row| row.id == id).expect("found among them")),
        Found::Nothing => {
            let refusal = Refusal::new(Fault::NotFound, format!("there is no workspace `{wanted}`"));
            Err(match all {
                [] => refusal.hint("there are none; `codepiper workspace add NAME FOLDER` makes one"),
                _ => {
                    let names: Vec<&str> = all.iter().take(5).map(|row| row.name.as_str()).collect();
                    refusal.hint(format!("`codepiper workspace list` shows them: {}", names.join(", ")))
                }
            })
        }
        Found::Several(ids) => {
            let refusal = format!("`{wanted}` could be {} workspaces", ids.len());
            Err(Refusal::new(Fault::Ambiguous, refusal)
                .hint("say more of the id, or the name")
                .details(json!({ "candidates": ids })))
        }
    }
}

fn check_free(all: &[WorkspaceRow], name: &str, but: Option<&WorkspaceId>) -> Result<(), Refusal> {
    match all.iter().find(|row| row.name == name && Some(&row.id) != but) {
        None => Ok(()),
        Some(taken) => {
            let refusal = format!("there is a workspace `{name}` already: `{}`", taken.path);
            Err(Refusal::new(Fault::Conflict, refusal)
                .hint(format!("`codepiper workspace update {name}` changes it")))
        }
    }
}

fn check_path(path: &str) -> Result<(), Refusal> {
    let folder = Path::new(path);
    if !folder.is_absolute() || path.len() > PATH_MAX {
        return Err(Refusal::field(
            "path",
            format_args!("must be an absolute path of at most {PATH_MAX} bytes"),
        ));
    }
    if path.contains('\0') || folder.components().any(|part| part == Component::ParentDir) {
        return Err(Refusal::field("path", "must be a plain path without `..`"));
    }
    if !folder.is_dir() {
        let what = if folder.exists() { "is no folder" } else { "does not exist" };
        return Err(Refusal::field("path", format_args!("`{path}` {what}")));
    }
    Ok(())
}

/// Without a slash at the end.
fn without_end(path: &str) -> String {
    Path::new(path).components().collect::<std::path::PathBuf>().display().to_string()
}

//! Env sets: named sets of variables, sealed in the database with a key that is in a file beside it.
//!
//! The law to keep: a value comes in from its owner and goes out to an agent's launch, and is nowhere else in
//! clear. Every change happens in one transaction, crypto included (some microseconds a set), so a change and a
//! rotation of the key cannot meet.

mod keys;
mod seal;

use crate::app::App;
use crate::sessions::{internal, random};
use codepiper_api::env_sets::{ChangeEnvSet, CreateEnvSet, EnvSet, EnvSetBody, KeyRotated, SecretText};
use codepiper_api::{Fault, Refusal};
use codepiper_core::env_set::{SET_BYTES_MAX, VALUE_MAX, VARIABLES_MAX, check_name, check_variable, mask};
use codepiper_core::ids::{EnvSetId, Found, find_named};
use codepiper_core::provider::Variables;
use codepiper_store::env_sets::{self as rows, EnvSetRow};
use codepiper_store::{Connection, Result as Stored, Transaction};
use jiff::Timestamp;
use keys::{Keys, NoKey};
use seal::{Key, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Env sets that are kept. A person has some dozen.
const ENV_SETS_MAX: usize = 1_000;

/// Env sets of one session. Each is opened at every start.
const ENV_SETS_OF_A_SESSION_MAX: usize = 20;

/// Characters of a description: two lines of a screen.
const DESCRIPTION_MAX: usize = 200;

/// Attempts to find an id that is free; with a thousand sets the first one is.
const ID_ATTEMPTS: usize = 16;

/// A set that a session or a workspace was started with. The id finds it whatever it is called; the name finds
/// the one that was made in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnvSetRef {
    pub(crate) id: EnvSetId,
    pub(crate) name: String,
}

/// All sets, by name, those that cannot be read with the reason.
pub(crate) async fn list(app: &App) -> Result<Vec<EnvSet>, Refusal> {
    read(app, |all, ring| Ok(all.iter().map(|row| view(row, ring)).collect())).await
}

/// The set a person means.
pub(crate) async fn get(app: &App, wanted: &str) -> Result<EnvSet, Refusal> {
    let wanted = wanted.to_owned();
    read(app, move |all, ring| find(&all, &wanted).map(|row| view(row, ring))).await
}

/// Makes a set.
pub(crate) async fn create(app: &App, wanted: CreateEnvSet) -> Result<EnvSetBody, Refusal> {
    check_name(&wanted.name).map_err(|bad| Refusal::field("name", bad))?;
    let description = check_description(wanted.description)?.flatten();
    let warnings = check_variables("vars", &wanted.vars)?;
    let variables = plain(wanted.vars);
    check_masks(&Variables::new(), &variables)?;
    check_size(&variables)?;
    let ids = fresh_ids();
    let name = wanted.name;
    let now = Timestamp::now();
    write(app, "storing the env set", move |tx, ring| {
        let all = rows::list(tx)?;
        if let Err(refusal) = check_free(&all, &name, None) {
            return Ok(Err(refusal));
        }
        if all.len() >= ENV_SETS_MAX {
            let refusal = format!("there are {ENV_SETS_MAX} env sets, and no more are kept");
            return Ok(Err(Refusal::new(Fault::Conflict, refusal).hint("`codepiper env-set delete` one")));
        }
        let key = match sealing_key(tx, &all, ring)? {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(id) = ids.into_iter().find(|id| all.iter().all(|row| row.id != *id)) else {
            return Ok(Err(Refusal::new(Fault::Internal, "no free id of an env set was found")));
        };
        let mut row = EnvSetRow {
            id,
            name,
            description,
            key: String::new(),
            nonce: Vec::new(),
            sealed: Vec::new(),
            var_count: 0,
            created_at: now,
            updated_at: now,
        };
        seal_into(&mut row, ring.get(&key).map_err(|why| no_key(&all, &key, why)), &variables).map_or_else(
            |refusal| Ok(Err(refusal)),
            |()| {
                rows::insert(tx, &row)?;
                Ok(Ok(EnvSetBody { env_set: view(&row, ring), warnings }))
            },
        )
    })
    .await
}

/// Changes a set; what is not said stays.
pub(crate) async fn change(app: &App, wanted: &str, change: ChangeEnvSet) -> Result<EnvSetBody, Refusal> {
    if change == ChangeEnvSet::default() {
        return Err(Refusal::new(Fault::Usage, "there is nothing to change")
            .hint("say one of `name`, `description`, `vars`, `set`, `unset`"));
    }
    if change.vars.is_some() && !(change.set.is_empty() && change.unset.is_empty()) {
        return Err(Refusal::field("vars", "replaces all, so `set` and `unset` have no place beside it"));
    }
    if let Some(name) = &change.name {
        check_name(name).map_err(|bad| Refusal::field("name", bad))?;
    }
    if let Some(both) = change.unset.iter().find(|name| change.set.contains_key(*name)) {
        return Err(Refusal::field("unset", format_args!("names `{both}`, which is also in `set`")));
    }
    let description = check_description(change.description)?;
    let mut warnings = check_variables("vars", change.vars.as_ref().unwrap_or(&BTreeMap::new()))?;
    warnings.extend(check_variables("set", &change.set)?);
    let (name, unset) = (change.name, change.unset);
    let (all_anew, set) = (change.vars.map(plain), plain(change.set));
    let changes_variables = all_anew.is_some() || !set.is_empty() || !unset.is_empty();
    let wanted = wanted.to_owned();
    let now = Timestamp::now();
    write(app, "storing the env set", move |tx, ring| {
        let all = rows::list(tx)?;
        let prepared = (|| {
            let mut row = find(&all, &wanted)?.clone();
            if let Some(name) = name {
                check_free(&all, &name, Some(&row.id))?;
                row.name = name;
            }
            if let Some(description) = description {
                row.description = description;
            }
            let mut variables = None;
            if changes_variables {
                let old = open(&row, ring).map_err(|why| unreadable(&all, &row, &why))?;
                let mut new = all_anew.unwrap_or_else(|| old.clone());
                for gone in &unset {
                    if new.remove(gone).is_none() {
                        return Err(Refusal::field(
                            "unset",
                            format_args!("names `{gone}`, which is not in env set `{}`", row.name),
                        ));
                    }
                }
                new.extend(set);
                check_masks(&old, &new)?;
                check_size(&new)?;
                variables = Some(new);
            }
            row.updated_at = now;
            Ok((row, variables))
        })();
        let (mut row, variables) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(variables) = variables {
            let key = match sealing_key(tx, &all, ring)? {
                Ok(key) => key,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let key = ring.get(&key).map_err(|why| no_key(&all, &key, why));
            if let Err(refusal) = seal_into(&mut row, key, &variables) {
                return Ok(Err(refusal));
            }
        }
        rows::update(tx, &row)?;
        Ok(Ok(EnvSetBody { env_set: view(&row, ring), warnings }))
    })
    .await
}

/// Removes a set; what it was. Sessions that have it keep what they were started with.
pub(crate) async fn remove(app: &App, wanted: &str) -> Result<EnvSetRef, Refusal> {
    let wanted = wanted.to_owned();
    write(app, "removing the env set", move |tx, _| {
        let all = rows::list(tx)?;
        match find(&all, &wanted) {
            Ok(row) => {
                rows::remove(tx, &row.id)?;
                Ok(Ok(EnvSetRef { id: row.id.clone(), name: row.name.clone() }))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    })
    .await
}

/// The sets that a person names, in their order, each once.
pub(crate) async fn resolve(app: &App, wanted: &[String]) -> Result<Vec<EnvSetRef>, Refusal> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = wanted.to_vec();
    read(app, move |all, _| {
        let mut refs: Vec<EnvSetRef> = Vec::new();
        for wanted in &wanted {
            let row = find(&all, wanted)?;
            // Named again it wins over what stands between.
            refs.retain(|known| known.id != row.id);
            refs.push(EnvSetRef { id: row.id.clone(), name: row.name.clone() });
        }
        if refs.len() > ENV_SETS_OF_A_SESSION_MAX {
            let rule = format!("names {}, at most {ENV_SETS_OF_A_SESSION_MAX} are taken", refs.len());
            return Err(Refusal::field("envSetIds", rule));
        }
        Ok(refs)
    })
    .await
}

/// All sets by id and name; none of them is opened.
pub(crate) async fn known(app: &App) -> Result<Vec<EnvSetRef>, Refusal> {
    let by_ref = |row: &EnvSetRow| EnvSetRef { id: row.id.clone(), name: row.name.clone() };
    read(app, move |all, _| Ok(all.iter().map(by_ref).collect())).await
}

/// The variables of these sets as they are now, by the name that each set has now.
pub(crate) async fn variables(app: &App, refs: &[EnvSetRef]) -> Result<Vec<(String, Variables)>, Refusal> {
    if refs.is_empty() {
        return Ok(Vec::new());
    }
    let refs = refs.to_vec();
    read(app, move |all, ring| {
        refs.iter()
            .map(|wanted| {
                let by = |test: &dyn Fn(&EnvSetRow) -> bool| all.iter().find(|row| test(row));
                let row = by(&|row| row.id == wanted.id).or_else(|| by(&|row| row.name == wanted.name));
                let row = row.ok_or_else(|| {
                    Refusal::new(Fault::NotFound, format!("env set `{}` is gone", wanted.name)).hint(format!(
                        "the session was started with it; `codepiper env-set create {}` makes one that takes \
                         its place",
                        wanted.name
                    ))
                })?;
                let variables = open(row, ring).map_err(|why| unreadable(&all, row, &why))?;
                Ok((row.name.clone(), variables))
            })
            .collect()
    })
    .await
}

/// An env set whose key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyless {
    pub(crate) name: String,
    /// Why.
    pub(crate) why: String,
    /// What to do.
    pub(crate) way_out: String,
}

/// The env sets of a database, opened or not: how many there are, and those whose key cannot be used here.
pub(crate) fn look(
    database: &Path,
    keys_folder: PathBuf,
) -> Result<(usize, Vec<Keyless>), codepiper_store::StoreError> {
    let keys = Keys(keys_folder);
    let sets = codepiper_store::env_set_keys(database)?;
    let keyless = sets.iter().filter_map(|(name, key)| {
        let why = keys.load(key).err()?;
        let with_it: Vec<String> =
            sets.iter().filter(|(_, other)| other == key).map(|(name, _)| name.clone()).collect();
        Some(Keyless { name: name.clone(), why: why.to_string(), way_out: way_out(&why, &with_it) })
    });
    Ok((sets.len(), keyless.collect()))
}

/// Seals all sets anew with a new key, and only then puts the old one aside. Whatever happens in between, every
/// set has its key: the new one is on the disk before the transaction, the old one until that is on the disk.
pub(crate) async fn rotate(app: &App, delete_old: bool) -> Result<KeyRotated, Refusal> {
    let new = begin_rotation(app).await?;
    let resealed = reseal(app, &new).await?;
    let retired = retire(app, &new, if delete_old { resealed.replaced } else { BTreeSet::new() }).await?;
    Ok(KeyRotated { success: true, env_sets: resealed.sets, key_file: key_file(app, &new), retired })
}

fn key_file(app: &App, id: &str) -> String {
    Keys(app.config.keys_folder()).file(id).display().to_string()
}

/// The first step: the id of a key that nothing is sealed with yet.
async fn begin_rotation(app: &App) -> Result<String, Refusal> {
    let keys = Keys(app.config.keys_folder());
    blocking(move || keys.make().map(|key| key.id().to_owned()).map_err(|why| no_new_key(&why))).await
}

struct Resealed {
    sets: u32,
    /// The ids of the keys that were in use before.
    replaced: BTreeSet<String>,
}

/// The second step: every set, in one transaction.
async fn reseal(app: &App, new: &str) -> Result<Resealed, Refusal> {
    let id = new.to_owned();
    let mut ring = Ring::new(app);
    let work = move |tx: &Transaction<'_>| {
        let ring = &mut ring;
        let all = rows::list(tx)?;
        let mut changed = Vec::new();
        for row in &all {
            let resealed = open(row, ring).map_err(|why| unreadable(&all, row, &why)).and_then(|variables| {
                let mut row = row.clone();
                seal_into(&mut row, ring.get(&id).map_err(|why| no_key(&all, &id, why)), &variables)?;
                Ok(row)
            });
            match resealed {
                Ok(row) => changed.push(row),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let mut replaced: BTreeSet<String> = all.iter().map(|row| row.key.clone()).collect();
        replaced.extend(rows::current_key(tx)?);
        changed.iter().try_for_each(|row| rows::update(tx, row))?;
        rows::set_current_key(tx, &id)?;
        Ok(Ok(Resealed { sets: changed.len() as u32, replaced }))
    };
    let outcome = app.store.write(work).await;
    let outcome = outcome.map_err(|error| internal("sealing the env sets anew", error))?;
    if outcome.is_err() {
        // It refused before it wrote, so nothing is sealed with the new key. After an error of the store that is not
        // sure, and the key stays.
        let (keys, id) = (Keys(app.config.keys_folder()), new.to_owned());
        let taken =
            blocking(move || keys.take_back(&id).map_err(|error| internal("removing the new key", error)));
        if let Err(error) = taken.await {
            tracing::warn!(%error, "a key that nothing is sealed with stays behind");
        }
    }
    outcome
}

/// The last step: what no set needs any more is put aside, or deleted.
async fn retire(app: &App, new: &str, delete: BTreeSet<String>) -> Result<Vec<String>, Refusal> {
    // Commits do not wait for the disk, and a power cut must not find them gone with the old key.
    app.store.settle().await.map_err(|error| {
        let why = format!("all env sets have the new key, but the old one was not put aside: {error}");
        Refusal::new(Fault::Conflict, why).hint("`codepiper env-set rotate-key` again does it")
    })?;
    let (keys, new) = (Keys(app.config.keys_folder()), new.to_owned());
    blocking(move || {
        let retired = keys.retire_all_but(&new, &delete);
        let retired = retired.map_err(|error| internal("putting the old key aside", error))?;
        Ok(retired.iter().map(|path| path.display().to_string()).collect())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| internal("handling the key files", error))?
}

/// Keys that were loaded, for as long as one piece of work takes.
struct Ring {
    keys: Keys,
    loaded: BTreeMap<String, Key>,
}

impl Ring {
    fn new(app: &App) -> Self {
        Self { keys: Keys(app.config.keys_folder()), loaded: BTreeMap::new() }
    }

    fn get(&mut self, id: &str) -> Result<&Key, NoKey> {
        if !self.loaded.contains_key(id) {
            let key = self.keys.load(id)?;
            self.loaded.insert(id.to_owned(), key);
        }
        Ok(&self.loaded[id])
    }
}

/// Why a set cannot be read.
enum Unreadable {
    NoKey(NoKey),
    Damaged,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoKey(why) => why.fmt(f),
            Self::Damaged => f.write_str("what is stored is not what was sealed: it was changed or damaged"),
        }
    }
}

fn open(row: &EnvSetRow, ring: &mut Ring) -> Result<Variables, Unreadable> {
    let key = ring.get(&row.key).map_err(Unreadable::NoKey)?;
    let sealed = Sealed { nonce: row.nonce.clone(), bytes: row.sealed.clone() };
    let plain = key.open(row.id.as_str(), &sealed).map_err(|_| Unreadable::Damaged)?;
    serde_json::from_slice(&plain).map_err(|_| Unreadable::Damaged)
}

fn seal_into(row: &mut EnvSetRow, key: Result<&Key, Refusal>, variables: &Variables) -> Result<(), Refusal> {
    let key = key?;
    let plain = serde_json::to_vec(variables).expect("a map of texts is JSON");
    let sealed = key.seal(row.id.as_str(), &plain);
    row.key = key.id().to_owned();
    (row.nonce, row.sealed) = (sealed.nonce, sealed.bytes);
    row.var_count = variables.len() as u32;
    Ok(())
}

/// The id of the key to seal with: the current one; a new one when there is none, or when it is lost and nothing
/// needs it any more.
fn sealing_key(tx: &Transaction<'_>, all: &[EnvSetRow], ring: &mut Ring) -> Stored<Result<String, Refusal>> {
    if let Some(current) = rows::current_key(tx)? {
        match ring.get(&current) {
            Ok(_) => return Ok(Ok(current)),
            Err(NoKey::Lost(_)) if all.iter().all(|row| row.key != current) => {}
            Err(why) => return Ok(Err(no_key(all, &current, why))),
        }
    }
    match ring.keys.make() {
        Ok(key) => {
            let id = key.id().to_owned();
            rows::set_current_key(tx, &id)?;
            ring.loaded.insert(id.clone(), key);
            Ok(Ok(id))
        }
        Err(why) => Ok(Err(no_new_key(&why))),
    }
}

fn no_new_key(why: &NoKey) -> Refusal {
    Refusal::new(Fault::Missing, format!("no key for env sets could be made: {why}"))
}

fn no_key(all: &[EnvSetRow], id: &str, why: NoKey) -> Refusal {
    let named = names_with_key(all, id);
    let names = quoted(&named);
    let refusal = match named.is_empty() {
        true => format!("the key for env sets cannot be used: {why}"),
        false => format!("{names} cannot be read: {why}"),
    };
    Refusal::new(Fault::Missing, refusal).hint(way_out(&why, &named)).details(json!({ "envSets": named }))
}

fn unreadable(all: &[EnvSetRow], row: &EnvSetRow, why: &Unreadable) -> Refusal {
    let name = &row.name;
    let refusal = Refusal::new(Fault::Missing, format!("env set `{name}` cannot be read: {why}"));
    match why {
        Unreadable::NoKey(no_key) => {
            let named = names_with_key(all, &row.key);
            refusal.hint(way_out(no_key, &named)).details(json!({ "envSets": named }))
        }
        Unreadable::Damaged => refusal.hint(format!(
            "`codepiper restore` takes a backup back; `codepiper env-set delete {name}` gives the set up"
        )),
    }
}

fn way_out(why: &NoKey, named: &[String]) -> String {
    match why {
        NoKey::Lost(path) => {
            let folder = path.parent().unwrap_or(path).display();
            format!(
                "put your copy of that file back into `{folder}` (a backup has no key in it); without one the \
                 values of {} are lost: `codepiper env-set delete {}`, and make them anew",
                quoted(named),
                named.join(" ")
            )
        }
        NoKey::Exposed { path, .. } => format!(
            "`chmod 600 {}` closes it, and then `codepiper env-set rotate-key` makes a new one, in case somebody \
             read it",
            path.display()
        ),
        NoKey::Refused { path, .. } | NoKey::File { path, .. } => format!(
            "put your copy of the key into the place of `{}`, with `chmod 600`; `codepiper env-set delete {}` gives \
             the sets up",
            path.display(),
            named.join(" ")
        ),
    }
}

fn names_with_key(all: &[EnvSetRow], key: &str) -> Vec<String> {
    all.iter().filter(|row| row.key == key).map(|row| row.name.clone()).collect()
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn view(row: &EnvSetRow, ring: &mut Ring) -> EnvSet {
    let (masked_vars, unreadable) = match open(row, ring) {
        Ok(variables) => (variables.into_iter().map(|(name, value)| (name, mask(&value))).collect(), None),
        Err(why) => (BTreeMap::new(), Some(why.to_string())),
    };
    EnvSet {
        id: row.id.to_string(),
        name: row.name.clone(),
        description: row.description.clone(),
        masked_vars,
        var_count: row.var_count,
        created_at: row.created_at,
        updated_at: row.updated_at,
        unreadable,
    }
}

fn find<'a>(all: &'a [EnvSetRow], wanted: &str) -> Result<&'a EnvSetRow, Refusal> {
    match find_named(wanted, all.iter().map(|row| (&row.id, Some(row.name.as_str())))) {
        Found::One(id) => Ok(all.iter().find(|row| row.id == id).expect("found among them")),
        Found::Nothing => {
            let refusal = Refusal::new(Fault::NotFound, format!("there is no env set `{wanted}`"));
            Err(match all {
                [] => refusal.hint("there are none; `codepiper env-set create NAME` makes one"),
                _ => {
                    let names: Vec<&str> = all.iter().take(5).map(|row| row.name.as_str()).collect();
                    refusal.hint(format!("`codepiper env-set list` shows them: {}", names.join(", ")))
                }
            })
        }
        Found::Several(ids) => {
            let refusal = format!("`{wanted}` could be {} env sets", ids.len());
            Err(Refusal::new(Fault::Ambiguous, refusal)
                .hint("say more of the id, or the name")
                .details(json!({ "candidates": ids })))
        }
    }
}

fn check_free(all: &[EnvSetRow], name: &str, but: Option<&EnvSetId>) -> Result<(), Refusal> {
    match all.iter().find(|row| row.name == name && Some(&row.id) != but) {
        None => Ok(()),
        Some(taken) => {
            let refusal = format!("there is an env set `{name}` already ({})", taken.id);
            Err(Refusal::new(Fault::Conflict, refusal)
                .hint(format!("`codepiper env-set set {name}` changes it")))
        }
    }
}

/// `Some(None)` takes the description away.
#[allow(clippy::option_option)] // it is said or not, and when it is said there is one or none
fn check_description(description: Option<String>) -> Result<Option<Option<String>>, Refusal> {
    let Some(description) = description else { return Ok(None) };
    let description = description.trim().to_owned();
    if description.chars().count() > DESCRIPTION_MAX || description.chars().any(char::is_control) {
        let rule = format!("must be at most {DESCRIPTION_MAX} characters, none of them control");
        return Err(Refusal::field("description", rule));
    }
    Ok(Some(Some(description).filter(|text| !text.is_empty())))
}

/// Checks names and values; gives what to beware of.
fn check_variables(field: &str, variables: &BTreeMap<String, SecretText>) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    for (name, SecretText(value)) in variables {
        match check_variable(name) {
            Err(bad) => return Err(Refusal::field(field, format_args!("cannot be taken: {bad}"))),
            Ok(Some(why)) => warnings.push(format!("`{name}`: {why}")),
            Ok(None) => {}
        }
        if value.len() > VALUE_MAX {
            return Err(Refusal::field(
                field,
                format_args!("has a value for `{name}` that is longer than {VALUE_MAX} bytes"),
            ));
        }
        if value.contains('\0') {
            return Err(Refusal::field(
                field,
                format_args!("has a value for `{name}` with a zero byte in it"),
            ));
        }
    }
    Ok(warnings)
}

fn check_size(variables: &Variables) -> Result<(), Refusal> {
    if variables.len() > VARIABLES_MAX {
        let rule = format!("would be {} variables, and a set has at most {VARIABLES_MAX}", variables.len());
        return Err(Refusal::field("vars", rule));
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > SET_BYTES_MAX {
        let rule = format!("would be {bytes} bytes, and a set has at most {SET_BYTES_MAX}");
        return Err(Refusal::field("vars", rule));
    }
    Ok(())
}

/// Whoever read a set and sends it back would replace every value with its mask.
fn check_masks(old: &Variables, new: &Variables) -> Result<(), Refusal> {
    let is_mask = |(name, value): &(&String, &String)| {
        mask(value) == **value || old.get(*name).is_some_and(|old| old != *value && mask(old) == **value)
    };
    match new.iter().find(is_mask) {
        None => Ok(()),
        Some((name, value)) => {
            let rule = format!("gives `{name}` its own mask `{value}` as its value");
            Err(Refusal::field("vars", rule)
                .hint("masks are for reading; send only what changes, in `set` and `unset`"))
        }
    }
}

fn plain(variables: BTreeMap<String, SecretText>) -> Variables {
    variables.into_iter().map(|(name, SecretText(value))| (name, value)).collect()
}

fn fresh_ids() -> Vec<EnvSetId> {
    let one = || EnvSetId::from_bits(random(4).try_into().map_or(0, u32::from_le_bytes));
    (0..ID_ATTEMPTS).map(|_| one()).collect()
}

async fn read<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(Vec<EnvSetRow>, &mut Ring) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let mut ring = Ring::new(app);
    let outcome = app.store.read(move |connection: &Connection| Ok(work(rows::list(connection)?, &mut ring)));
    outcome.await.map_err(|error| internal("reading the env sets", error))?
}

/// A refusal must come before anything is written: it is no reason to undo.
async fn write<T: Send + 'static>(
    app: &App,
    doing: &str,
    work: impl FnOnce(&Transaction<'_>, &mut Ring) -> Stored<Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let mut ring = Ring::new(app);
    let outcome = app.store.write(move |tx| work(tx, &mut ring));
    outcome.await.map_err(|error| internal(doing, error))?
}

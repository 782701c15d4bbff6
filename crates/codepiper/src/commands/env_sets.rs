//! `codepiper env-set`
//!
//! The law to keep: a value goes to the daemon and nowhere else. It is not printed, and no error holds it.

use crate::args::{EnvSetArgs, EnvSetCommand, Format, Variables};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Page, Style, Table, ago};
use codepiper_api::env_sets::{
    ChangeEnvSet, CreateEnvSet, EnvSet, EnvSetBody, EnvSetList, EnvSetRemoved, KeyRotated, RotateKey,
    SecretText,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::env_set::SET_BYTES_MAX;
use hyper::Method;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// Bytes of a file of variables: a full set, with room for comments.
const FILE_MAX: u64 = 4 * SET_BYTES_MAX as u64;

type Values = BTreeMap<String, SecretText>;

pub(super) async fn run(args: EnvSetArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: Format| format.json() || args.json;
    match args.command {
        EnvSetCommand::List(format) => {
            let EnvSetList { env_sets } = daemon.get(Route::new("/env-sets")).await?;
            if json(format) {
                return output::print_json(&env_sets);
            }
            output::print(&list(&env_sets, Timestamp::now(), Page::stdout()))
        }
        EnvSetCommand::Show { name, format } => {
            let EnvSetBody { env_set, .. } = daemon.get(Route::one_of("env-sets", &name)).await?;
            if json(format) {
                return output::print_json(&env_set);
            }
            output::print(&details(&env_set, Page::stdout()))
        }
        EnvSetCommand::Create { name, description, variables, format } => {
            let vars = read(variables)?;
            let wanted = CreateEnvSet { name, description, vars };
            let answer: EnvSetBody = daemon.call(Method::POST, Route::new("/env-sets"), &wanted).await?;
            told(&answer, json(format), &format!("Env set {} made", answer.env_set.name))
        }
        EnvSetCommand::Set { name, description, variables, format } => {
            let set = read(variables)?;
            if set.is_empty() && description.is_none() {
                return Err(Refusal::new(Fault::Usage, "there is nothing to set")
                    .hint(format!("`codepiper env-set set {name} VARIABLE` asks for its value")));
            }
            let change = ChangeEnvSet { set, description, ..ChangeEnvSet::default() };
            changed(&name, &change, json(format), daemon).await
        }
        EnvSetCommand::Unset { name, variables, format } => {
            let change = ChangeEnvSet { unset: variables, ..ChangeEnvSet::default() };
            changed(&name, &change, json(format), daemon).await
        }
        EnvSetCommand::Rename { name, new, format } => {
            let change = ChangeEnvSet { name: Some(new), ..ChangeEnvSet::default() };
            changed(&name, &change, json(format), daemon).await
        }
        EnvSetCommand::Delete { names, format } => delete(&names, json(format), daemon).await,
        EnvSetCommand::RotateKey { delete_old, format } => {
            let route = Route::new("/env-sets/rotate-key");
            let rotated: KeyRotated = daemon.call(Method::POST, route, &RotateKey { delete_old }).await?;
            if json(format) {
                return output::print_json(&rotated);
            }
            let KeyRotated { env_sets, key_file, retired, .. } = rotated;
            output::done(&format!("{} encrypted with a new key", counted(env_sets, "env set")))?;
            output::note(&format!(
                "keep a copy of `{key_file}` apart from backups: they have no key in them"
            ));
            for path in retired {
                output::note(&format!(
                    "backups of before need `{path}`; delete it when you need them no more"
                ));
            }
            Ok(())
        }
    }
}

async fn changed(name: &str, change: &ChangeEnvSet, json: bool, daemon: &Client) -> Result<(), Refusal> {
    let answer: EnvSetBody = daemon.call(Method::PUT, Route::one_of("env-sets", name), change).await?;
    told(&answer, json, &format!("Env set {} changed", answer.env_set.name))
}

fn told(answer: &EnvSetBody, json: bool, what: &str) -> Result<(), Refusal> {
    answer.warnings.iter().for_each(|warning| output::warn(&crate::text::visible(warning)));
    if json {
        return output::print_json(&answer.env_set);
    }
    output::done(&format!("{what}: {}", counted(answer.env_set.var_count, "variable")))
}

/// All of them, whatever becomes of the others.
async fn delete(names: &[String], json: bool, daemon: &Client) -> Result<(), Refusal> {
    let mut removed = Vec::new();
    let mut fault: Option<Refusal> = None;
    for name in names {
        let route = Route::one_of("env-sets", name);
        match daemon.call::<EnvSetRemoved>(Method::DELETE, route, &()).await {
            Ok(gone) => {
                if !json {
                    output::done(&format!("Env set {} deleted", gone.name))?;
                }
                if !gone.used_by_sessions.is_empty() {
                    output::warn(&format!(
                        "sessions were started with `{}` and cannot be resumed without a set of that name: {}",
                        gone.name,
                        gone.used_by_sessions.join(", ")
                    ));
                }
                if !gone.used_by_workspaces.is_empty() {
                    output::warn(&format!(
                        "workspaces name `{}` among their defaults, and nothing can be started there without \
                         it: {}",
                        gone.name,
                        gone.used_by_workspaces.join(", ")
                    ));
                }
                removed.push(gone);
            }
            Err(refusal) => {
                let unreachable = refusal.code == Fault::Unreachable;
                if let Some(earlier) = fault.replace(refusal) {
                    output::report(&earlier);
                }
                if unreachable {
                    break;
                }
            }
        }
    }
    if json {
        output::print_json(&removed)?;
    }
    fault.map_or(Ok(()), Err)
}

/// Reads the variables from where they are said to be.
fn read(from: Variables) -> Result<Values, Refusal> {
    if let Some(file) = &from.from_file {
        return match file.as_os_str() == "-" {
            true => parsed(&standard_input()?, "standard input"),
            false => parsed(&file_text(file)?, &file.display().to_string()),
        };
    }
    if from.stdin {
        return match from.given.as_slice() {
            [] => parsed(&standard_input()?, "standard input"),
            [(name, None)] => {
                // Programs that print a secret end it with a newline, which is not part of it.
                let mut text = standard_input()?;
                if text.ends_with('\n') {
                    text.pop();
                }
                Ok(BTreeMap::from([(name.clone(), SecretText(text))]))
            }
            _ => Err(Refusal::field("stdin", "is the value of one variable, named without a value")
                .hint("name none, and lines of NAME=VALUE are read from standard input")),
        };
    }
    if from.given.iter().any(|(_, value)| value.is_some()) {
        output::warn(
            "a value stood on the command line, where your other programs can see it and the shell may keep it in \
             its history; a name alone is asked for, --stdin and --from-file read",
        );
    }
    from.given
        .into_iter()
        .map(|(name, value)| {
            let value = value.map_or_else(|| ask(&name), Ok)?;
            Ok((name, SecretText(value)))
        })
        .collect()
}

/// Asks a person, without echo.
fn ask(name: &str) -> Result<String, Refusal> {
    let nobody = |why: String| {
        Refusal::new(Fault::Usage, format!("there is no terminal to ask for the value of {name}{why}"))
            .hint(format!("`… {name} --stdin` reads the value from standard input"))
    };
    if !std::io::stdin().is_terminal() {
        return Err(nobody(String::new()));
    }
    let value =
        rpassword::prompt_password(format!("{name}: ")).map_err(|error| nobody(format!(": {error}")))?;
    if value.is_empty() {
        return Err(Refusal::new(Fault::Usage, format!("no value was given for {name}"))
            .hint(format!("`{name}=` gives it an empty one")));
    }
    Ok(value)
}

fn file_text(file: &Path) -> Result<String, Refusal> {
    let shown = file.display();
    let opened = std::fs::File::open(file)
        .map_err(|error| Refusal::new(Fault::Missing, format!("cannot read `{shown}`: {error}")))?;
    text(opened, &shown.to_string())
}

fn standard_input() -> Result<String, Refusal> {
    text(std::io::stdin().lock(), "standard input")
}

fn text(from: impl Read, whose: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    from.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Refusal::new(Fault::Missing, format!("cannot read `{whose}`: {error}")))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Refusal::new(Fault::TooLarge, format!("`{whose}` is larger than {FILE_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Refusal::new(Fault::Usage, format!("`{whose}` is no UTF-8 text")))
}

/// What stands for `$` while it is found out what a file puts in its place: no text of anybody has it.
const DOLLAR: &str = "\u{f8ff}\u{10fffd}";

/// Reads the form of .env.
fn parsed(text: &str, whose: &str) -> Result<Values, Refusal> {
    let values = pairs(text, whose)?;
    // A `$` in a password is the one trap of this form, and a secret that is silently another is a bad evening.
    let literal_text: Vec<String> = text.split("\\$").map(|piece| piece.replace('$', DOLLAR)).collect();
    let literally: BTreeMap<String, String> = pairs(&literal_text.join("\\$"), whose)?
        .into_iter()
        .map(|(name, value)| (name, value.replace(DOLLAR, "$")))
        .collect();
    let replaced: Vec<String> = values
        .iter()
        .filter(|(name, value)| literally.get(*name) != Some(value))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !replaced.is_empty() {
        output::warn(&format!(
            "a `$` in {} was taken as the beginning of a variable's name; in 'single quotes' it stays a `$`",
            replaced.join(", ")
        ));
    }
    if values.is_empty() {
        return Err(Refusal::new(Fault::Usage, format!("there is no variable in `{whose}`"))
            .hint("a line of it is NAME=VALUE"));
    }
    Ok(values.into_iter().map(|(name, value)| (name, SecretText(value))).collect())
}

fn pairs(text: &str, whose: &str) -> Result<BTreeMap<String, String>, Refusal> {
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|error| {
        // Its own words hold the line, and so the value.
        let wrong = match error {
            dotenvy::Error::LineParse(line, _) => {
                let at = text.lines().position(|known| !line.is_empty() && known.contains(line.trim_end()));
                at.map_or_else(String::new, |at| format!(" line {}", at + 1))
            }
            _ => String::new(),
        };
        Refusal::new(Fault::Usage, format!("`{whose}`{wrong} is not in the form of .env"))
            .hint("a line is NAME=VALUE; a value with blanks, quotes or # stands in 'single quotes'")
    })
}

fn list(sets: &[EnvSet], now: Timestamp, page: Page) -> String {
    if sets.is_empty() {
        return "No env sets. `codepiper env-set create NAME` makes one.\n".into();
    }
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("NAME", Cut::Never),
        ("VARIABLES", Cut::Never),
        ("CHANGED", Cut::Never),
        ("", Cut::End),
    ]);
    for set in sets {
        table.row(
            [
                Cell::new(&set.id, Style::Dim),
                Cell::new(&set.name, Style::Bold),
                set.var_count.to_string().as_str().into(),
                Cell::new(ago(set.updated_at, now), Style::Dim),
                set.description.as_deref().unwrap_or_default().into(),
            ],
            set.unreadable.as_ref().map(|why| Cell::new(format!("cannot be read: {why}"), Style::Bad)),
        );
    }
    table.render(page)
}

fn details(set: &EnvSet, page: Page) -> String {
    let mut about = output::Details::default();
    about.styled("Name", set.name.clone(), Style::Bold);
    about.add("ID", set.id.clone());
    about.add("Description", set.description.clone());
    about.styled("Unreadable", set.unreadable.clone(), Style::Bad);
    let mut out = about.render(page);
    if set.masked_vars.is_empty() {
        return out;
    }
    let mut table = Table::new([("VARIABLE", Cut::Never), ("VALUE", Cut::End)]);
    for (name, mask) in &set.masked_vars {
        table.row([name.as_str().into(), Cell::new(mask, Style::Dim)], None);
    }
    out.push('\n');
    out.push_str(&table.render(page));
    out
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_dotenv_is_read_and_no_error_tells_a_value() {
        let check = |text: &str, expected: &str| {
            let shown = match parsed(text, "f") {
                Ok(values) => {
                    let all: Vec<_> =
                        values.iter().map(|(name, SecretText(value))| format!("{name}={value}")).collect();
                    all.join("|")
                }
                Err(refusal) => refusal.error,
            };
            assert_eq!(shown, expected, "for {text:?}");
        };
        check("A=b\n# c\n\nexport B='c d # e'\nC=\"x\\ny\"", "A=b|B=c d # e|C=x\ny");
        check("A='pa$$word'\nB=\"x\\$y\"", "A=pa$$word|B=x$y");
        check("A=b\nA=c", "A=c");
        check("A=", "A=");
        check("", "there is no variable in `f`");
        check("A=b\nsecret value without a name", "`f` line 2 is not in the form of .env");
        check("A=\"secret", "`f` line 1 is not in the form of .env");
    }
}

//! `codepiper settings`

use crate::args::{SettingsArgs, SettingsCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Page, Style, Table};
use codepiper_api::settings::{Setting, SettingsBody};
use codepiper_api::{Fault, Refusal};
use hyper::Method;
use serde_json::{Map, Value};

pub(super) async fn run(args: SettingsArgs, daemon: &Client) -> Result<(), Refusal> {
    let route = || Route::new("/settings/daemon");
    let json = |format: crate::args::Format| format.json() || args.format.json();
    match args.command {
        None => list(daemon.get(route()).await?, args.format.json()),
        Some(SettingsCommand::List(format)) => list(daemon.get(route()).await?, json(format)),
        Some(SettingsCommand::Get { name, format }) => {
            let value = pick(daemon.get(route()).await?, &name)?;
            if json(format) {
                return output::print_json(&value);
            }
            output::print(&format!("{}\n", crate::text::visible(&shown(&value))))
        }
        Some(SettingsCommand::Set { name, value, format }) => {
            let wanted = Map::from_iter([(name.clone(), read(&value))]);
            let answer: SettingsBody = daemon.call(Method::PUT, route(), &wanted).await?;
            if json(format) {
                return output::print_json(&answer.settings);
            }
            output::done(&format!("{name} is now {}", shown(&pick(answer, &name)?)))
        }
    }
}

fn list(SettingsBody { settings }: SettingsBody, json: bool) -> Result<(), Refusal> {
    if json {
        return output::print_json(&settings);
    }
    output::print(&table(&settings).render(Page::stdout()))
}

fn table(settings: &Map<String, Value>) -> Table {
    let mut table =
        Table::new([("NAME", Cut::Never), ("VALUE", Cut::End), ("UNLESS SET", Cut::Never), ("", Cut::End)]);
    for (name, value) in settings {
        // One that only the daemon knows is of a later version.
        let known = Setting::find(name);
        let default = known.map(|setting| (setting.default)());
        let style = if default.as_ref() == Some(value) { Style::Plain } else { Style::Bold };
        table.row(
            [
                name.as_str().into(),
                Cell::new(shown(value), style),
                Cell::new(default.as_ref().map(shown).unwrap_or_default(), Style::Dim),
                Cell::new(known.map_or("", |setting| setting.means), Style::Dim),
            ],
            None,
        );
    }
    table
}

/// A daemon of another version may have fewer.
fn pick(SettingsBody { mut settings }: SettingsBody, name: &str) -> Result<Value, Refusal> {
    settings.remove(name).ok_or_else(|| {
        Refusal::new(Fault::Conflict, format!("the running daemon knows no setting `{name}`"))
            .hint("`codepiper daemon restart` starts the installed version; sessions go on")
    })
}

/// What was typed, as JSON where it is some: whether it is good is for the daemon to say.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_typed_becomes_a_value() {
        let check = |text: &str, expected: Value| assert_eq!(read(text), expected, "for {text:?}");
        check("true", json!(true));
        check("72", json!(72));
        check("0.5", json!(0.5));
        check("-1", json!(-1));
        check("yes", json!("yes"));
        check("24h", json!("24h"));
        check("", json!(""));
    }

    #[test]
    fn settings_are_shown_with_what_they_decide_also_those_of_a_later_version() {
        let settings = json!({ "endedSessionHours": 0.5, "laterOne": "x", "preserveSessions": true });
        let expected = "\
NAME               VALUE  UNLESS SET
endedSessionHours  0.5    24          hours that ended sessions stay on the list; fractions count
laterOne           x
preserveSessions   true   true        whether sessions go on when the daemon ends; false stops them with it
";
        let page = Page { columns: None, colour: false };
        assert_eq!(table(settings.as_object().unwrap()).render(page), expected);
    }
}

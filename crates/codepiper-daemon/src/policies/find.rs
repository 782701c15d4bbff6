//! Which policy or set a person means: the whole id first, then the name, then the beginning of an id.

use super::{Stored, Table};
use codepiper_api::{Fault, Refusal};
use codepiper_store::policies::SetRow;
use serde_json::json;

/// The policy a person means.
pub fn find_policy<'a>(table: &'a Table, wanted: &str) -> Result<&'a Stored, Refusal> {
    let names = |stored: &'a Stored| (stored.policy.id.as_str(), stored.policy.name.as_str());
    find(wanted, &table.policies, names, Kind::Policy)
}

/// The set a person means.
pub fn find_set<'a>(table: &'a Table, wanted: &str) -> Result<&'a SetRow, Refusal> {
    find(wanted, &table.sets, |set: &'a SetRow| (set.id.as_str(), set.name.as_str()), Kind::Set)
}

#[derive(Clone, Copy)]
enum Kind {
    Policy,
    Set,
}

/// How a name is meant, the first that fits.
#[derive(Clone, Copy)]
enum Way {
    Id,
    Name,
    Beginning,
}

/// Names that a hint lists.
const HINT_MAX: usize = 5;

fn find<'a, T>(
    wanted: &str,
    all: &'a [T],
    names: impl Fn(&'a T) -> (&'a str, &'a str),
    kind: Kind,
) -> Result<&'a T, Refusal> {
    let (what, several, command) = match kind {
        Kind::Policy => ("policy", "policies", "policy"),
        Kind::Set => ("policy set", "policy sets", "policy-set"),
    };
    let described = |found: &[&'a T]| -> String {
        let described = found.iter().take(HINT_MAX).map(|one| {
            let (id, name) = names(one);
            if id == name { id.to_owned() } else { format!("{id} ({name})") }
        });
        described.collect::<Vec<_>>().join(", ")
    };
    for way in [Way::Id, Way::Name, Way::Beginning] {
        let fits = |one: &&'a T| {
            let (id, name) = names(one);
            match way {
                Way::Id => id == wanted,
                Way::Name => name == wanted,
                Way::Beginning => id.starts_with(wanted),
            }
        };
        let mut found: Vec<&'a T> = all.iter().filter(fits).collect();
        found.sort_by_key(|one| names(one).0);
        match found.as_slice() {
            [] => {}
            _ if wanted.is_empty() => break,
            [one] => return Ok(one),
            found => {
                let candidates: Vec<&str> = found.iter().map(|one| names(one).0).collect();
                let refusal = format!("`{wanted}` could be {} {several}", found.len());
                return Err(Refusal::new(Fault::Ambiguous, refusal)
                    .hint(format!("say more of one of {}", described(found)))
                    .details(json!({ "candidates": candidates })));
            }
        }
    }
    let refusal = Refusal::new(Fault::NotFound, format!("there is no {what} `{wanted}`"));
    let some: Vec<&'a T> = all.iter().collect();
    Err(match some.is_empty() {
        true => refusal.hint(format!("there are none; `codepiper {command} create` makes one")),
        false => refusal.hint(format!("there are {}; `codepiper {command} list` has all", described(&some))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn an_id_comes_before_a_name_and_a_name_before_the_beginning_of_an_id() {
        let set = |id: &str, name: &str| SetRow {
            id: id.into(),
            name: name.into(),
            description: None,
            is_default: false,
            policies: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let table = Table {
            sets: vec![set("s-11", "work"), set("s-12", "s-1"), set("work", "play"), set("x", "same")],
            ..Table::default()
        };
        let check = |wanted: &str, expected: &str| {
            let shown = match find_set(&table, wanted) {
                Ok(set) => set.id.clone(),
                Err(refusal) => refusal.error,
            };
            assert_eq!(shown, expected, "for {wanted:?}");
        };
        check("work", "work");
        check("play", "work");
        check("s-1", "s-12");
        check("s-11", "s-11");
        check("s-", "`s-` could be 2 policy sets");
        check("wo", "work");
        check("frob", "there is no policy set `frob`");
        check("", "there is no policy set ``");
        let hint = find_set(&table, "frob").unwrap_err().hint.unwrap();
        assert_eq!(
            hint,
            "there are s-11 (work), s-12 (s-1), work (play), x (same); `codepiper policy-set list` has all"
        );
    }
}

//! Whether a rule hits a part of a command, or a file that one opens.

use super::Action;
use super::reach::{Spot, names_file, names_one_of};
use super::rule::{Compiled, Hit, Prepared, READ_TOOLS, WRITE_TOOLS};
use super::shell::{Field, Form, Part, What};

/// A command. `whole` is the text of the call.
pub(super) fn hit_command(
    rule: &Compiled,
    call: &Prepared<'_>,
    part: &Part,
    spots: &[Spot],
    whole: &str,
) -> Hit {
    let What::Command { forms, allowed_by, source, only_reads, .. } = &part.what else {
        return Hit::No;
    };
    let denies = rule.action != Action::Allow;
    let around = || rule.fits_around(call, &part.cwds);
    if rule.reaches_commands() {
        let reaches = rule.reads_files || !only_reads;
        let named = match reaches {
            false => Hit::No,
            true => match names_one_of(rule, spots) {
                Hit::No if part.unreadable.is_some() => Hit::Maybe,
                hit => hit,
            },
        };
        return if named == Hit::No { Hit::No } else { named.min(around()) };
    }
    if !rule.files.is_empty() || !rule.is_for(call.call.tool) {
        return Hit::No;
    }
    let Some(list) = &rule.command else { return around() };
    let matched = if denies {
        let fits = |form: &Form| list.holds(|pattern| pattern.is_match(&form.text));
        let may = |form: &Form| {
            form.known.is_some_and(|known| {
                let known = form.text.get(..known).unwrap_or_default();
                list.positive.iter().any(|pattern| pattern.may_match_after(known))
            })
        };
        let excepted = || allowed_by.iter().any(|text| !list.holds(|pattern| pattern.is_match(text)));
        match () {
            // Only exceptions: whatever the command's words are not.
            () if list.positive.is_empty() && !allowed_by.is_empty() => (!excepted()).into(),
            () if forms.iter().any(fits) => Hit::Yes,
            () if part.unreadable.is_some() || forms.iter().any(may) => Hit::Maybe,
            () => Hit::No,
        }
    } else {
        let exactly =
            |text: &str| list.holds(|pattern| pattern.is_exactly(text)) && !list.positive.is_empty();
        let fits = |text: &String| list.holds(|pattern| pattern.is_match(text));
        match () {
            () if exactly(whole) => Hit::Exact,
            () if part.unreadable.is_some() => Hit::No,
            () if allowed_by.iter().any(fits) || exactly(source) => Hit::Yes,
            () => Hit::No,
        }
    };
    if matched == Hit::No {
        return Hit::No;
    }
    // A rule for the whole text knows that it goes elsewhere: what counts is where it starts.
    let around = match matched {
        Hit::Exact => rule.fits_around(call, std::slice::from_ref(&call.cwd)),
        _ => around(),
    };
    match around {
        Hit::Yes | Hit::Exact => matched,
        less => less.min(matched),
    }
}

/// A file that a command or a patch opens, as if the tool for it were called.
pub(super) fn hit_file(
    rule: &Compiled,
    call: &Prepared<'_>,
    cwds: &[std::path::PathBuf],
    tool: &str,
    (name, spot): (&Field, &Spot),
    whole: &str,
) -> Hit {
    let own_tool = rule.is_for(call.call.tool);
    if let Some(list) = &rule.command {
        let exact = own_tool
            && rule.files.is_empty()
            && rule.action == Action::Allow
            && !whole.is_empty()
            && list.positive.iter().any(|pattern| pattern.is_exactly(whole))
            && rule.fits_around(call, std::slice::from_ref(&call.cwd)) == Hit::Yes;
        return if exact { Hit::Exact } else { Hit::No };
    }
    let around = rule.fits_around(call, cwds);
    if around == Hit::No {
        return Hit::No;
    }
    if own_tool && rule.takes_any_args() {
        return around;
    }
    if !rule.has_no_others() {
        return Hit::No;
    }
    if rule.action == Action::Allow {
        let known = name.known().filter(|_| !cwds.is_empty() || name.text.starts_with('/'));
        let folders = if cwds.is_empty() { std::slice::from_ref(&call.cwd) } else { cwds };
        let fits = rule.files.iter().all(|list| {
            known.is_some_and(|name| folders.iter().all(|cwd| call.view(name, cwd).fits(list, rule.action)))
        });
        return (rule.is_for(tool) && fits && around == Hit::Yes).into();
    }
    let tools = if tool == "Read" { READ_TOOLS } else { WRITE_TOOLS };
    if !tools.iter().any(|tool| rule.is_for(tool)) {
        return Hit::No;
    }
    let lists = rule.files.iter().map(|list| names_file(list, rule.action, spot));
    lists.min().unwrap_or(Hit::Yes).min(around)
}

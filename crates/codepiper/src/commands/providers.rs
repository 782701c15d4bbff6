//! `codepiper providers`

use crate::args::Format;
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Page, Style, Table};
use codepiper_api::Refusal;
use codepiper_api::providers::{ProviderList, ProviderView};

pub(super) async fn run(format: Format, daemon: &Client) -> Result<(), Refusal> {
    let ProviderList { providers } = daemon.get(Route::new("/providers")).await?;
    if format.json() {
        return output::print_json(&providers);
    }
    output::print(&table(&providers).render(Page::stdout()))
}

fn table(providers: &[ProviderView]) -> Table {
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("VERSION", Cut::End),
        ("CAN", Cut::End),
        ("POLICY", Cut::Never),
        ("METRICS", Cut::Never),
        ("PROGRAM", Cut::Start),
    ]);
    for provider in providers {
        let can = &provider.capabilities;
        let abilities = [
            (can.native_hooks, "hooks"),
            (can.supports_transcript_tailing, "transcript"),
            (can.supports_model_switch, "model"),
            (can.supports_resume, "resume"),
            (can.supports_fork, "fork"),
            (can.supports_images, "images"),
            (can.supports_slash, "slash"),
            (can.supports_dangerous_mode, "dangerous"),
        ];
        let abilities: Vec<&str> = abilities.iter().filter(|(can, _)| *can).map(|(_, name)| *name).collect();
        let missing = provider.program.is_none();
        let version = match &provider.version {
            _ if missing => Cell::new("not installed", Style::Dim),
            version => version.as_deref().unwrap_or("?").into(),
        };
        table.row(
            [
                Cell::new(&provider.id, if missing { Style::Dim } else { Style::Bold }),
                version,
                abilities.join(" ").into(),
                can.policy_channel.as_str().into(),
                can.metrics_channel.as_str().into(),
                provider.program.as_deref().unwrap_or_default().into(),
            ],
            missing
                .then(|| Cell::new(&provider.install, Style::Dim))
                .filter(|_| !provider.install.is_empty()),
        );
    }
    table
}

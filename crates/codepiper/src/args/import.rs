//! Arguments of `codepiper import`.

use super::Format;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Everything is counted once, however often it is taken in: run it again whenever you like. Ctrl+C leaves the daemon at \
work; run it again to see how far it is.

Examples:
  codepiper import
  codepiper import --provider codex
  codepiper import --claude-config-dir ~/old-laptop/.claude")]
pub(crate) struct ImportArgs {
    /// Only of this provider.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// Where Claude Code keeps its files; else $CLAUDE_CONFIG_DIR, else ~/.claude.
    #[arg(long, value_name = "DIR", env = "CLAUDE_CONFIG_DIR", hide_env = true)]
    pub(crate) claude_config_dir: Option<PathBuf>,
    /// Where Codex keeps its files; else $CODEX_HOME, else ~/.codex.
    #[arg(long, value_name = "DIR", env = "CODEX_HOME", hide_env = true)]
    pub(crate) codex_home: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

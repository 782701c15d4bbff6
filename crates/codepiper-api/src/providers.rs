//! Providers on the wire.

use codepiper_core::provider::Capabilities;
use serde::{Deserialize, Serialize};

/// `GET /providers`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderList {
    /// All that are known.
    pub providers: Vec<ProviderView>,
}

/// A provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderView {
    /// As in `start -p`.
    pub id: String,
    /// For people.
    pub label: String,
    /// Always `tmux`.
    pub runtime: String,
    /// What can be done.
    pub capabilities: Capabilities,
    /// How it is launched.
    pub launch_hints: LaunchHints,
    /// Where its program is, when it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its version, when it is installed and said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How to get it.
    pub install: String,
}

/// How a provider is launched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchHints {
    /// Flags of the mode without permission questions.
    pub dangerous_mode_flags: Vec<String>,
    /// Arguments that continue a conversation.
    pub resume_commands: ResumeCommands,
}

/// Arguments that continue a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeCommands {
    /// The same one.
    pub resume: Vec<String>,
    /// A copy.
    pub fork: Vec<String>,
    /// What stands for the conversation's id in them.
    pub id_placeholder: String,
}

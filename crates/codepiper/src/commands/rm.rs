//! `codepiper rm`

use super::for_each;
use crate::args::RmArgs;
use crate::client::{Client, Route};
use crate::output;
use crate::text::visible;
use codepiper_api::Refusal;
use codepiper_api::sessions::{FormerWorktree, Removed};
use codepiper_core::provider::shell_word;
use hyper::Method;

pub(super) async fn run(args: &RmArgs, daemon: &Client) -> Result<(), Refusal> {
    let force = args.force.then_some(true);
    for_each(&args.sessions.ids, async |id| {
        let route = Route::session(id, "").with_some("force", force);
        let removed: Removed = daemon.call(Method::DELETE, route, &()).await?;
        if let Some(kept) = removed.worktree.as_ref().and_then(|worktree| kept(id, worktree)) {
            output::warn(&visible(&kept));
        }
        Ok(format!("Session {id} removed"))
    })
    .await
}

/// Why its worktree is still there, and how to remove it by hand.
fn kept(id: &str, worktree: &FormerWorktree) -> Option<String> {
    let reason = worktree.reason.as_deref().filter(|_| worktree.kept)?;
    let (path, root) = (shell_word(&worktree.path), shell_word(&worktree.repo_root));
    Some(format!(
        "the worktree of session {id} was kept: {reason}; \
         `git -C {root} worktree remove --force {path}` removes it, with all that is not committed in it"
    ))
}

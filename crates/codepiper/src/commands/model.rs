//! `codepiper model`

use crate::args::ModelArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::{Model, SetModel};
use hyper::Method;
use serde_json::Value;

pub(super) async fn run(args: ModelArgs, daemon: &Client) -> Result<(), Refusal> {
    let route = || Route::session(&args.id, "/model");
    if let Some(wanted) = args.model {
        let answer: Value = daemon.call(Method::PUT, route(), &SetModel { model: wanted.clone() }).await?;
        if args.format.json() {
            return output::print_json(&answer);
        }
        // What the agent says it is now, which may be the long name of what was asked for.
        let now = answer.get("model").and_then(Value::as_str).unwrap_or(&wanted);
        return output::done(&format!("Session {} now uses {now}", args.id));
    }
    let model: Model = daemon.get(route()).await?;
    if args.format.json() {
        return output::print_json(&model);
    }
    output::print(&format!("{}\n", crate::text::visible(model.model.as_deref().unwrap_or("unknown"))))?;
    if !model.supports_model_switch {
        output::say(&format!("it cannot be switched: {} has no way to do it", model.provider));
    }
    Ok(())
}

//! Gives handlers what they want to hear: runs a program, or posts to an address. What waits is in the store; each
//! handler gets it in order, one at a time, and again when it failed. A daemon that is killed meanwhile gives it again:
//! its `id` tells.

use super::handlers::Set;
use crate::app::App;
use crate::sessions::internal;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codepiper_api::notifications::{HandlerList, HandlerTest, HandlerView};
use codepiper_api::{Fault, Refusal};
use codepiper_core::handler::{Action, Handler, PLACES, Post, place};
use codepiper_core::hook::shorten;
use codepiper_store::notifications::{self as store, Delivery};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::collections::HashSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Characters of what a failed handler said that are kept.
const ERROR_MAX: usize = 500;

/// Bytes of what a handler says that are read.
const SAID_MAX: u64 = 4_096;

/// The longest pause between two tries.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(300);

/// How long what a program said is waited for when it has ended: a child of its own may hold the pipe.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_millis(200);

/// Wakes who delivers.
#[derive(Clone)]
pub(crate) struct Deliveries(Arc<Notify>);

impl Deliveries {
    pub(super) fn new() -> Self {
        Self(Arc::new(Notify::new()))
    }

    /// There may be something to deliver.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }
}

/// Delivers until the daemon ends.
pub(crate) async fn run(app: Arc<App>) {
    let mut running: JoinSet<String> = JoinSet::new();
    let mut busy: HashSet<String> = HashSet::new();
    loop {
        let next = match app.store.read(store::next_deliveries).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "what is to be delivered cannot be read");
                Vec::new()
            }
        };
        let now = Timestamp::now();
        let mut earliest = None;
        for delivery in next {
            if busy.contains(&delivery.handler) {
                continue;
            }
            if delivery.due_at > now {
                earliest = Some(earliest.map_or(delivery.due_at, |at: Timestamp| at.min(delivery.due_at)));
                continue;
            }
            busy.insert(delivery.handler.clone());
            let (app, handlers) = (app.clone(), app.notifications.handlers.current());
            running.spawn(async move {
                let name = delivery.handler.clone();
                deliver(&app, &handlers, delivery).await;
                name
            });
        }
        tokio::select! {
            () = app.notifications.deliveries.0.notified() => {}
            () = super::until(earliest) => {}
            Some(done) = running.join_next() => match done {
                Ok(name) => drop(busy.remove(&name)),
                Err(error) => {
                    tracing::error!(%error, "a delivery broke off");
                    // Which is not known any more; the store has what is not delivered.
                    running.shutdown().await;
                    busy.clear();
                }
            },
        }
    }
}

async fn deliver(app: &App, handlers: &Set, delivery: Delivery) {
    let Delivery { id, handler, message, tries, .. } = delivery;
    let (outcome, retries) = match handlers.all.iter().find(|known| known.name == handler) {
        Some(known) => (perform(app, known, &message).await, known.retries),
        // While the file is broken nobody knows which there are.
        None if handlers.fault.is_some() => (Err("the file of handlers cannot be used".to_owned()), u32::MAX),
        None => (Err("there is no such handler any more".to_owned()), 0),
    };
    let written = match outcome {
        Ok(()) => app.store.write(move |tx| store::delivered(tx, id)).await,
        Err(error) => {
            let again = (tries < retries).then(|| {
                let pause = SignedDuration::from_secs(1 << tries.min(20)).min(PAUSE_MAX);
                Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX)
            });
            tracing::warn!(handler, error, gives_up = again.is_none(), "a handler failed");
            app.store.write(move |tx| store::not_delivered(tx, id, &error, again)).await
        }
    };
    if let Err(error) = written {
        tracing::warn!(%error, "what became of a delivery is not stored; it is tried again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn perform(app: &App, handler: &Handler, message: &Value) -> Result<(), String> {
    let empty = Map::new();
    let fields = message.as_object().unwrap_or(&empty);
    let time = Duration::from_secs(handler.seconds);
    let outcome = match &handler.action {
        Action::Run(words) => run_program(app, words, fields, message.to_string(), time).await,
        Action::Post(post) => {
            let (post, fields) = (post.clone(), fields.clone());
            match tokio::task::spawn_blocking(move || send(&post, &fields, time)).await {
                Ok(outcome) => outcome,
                Err(error) => Err(error.to_string()),
            }
        }
    };
    outcome.map_err(|error| shorten(&error, ERROR_MAX))
}

/// Runs a program with the message on its input. Nothing of the message is in its command line.
async fn run_program(
    app: &App,
    words: &[String],
    fields: &Map<String, Value>,
    message: String,
    time: Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Err("names no program".into()) };
    let environment = &app.config.environment;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().envs(environment);
    command.env(codepiper_api::defaults::SOCKET_VARIABLE, &app.config.socket);
    for name in PLACES {
        // A variable cannot hold a zero byte.
        command.env(format!("CODEPIPER_{}", name.to_uppercase()), place(name, fields).replace('\0', " "));
    }
    command.current_dir(environment.get("HOME").map_or("/", String::as_str));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let group = Group(child.id().and_then(|pid| Pid::from_raw(pid as i32)));
    let (input, said) = (child.stdin.take(), child.stderr.take());
    let give = async move {
        if let Some(mut input) = input {
            // A program that does not read its input is none the worse for it.
            let _unread = input.write_all(message.as_bytes()).await;
        }
    };
    let listen = async move {
        let mut words = Vec::new();
        if let Some(said) = said {
            let _what_came_counts = said.take(SAID_MAX).read_to_end(&mut words).await;
        }
        String::from_utf8_lossy(&words).trim().to_owned()
    };
    let listening = tokio::spawn(listen);
    let ended = tokio::time::timeout(time, async { tokio::join!(give, child.wait()).1 }).await;
    let Ok(ended) = ended else {
        drop(group);
        return Err(format!("`{program}` did not end within {} s and was killed", time.as_secs()));
    };
    let status = ended.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let said = match tokio::time::timeout(LAST_WORDS_TIME_MAX, listening).await {
        Ok(Ok(said)) if !said.is_empty() => format!(": {said}"),
        _ => String::new(),
    };
    Err(format!("`{program}` ended with {status}{said}"))
}

/// The processes of a handler. Dropping it ends what is left of them.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _gone_already = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Posts the message, signed as <https://www.standardwebhooks.com> says.
fn send(post: &Post, fields: &Map<String, Value>, time: Duration) -> Result<(), String> {
    let body = post.body(fields);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(time))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("codepiper/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.post(&post.url).header("content-type", "application/json");
    for (name, value) in post.headers(fields) {
        request = request.header(name, value);
    }
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let now = Timestamp::now().as_second();
    request = request.header("webhook-id", id).header("webhook-timestamp", now.to_string());
    if let Some(secret) = &post.secret {
        request = request.header("webhook-signature", sign(secret, id, now, &body)?);
    }
    let host = post.host();
    // The address may be a secret, so no error of the client is shown that may hold it.
    let mut answer = request
        .send(&body)
        .map_err(|error| format!("{host}: {}", error.to_string().replace(&post.url, host)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.body_mut().with_config().limit(SAID_MAX).read_to_string().unwrap_or_default();
    Err(format!("{host} answered {status}: {}", said.replace(&post.url, host).trim()))
}

/// The signature of a message, as in the header.
fn sign(secret: &str, id: &str, second: i64, body: &str) -> Result<String, String> {
    let key = match secret.strip_prefix("whsec_") {
        Some(key) => BASE64_STANDARD.decode(key).map_err(|_| "`secret`: what follows whsec_ is no base64")?,
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{second}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

/// What handlers there are and how they get along.
pub(crate) async fn list(app: &App) -> Result<HandlerList, Refusal> {
    let backlogs = app.store.read(store::backlogs).await;
    let mut backlogs = backlogs.map_err(|error| internal("reading what waits for handlers", error))?;
    let set = app.notifications.handlers.latest();
    let handlers = set.all.iter().map(|handler| {
        let backlog = backlogs.remove(&handler.name).unwrap_or_default();
        HandlerView {
            name: handler.name.clone(),
            on: handler.on(),
            does: match &handler.action {
                Action::Run(words) => format!("runs {}", words.first().map_or("", String::as_str)),
                Action::Post(post) if post.secret.is_some() => format!("posts to {}, signed", post.host()),
                Action::Post(post) => format!("posts to {}", post.host()),
            },
            waiting: backlog.waiting,
            failed: backlog.failed,
            error: backlog.error,
        }
    });
    Ok(HandlerList {
        file: app.notifications.handlers.file().display().to_string(),
        fault: set.fault.clone(),
        handlers: handlers.collect(),
    })
}

/// Has handlers do what they do, now, with a message that says it is a test.
pub(crate) async fn test(app: &App, wanted: Option<&str>) -> Result<Vec<HandlerTest>, Refusal> {
    let set = app.notifications.handlers.latest();
    if let Some(why) = &set.fault {
        return Err(Refusal::new(Fault::Conflict, why.clone())
            .hint("`codepiper notifications handlers --help` shows what it may say"));
    }
    let chosen: Vec<&Handler> =
        set.all.iter().filter(|handler| wanted.is_none_or(|name| handler.name == name)).collect();
    if let (Some(name), []) = (wanted, chosen.as_slice()) {
        let names: Vec<&str> = set.all.iter().map(|handler| handler.name.as_str()).collect();
        let refusal = Refusal::new(Fault::NotFound, format!("there is no handler `{name}`"));
        return Err(match names.as_slice() {
            [] => refusal.hint(format!("{} names none", app.notifications.handlers.file().display())),
            names => refusal.hint(format!("there are {}", names.join(", "))),
        });
    }
    let message = json!({
        "id": format!("test-{}", crate::sessions::fresh_name()), "type": "test", "title": "CodePiper: a test",
        "body": "This handler works.", "createdAt": Timestamp::now(),
        "session": { "id": "00000000", "name": "test", "provider": "demo", "cwd": "/" }, "payload": {},
    });
    let mut tests = Vec::new();
    for handler in chosen {
        let began = Instant::now();
        let error = perform(app, handler, &message).await.err();
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tests.push(HandlerTest { handler: handler.name.clone(), error, took });
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_signed_as_the_standard_says() {
        // The example of the standard's own libraries.
        let signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_?", "a", 1, "").unwrap_err().contains("base64"));
    }
}

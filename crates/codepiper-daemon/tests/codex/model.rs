//! The smallest model server that Codex talks to: it does what the last prompt says.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

static REPLIES: AtomicU64 = AtomicU64::new(0);

/// Serves until the runtime ends; the port.
pub(crate) async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = one(stream).await; // the agent may hang up in mid-reply
            });
        }
    });
    port
}

async fn one(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let mut stream = stream.into_inner();
    if !head.starts_with("POST /v1/responses") {
        let body = r#"{"object":"list","data":[],"models":[]}"#;
        let reply =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        return stream.write_all(reply.as_bytes()).await;
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        .await?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let n = REPLIES.fetch_add(1, Ordering::Relaxed);
    say(&mut stream, json!({ "type": "response.created", "response": { "id": format!("resp_{n}") } }))
        .await?;
    reply(&mut stream, &body, n).await?;
    let usage = json!({ "input_tokens": 10, "output_tokens": 5, "total_tokens": 15 });
    let response = json!({ "id": format!("resp_{n}"), "usage": usage });
    say(&mut stream, json!({ "type": "response.completed", "response": response })).await
}

async fn reply(stream: &mut TcpStream, body: &Value, n: u64) -> std::io::Result<()> {
    let last = body["input"].as_array().and_then(|input| input.last()).cloned().unwrap_or_default();
    if last["type"] == "function_call_output" {
        return words(stream, n, &[format!("done: {}", last["output"])]).await;
    }
    let texts = last["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    let prompt = texts.collect::<String>();
    match prompt.split_once(": ") {
        Some(("RUN", command)) => call(stream, n, json!({ "cmd": command })).await,
        Some(("ESC", command)) => {
            let escalated = json!({
                "cmd": command, "sandbox_permissions": "require_escalated", "justification": "scripted",
            });
            call(stream, n, escalated).await
        }
        Some(("SLOW", count)) => words(stream, n, &vec!["word ".to_owned(); count.parse().unwrap()]).await,
        _ if prompt.contains("IMAGES?") => {
            let parts = last["content"].as_array().into_iter().flatten();
            let count = parts.filter(|part| part["type"] == "input_image").count();
            words(stream, n, &[format!("you sent {count} image")]).await
        }
        _ if prompt == "MODEL?" => words(stream, n, &[format!("you asked {}", body["model"])]).await,
        _ => words(stream, n, &[format!("echo: {}", prompt.lines().last().unwrap_or_default())]).await,
    }
}

async fn call(stream: &mut TcpStream, n: u64, arguments: Value) -> std::io::Result<()> {
    let item = json!({
        "type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"),
        "name": "exec_command", "arguments": arguments.to_string(),
    });
    say(stream, json!({ "type": "response.output_item.done", "output_index": 0, "item": item })).await
}

async fn words(stream: &mut TcpStream, n: u64, words: &[String]) -> std::io::Result<()> {
    let id = format!("msg_{n}");
    let item =
        |content: Value| json!({ "type": "message", "id": id, "role": "assistant", "content": content });
    let added = json!({ "type": "response.output_item.added", "output_index": 0, "item": item(json!([])) });
    say(stream, added).await?;
    for word in words {
        let delta = json!({
            "type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
            "delta": word,
        });
        say(stream, delta).await?;
        if words.len() > 1 {
            tokio::time::sleep(Duration::from_millis(100)).await; // a model that takes its time
        }
    }
    let text = json!([{ "type": "output_text", "text": words.concat().replace('"', "") }]);
    say(stream, json!({ "type": "response.output_item.done", "output_index": 0, "item": item(text) })).await
}

async fn say(stream: &mut TcpStream, event: Value) -> std::io::Result<()> {
    let name = event["type"].as_str().unwrap();
    stream.write_all(format!("event: {name}\ndata: {event}\n\n").as_bytes()).await?;
    stream.flush().await
}

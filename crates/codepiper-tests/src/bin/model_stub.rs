//! The model stub as a program, for the browser tests and for trying things by hand.
//!
//! Prints its address on standard output, and on standard error what it is asked and every violation. Runs until it is
//! killed.

use clap::Parser;
use codepiper_tests::model_stub::ModelStub;

/// A scripted model server on loopback: Anthropic Messages and OpenAI Responses.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on; 0 is any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the body of each request into this folder.
    #[arg(long)]
    bodies: Option<std::path::PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stub = ModelStub::start_on(arguments.port).await?;
    println!("{}", stub.url());
    let mut changes = stub.changes();
    let (mut requests_told, mut violations_told) = (0, 0);
    loop {
        for request in stub.requests().into_iter().skip(requests_told) {
            requests_told += 1;
            eprintln!(
                "{} {} {} {:?}, asked by {:?}, {} tool results",
                request.number,
                request.method,
                request.path,
                request.asked,
                request.prompt,
                request.tool_results.len()
            );
            if let Some(folder) = &arguments.bodies {
                let text = serde_json::to_string_pretty(&(&request.headers, &request.body))?;
                std::fs::write(folder.join(format!("{:04}.json", request.number)), text)?;
            }
        }
        for violation in stub.violations().into_iter().skip(violations_told) {
            violations_told += 1;
            eprintln!("violation: {violation}");
        }
        changes.changed().await?;
    }
}

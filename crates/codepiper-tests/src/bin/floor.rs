//! What the bench compares with: the least a program can do. The standard library and nothing else.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes a flood writes at once, as a program does that prints as fast as it can.
const PIECE: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["post", socket] => post(socket),
        ["flood", bytes, stamps] => flood(bytes.parse().map_err(io::Error::other)?, stamps),
        ["lines", folder] => lines(folder),
        ["wait"] => io::stdin().read(&mut [0]).map(drop),
        other => Err(io::Error::other(format!("unknown: {other:?}"))),
    }
}

/// Carries standard input to a socket and the answer back, as a hook helper must.
fn post(socket: &str) -> io::Result<()> {
    let mut event = Vec::new();
    io::stdin().read_to_end(&mut event)?;
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&(event.len() as u32).to_le_bytes())?;
    stream.write_all(&event)?;
    stream.read_exact(&mut [0])
}

/// Reads all lines of all files of a folder, and says how many.
fn lines(folder: &str) -> io::Result<()> {
    let mut count = 0_u64;
    for entry in std::fs::read_dir(folder)? {
        let mut file = io::BufReader::with_capacity(PIECE, File::open(entry?.path())?);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            count += 1;
            line.clear();
        }
    }
    writeln!(io::stdout(), "{count}")
}

/// Prints so many bytes of lines once a key is pressed, 0 for no end, and writes down when it began and ended.
fn flood(bytes: u64, stamps: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"flood> ")?;
    out.flush()?;
    io::stdin().read_exact(&mut [0])?;
    let line = "[00001234] INFO floor::flood worker=3 id=9e3779b97f4a7c15 the quick brown fox jumps ok\n";
    let piece = line.repeat(PIECE / line.len());
    let began = now();
    let mut left = bytes;
    while left > 0 || bytes == 0 {
        let size = if bytes == 0 { piece.len() } else { piece.len().min(left as usize) };
        out.write_all(&piece.as_bytes()[..size])?;
        out.flush()?;
        left = left.saturating_sub(size as u64);
    }
    out.write_all(b"\nFLOOD-END\n")?;
    out.flush()?;
    let ended = now();
    writeln!(File::create(stamps)?, "{began} {ended}")?;
    io::stdin().read_exact(&mut [0])
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

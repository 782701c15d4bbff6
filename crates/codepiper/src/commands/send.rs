//! `codepiper send`

use crate::args::SendArgs;
use crate::client::{Client, Route, Upload};
use crate::output;
use codepiper_api::sessions::{SendText, Sent, TEXT_MAX, UploadedImage};
use codepiper_api::{Fault, Refusal};
use codepiper_core::images::{IMAGE_MAX, ImageKind};
use hyper::Method;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub(super) async fn run(args: SendArgs, daemon: &Client) -> Result<(), Refusal> {
    let raw: Vec<OsString> = std::env::args_os().collect();
    if let Some(option) = misplaced_option(&raw, &args.text) {
        return Err(Refusal::new(Fault::Usage, format!("`{option}` stands after the text"))
            .hint("options stand before it; if it belongs to the text, put `--` before the text"));
    }
    let newline = args.submit();
    let text = match args.text.as_slice() {
        [dash] if dash == "-" => piped_text(io::stdin().lock())?,
        words => words.join(" "),
    };
    if text.is_empty() && args.images.is_empty() {
        return Err(Refusal::new(Fault::Usage, "there is nothing to send")
            .hint("`codepiper send ID TEXT`; `codepiper keys ID enter` presses Enter"));
    }
    // All are checked before the first is sent.
    let images = args.images.iter().map(|path| read_image(path)).collect::<Result<Vec<_>, _>>()?;
    let mut uploaded = Vec::new();
    for (path, image) in args.images.iter().zip(images) {
        uploaded.push(upload(&args.id, path, &image, daemon).await?.path);
    }
    let request = SendText { text, newline, images: uploaded };
    let sent: Sent = daemon.call(Method::POST, Route::session(&args.id, "/send"), &request).await?;
    if args.format.json() {
        return output::print_json(&sent);
    }
    output::done(&format!("Sent to session {} ({})", args.id, acknowledged(&sent)))
}

/// Who says that the agent took it.
pub(super) fn acknowledged(sent: &Sent) -> String {
    match sent.acknowledged_by.as_str() {
        "typed" => "typed, not submitted".into(),
        by => format!("acknowledged by {by}"),
    }
}

/// An option of ours among the words of the text. People put options last; typing one into an agent in place
/// of obeying it would be the worst of answers. After `--` everything is text.
fn misplaced_option<'a>(raw: &[OsString], words: &'a [String]) -> Option<&'a str> {
    const OURS: [&str; 5] = ["--image", "--no-newline", "--newline", "--json", "--socket"];
    let escaped = raw.len().checked_sub(words.len() + 1).is_some_and(|before| raw[before] == "--");
    let name = |word: &'a String| word.split('=').next().unwrap_or(word);
    words.iter().find(|word| !escaped && OURS.contains(&name(word))).map(String::as_str)
}

/// What is piped in, without its last line break.
fn piped_text(input: impl Read) -> Result<String, Refusal> {
    // A character takes up to four bytes; the daemon counts characters.
    let mut bytes = Vec::new();
    let limit = TEXT_MAX * 4 + 2;
    input
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| Refusal::new(Fault::Internal, format!("cannot read standard input: {error}")))?;
    if bytes.len() == limit {
        return Err(Refusal::new(Fault::TooLarge, format!("the text is longer than {TEXT_MAX} characters"))
            .hint("put it into a file, and name the file in the prompt"));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| Refusal::new(Fault::Usage, "what came from standard input is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

struct Image {
    kind: ImageKind,
    bytes: Vec<u8>,
}

fn read_image(path: &Path) -> Result<Image, Refusal> {
    let shown = path.display();
    let unreadable =
        |error: io::Error| Refusal::new(Fault::Missing, format!("cannot read `{shown}`: {error}"));
    let mut bytes = Vec::new();
    let limit = IMAGE_MAX as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > IMAGE_MAX {
        let megabytes = IMAGE_MAX / 1024 / 1024;
        return Err(Refusal::new(Fault::TooLarge, format!("`{shown}` is larger than {megabytes} MB")));
    }
    match ImageKind::of(&bytes) {
        Some(kind) => Ok(Image { kind, bytes }),
        None => Err(Refusal::new(Fault::Usage, format!("`{shown}` is no image that agents take"))
            .hint("PNG, JPEG, GIF and WebP are taken; the content counts, not the name")),
    }
}

async fn upload(id: &str, path: &Path, image: &Image, daemon: &Client) -> Result<UploadedImage, Refusal> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let name = format!("{stem}.{}", image.kind.extension());
    let file = Upload { name: &name, media_type: image.kind.media_type(), bytes: &image.bytes };
    daemon.upload(Route::session(id, "/upload-image"), "image", &file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_after_the_text_is_not_typed_into_the_agent() {
        let check = |line: &str, words: usize, expected: Option<&str>| {
            let raw: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let text: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let words = &text[text.len() - words..];
            assert_eq!(misplaced_option(&raw, words), expected, "for `{line}`");
        };
        check("codepiper send a1 hello", 1, None);
        check("codepiper send a1 hello --no-newline", 2, Some("--no-newline"));
        check("codepiper send a1 look --image=x.png", 2, Some("--image=x.png"));
        check("codepiper send a1 -- hello --no-newline", 2, None);
        check("codepiper send a1 add a --verbose flag", 4, None);
    }

    #[test]
    fn a_piped_text_loses_its_last_line_break_only() {
        let check = |input: &[u8], expected: Result<&str, Fault>| {
            let got = piped_text(input).map_err(|refusal| refusal.code);
            assert_eq!(got, expected.map(str::to_owned));
        };
        check(b"one\ntwo\n", Ok("one\ntwo"));
        check(b"one\r\n", Ok("one"));
        check(b"one\n\n", Ok("one\n"));
        check(b"", Ok(""));
        check(b"\xff", Err(Fault::Usage));
        check(&vec![b'x'; TEXT_MAX * 4 + 2], Err(Fault::TooLarge));
    }

    #[test]
    fn an_image_is_known_by_its_content_and_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], expected: Result<ImageKind, Fault>| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_image(&path).map(|image| image.kind).map_err(|refusal| refusal.code), expected);
        };
        check("a.txt", b"\x89PNG\r\n\x1a\nrest", Ok(ImageKind::Png));
        check("b.png", b"hello", Err(Fault::Usage));
        let mut large = b"GIF89a".to_vec();
        large.resize(IMAGE_MAX, 0);
        check("c.gif", &large, Ok(ImageKind::Gif));
        large.push(0);
        check("d.gif", &large, Err(Fault::TooLarge));
        assert_eq!(read_image(&folder.path().join("none")).map(|_| ()).unwrap_err().code, Fault::Missing);
    }
}

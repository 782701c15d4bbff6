//! Which images agents take, told by content and never by what the sender claims.

/// The largest image that is taken, in bytes, as the user documents say.
pub const IMAGE_MAX: usize = 10 * 1024 * 1024;

/// The kinds every agent takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the words say it
pub enum ImageKind {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl ImageKind {
    /// The kind by the file's first bytes, or `None` when it is no image that agents take.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }

    /// The usual ending of such a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }

    /// What it is called in HTTP.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_the_kind() {
        assert_eq!(ImageKind::of(b"\x89PNG\r\n\x1a\nrest"), Some(ImageKind::Png));
        assert_eq!(ImageKind::of(b"\xff\xd8\xff\xe0"), Some(ImageKind::Jpeg));
        assert_eq!(ImageKind::of(b"GIF89a"), Some(ImageKind::Gif));
        assert_eq!(ImageKind::of(b"RIFF\0\0\0\0WEBPVP8 "), Some(ImageKind::Webp));
        for other in [&b""[..], b"<svg/>", b"%PDF-1.4", b"RIFF\0\0\0\0WAVE", b"\x89PN"] {
            assert_eq!(ImageKind::of(other), None);
        }
    }
}

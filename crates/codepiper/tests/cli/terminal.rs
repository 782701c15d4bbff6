//! A terminal to run the command in: a pseudo-terminal, and what was written to it.

use super::Ran;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

pub(crate) struct Terminal {
    person: File,
    program: File,
}

impl Terminal {
    pub(crate) fn open(columns: u16, rows: u16) -> Self {
        let person: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&person).expect("granted");
        unlockpt(&person).expect("unlocked");
        let name = ptsname(&person, Vec::new()).expect("a name");
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
        let program = File::options().read(true).write(true).open(path).expect("opened");
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&program, size).expect("sized");
        Self { person: person.into(), program }
    }

    /// Runs the command with nothing but this terminal, and gives what was to be seen.
    pub(crate) fn run(&self, command: &mut Command) -> String {
        let end = || Stdio::from(self.program.try_clone().expect("a copy"));
        let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("started");
        child.wait().expect("ended");
        // Our own copy keeps the terminal open: a mark tells where the output ends.
        const MARK: &[u8] = b"\x04end\x04";
        (&self.program).write_all(MARK).expect("written");
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !seen.ends_with(MARK) {
            let count = (&self.person).read(&mut piece).expect("output");
            seen.extend_from_slice(&piece[..count]);
        }
        seen.truncate(seen.len() - MARK.len());
        String::from_utf8(seen).expect("UTF-8")
    }

    /// How it treats what is typed.
    pub(crate) fn modes(&self) -> String {
        format!("{:?}", tcgetattr(&self.program).expect("modes").local_modes)
    }

    /// Runs the command in no terminal, with something on its standard input.
    pub(crate) fn pipe(command: &mut Command, input: &[u8]) -> Ran {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(input).expect("written");
        std::io::Seek::rewind(&mut file).expect("rewound");
        Ran::of(command.stdin(file))
    }
}

//! Signals as something to poll: each sets its flag and writes to one pipe.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGWINCH};

pub(super) struct Signals {
    wake: UnixStream,
    resized: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
}

/// What arrived since the last look. A child's end needs no flag: children are always looked at.
pub(super) struct Arrived {
    pub(super) resized: bool,
    pub(super) ended: bool,
    pub(super) interrupted: bool,
}

impl Signals {
    pub(super) fn catch() -> std::io::Result<Self> {
        let (wake, ring) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals =
            Self { wake, resized: Arc::default(), ended: Arc::default(), interrupted: Arc::default() };
        let flags = [
            (SIGWINCH, Some(&signals.resized)),
            (SIGTERM, Some(&signals.ended)),
            (SIGHUP, Some(&signals.ended)),
            (SIGINT, Some(&signals.interrupted)),
            (SIGCHLD, None),
        ];
        for (signal, flag) in flags {
            // The flag first, so that it is up when the pipe wakes us.
            if let Some(flag) = flag {
                signal_hook::flag::register(signal, Arc::clone(flag))?;
            }
            signal_hook::low_level::pipe::register(signal, ring.try_clone()?)?;
        }
        Ok(signals)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes the pipe ready to wake us again. To be called before anything is looked at: what comes while we look
    /// wakes us once more.
    pub(super) fn heard(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(read) if read > 0) {}
    }

    pub(super) fn take(&self) -> Arrived {
        Arrived {
            resized: self.resized.swap(false, Ordering::SeqCst),
            ended: self.ended.swap(false, Ordering::SeqCst),
            interrupted: self.interrupted.swap(false, Ordering::SeqCst),
        }
    }
}

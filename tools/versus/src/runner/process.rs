//! One fresh process that does one task.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use freestone_versus::task::{EXIT_SKIPPED, Sample, Task};

/// Variables that tune one allocator or another, or put one under all of them:
/// each is measured as it comes.
const TUNING: [&str; 6] = ["MALLOC_", "MIMALLOC_", "_RJEM_", "GLIBC_TUNABLES", "FREESTONE_", "LD_PRELOAD"];

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With a sample.
    Done(Box<Sample>),
    /// The allocator can't do this by its nature.
    Skipped,
    /// In any other way.
    Failed(String),
}

/// A process under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    begin: Instant,
}

impl Running {
    /// Starts `binary` on `task`.
    pub(crate) fn start(binary: &Path, task: &Task) -> io::Result<Self> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if TUNING.iter().any(|tuning| name_text.starts_with(tuning)) {
                command.env_remove(&name);
            }
        }
        let child = command
            .arg(serde_json::to_string(task).map_err(io::Error::other)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { child, begin: Instant::now() })
    }

    /// Waits until it ends; one that takes longer than `limit` is ended.
    pub(crate) fn finish(mut self, limit: Duration) -> Outcome {
        let text = match self.read_all(limit) {
            Ok(text) => text,
            Err(error) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Outcome::Failed(error.to_string());
            }
        };
        match self.child.wait() {
            Ok(status) if status.success() => match serde_json::from_str(&text) {
                Ok(sample) => Outcome::Done(Box::new(sample)),
                Err(error) => Outcome::Failed(format!("its sample can't be read: {error}")),
            },
            Ok(status) if status.code() == Some(EXIT_SKIPPED.into()) => Outcome::Skipped,
            Ok(status) => Outcome::Failed(self.last_words(status)),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// What it prints until its end. The wait is in the kernel: a runner that
    /// looked every millisecond would take time from what it measures.
    fn read_all(&mut self, limit: Duration) -> io::Result<String> {
        let mut text = Vec::new();
        let mut chunk = [0; 16 << 10];
        let Some(stdout) = self.child.stdout.as_mut() else {
            return Err(io::Error::other("it has no output"));
        };
        loop {
            let left = limit.saturating_sub(self.begin.elapsed()).as_millis();
            let mut ready = libc::pollfd { fd: stdout.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            // SAFETY: one live pollfd, and a count of one.
            if unsafe { libc::poll(&raw mut ready, 1, left) } == 0 {
                return Err(io::Error::other(format!("no end after {} s", limit.as_secs())));
            }
            match stdout.read(&mut chunk)? {
                0 => return String::from_utf8(text).map_err(io::Error::other),
                got => text.extend_from_slice(&chunk[..got]),
            }
        }
    }

    fn last_words(&mut self, status: ExitStatus) -> String {
        let mut words = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = stderr.read_to_string(&mut words);
        }
        let how = match status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => status.to_string(),
        };
        match words.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{how}: {line}"),
            None => how,
        }
    }
}

//! Tests that need a process of their own: the test starts its program once more, with its own
//! name, and what is there to do is done in that process alone. The one way to do so for every test
//! here.
//!
//! A job is a closure in the test, not a test of its own: nothing is green because it was never
//! asked.

use std::env;
use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::death;

/// Set in the child, to the name of the test and the case.
const VARIABLE: &str = "TEST_CHILD";
/// What a child exits with whose job came to its end: not what a test harness returns, so that
/// a child that never found its job is not taken for one that did it.
pub(crate) const DONE: i32 = 42;
/// A child that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process of this program that is to do one job of the calling test.
#[must_use = "a child does nothing until it is run"]
pub(crate) struct Child {
    name: String,
    command: Command,
}

impl Child {
    /// A child of the calling test that is to do `job`; `case` tells the test's children apart.
    ///
    /// In that child `job` is done here, and the process ends with it. None in a child that is
    /// there for another case.
    pub(crate) fn new(case: impl Display, job: impl FnOnce()) -> Option<Self> {
        let test = thread::current().name().expect("the harness names its threads").to_owned();
        Self::of(&test, case, job)
    }

    /// The same by the full name of the calling test.
    pub(crate) fn of(test: &str, case: impl Display, job: impl FnOnce()) -> Option<Self> {
        let mut child = Self::of_main(format!("{test} {case}"), job)?;
        child.command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
        Some(child)
    }

    /// The same in a program that has no test harness.
    pub(crate) fn of_main(case: impl Display, job: impl FnOnce()) -> Option<Self> {
        let name = case.to_string();
        if let Ok(wanted) = env::var(VARIABLE) {
            if wanted == name {
                no_core_dump();
                job();
                // Without the harness's end, which would need memory that the job may have used up.
                // SAFETY: no preconditions.
                unsafe { libc::_exit(DONE) };
            }
            return None;
        }
        let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
        command.env(VARIABLE, &name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Some(Self { name, command })
    }

    pub(crate) fn env(mut self, variable: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(variable, value);
        self
    }

    pub(crate) fn envs<'v>(self, variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        variables.into_iter().fold(self, |child, (variable, value)| child.env(variable, value))
    }

    /// By a copy of this program at `path`, as another user.
    pub(crate) fn by_user(mut self, user: u32, path: &Path) -> Self {
        let mut command = Command::new(path);
        command.args(self.command.get_args()).current_dir("/").uid(user).gid(user);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for (variable, value) in self.command.get_envs() {
            command.env(variable, value.unwrap_or_default());
        }
        self.command = command;
        self
    }

    /// Inside the control group in that folder from its first instruction on.
    pub(crate) fn in_group(mut self, folder: &Path) -> Self {
        let file = CString::new(folder.join("cgroup.procs").as_os_str().as_bytes()).expect("a path");
        let join = move || {
            // SAFETY: the path is a C string, the text is readable, and both calls are allowed
            // after a fork.
            let written = unsafe {
                let file = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                libc::write(file, b"0".as_ptr().cast(), 1)
            };
            if written == 1 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: `join` makes two system calls and allocates nothing.
        unsafe { self.command.pre_exec(join) };
        self
    }

    /// Starts it, for a test that ends it itself.
    pub(crate) fn start(mut self) -> std::process::Child {
        let _nobody_holds_files = files_are_free();
        self.command.spawn().unwrap_or_else(|error| panic!("{} starts itself: {error}", self.name))
    }

    /// Runs it to its end, however that comes.
    pub(crate) fn run(self) -> Output {
        let name = self.name.clone();
        let child = self.start();
        let process = libc::pid_t::try_from(child.id()).expect("a process number");
        let (send, ended) = channel();
        thread::spawn(move || send.send(child.wait_with_output()));
        let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            // SAFETY: the process is this test's own, and nobody has waited for it yet.
            unsafe { libc::kill(process, libc::SIGKILL) };
            let said = ended.recv().ok().and_then(Result::ok).map(|output| said(&output));
            panic!("{name} hangs in its child process, saying:\n{}", said.unwrap_or_default());
        });
        let mut output = output.expect("the child's output");
        without_emulators_line(&mut output.stderr);
        tell_skips(&output);
        output
    }

    /// Runs it, to the end of its job. What it said.
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        let name = self.name.clone();
        let output = self.run();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(DONE), "{name}: {}, saying:\n{said}", output.status);
        said
    }

    /// Runs it, to its death by `signal` with exactly `said` on standard error.
    #[track_caller]
    pub(crate) fn dies(self, signal: i32, said: &str) {
        let name = self.name.clone();
        death::by(&self.run(), signal, said).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

/// Starts this program once more, inside a job of one without a harness, for `case` of its own.
pub(crate) fn again(case: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
    command.env(VARIABLE, case);
    command
}

/// Takes away what qemu-user adds as a signal ends the program.
fn without_emulators_line(said: &mut Vec<u8>) {
    const LINE: &[u8] = b"qemu: uncaught target signal ";
    if let Some(at) = said.windows(LINE.len()).rposition(|found| found == LINE) {
        said.truncate(at);
    }
}

/// What a job left out, which the harness would keep to itself.
fn tell_skips(output: &Output) {
    said(output).lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| eprintln!("{line}"));
}

/// Runs `job` in a process of its own and returns what became of that. `test` is the full name
/// of the calling test, and `case` tells its calls apart. None in a child that is there for
/// another case.
pub(crate) fn run(test: &str, case: usize, job: impl FnOnce()) -> Option<Output> {
    Some(Child::of(test, case, job)?.run())
}

/// Runs `job` in a process of its own, which must come to its end.
#[track_caller]
pub(crate) fn succeeds(test: &str, job: impl FnOnce()) {
    if let Some(child) = Child::of(test, 0, job) {
        child.succeeds();
    }
}

/// Runs the calling test's `job` in a process of its own, which must come to its end.
#[track_caller]
pub(crate) fn alone(job: impl FnOnce()) {
    if let Some(child) = Child::new(0, job) {
        child.succeeds();
    }
}

/// What a child wrote to its standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The signal that ended a child.
pub(crate) fn signal(output: &Output) -> Option<i32> {
    output.status.signal()
}

fn no_core_dump() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is readable for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// How many tests hold files that nobody else may have open for a moment, or may be writing a
/// program.
static HOLDERS: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

/// While it lives, no test of this program starts a child: one has every open file until it has
/// become another program, so that a lock outlives its file's closing, and a program just written
/// is busy.
pub(crate) struct Files(());

pub(crate) fn files() -> Files {
    *HOLDERS.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    Files(())
}

impl Drop for Files {
    fn drop(&mut self) {
        *HOLDERS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREE.notify_all();
    }
}

/// Waits until nobody holds files; while the answer lives, nobody new does.
fn files_are_free() -> MutexGuard<'static, usize> {
    let holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    FREE.wait_while(holders, |holders| *holders > 0).unwrap_or_else(PoisonError::into_inner)
}

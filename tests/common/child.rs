//! Tests that need a process of their own: the test runs itself again.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set in the child, to the name of the test and the number of the case.
const VARIABLE: &str = "TEST_CHILD";
/// What a child exits with whose job came to its end: not what a test harness returns, so that
/// a child that never found its job is not taken for one that did it.
pub(crate) const DONE: i32 = 42;
/// A child that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `job` in a process of its own and returns what became of that. `test` is the full name
/// of the calling test, and `case` tells its calls apart. None in a child that is there for
/// another case.
pub(crate) fn run(test: &str, case: usize, job: impl FnOnce()) -> Option<Output> {
    let name = format!("{test} {case}");
    if let Ok(wanted) = env::var(VARIABLE) {
        if wanted != name {
            return None;
        }
        no_core_dump();
        job();
        // Without the harness's end, which would need memory that the job may have used up.
        // SAFETY: no preconditions.
        unsafe { libc::_exit(DONE) };
    }
    let program = env::current_exe().expect("a test knows where it is");
    let mut child = Command::new(program)
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a test can run itself");
    let started = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().expect("a child can be killed");
            panic!("{test} hangs in its child process");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Some(child.wait_with_output().expect("the child's output"))
}

/// Runs `job` in a process of its own, which must come to its end.
pub(crate) fn succeeds(test: &str, job: impl FnOnce()) {
    let Some(output) = run(test, 0, job) else { return };
    let status = output.status;
    assert_eq!(status.code(), Some(DONE), "{test} in a child: {status}, saying:\n{}", said(&output));
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

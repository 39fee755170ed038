//! Where random operations come from, and how a failure says which ones they were.

use std::env;
use std::os::raw::c_int;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The variable that repeats a run.
const VARIABLE: &str = "TEST_SEED";

/// What a fatal signal prints: made beforehand, for the handler must not allocate.
static LINE: OnceLock<String> = OnceLock::new();

/// The seed of this process: from the environment, or else a new one each run. A failure
/// prints it, be it a panic or the death of the process.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = match env::var(VARIABLE) {
            Ok(text) => text.parse().expect("a seed is a number"),
            Err(_) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
                since.as_nanos() as u64
            }
        };
        LINE.get_or_init(|| format!("\nto repeat this run: {VARIABLE}={seed}\n"));
        print_at_panic();
        print_at_signals();
        seed
    })
}

/// Random numbers for the `stream`th of this process's users of them.
pub(crate) fn random(stream: u64) -> StdRng {
    StdRng::seed_from_u64(seed() ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn print_at_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        print_line();
    }));
}

fn print_at_signals() {
    for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL] {
        let handler: extern "C" fn(c_int) = print_and_die;
        // SAFETY: the handler only writes, and puts the default action back.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

extern "C" fn print_and_die(signal: c_int) {
    print_line();
    // SAFETY: both calls are async-signal-safe; the signal ends the process on return.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Past the test harness, which would keep the line to itself if the process dies.
fn print_line() {
    if let Some(line) = LINE.get() {
        // SAFETY: the line is readable.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

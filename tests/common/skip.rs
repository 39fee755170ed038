//! What cannot be tested on every machine: said, and a failure where it must not happen.

use std::env;

/// Set to 1 where everything can be tested. Not named as the library's own variables are: it would
/// warn.
const VARIABLE: &str = "TEST_NO_SKIP";

/// Leaves the calling test or job, since this machine lacks what it needs:
/// `skip!("no control groups")`.
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::common::skip::note(&format!($($reason)*));
        return;
    }};
}
pub(crate) use skip;

/// Notes that a part of the test is left out; fails where none may be.
#[track_caller]
pub(crate) fn note(reason: &str) {
    let must_not = env::var(VARIABLE).is_ok_and(|value| value == "1");
    assert!(!must_not, "{VARIABLE} is set, and this is not tested: {reason}");
    eprintln!("skipped: {reason}");
}

//! How a process ends that was caught at something: by which signal, and with what on standard
//! error, to the byte. The tests of the C library's door use this file, too.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// Why `output` is not that of a process that died by `signal` with exactly `said` on standard
/// error.
pub(crate) fn by(output: &Output, signal: i32, said: &str) -> Result<(), String> {
    let found = String::from_utf8_lossy(&output.stderr);
    if output.status.signal() != Some(signal) {
        return Err(format!("{}, not signal {signal}, saying:\n{found}", output.status));
    }
    if found == said { Ok(()) } else { Err(format!("it says:\n{found}and not:\n{said}")) }
}

/// The address in what must be the one line `freestone: WHAT at 0xADDRESS` and nothing else.
pub(crate) fn reported_address(output: &Output, what: &str) -> Result<String, String> {
    let found = String::from_utf8_lossy(&output.stderr);
    let address = found.strip_prefix(&format!("freestone: {what} at "));
    address
        .and_then(|rest| rest.strip_suffix('\n'))
        .filter(|address| is_address(address))
        .map(str::to_owned)
        .ok_or_else(|| format!("{found:?} is no report of: {what}"))
}

fn is_address(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

//! The options as environment variables: one table, by which they are read and shown.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};
use core::str;

use super::options::{HugePagePolicy, OnMisuse, Options, UNLIMITED};

/// What every variable's name begins with.
pub(super) const PREFIX: &[u8] = b"FREESTONE_";

/// One variable.
pub(super) struct Variable {
    /// Without the prefix.
    pub(super) name: &'static str,
    /// What it takes, for the warning.
    pub(super) takes: &'static str,
    /// None where the value is not understood.
    set: fn(&mut Options, &str) -> Option<()>,
    pub(super) show: fn(&Options, &mut dyn Write) -> fmt::Result,
}

const SWITCH: &str = "0 or 1";
const BYTES: &str = "a number of bytes, also as 64K, 64M or 1G";

/// Every variable there is.
pub(super) static VARIABLES: [Variable; 13] = [
    Variable {
        name: "PURGE_DELAY_MS",
        takes: "a number of milliseconds, or never",
        set: |options, value| {
            let delay = if value == "never" { u64::MAX } else { value.parse().ok()? };
            put(&mut options.purge_delay_ms, delay)
        },
        show: |options, out| match options.purge_delay_ms {
            u64::MAX => out.write_str("never"),
            delay => write!(out, "{delay}"),
        },
    },
    Variable {
        name: "RETAINED_BYTES",
        takes: BYTES,
        set: |options, value| put(&mut options.retained_bytes, bytes(value)?),
        show: |options, out| show_limit(options.retained_bytes, out),
    },
    Variable {
        name: "HUGE_PAGES",
        takes: "never, adaptive or always",
        set: |options, value| {
            let which = match value {
                "never" => HugePagePolicy::Never,
                "adaptive" => HugePagePolicy::Adaptive,
                "always" => HugePagePolicy::Always,
                _ => return None,
            };
            put(&mut options.huge_pages, which)
        },
        show: |options, out| {
            out.write_str(match options.huge_pages {
                HugePagePolicy::Never => "never",
                HugePagePolicy::Adaptive => "adaptive",
                HugePagePolicy::Always => "always",
            })
        },
    },
    Variable {
        name: "POPULATE",
        takes: SWITCH,
        set: |options, value| put(&mut options.populate, switch(value)?),
        show: |options, out| show_switch(options.populate, out),
    },
    Variable {
        name: "MEMORY_LIMIT",
        takes: "a number of bytes, also as 64K, 64M or 1G, or 1% to 100% of the control group's",
        set: |options, value| match value.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent))?;
                // What the environment says replaces what the program says, in whichever form.
                options.memory_limit = UNLIMITED;
                put(&mut options.cgroup_percent, percent)
            }
            None => {
                put(&mut options.memory_limit, bytes(value)?)?;
                put(&mut options.cgroup_percent, 0)
            }
        },
        show: |options, out| show_limit(options.memory_limit, out),
    },
    Variable {
        name: "SOFT_MEMORY_LIMIT",
        takes: BYTES,
        set: |options, value| put(&mut options.soft_memory_limit, bytes(value)?),
        show: |options, out| show_limit(options.soft_memory_limit, out),
    },
    Variable {
        name: "LOCK_IN_MEMORY",
        takes: SWITCH,
        set: |options, value| put(&mut options.lock_in_memory, switch(value)?),
        show: |options, out| show_switch(options.lock_in_memory, out),
    },
    Variable {
        name: "NO_RESERVE",
        takes: SWITCH,
        set: |options, value| put(&mut options.no_reserve, switch(value)?),
        show: |options, out| show_switch(options.no_reserve, out),
    },
    Variable {
        name: "GUARD_PAGES",
        takes: SWITCH,
        set: |options, value| put(&mut options.guard_pages, switch(value)?),
        show: |options, out| show_switch(options.guard_pages, out),
    },
    Variable {
        name: "CHECK_FREES",
        takes: SWITCH,
        set: |options, value| put(&mut options.check_frees, switch(value)?),
        show: |options, out| show_switch(options.check_frees, out),
    },
    Variable {
        name: "ON_MISUSE",
        takes: "abort or report",
        set: |options, value| {
            let what = match value {
                "abort" => OnMisuse::Abort,
                "report" => OnMisuse::Report,
                _ => return None,
            };
            put(&mut options.on_misuse, what)
        },
        show: |options, out| {
            out.write_str(match options.on_misuse {
                OnMisuse::Abort => "abort",
                OnMisuse::Report => "report",
            })
        },
    },
    Variable {
        name: "SHOW_STATS",
        takes: SWITCH,
        set: |options, value| put(&mut options.show_stats, switch(value)?),
        show: |options, out| show_switch(options.show_stats, out),
    },
    Variable {
        name: "VERBOSE",
        takes: SWITCH,
        set: |options, value| put(&mut options.verbose, switch(value)?),
        show: |options, out| show_switch(options.verbose, out),
    },
];

/// Why a variable has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    Unknown,
    Takes(&'static str),
}

impl Options {
    /// Sets what the variable `name`, without the prefix, stands for.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Ignored> {
        // The profiler reads it for itself: a path has no place among values that are copied.
        if cfg!(feature = "profile") && name == b"PROFILE" {
            return Ok(());
        }
        let variable =
            VARIABLES.iter().find(|variable| variable.name.as_bytes() == name).ok_or(Ignored::Unknown)?;
        str::from_utf8(value)
            .ok()
            .and_then(|value| (variable.set)(self, value))
            .ok_or(Ignored::Takes(variable.takes))
    }
}

fn put<T>(option: &mut T, value: T) -> Option<()> {
    *option = value;
    Some(())
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// A number of bytes; with K, M, G or T at its end, of that many kibibytes and so on.
fn bytes(value: &str) -> Option<usize> {
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let unit = units.into_iter().find_map(|(letter, log2)| Some((value.strip_suffix(letter)?, log2)));
    let (digits, log2) = unit.unwrap_or((value, 0));
    digits.parse::<usize>().ok()?.checked_mul(1 << log2)
}

fn show_switch(value: bool, out: &mut dyn Write) -> fmt::Result {
    out.write_str(if value { "1" } else { "0" })
}

fn show_limit(limit: usize, out: &mut dyn Write) -> fmt::Result {
    if limit == UNLIMITED { out.write_str("none") } else { write!(out, "{limit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("64K"), Some(64 << 10));
        assert_eq!(bytes("3G"), Some(3 << 30));
        for wrong in ["", "K", "-1", "1.5M", "64 K", "64k", "99999999T"] {
            assert_eq!(bytes(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_variable_takes_what_it_shows() {
        for variable in &VARIABLES {
            let mut shown = String::new();
            (variable.show)(&Options::DEFAULT, &mut shown).expect("text");
            if shown == "none" {
                continue;
            }
            let mut options = Options::DEFAULT;
            assert_eq!(options.set(variable.name.as_bytes(), shown.as_bytes()), Ok(()), "{}", variable.name);
            let mut again = String::new();
            (variable.show)(&options, &mut again).expect("text");
            assert_eq!(shown, again, "{}", variable.name);
        }
    }

    #[test]
    fn wrong_values_and_names_change_nothing() {
        let mut options = Options::DEFAULT;
        assert_eq!(options.set(b"PURGE_DELY_MS", b"1"), Err(Ignored::Unknown));
        assert_eq!(options.set(b"", b"1"), Err(Ignored::Unknown));
        for variable in &VARIABLES {
            for wrong in [&b""[..], b"perhaps", b"\xff", b"-1"] {
                let answer = options.set(variable.name.as_bytes(), wrong);
                assert_eq!(answer, Err(Ignored::Takes(variable.takes)), "{} {wrong:?}", variable.name);
            }
        }
        assert_eq!(options.set(b"MEMORY_LIMIT", b"0%"), Err(Ignored::Takes(VARIABLES[4].takes)));
        assert_eq!(options.set(b"MEMORY_LIMIT", b"101%"), Err(Ignored::Takes(VARIABLES[4].takes)));
        let text = format!("{options:?}");
        assert_eq!(text, format!("{:?}", Options::DEFAULT));
    }

    #[test]
    fn the_environments_limit_replaces_the_programs() {
        let mut options = Options { memory_limit: 5, ..Options::DEFAULT };
        assert_eq!(options.set(b"MEMORY_LIMIT", b"50%"), Ok(()));
        assert_eq!((options.memory_limit, options.cgroup_percent), (UNLIMITED, 50));
        assert_eq!(options.set(b"MEMORY_LIMIT", b"1M"), Ok(()));
        assert_eq!((options.memory_limit, options.cgroup_percent), (1 << 20, 0));
    }
}

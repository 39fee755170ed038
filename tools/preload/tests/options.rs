//! The library obeys the same variables as a program that has the allocator built in.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{preloaded, succeed, text};

#[test]
fn the_environment_steers_it() {
    let output = succeed(
        preloaded("true")
            .env("FREESTONE_VERBOSE", "1")
            .env("FREESTONE_SHOW_STATS", "1")
            .env("FREESTONE_PURGE_DELAY_MS", "7")
            .env("FREESTONE_PURGE_DELY_MS", "8"),
    );
    let said = text(&output.stderr);
    for line in ["FREESTONE_PURGE_DELAY_MS=7", "FREESTONE_PURGE_DELY_MS is ignored: there is no such option"]
    {
        assert!(said.contains(&format!("freestone: {line}\n")), "{line} in\n{said}");
    }
    assert!(said.contains("allocated") && said.contains("committed"), "{said}");
}

//! `memory_limit_from_cgroup`, and the variable in percent: the limit of the control group that the program is started in.

mod common;

use std::path::Path;
use std::process::Command;
use std::{env, fs, hint};

use common::MIB;
use common::child::said;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit_from_cgroup(50);

const INSIDE: &str = "TEST_INSIDE";

#[test]
fn inside() {
    if env::var_os(INSIDE).is_some() {
        let mut block = Vec::<u8>::new();
        assert!(block.try_reserve_exact(40 * MIB).is_err(), "60% of 64 MiB are less than that");
        assert!(block.try_reserve_exact(24 * MIB).is_ok());
        hint::black_box(block);
    }
}

/// A new group of at most 64 MiB below `parent`; none where this program may not make one.
fn new_group(parent: &Path, limit: &str) -> Option<std::path::PathBuf> {
    let group = parent.join(format!("freestone-test-{}", std::process::id()));
    fs::create_dir(&group).ok()?;
    let set = fs::write(group.join(limit), (64 * MIB).to_string());
    if set.is_err() {
        let _ = fs::remove_dir(&group);
    }
    set.ok().map(|()| group)
}

#[test]
fn is_the_limit_of_the_group() {
    if env::var_os(INSIDE).is_some() {
        return;
    }
    let version_1 = Path::new("/sys/fs/cgroup/memory");
    let group = new_group(version_1, "memory.limit_in_bytes")
        .or_else(|| new_group(Path::new("/sys/fs/cgroup"), "memory.max"));
    let Some(group) = group else {
        println!("skipped: no control group with a memory limit can be made here");
        return;
    };
    let program = env::current_exe().expect("a test knows where it is");
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" --exact inside", group.display());
    // What the program says, and what the environment says instead.
    for (variable, limit) in [(None, "33554"), (Some(("FREESTONE_MEMORY_LIMIT", "60%")), "40265")] {
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(&program)
            .env(INSIDE, "1")
            .env("FREESTONE_VERBOSE", "1")
            .envs(variable)
            .output()
            .expect("a shell");
        let text = said(&output);
        assert!(text.contains(&format!("FREESTONE_MEMORY_LIMIT={limit}")), "{text}");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let _ = fs::remove_dir(&group);
}

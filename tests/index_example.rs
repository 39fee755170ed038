//! The main job finds what is in the text, skips what is not text, and finds the same on both
//! allocators.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn index() -> Command {
    common::example::example("index")
}

/// An empty directory of this test's own.
fn directory(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("index_example").join(test);
    if path.exists() {
        fs::remove_dir_all(&path).expect("an earlier run's directory goes");
    }
    fs::create_dir_all(&path).expect("a directory can be made");
    path
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::write(path, content).expect("a file can be written");
}

/// What the program says about `directory`, both sides being equal already by its exit code.
fn result(directory: &Path, more: &[&str]) -> Value {
    result_of(&mut index(), directory, more)
}

fn result_of(index: &mut Command, directory: &Path, more: &[&str]) -> Value {
    let output =
        index.arg(directory).args(["--format", "json"]).args(more).output().expect("the example runs");
    assert!(output.status.success(), "{}", said(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(result["freestone"]["side"], "freestone");
    assert_eq!(result["system"]["side"], "system");
    assert_eq!(result["freestone"]["findings"], result["system"]["findings"]);
    result
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn counts_words_and_skips_what_is_not_text() {
    let root = directory("counts");
    fs::create_dir(root.join("below")).expect("a directory can be made");
    write(root.join("a.txt"), "Alpha beta, alpha; naïve_word\n");
    write(root.join("below").join("b.txt"), "beta ALPHA 42");
    write(root.join("empty.txt"), "");
    write(root.join("binary"), b"alpha\0beta");
    write(root.join("late_binary"), [&[b' '; 10_000][..], b"\0"].concat());
    write(root.join("latin1.txt"), b"na\xefve alpha");
    write(root.join("cut_off.txt"), "alpha é".as_bytes().split_last().expect("not empty").1);

    let result = result(&root, &["--find", "Alpha"]);
    let found = &result["freestone"]["findings"];
    assert_eq!(found["files"], 3);
    assert_eq!(found["lost_files"], 0);
    assert_eq!(found["words"], 7);
    assert_eq!(found["distinct_words"], 4);
    assert_eq!(found["bytes"], 31 + 13);
    assert_eq!(result["binary_files"], 4);
    assert_eq!(result["unreadable"], 0);
    assert_eq!(result["limit_reached"], false);

    let place =
        |file: PathBuf, positions: &[u32]| serde_json::json!({ "file": file, "positions": positions });
    assert_eq!(
        found["places"],
        serde_json::json!([
            place(root.join("a.txt"), &[0, 2]),
            place(root.join("below").join("b.txt"), &[1]),
        ])
    );
}

#[test]
fn measures_both_sides() {
    let root = directory("measures");
    write(root.join("a.txt"), "alpha ".repeat(10_000));
    let result = result(&root, &["--rounds", "2"]);
    for side in ["freestone", "system"] {
        let cost = &result[side]["cost"];
        let building = &cost["building"];
        assert!(building["secs"].as_u64() > Some(0) || building["nanos"].as_u64() > Some(0));
        assert!(cost["page_faults"].as_u64() > Some(0));
        if cfg!(target_os = "linux") {
            assert!(cost["peak_bytes"].as_u64() >= cost["left_bytes"].as_u64());
            assert!(cost["left_bytes"].as_u64() > Some(0));
        }
    }
}

/// To root nothing is unreadable: then the example is run by nobody, who must reach it.
#[cfg(unix)]
fn index_of_an_ordinary_user(folder: &Path) -> Command {
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65534;
    let index = index();
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return index;
    }
    let copy = folder.join("index");
    // By another program: one that this test has open for writing could not be run meanwhile.
    let copied = Command::new("cp").arg(index.get_program()).arg(&copy).status().expect("cp runs");
    assert!(copied.success());
    let mut copy = Command::new(copy);
    copy.uid(NOBODY).gid(NOBODY).current_dir("/");
    copy
}

#[cfg(unix)]
#[test]
fn counts_what_it_cannot_read_and_does_not_follow_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().expect("a directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the mode can be set");
    let root = folder.path().join("text");
    fs::create_dir(&root).expect("a directory can be made");
    write(root.join("a.txt"), "alpha");
    symlink(&root, root.join("loop")).expect("a link can be made");
    symlink(root.join("a.txt"), root.join("twice.txt")).expect("a link can be made");
    symlink("nowhere", root.join("dangling")).expect("a link can be made");
    let secret = root.join("secret.txt");
    write(secret.clone(), "beta");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("the mode can be set");

    let result = result_of(&mut index_of_an_ordinary_user(folder.path()), &root, &[]);
    assert_eq!(result["freestone"]["findings"]["files"], 1);
    assert_eq!(result["unreadable"], 1);
}

#[test]
fn stops_at_the_limit_between_two_characters() {
    let root = directory("limit");
    // The limit of 1 MiB falls into the middle of an "é".
    write(root.join("a.txt"), format!("x{}", "é".repeat(1 << 19)));
    write(root.join("b.txt"), "beta");
    let result = result(&root, &["--max-mb", "1"]);
    assert_eq!(result["limit_reached"], true);
    assert_eq!(result["freestone"]["findings"]["files"], 1);
    assert_eq!(result["freestone"]["findings"]["bytes"], (1 << 20) - 1);
}

#[test]
fn an_empty_directory_has_no_words() {
    let result = result(&directory("empty"), &[]);
    assert_eq!(result["freestone"]["findings"]["files"], 0);
    assert_eq!(result["freestone"]["findings"]["words"], 0);
}

#[test]
fn shows_a_table_and_stays_quiet_without_a_terminal() {
    let root = directory("table");
    write(root.join("a.txt"), "alpha");
    let output = index().arg(&root).output().expect("the example runs");
    assert!(output.status.success());
    assert_eq!(said(&output), "");
    let table = String::from_utf8(output.stdout).expect("text");
    for label in ["files", "words", "bytes", "wall time", "peak memory", "Freestone", "system"] {
        assert!(table.contains(label), "no {label} in\n{table}");
    }
}

#[test]
fn a_directory_that_is_none_is_an_error() {
    let root = directory("errors");
    write(root.join("file"), "alpha");
    for (path, reason) in [(root.join("missing"), "No such file"), (root.join("file"), "Not a directory")] {
        let output = index().arg(&path).output().expect("the example runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let said = said(&output);
        assert!(said.contains(&path.display().to_string()) && said.contains(reason), "{said}");
    }
}

#[test]
fn bad_arguments_are_errors() {
    for arguments in [["--max-mb", "0"], ["--max-mb", "much"], ["--rounds", "0"]] {
        let output = index().args(arguments).output().expect("the example runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

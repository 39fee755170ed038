//! Each example of the mapping floor does what it says, and says why when it can't.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};

use crate::common::example::example;

fn run(command: &mut Command) -> Output {
    command.output().expect("the example runs")
}

/// What a run that went well has printed; it has complained of nothing.
#[track_caller]
fn printed(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", output.status);
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What a run that failed has complained of; it has printed nothing.
#[track_caller]
fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn temporary(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    fs::write(file.path(), content).expect("it can be written");
    file
}

/// Runs an example with `input` coming through a pipe.
fn piped(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example runs");
    // An example that needs no input may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("the example ends")
}

/// The lines with a word of `words` at their start.
fn lines_of<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(word)).collect()
}

#[test]
fn cat_prints_files() {
    let long: Vec<u8> = (0..300_000_u32).map(|place| (place % 251) as u8).collect();
    for content in [&b"hello\n"[..], b"", b"\0\xff", &long] {
        let output = run(example("map_cat").arg(temporary(content).path()));
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(output.stdout, content);
    }
}

#[test]
fn cat_refuses_what_it_cannot_print() {
    let directory = complained(&run(example("map_cat").arg("/")));
    assert!(directory.starts_with("map_cat: /: it is a directory"), "{directory}");
    let missing = complained(&run(example("map_cat").arg("/no/such/file")));
    assert!(missing.contains("/no/such/file: No such file or directory"), "{missing}");
    let device = complained(&run(example("map_cat").arg("/dev/null")));
    assert!(device.contains("device"), "{device}");
    let hidden = complained(&run(example("map_cat").arg("/proc/self/status")));
    assert!(hidden.contains("EINVAL") && hidden.contains("/proc"), "{hidden}");
}

#[test]
fn every_example_explains_its_usage() {
    for name in ["cat", "index", "edit", "share", "grow", "sync", "stdin", "protect", "remap"]
        .map(|name| format!("map_{name}"))
    {
        let help = printed(&run(example(&name).arg("--help")));
        assert!(help.contains(&format!("Usage: {name}")), "{help}");
        let wrong = run(example(&name).arg("--no-such-option"));
        assert_eq!(wrong.status.code(), Some(2), "{name}");
    }
}

#[test]
fn index_answers_each_number() {
    let file = temporary("abcDefgh\n");
    let output =
        piped(example("map_index").arg(file.path()), b"3\n9\n-2\n8\nmany\n99999999999999999999\n0\n-1\n5\n");
    let expected = "Received char at 3 is D\n\
                    Received invalid index 9\n\
                    Received invalid index -2\n\
                    Received char at 8 is \\n\n\
                    Received no number: many\n\
                    Received invalid index 99999999999999999999\n\
                    Received char at 0 is a\n";
    let prompt = "Enter -1 to quit or enter a number between 0 and 8: ";
    let text = printed(&output);
    assert_eq!(text.replace(prompt, ""), expected);
    assert_eq!(text.matches(prompt).count(), 8, "it quits at -1");
}

#[test]
fn index_ends_with_its_input_and_refuses_nothing() {
    let file = temporary("x".repeat(65));
    let text = printed(&piped(example("map_index").arg(file.path()), b"65\n"));
    assert!(text.contains("Received invalid index 65"), "{text}");
    let empty = complained(&piped(example("map_index").arg(temporary("").path()), b"0\n"));
    assert!(empty.contains("file is empty"), "{empty}");
}

#[test]
fn edit_changes_one_byte_and_a_private_mapping_none() {
    let file = temporary("abcdef");
    let edit = |more: &[&str]| run(example("map_edit").arg(file.path()).args(more));
    let text = printed(&edit(&["--at", "3", "--byte", "D"]));
    assert_eq!(fs::read(file.path()).expect("it can be read"), b"abcDef");
    assert!(text.contains("byte 3 is 'd'"), "{text}");
    assert!(text.contains("shared mapping: the mapping reads 'D', the file reads 'D'"), "{text}");
    assert!(text.contains("private mapping: the mapping reads '?', the file reads 'D'"), "{text}");
    printed(&edit(&[]));
    assert_eq!(fs::read(file.path()).expect("it can be read"), b"#bcDef");

    let beyond = complained(&edit(&["--at", "6"]));
    assert!(beyond.contains("there is no byte 6: it has 6"), "{beyond}");
    let missing = complained(&run(example("map_edit").arg("/no/such/file")));
    assert!(missing.contains("No such file"), "{missing}");
    assert_eq!(edit(&["--byte", "two"]).status.code(), Some(2));
}

#[test]
fn share_tells_private_from_shared() {
    let text = printed(&run(&mut example("map_share")));
    let seen = |word| lines_of(&text, word).concat().matches(" sees it ").count();
    let unseen = |word| lines_of(&text, word).concat().matches("does not see it").count();
    assert_eq!((seen("private"), unseen("private")), (0, 2), "{text}");
    assert_eq!((seen("shared"), unseen("shared")), (2, 0), "{text}");
}

#[test]
fn grow_goes_wrong_then_right() {
    let text = printed(&run(&mut example("map_grow")));
    let (wrong, right) = text.split_once("The same, made as long").expect("two parts");
    for words in ["EINVAL", "EFAULT", "killed by SIGBUS", "the file has 0"] {
        assert!(wrong.contains(words), "no {words} in {wrong}");
    }
    for words in [
        "has 100 bytes and begins with \"hello\"",
        "it works",
        "\"Jello\"",
        "100000 bytes and ends with \"world\"",
    ] {
        assert!(right.contains(words), "no {words} in {right}");
    }
    assert!(!right.contains("killed"), "{right}");
}

#[test]
fn sync_shows_every_kind_for_both_sharings() {
    let text = printed(&run(&mut example("map_sync")));
    let rows = |word| -> Vec<Vec<&str>> {
        lines_of(&text, word).into_iter().map(|line| line.split_whitespace().rev().collect()).collect()
    };
    let (shared, private) = (rows("shared"), rows("private"));
    assert_eq!((shared.len(), private.len()), (5, 5), "{text}");
    // From the end: state, mapping and file after; the same before; what was written.
    for row in &shared {
        let written = row[6];
        assert_eq!([row[1], row[2], row[4], row[5]], [written; 4], "a shared write is seen: {text}");
    }
    for row in &private {
        assert_eq!([row[1], row[2], row[4], row[5]], ["-"; 4], "a private write is not: {text}");
    }
    let async_and_invalidate = &shared[..3];
    assert!(async_and_invalidate.iter().all(|row| row[3] == "dirty"), "{text}");
    let missing = complained(&run(example("map_sync").arg("/no/such/directory")));
    assert!(missing.contains("/no/such/directory"), "{missing}");
}

#[test]
fn stdin_can_be_a_file_a_pipe_or_a_terminal() {
    let file = temporary("0123456789");
    let from_file = example("map_stdin").stdin(File::open(file.path()).expect("opens")).output();
    let text = printed(&from_file.expect("the example runs"));
    assert!(
        text.contains("is a file") && text.contains("it works: 10 bytes") && text.contains("why: "),
        "{text}"
    );

    let text = printed(&piped(&mut example("map_stdin"), b"0123456789"));
    assert!(
        text.contains("is a pipe") && text.contains("mmap failed with ENODEV") && text.contains("why: "),
        "{text}"
    );

    let (_master, terminal) = terminal();
    let text = printed(&example("map_stdin").stdin(terminal).output().expect("the example runs"));
    assert!(text.contains("is a terminal") && text.contains("ENODEV") && text.contains("why: "), "{text}");
}

/// Both ends of a pseudo-terminal (pty(7)).
fn terminal() -> (OwnedFd, File) {
    // SAFETY: no memory is passed.
    let master = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
    assert!(master >= 0, "posix_openpt: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nobody else's.
    let owned = unsafe { OwnedFd::from_raw_fd(master) };
    let mut name = [0_u8; 64];
    // SAFETY: the descriptor is a master's; `name` is writable for as long as said.
    let ready = unsafe {
        libc::grantpt(master) == 0
            && libc::unlockpt(master) == 0
            && libc::ptsname_r(master, name.as_mut_ptr().cast(), name.len()) == 0
    };
    assert!(ready, "a pseudo-terminal: {}", std::io::Error::last_os_error());
    let length = name.iter().position(|byte| *byte == 0).expect("a C string");
    let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&name[..length]);
    let terminal = File::options().read(true).write(true).open(name).expect("the other end opens");
    (owned, terminal)
}

#[test]
fn protect_catches_and_explains() {
    let text = printed(&run(&mut example("map_protect")));
    for words in
        ["may be read: hello", "protection forbids it", "SIGSEGV at 0x", "SEGV_ACCERR", "again: hellO"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let page = text.split_whitespace().find_map(|word| word.strip_prefix("0x")).expect("the page's address");
    let page = usize::from_str_radix(page, 16).expect("an address");
    assert!(text.contains(&format!("SIGSEGV at {:#x},", page + 4)), "{text}");
}

#[test]
fn remap_grows_to_four_gib() {
    let text = printed(&run(example("map_remap").args(["--filled-mb", "4"])));
    let sizes =
        ["16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "16 MiB", "64 MiB", "256 MiB", "1 GiB", "4 GiB"];
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), sizes.len(), "{text}");
    for (row, size) in rows.iter().zip(sizes) {
        assert!(row.trim_start().starts_with(size), "{row}");
        let times = row.matches(" µs").count() + row.matches(" ms").count();
        assert!(times == 2 && row.contains("at 0x"), "{row}");
    }
    assert_eq!(run(example("map_remap").args(["--to-mb", "0"])).status.code(), Some(2));
}

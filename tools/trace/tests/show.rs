//! `show` says what the trace has.

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};

use common::{packed, sample, text, tool};

#[test]
fn the_table_and_the_page_have_the_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, page) = (folder.path().join("sample.trace"), folder.path().join("page.html"));
    fs::write(&path, packed(&sample(3000))).expect("it is written");
    let answer = tool(&[&"show", &path, &"--html", &page]);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    let page = fs::read_to_string(page).expect("the page is written");
    for figure in
        ["4,500: 3,000 malloc, 1,500 free", "1,500 blocks, 50.0% of those made", "0 frees of unknown blocks"]
    {
        assert!(text(&answer.stdout).contains(figure), "{}", text(&answer.stdout));
        assert!(page.contains(figure), "{figure}");
    }
    assert_eq!(page.matches("<svg").count(), 4);
}

/// As `freestone-trace show FILE | head` does.
#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sample.trace");
    fs::write(&path, packed(&sample(3000))).expect("it is written");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_freestone-trace"));
    let child = command.arg("show").arg(&path).stdout(writer).stderr(Stdio::piped()).spawn();
    let answer = child.and_then(Child::wait_with_output).expect("the tool runs");
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    assert_eq!(text(&answer.stderr), "");
}

#[test]
fn a_shorter_trace_is_the_beginning_of_the_longer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (long, short) = (folder.path().join("long.trace"), folder.path().join("short.trace"));
    fs::write(&long, packed(&sample(50_000))).expect("it is written");
    let most = fs::metadata(&long).expect("it is there").len() / 2;
    let answer = tool(&[&"pack", &long, &"--output", &short, &"--at-most", &most.to_string()]);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    let file = fs::read(&short).expect("it is written");
    assert!(file.len() as u64 <= most && file.len() as u64 > most / 2);
    let calls = freestone_trace::format::read(&file).expect("it is a trace").calls;
    assert_eq!(
        calls.len(),
        calls
            .iter()
            .zip(&sample(50_000).calls)
            .filter(|(one, other)| one.call.size == other.call.size)
            .count()
    );
}

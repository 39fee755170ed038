//! The index in a file: the second start finds what the first has built, and a start that was
//! killed is as none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::common::example::example;

fn program() -> Command {
    example("persistent_index")
}

fn run(index: &Path, text: &Path, word: &str) -> String {
    let mut command = program();
    command.arg(index).args(["--limit-gb", "1", "--find", word, "--text"]).arg(text);
    let Output { status, stdout, stderr } = command.output().expect("the example runs");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

#[test]
fn the_second_start_finds_what_the_first_has_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let (index, text) = (folder.path().join("index"), folder.path().join("text"));
    fs::create_dir(&text).expect("a folder");
    for number in 0..50 {
        let words = format!("alpha beta{number} alpha\n").repeat(number + 1);
        fs::write(text.join(number.to_string()), words).expect("written");
    }
    let mut killed = program()
        .arg(&index)
        .args(["--limit-gb", "1", "--text"])
        .arg(&text)
        .stdout(Stdio::null())
        .spawn()
        .expect("the example runs");
    std::thread::sleep(Duration::from_millis(3));
    killed.kill().expect("killed");
    killed.wait().expect("its end");

    let first = run(&index, &text, "alpha");
    assert!(first.contains("alpha: 2550 times in 50 files"), "{first}");
    // The text is gone, and nobody needs it.
    fs::remove_dir_all(&text).expect("removed");
    for (word, found) in
        [("alpha", "2550 times in 50 files"), ("beta7", "8 times in 1 files"), ("x", "0 times")]
    {
        let again = run(&index, &text, word);
        assert!(!again.contains("building") && again.contains("Clean"), "{again}");
        assert!(again.contains(&format!("{word}: {found}")), "{again}");
    }
}

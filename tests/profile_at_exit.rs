//! `FREESTONE_PROFILE`: each process that exits leaves a profile in a file of its own, its children beside
//! it; one that holds nothing an empty one, and one that cannot write says so and ends as it would have.

mod profile_support;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, mem};

use profile_support::{Said, read_back};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// What a process is to do that this test starts.
const INSIDE: &str = "TEST_INSIDE";
const MIB: usize = 1 << 20;

/// Blocks that hold a sample but for a chance of less than a thousandth each.
#[inline(never)]
fn kept_until_exit() {
    mem::forget(black_box(vec![black_box(vec![1_u8; 4 * MIB]); 16]));
}

#[inline(never)]
fn kept_by_the_child() {
    mem::forget(black_box(vec![black_box(vec![1_u8; 4 * MIB]); 4]));
}

fn inside(mode: &str) {
    match mode {
        "keep" => kept_until_exit(),
        "fork" => {
            kept_until_exit();
            // SAFETY: one thread only; the child allocates, and exits by returning.
            let child = unsafe { libc::fork() };
            if child == 0 {
                return kept_by_the_child();
            }
            let mut status = 0;
            // SAFETY: the status is writable.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
            eprintln!("child {child}");
        }
        "start" => {
            kept_until_exit();
            let program = env::current_exe().expect("a test knows where it is");
            let mut child = Command::new(program).env(INSIDE, "child").spawn().expect("it starts");
            eprintln!("child {}", child.id());
            assert!(child.wait().expect("it ends").success());
        }
        "child" => kept_by_the_child(),
        _ => {}
    }
}

/// Runs this program in `mode` with that variable. Its process's number, and what it said.
fn run(mode: &str, variable: &Path) -> (u32, Output) {
    let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
    command.env(INSIDE, mode).env("FREESTONE_PROFILE", variable);
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let process = child.id();
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{mode}: {output:?}");
    (process, output)
}

/// The names of the files in `directory`, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("readable");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

fn text(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

fn main() {
    if let Ok(mode) = env::var(INSIDE) {
        return inside(&mode);
    }
    alone();
    with_a_child("fork", 64);
    with_a_child("start", 0);
    draws();
    holds_nothing();
    cannot_write();
}

fn profile(path: &Path) -> Said {
    read_back(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn holds(said: &Said, function: &str, mib: usize) {
    let (claimed, is) = (said.at(function), mib * MIB);
    // Each block stands for itself and a thousandth; a few may have been missed.
    assert!(claimed.abs_diff(is) <= is / 8, "{function}: {claimed} of {is} bytes");
}

fn alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, output) = run("keep", &directory.path().join("heap.pb.gz"));
    assert_eq!(text(&output), "");
    let name = format!("heap.{process}.pb.gz");
    assert_eq!(names(directory.path()), [name.as_str()]);
    let said = profile(&directory.path().join(name));
    holds(&said, "kept_until_exit", 64);
    assert!(said.at("kept_until_exit") * 100 > said.live * 95, "{} bytes live", said.live);
}

/// The parent's file says what the parent holds, and the child's what the child does: `inherited` MiB of
/// the parent's, and its own.
fn with_a_child(mode: &str, inherited: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    // Without an extension, and with a dot in the directory's name.
    let below = directory.path().join("dotted.d");
    fs::create_dir(&below).expect("a directory");
    let (parent, output) = run(mode, &below.join("heap"));
    let child: u32 = text(&output).trim().strip_prefix("child ").expect(mode).parse().expect("a number");
    let (of_parent, of_child) = (format!("heap.{parent}"), format!("heap.{child}"));
    let mut both = [of_parent.clone(), of_child.clone()];
    both.sort();
    assert_eq!(names(&below), both);
    let said = profile(&below.join(of_parent));
    holds(&said, "kept_until_exit", 64);
    holds(&said, "kept_by_the_child", 0);
    let said = profile(&below.join(of_child));
    holds(&said, "kept_until_exit", inherited);
    holds(&said, "kept_by_the_child", 16);
}

fn draws() {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, output) = run("keep", &directory.path().join("heap.svg"));
    assert_eq!(text(&output), "");
    let drawing = fs::read_to_string(directory.path().join(format!("heap.{process}.svg"))).expect("text");
    assert!(drawing.contains("<svg") && drawing.contains("kept_until_exit"), "{drawing}");
}

fn holds_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, output) = run("nothing", &directory.path().join("heap.pb.gz"));
    assert_eq!(text(&output), "");
    let said = profile(&directory.path().join(format!("heap.{process}.pb.gz")));
    assert_eq!(said.at("kept_until_exit"), 0);
    assert!(said.live < MIB, "{}", said.live);
    // Where there is nothing to draw, that is said, and no file only looks like a drawing.
    let (process, output) = run("nothing", &directory.path().join("heap.svg"));
    let is_drawn = names(directory.path()).contains(&format!("heap.{process}.svg"));
    assert_eq!(text(&output).starts_with("freestone: no profile in "), !is_drawn, "{}", text(&output));
}

fn cannot_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, output) = run("keep", &directory.path().join("missing").join("heap.pb.gz"));
    let said = text(&output);
    assert!(said.starts_with("freestone: no profile in ") && said.contains("No such file"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

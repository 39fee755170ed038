//! `FREESTONE_PROFILE`: each process that exits leaves a profile in a file of its own, its children
//! beside it; one that holds nothing an empty one, and one that cannot write says so and ends as it
//! would have.

mod common;
mod profile_support;

use std::hint::black_box;
use std::path::Path;
use std::{fs, mem, process};

use common::child::{self, Child, DONE, said};
use common::forked::{Ending, wait};
use profile_support::{Said, read_back};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

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

/// Ends as programs do, so that a profile is written.
fn ends(job: impl FnOnce()) -> impl FnOnce() {
    || {
        job();
        process::exit(DONE)
    }
}

fn keep_and_fork() {
    kept_until_exit();
    // SAFETY: one thread only; the child allocates, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        return kept_by_the_child();
    }
    assert_eq!(wait(child), Ending::Exit(DONE));
    eprintln!("child {child}");
}

fn keep_and_start() {
    kept_until_exit();
    let mut child = child::again("started").spawn().expect("it starts");
    eprintln!("child {}", child.id());
    assert_eq!(child.wait().expect("it ends").code(), Some(DONE));
}

/// What that child does with the variable. Its process's number, and what it said.
fn run(child: Child, variable: &Path) -> (u32, String) {
    let child = child.env("FREESTONE_PROFILE", variable).start();
    let process = child.id();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(DONE), "{output:?}");
    (process, said(&output))
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

fn main() {
    let nothing = || ();
    // A child finds its job here, and goes no further.
    let children = [
        Child::of_main("kept", ends(kept_until_exit)),
        Child::of_main("forks", ends(keep_and_fork)),
        Child::of_main("starts", ends(keep_and_start)),
        Child::of_main("draws", ends(kept_until_exit)),
        Child::of_main("nothing", ends(nothing)),
        Child::of_main("nothing to draw", ends(nothing)),
        Child::of_main("cannot write", ends(kept_until_exit)),
        Child::of_main("started", ends(kept_by_the_child)),
    ];
    let [Some(kept), Some(forks), Some(starts), Some(drawn), Some(empty), Some(blank), Some(lost), Some(_)] =
        children
    else {
        panic!("a child without a job")
    };
    alone(kept);
    with_a_child(forks, 64);
    with_a_child(starts, 0);
    draws(drawn);
    holds_nothing(empty, blank);
    cannot_write(lost);
}

fn profile(path: &Path) -> Said {
    read_back(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn holds(said: &Said, function: &str, mib: usize) {
    let (claimed, is) = (said.at(function), mib * MIB);
    // Each block stands for itself and a thousandth; a few may have been missed.
    assert!(claimed.abs_diff(is) <= is / 8, "{function}: {claimed} of {is} bytes");
}

fn alone(kept: Child) {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, said) = run(kept, &directory.path().join("heap.pb.gz"));
    assert_eq!(said, "");
    let name = format!("heap.{process}.pb.gz");
    assert_eq!(names(directory.path()), [name.as_str()]);
    let said = profile(&directory.path().join(name));
    holds(&said, "kept_until_exit", 64);
    assert!(said.at("kept_until_exit") * 100 > said.live * 95, "{} bytes live", said.live);
}

/// The parent's file says what the parent holds, and the child's what the child does: `inherited`
/// MiB of the parent's, and its own.
fn with_a_child(child: Child, inherited: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    // Without an extension, and with a dot in the directory's name.
    let below = directory.path().join("dotted.d");
    fs::create_dir(&below).expect("a directory");
    let (parent, said) = run(child, &below.join("heap"));
    let child: u32 = said.trim().strip_prefix("child ").expect(&said).parse().expect("a number");
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

fn draws(drawn: Child) {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, said) = run(drawn, &directory.path().join("heap.svg"));
    assert_eq!(said, "");
    let drawing = fs::read_to_string(directory.path().join(format!("heap.{process}.svg"))).expect("text");
    assert!(drawing.contains("<svg") && drawing.contains("kept_until_exit"), "{drawing}");
}

fn holds_nothing(empty: Child, blank: Child) {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, said) = run(empty, &directory.path().join("heap.pb.gz"));
    assert_eq!(said, "");
    let said = profile(&directory.path().join(format!("heap.{process}.pb.gz")));
    assert_eq!(said.at("kept_until_exit"), 0);
    assert!(said.live < MIB, "{}", said.live);
    // Where there is nothing to draw, that is said, and no file only looks like a drawing.
    let (process, said) = run(blank, &directory.path().join("heap.svg"));
    let is_drawn = names(directory.path()).contains(&format!("heap.{process}.svg"));
    assert_eq!(said.starts_with("freestone: no profile in "), !is_drawn, "{said}");
}

fn cannot_write(lost: Child) {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, said) = run(lost, &directory.path().join("missing").join("heap.pb.gz"));
    assert!(said.starts_with("freestone: no profile in ") && said.contains("No such file"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

//! Bad files get a clear error and exit status 2, from every command that reads them.

mod common;

use std::fs;

use common::{packed, sample, text, tool};
use freestone_trace::format::{self, Flaw};

/// What each command says of a file with those bytes.
fn refused(file: &[u8], expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.trace");
    fs::write(&path, file).expect("it is written");
    let output = folder.path().join("out.trace");
    for arguments in [
        &[&"show" as &dyn AsRef<std::ffi::OsStr>, &path][..],
        &[&"advise", &path],
        &[&"pack", &path, &"--output", &output],
    ] {
        let answer = tool(arguments);
        let said = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{said}");
        assert!(said.contains("bad.trace") && said.contains(expected), "{said}");
        assert!(!output.exists());
    }
}

#[test]
fn a_cut_file_is_refused() {
    let whole = packed(&sample(100_000));
    refused(&whole[..whole.len() - 1], "cut");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = packed(&sample(5000));
    for length in 0..whole.len() {
        let flaw = format::read(&whole[..length]).expect_err("it is cut");
        let header_is_whole = length >= format::HEADER_BYTES;
        assert_eq!(matches!(flaw, Flaw::Cut(_)), header_is_whole, "at {length}: {flaw}");
    }
}

#[test]
fn a_foreign_file_is_refused() {
    refused(
        b"#!/bin/sh\necho no trace is this file, which is long enough for a header of one\n",
        "not a trace",
    );
    refused(b"", "not a trace");
}

#[test]
fn another_version_is_refused_by_number() {
    let mut file = packed(&sample(10));
    file[8] = 77;
    refused(&file, "version 77");
}

#[test]
fn a_changed_byte_is_found() {
    let whole = packed(&sample(3000));
    // Behind the block's header, which says only how long it is.
    for place in (format::HEADER_BYTES + format::BLOCK_HEADER_BYTES..whole.len() - format::BLOCK_HEADER_BYTES)
        .step_by(7)
    {
        let mut file = whole.clone();
        file[place] ^= 0x10;
        assert!(format::read(&file).is_err(), "the byte at {place}");
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let mut file = packed(&sample(10));
    file.push(0);
    assert_eq!(format::read(&file), Err(Flaw::Broken("something follows its end")));
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let answer = tool(&[&"show", &"/nowhere.trace"]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(text(&answer.stderr).contains("/nowhere.trace"), "{}", text(&answer.stderr));
}

#[test]
fn wrong_arguments_end_with_status_2() {
    for arguments in [&["replay"][..], &["record"], &["advise", "f", "--touch", "some"], &["show"]] {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|one| one as _).collect();
        assert_eq!(tool(&arguments).status.code(), Some(2));
    }
}

//! What a parent and its child see of each other's writes, in private memory and in shared.
//!
//! ```text
//! cargo run --example map_share
//! ```
//!
//! Both kinds are mapped before the fork. Then the parent writes to one byte and the child, after
//! it, to another; each looks at the other's byte.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use freestone::map::Mapping;

/// Shows what a parent and its child see of each other's writes, in private memory and in shared.
#[derive(Parser)]
#[command(name = "map_share")]
struct Arguments {}

/// Where each side writes, and what.
const PARENTS: (usize, u8) = (0, b'P');
const CHILDS: (usize, u8) = (1, b'C');
/// What nobody has written yet.
const UNTOUCHED: u8 = b'-';

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_share: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Box<dyn Error>> {
    println!("         the child, of the parent's write  the parent, of the child's write");
    for (name, mapping) in [
        ("private", Mapping::anonymous(2).private().map()?),
        ("shared", Mapping::anonymous(2).shared().map()?),
    ] {
        let (child, parent) = both_sides(mapping)?;
        println!("{name:8} {:32}  {:32}", seen(child, PARENTS), seen(parent, CHILDS));
    }
    Ok(())
}

/// What the child sees where the parent wrote, and the other way round.
fn both_sides(mut mapping: Mapping) -> Result<(u8, u8), Box<dyn Error>> {
    mapping.write_at(0, &[UNTOUCHED; 2])?;
    // The two take turns by words that are certainly shared: whether the parent has written, and
    // what the child saw.
    let turns = Mapping::anonymous(16).shared().map()?;
    let [parent_wrote, child_saw] = turns.as_atomics()? else {
        return Err("two words are mapped".into());
    };

    // SAFETY: this program has one thread, so its child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let code = i32::from(child(mapping, parent_wrote, child_saw).is_err());
            // SAFETY: ends the child here, without what its parent wants to do at its end.
            unsafe { libc::_exit(code) }
        }
        child => {
            mapping.write_at(PARENTS.0, &[PARENTS.1])?;
            parent_wrote.store(1, Ordering::Release);
            wait(child)?;
            let saw = u8::try_from(child_saw.load(Ordering::Acquire))?;
            Ok((saw, byte(&mapping, CHILDS.0)?))
        }
    }
}

fn child(
    mut mapping: Mapping,
    parent_wrote: &AtomicU64,
    child_saw: &AtomicU64,
) -> Result<(), Box<dyn Error>> {
    while parent_wrote.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    child_saw.store(byte(&mapping, PARENTS.0)?.into(), Ordering::Release);
    mapping.write_at(CHILDS.0, &[CHILDS.1])?;
    Ok(())
}

fn wait(child: libc::pid_t) -> Result<(), Box<dyn Error>> {
    let mut status = 0;
    // SAFETY: `status` is writable for the call.
    match unsafe { libc::waitpid(child, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error().into()),
        _ if status == 0 => Ok(()),
        _ => Err("the child failed".into()),
    }
}

fn byte(mapping: &Mapping, at: usize) -> Result<u8, freestone::map::Error> {
    let mut byte = [0];
    mapping.read_at(at, &mut byte)?;
    Ok(byte[0])
}

fn seen(byte: u8, written: (usize, u8)) -> String {
    let sees = if byte == written.1 { "sees it" } else { "does not see it" };
    format!("{sees} (reads '{}')", byte.escape_ascii())
}

//! A loop of `Box::new` and drop, to count the instructions of an allocation and its free.
//!
//! ```text
//! cargo build --release --example box_loop
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/box_loop 8 1000000
//! ```
//!
//! Counted for two numbers of iterations, the difference leaves the program's start out.

use std::hint::black_box;
use std::process::ExitCode;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

#[inline(never)]
fn boxes_of_8(iterations: u64) {
    for i in 0..iterations {
        black_box(Box::new(i));
    }
}

#[inline(never)]
fn boxes_of_24(iterations: u64) {
    for i in 0..iterations {
        black_box(Box::new([i; 3]));
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let bytes = arguments.next();
    let iterations = arguments.next().and_then(|count| count.parse().ok());
    match (bytes.as_deref(), iterations) {
        (Some("8"), Some(iterations)) => boxes_of_8(iterations),
        (Some("24"), Some(iterations)) => boxes_of_24(iterations),
        _ => {
            eprintln!("usage: box_loop 8|24 ITERATIONS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

//! An HTTP server on axum that knows whose memory it is, under load of its own clients.
//!
//! ```text
//! cargo run --release --manifest-path examples/tenants/Cargo.toml
//! cargo run --release --manifest-path examples/tenants/Cargo.toml --features headers
//! ```
//!
//! A layer of the router takes the tenant out of the path and enters its group for the rest of the
//! request. The program says how many bytes each tenant has by the books and by its own count, what
//! a tenant at its limit does to the others' latency, and what the whole took. With the feature
//! `headers` the same server counts by a header before each block, without limits.

mod client;
mod server;
#[cfg_attr(feature = "headers", path = "by_headers.rs")]
#[cfg_attr(not(feature = "headers"), path = "by_groups.rs")]
mod tenant;

use std::sync::Arc;
use std::time::Instant;

use client::Latencies;
use server::Shelf;
use tenant::LIMIT;

/// Requests of each client in each phase.
const REQUESTS: usize = 4_000;
/// Clients of each tenant.
const CLIENTS: usize = 4;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let start = Instant::now();
    let shelves = server::shelves();
    let (calm, pressed) = runtime.block_on(async {
        let address = server::listen(Arc::clone(&shelves)).await?;
        let calm = client::phase(address, REQUESTS, CLIENTS, None).await?;
        let pressed = client::phase(address, REQUESTS, CLIENTS, Some(0)).await?;
        std::io::Result::Ok((calm, pressed))
    })?;
    let elapsed = start.elapsed();
    let resident = freestone::stats().with_resident().resident.unwrap_or(0);
    // Ends the server with all its connections.
    drop(runtime);
    show("others while tenant 0 is as they are", &calm);
    show("others while tenant 0 is greedy", &pressed);
    println!("tenant 0: {} of its requests refused", pressed.refused);
    println!("{:.2} s in all, {} KiB resident", elapsed.as_secs_f64(), resident / 1024);
    let wrong = shelves.iter().enumerate().filter(|(number, shelf)| !report(*number, shelf)).count();
    if wrong == 0 { Ok(()) } else { Err(std::io::Error::other("the books are wrong")) }
}

fn show(phase: &str, latencies: &Latencies) {
    let [median, late] = latencies.of_others();
    println!("{phase}: median {median:?}, 99 of 100 within {late:?}");
}

/// The books against the program's own count: of requests, of which there are none, and of values.
/// Whether they agree.
fn report(number: usize, shelf: &Shelf) -> bool {
    let (counted, own) = (shelf.tenant.live_bytes(), [0, shelf.stored_bytes()]);
    let verdict = if counted == own { "exact" } else { "WRONG" };
    println!("tenant {number}: {counted:?} bytes by the books, {own:?} by the program: {verdict}");
    if let Some([requests, values]) = shelf.tenant.held_and_peak() {
        println!("          requests: {} held, {} at most", requests.0, requests.1);
        println!("          values: {} held, {} at most, limit {LIMIT}", values.0, values.1);
    }
    counted == own
}

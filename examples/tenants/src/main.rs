//! An HTTP server with a group a tenant, under load of its own clients.
//!
//! ```text
//! cargo run --release --manifest-path examples/tenants/Cargo.toml
//! cargo run --release --manifest-path examples/tenants/Cargo.toml --features headers
//! ```
//!
//! It says how many bytes each tenant has by the books and by the program's own count, what a
//! tenant at its limit does to the others' latency, and what the whole took. With the feature
//! `headers` the same server counts by a header before each block, without limits.

mod client;
mod server;
#[cfg_attr(feature = "headers", path = "by_headers.rs")]
#[cfg_attr(not(feature = "headers"), path = "by_groups.rs")]
mod tenant;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Latencies;
use server::{Server, TENANTS};
use tenant::LIMIT;

/// Requests of each client in each phase.
const REQUESTS: usize = 4_000;
/// Clients of each tenant.
const CLIENTS: usize = 4;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let start = Instant::now();
    runtime.block_on(async {
        let server = Arc::new(Server::new());
        let address = Arc::clone(&server).listen().await?;
        let calm = client::phase(address, REQUESTS, CLIENTS, None).await?;
        show("others while tenant 0 is as they are", &calm);
        let pressed = client::phase(address, REQUESTS, CLIENTS, Some(0)).await?;
        show("others while tenant 0 is greedy", &pressed);
        println!("tenant 0: {} of its requests refused", pressed.refused);
        report(&server);
        std::io::Result::Ok(())
    })?;
    let resident = freestone::stats().with_resident().resident.unwrap_or(0);
    println!("{:.2} s in all, {} KiB resident", start.elapsed().as_secs_f64(), resident / 1024);
    Ok(())
}

fn show(phase: &str, latencies: &Latencies) {
    let [median, late] = latencies.of_others();
    println!("{phase}: median {median:?}, 99 of 100 within {late:?}");
}

/// Once all is quiet, the books against the program's own count.
fn report(server: &Server) {
    std::thread::sleep(Duration::from_millis(100));
    for tenant in 0..TENANTS {
        let (counted, own) = (server.tenant(tenant).live_bytes(), server.stored_bytes(tenant));
        let verdict = if counted == own { "exact" } else { "WRONG" };
        println!("tenant {tenant}: {counted} bytes by the books, {own} by the program: {verdict}");
        if let Some((held, peak)) = server.tenant(tenant).held_and_peak() {
            println!("          {held} held, {peak} at most, limit {LIMIT}");
        }
    }
}

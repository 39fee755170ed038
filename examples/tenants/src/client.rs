//! The clients: each stores and deletes values of its tenant, and notes how long answers take.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::server::{SLOTS, TENANTS};

/// How long answers took, but those of tenant 0.
pub(crate) struct Latencies {
    others: Vec<Duration>,
    pub(crate) refused: usize,
}

impl Latencies {
    /// The median, and what 99 of 100 are within.
    pub(crate) fn of_others(&self) -> [Duration; 2] {
        [50, 99].map(|percent| self.others[self.others.len() * percent / 100])
    }
}

/// All clients, until each has made its requests. The tenant `greedy` asks for more than it may
/// have.
pub(crate) async fn phase(
    address: SocketAddr,
    requests: usize,
    clients: usize,
    greedy: Option<usize>,
) -> std::io::Result<Latencies> {
    let spawn = |number: usize| tokio::spawn(run(address, requests, number, greedy));
    let tasks: Vec<_> = (0..clients * TENANTS).map(|number| (number % TENANTS, spawn(number))).collect();
    let mut all = Latencies { others: Vec::new(), refused: 0 };
    for (tenant, task) in tasks {
        let (latencies, refused) = task.await.expect("no panic")?;
        all.refused += refused;
        if tenant != 0 {
            all.others.extend(latencies);
        }
    }
    all.others.sort();
    Ok(all)
}

async fn run(
    address: SocketAddr,
    requests: usize,
    number: usize,
    greedy: Option<usize>,
) -> std::io::Result<(Vec<Duration>, usize)> {
    let (tenant, mut seed) = (number % TENANTS, number as u64);
    let is_greedy = greedy == Some(tenant);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut latencies, mut refused, mut line) = (Vec::with_capacity(requests), 0, String::new());
    let body = vec![7_u8; 40_000];
    for _ in 0..requests {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (seed >> 33) as usize;
        // A greedy tenant never deletes, and stores longer values.
        let (is_put, longest) = if is_greedy { (true, 40_000) } else { (!random.is_multiple_of(3), 2_000) };
        let length = if is_put { random / 7 % longest + 1 } else { 0 };
        let method = if is_put { "PUT" } else { "DELETE" };
        let head =
            format!("{method} /{tenant}/{} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n", random % SLOTS);
        let start = Instant::now();
        let mut request = head.into_bytes();
        request.extend_from_slice(&body[..length]);
        stream.write_all(&request).await?;
        line.clear();
        stream.read_line(&mut line).await?;
        refused += usize::from(line.contains(" 507 "));
        while line.trim() != "" {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        latencies.push(start.elapsed());
    }
    Ok((latencies, refused))
}

//! A server that shows what its allocator does: `/metrics` for Prometheus, `/debug/pprof/heap` for
//! pprof. An example to take from: the two handlers are all that a server of your own needs.
//!
//! ```text
//! cargo run --release -p freestone-metrics -- --listen 127.0.0.1:9464
//! curl http://127.0.0.1:9464/metrics
//! pprof -http=: http://127.0.0.1:9464/debug/pprof/heap
//! ```

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use freestone::groups::Group;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tiny_http::{Header, Request, Response, Server};

mod books;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// What the server notes of requests, which strangers write, so that it is limited.
static LOG: Group = Group::new("log");
const LOG_LIMIT: usize = 1 << 20;
/// Requests that are noted, the latest.
const NOTED: usize = 1000;

#[derive(Parser)]
#[command(about = "Serves the allocator's statistics and heap profile")]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9464")]
    listen: String,
    /// Mean distance of the profile's samples, in bytes
    #[arg(long, default_value_t = freestone::profile::DEFAULT_INTERVAL_BYTES)]
    interval: usize,
    /// What the example keeps in memory, in MiB, so that there is something to see
    #[arg(long, default_value_t = 64)]
    keep: usize,
}

/// Something to see: a table of words.
fn words(mib: usize) -> HashMap<String, Vec<u32>> {
    (0..mib as u32 * 4096).map(|number| (format!("word {number:010}"), vec![number; 40])).collect()
}

/// The paths of the latest requests.
struct Log(VecDeque<String>);

impl Log {
    fn new() -> Self {
        LOG.limit(LOG_LIMIT);
        Self(LOG.enter(|| VecDeque::with_capacity(NOTED)))
    }

    /// Notes a request, as far as the limit lets it.
    fn note(&mut self, url: &str) {
        if self.0.len() == NOTED {
            self.0.pop_front();
        }
        let mut noted = String::new();
        if LOG.enter(|| noted.try_reserve_exact(url.len())).is_ok() {
            noted.push_str(url);
            self.0.push_back(noted);
        }
    }
}

type Answer = Result<(Vec<u8>, &'static str), Box<dyn Error>>;

fn metrics(registry: &Registry) -> Answer {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok((text.into_bytes(), "application/openmetrics-text; version=1.0.0; charset=utf-8"))
}

fn heap_profile() -> Answer {
    let mut profile = Vec::new();
    freestone::profile::dump(&mut profile)?;
    Ok((profile, "application/octet-stream"))
}

fn collect_if_told(request: Request, registry: &Registry) {
    let answer = match request.url() {
        "/metrics" => metrics(registry),
        "/debug/pprof/heap" => heap_profile(),
        _ => {
            let _ = request.respond(Response::from_string("not found\n").with_status_code(404));
            return;
        }
    };
    // Whoever asked may be gone: that is their business.
    let _ = match answer {
        Ok((body, kind)) => {
            let header = Header::from_bytes("Content-Type", kind).ok();
            let response = Response::from_data(body);
            request.respond(header.into_iter().fold(response, Response::with_header))
        }
        Err(error) => request.respond(Response::from_string(format!("{error}\n")).with_status_code(500)),
    };
}

fn run(options: &Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    freestone::profile::start(options.interval);
    let kept = words(options.keep);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(books::Books));
    let server = Server::http(&options.listen)?;
    let mut log = Log::new();
    println!("listening on http://{}, {} words in memory", server.server_addr(), kept.len());
    for request in server.incoming_requests() {
        log.note(request.url());
        collect_if_told(request, &registry);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freestone-metrics: {error}");
            ExitCode::FAILURE
        }
    }
}

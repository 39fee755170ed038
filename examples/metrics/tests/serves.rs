//! The server runs and answers: metrics that agree with what it keeps, a profile, and no for the
//! rest.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use flate2::read::GzDecoder;

/// The server, ended with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_freestone-metrics"))
            .args(["--listen", "127.0.0.1:0", "--interval", "65536", "--keep", "16"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.split(',').next())
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned();
        Self { child, address }
    }

    /// Status line and body.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n").expect("the head ends");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(!head.contains("chunked"), "{head}");
        (head.lines().next().unwrap_or_default().to_owned(), answer.split_off(end + 4))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn value(text: &str, name: &str) -> u64 {
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line.trim().parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn metrics_and_profile() {
    let server = Server::start();

    let (status, body) = server.get("/metrics");
    assert!(status.ends_with("200 OK"), "{status}");
    let text = String::from_utf8(body).expect("metrics are text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    // 65,536 strings of 15 bytes and vectors of 160.
    let allocated = value(&text, "freestone_allocated_bytes ");
    assert!(allocated > 65_536 * (16 + 160), "{allocated}");
    assert!(value(&text, "freestone_resident_bytes ") > allocated);
    assert!(value(&text, "freestone_mapped_bytes ") >= allocated);
    assert!(value(&text, "freestone_system_calls_total{call=\"mmap\"} ") > 0);
    assert!(value(&text, "freestone_class_blocks{block_bytes=\"160\"} ") >= 65_536);

    // 1,000 strings' places, and the path of the request itself.
    let log = |name: &str| value(&text, &format!("freestone_group_{name}{{group=\"log\"}} "));
    assert_eq!((log("requested_bytes"), log("blocks")), (24_000 + 8, 2));
    assert_eq!((log("limit_bytes"), log("refusals_total")), (1 << 20, 0));
    assert!(log("allocated_bytes") >= 24_008 && log("held_bytes") >= log("allocated_bytes"));
    assert!(log("peak_bytes") >= log("held_bytes") && log("peak_bytes") <= 1 << 20);

    let (status, body) = server.get("/debug/pprof/heap");
    assert!(status.ends_with("200 OK"), "{status}");
    let mut profile = Vec::new();
    GzDecoder::new(body.as_slice()).read_to_end(&mut profile).expect("the profile is gzip");
    let text = String::from_utf8_lossy(&profile);
    assert!(
        text.contains("inuse_space") && text.contains("freestone_metrics::"),
        "the profile names who allocated"
    );

    let (status, _) = server.get("/");
    assert!(status.contains("404"), "{status}");
    let (_, body) = server.get("/metrics");
    let text = String::from_utf8(body).expect("metrics are text");
    let paths = ["/metrics", "/debug/pprof/heap", "/", "/metrics"].map(str::len).iter().sum::<usize>() as u64;
    assert_eq!(value(&text, "freestone_group_requested_bytes{group=\"log\"} "), 24_000 + paths);
}

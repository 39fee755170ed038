//! The server: `PUT /TENANT/SLOT` stores the body, `DELETE` forgets it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::tenant::Tenant;

pub(crate) const TENANTS: usize = 4;
/// Values that each tenant may store.
pub(crate) const SLOTS: usize = 2_000;

type Values = Mutex<Vec<Option<Vec<u8>>>>;

pub(crate) struct Server {
    tenants: Vec<Tenant>,
    values: Vec<Values>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let values = || Mutex::new((0..SLOTS).map(|_| None).collect());
        Self {
            tenants: (0..TENANTS).map(Tenant::new).collect(),
            values: (0..TENANTS).map(|_| values()).collect(),
        }
    }

    pub(crate) fn tenant(&self, tenant: usize) -> &Tenant {
        &self.tenants[tenant]
    }

    /// The program's own count of what a tenant has.
    pub(crate) fn stored_bytes(&self, tenant: usize) -> usize {
        let values = self.values[tenant].lock().expect("not poisoned");
        values.iter().flatten().map(Vec::capacity).sum()
    }

    pub(crate) async fn listen(self: Arc<Self>) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&self);
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        Ok(address)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let (mut line, mut body) = (String::new(), Vec::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let mut words = line.split([' ', '/']).filter(|word| !word.is_empty());
            let is_put = words.next() == Some("PUT");
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let (tenant, slot): (usize, usize) = (number() % TENANTS, number() % SLOTS);
            body.resize(read_length(&mut stream).await?, 0);
            stream.read_exact(&mut body).await?;
            // From here on it is the tenant's memory.
            let answer = self.tenants[tenant].run(self.answer(is_put, tenant, slot, &body, &mut stream));
            answer.await?;
        }
    }

    async fn answer(
        &self,
        is_put: bool,
        tenant: usize,
        slot: usize,
        body: &[u8],
        stream: &mut BufReader<TcpStream>,
    ) -> std::io::Result<()> {
        let mut value = Vec::new();
        let status = match value.try_reserve_exact(body.len()) {
            Ok(()) => "200 OK",
            Err(_) => "507 Insufficient Storage",
        };
        if status.starts_with("200") {
            value.extend_from_slice(body);
            let new = is_put.then_some(value);
            // Freed here, in the group, whichever thread has made it.
            drop(std::mem::replace(&mut self.values[tenant].lock().expect("not poisoned")[slot], new));
        }
        let mut text = Vec::new();
        if text.try_reserve_exact(128).is_ok() {
            text.extend_from_slice(b"HTTP/1.1 ");
            text.extend_from_slice(status.as_bytes());
            text.extend_from_slice(b"\r\ncontent-length: 0\r\n\r\n");
            return stream.write_all(&text).await;
        }
        stream.write_all(b"HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n").await
    }
}

/// The length that the headers say, up to the empty line behind them.
async fn read_length(stream: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let (mut length, mut header) = (0, String::new());
    loop {
        header.clear();
        stream.read_line(&mut header).await?;
        if header.trim().is_empty() {
            return Ok(length);
        }
        if let Some(text) = header.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap_or(0);
        }
    }
}

//! The server: `PUT /TENANT/SLOT` stores the body, `DELETE` forgets it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::tenant::Tenant;

pub(crate) const TENANTS: usize = 4;
/// Values that each tenant may store.
pub(crate) const SLOTS: usize = 2_000;

/// A tenant with its values.
pub(crate) struct Shelf {
    pub(crate) tenant: Tenant,
    values: Mutex<Vec<Option<Vec<u8>>>>,
}

impl Shelf {
    fn new(number: usize) -> Self {
        let values = (0..SLOTS).map(|_| None).collect();
        Self { tenant: Tenant::new(number), values: Mutex::new(values) }
    }

    /// The program's own count of what the tenant has stored.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.values.lock().expect("not poisoned").iter().flatten().map(Vec::capacity).sum()
    }

    fn replace(&self, slot: usize, value: Option<Vec<u8>>) -> StatusCode {
        let mut values = self.values.lock().expect("not poisoned");
        let Some(place) = values.get_mut(slot) else { return StatusCode::NOT_FOUND };
        let old = std::mem::replace(place, value);
        drop(values);
        // The values' group has it no more, whichever group the thread is in.
        drop(old);
        StatusCode::OK
    }
}

type Shelves = Arc<[Shelf]>;

pub(crate) fn shelves() -> Shelves {
    (0..TENANTS).map(Shelf::new).collect()
}

/// Serves `shelves` until the runtime ends. The address.
pub(crate) async fn listen(shelves: Shelves) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket has it"));
    let routes = Router::new()
        .route("/{tenant}/{slot}", put(store).delete(forget))
        .layer(from_fn_with_state(Arc::clone(&shelves), as_tenant))
        .with_state(shelves);
    tokio::spawn(async { axum::serve(listener, routes).await });
    Ok(address)
}

/// The layer: the rest of the request is the tenant's. That is the handler, what axum allocates to
/// call it, the body where it is put together, and the response.
async fn as_tenant(
    State(shelves): State<Shelves>,
    Path((number, _)): Path<(usize, usize)>,
    request: Request,
    next: Next,
) -> Response {
    match shelves.get(number) {
        Some(shelf) => shelf.tenant.run(next.run(request)).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn store(
    State(shelves): State<Shelves>,
    Path((number, slot)): Path<(usize, usize)>,
    body: Bytes,
) -> StatusCode {
    let shelf = &shelves[number];
    // The body may be a part of the connection's buffer: what is kept is a copy of its own.
    match shelf.tenant.keep(|| copy(&body)) {
        Some(value) => shelf.replace(slot, Some(value)),
        None => StatusCode::INSUFFICIENT_STORAGE,
    }
}

async fn forget(State(shelves): State<Shelves>, Path((number, slot)): Path<(usize, usize)>) -> StatusCode {
    shelves[number].replace(slot, None)
}

/// None where the tenant may not have more.
fn copy(body: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    value.try_reserve_exact(body.len()).ok()?;
    value.extend_from_slice(body);
    Some(value)
}

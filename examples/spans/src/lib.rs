//! A layer for `tracing`: a thread that enters a span with the field `memory_group` is in the group
//! of that name until it leaves the span. What it allocates meanwhile belongs to the group.
//!
//! ```
//! use tracing::info_span;
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! # #[global_allocator]
//! # static ALLOC: freestone::Freestone = freestone::Freestone::new();
//! let subscriber = freestone_spans::registry().with(freestone_spans::MemoryGroups);
//! tracing::subscriber::set_global_default(subscriber).expect("there is no other");
//! let span = info_span!("load", memory_group = "cache");
//! let kept = span.in_scope(|| vec![1_u8; 1000]);
//! assert_eq!(freestone_spans::group("cache").requested(), 1000);
//! # drop(kept);
//! ```
//!
//! What the layer and the registry of spans need themselves belongs to a group of their own,
//! [`SPANS`]. The groups are kept for ever: their names are to be few.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use freestone::groups::{Entered, Group};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

mod own;

pub use own::{OwnRegistry, registry};

/// What spans themselves need.
pub static SPANS: Group = Group::new("spans");

/// The field whose value is the group's name.
const FIELD: &str = "memory_group";

static GROUPS: Mutex<BTreeMap<String, &'static Group>> = Mutex::new(BTreeMap::new());

/// The group of that name, made where there is none.
pub fn group(name: &str) -> &'static Group {
    SPANS.enter(|| {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        match groups.get(name) {
            Some(group) => group,
            None => {
                let group: &'static Group = Box::leak(Box::new(Group::create(name)));
                groups.insert(name.to_owned(), group);
                group
            }
        }
    })
}

thread_local! {
    /// The spans with a group that the thread is in, and what keeps it in the group. A thread that
    /// ends in a span leaves the group as this is dropped.
    static ENTERED: RefCell<Vec<(Id, Entered<'static>)>> = const { RefCell::new(Vec::new()) };
}

/// The layer. It is stateless: groups are the process's.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryGroups;

/// What a span has that names a group.
struct InGroup(&'static Group);

/// Finds the name among a span's fields.
struct Name(Option<String>);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == FIELD {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == FIELD {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for MemoryGroups {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        SPANS.enter(|| {
            let mut name = Name(None);
            attributes.record(&mut name);
            if let (Some(name), Some(span)) = (name.0, context.span(id)) {
                span.extensions_mut().insert(InGroup(group(&name)));
            }
        });
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let group = context.span(id).and_then(|span| span.extensions().get().map(|InGroup(group)| *group));
        if let Some(group) = group {
            let entered = group.entered();
            // Not where the thread's locals are gone: then it leaves at once.
            let _ = ENTERED.try_with(|all| SPANS.enter(|| all.borrow_mut().push((id.clone(), entered))));
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        // Spans may be left in any order.
        let left = ENTERED.try_with(|all| {
            let mut all = all.borrow_mut();
            let at = all.iter().rposition(|(entered, _)| entered == id)?;
            Some(all.remove(at))
        });
        drop(left);
    }
}

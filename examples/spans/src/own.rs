//! A registry of spans whose memory is its own: whatever group a thread is in as it makes a span,
//! the span's record is the registry's.

use std::any::TypeId;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::FilterId;
use tracing_subscriber::registry::LookupSpan;

use crate::SPANS;

/// The registry; see [`registry`].
#[derive(Debug)]
pub struct OwnRegistry(Registry);

/// A registry for layers, as [`tracing_subscriber::registry`], with memory of its own.
pub fn registry() -> OwnRegistry {
    OwnRegistry(SPANS.enter(Registry::default))
}

impl Subscriber for OwnRegistry {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        SPANS.enter(|| self.0.register_callsite(metadata))
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        SPANS.enter(|| self.0.new_span(attributes))
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        SPANS.enter(|| self.0.record(id, values));
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        SPANS.enter(|| self.0.record_follows_from(id, follows));
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.0.event_enabled(event)
    }

    fn event(&self, event: &Event<'_>) {
        SPANS.enter(|| self.0.event(event));
    }

    fn enter(&self, id: &Id) {
        SPANS.enter(|| self.0.enter(id));
    }

    fn exit(&self, id: &Id) {
        SPANS.enter(|| self.0.exit(id));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        SPANS.enter(|| self.0.try_close(id))
    }

    fn current_span(&self) -> Current {
        self.0.current_span()
    }

    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: forwarded to the caller.
        unsafe { self.0.downcast_raw(id) }
    }
}

impl<'s> LookupSpan<'s> for OwnRegistry {
    type Data = <Registry as LookupSpan<'s>>::Data;

    fn span_data(&'s self, id: &Id) -> Option<Self::Data> {
        self.0.span_data(id)
    }

    fn register_filter(&mut self) -> FilterId {
        self.0.register_filter()
    }
}

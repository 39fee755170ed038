//! The allocator's statistics as metrics, taken anew for each scrape.

use std::fmt;

use freestone::stats::Stats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

#[derive(Debug)]
pub(crate) struct Books;

impl Collector for Books {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = freestone::stats().with_resident();
        for (name, help, bytes) in gauges(&stats) {
            let gauge = ConstGauge::new(bytes as i64);
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let totals = [
            (
                "freestone_purged",
                "Given back to the kernel by purges",
                Some(&Unit::Bytes),
                stats.purged_total,
            ),
            ("freestone_purges", "Runs of pages given back", None, stats.purges_total),
            ("freestone_failures", "Requests for memory answered with null", None, stats.failures_total),
        ];
        for (name, help, unit, total) in totals {
            let counter = ConstCounter::new(total);
            counter.encode(encoder.encode_descriptor(name, help, unit, counter.metric_type())?)?;
        }
        calls(&stats, &mut encoder)?;
        classes(&stats, &mut encoder)
    }
}

fn gauges(stats: &Stats) -> [(&'static str, &'static str, usize); 11] {
    [
        ("freestone_allocated", "Live blocks, rounded as allocated", stats.allocated),
        ("freestone_in_flight", "Freed by other threads, not taken back yet", stats.in_flight),
        ("freestone_binned", "Freed, and kept by threads for their next allocations", stats.binned),
        ("freestone_large", "Live large allocations", stats.large),
        ("freestone_active", "Pages that hold blocks, or did", stats.active),
        ("freestone_dirty", "Free pages not given back yet", stats.dirty),
        ("freestone_clean", "Free address space of chunks without pages", stats.clean),
        ("freestone_retained", "Freed mappings that wait for reuse", stats.retained),
        ("freestone_metadata", "The allocator's own records", stats.metadata),
        ("freestone_mapped", "Address space mapped", stats.mapped),
        ("freestone_resident", "Resident memory of the whole process", stats.resident.unwrap_or(0)),
    ]
}

fn calls(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family =
        encoder.encode_descriptor("freestone_system_calls", "Calls to the kernel", None, kind)?;
    for call in stats.calls() {
        let counter = ConstCounter::new(call.made);
        counter.encode(family.encode_family(&[("call", call.name)])?)?;
    }
    Ok(())
}

fn classes(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = ConstGauge::new(0_i64).metric_type();
    let mut family =
        encoder.encode_descriptor("freestone_class_blocks", "Live blocks by size class", None, kind)?;
    for class in stats.classes() {
        let gauge = ConstGauge::new(class.used as i64);
        gauge.encode(family.encode_family(&[("block_bytes", class.block.to_string())])?)?;
    }
    Ok(())
}

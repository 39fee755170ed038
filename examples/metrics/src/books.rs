//! The allocator's statistics as metrics, taken anew for each scrape.

use std::collections::BTreeMap;
use std::fmt;

use freestone::groups::{self, GroupStats};
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
        classes(&stats, &mut encoder)?;
        by_group(&mut encoder)
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

type Gauge = (&'static str, &'static str, Option<Unit>, fn(&GroupStats) -> usize);

const GROUP_GAUGES: [Gauge; 6] = [
    ("freestone_group_requested", "Live blocks as requested", Some(Unit::Bytes), |group| group.requested),
    ("freestone_group_allocated", "Live blocks as allocated", Some(Unit::Bytes), |group| group.allocated),
    ("freestone_group_blocks", "Live blocks", None, |group| group.blocks),
    ("freestone_group_held", "What the limit is about", Some(Unit::Bytes), |group| group.held),
    ("freestone_group_peak", "The most that was held", Some(Unit::Bytes), |group| group.peak),
    // A group without a limit has none here.
    ("freestone_group_limit", "The hard limit", Some(Unit::Bytes), |group| group.limit),
];

/// A sample for each group that lives. Groups of one name are told apart by a number behind it:
/// a metric has each label once.
fn by_group(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut found: BTreeMap<String, GroupStats> = BTreeMap::new();
    groups::each(|group| {
        let names =
            (1..).map(|number| if number == 1 { group.to_string() } else { format!("{group} {number}") });
        let name = names.into_iter().find(|name| !found.contains_key(name)).expect("numbers do not end");
        found.insert(name, group.stats());
    });
    let kind = ConstGauge::new(0_i64).metric_type();
    for (name, help, unit, of) in &GROUP_GAUGES {
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (group, stats) in found.iter().filter(|(_, stats)| of(stats) != usize::MAX) {
            let gauge = ConstGauge::new(of(stats) as i64);
            gauge.encode(family.encode_family(&[("group", group.as_str())])?)?;
        }
    }
    let (name, help) = ("freestone_group_refusals", "Requests that the limit has refused");
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (group, stats) in &found {
        let counter = ConstCounter::new(stats.refusals_total);
        counter.encode(family.encode_family(&[("group", group.as_str())])?)?;
    }
    Ok(())
}

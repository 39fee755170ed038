//! Freestone against the system allocator, one group a workload, both allocators in it.
//!
//! ```text
//! cargo bench --bench alloc                    # everything: a few minutes; reports in target/criterion/report
//! cargo bench --bench alloc -- vec_growth      # one workload
//! cargo run --release --example bench_summary  # the ratios as a table
//! ```
//!
//! Both sides of a workload are the same machine code: an allocator is a table of function pointers
//! (`side`). For each size the two run one right after the other, so that a machine that grows
//! busier or warmer in the course of the run does so for both.

use std::time::Duration;

use criterion::Criterion;

mod batches;
mod blocks;
mod cpus;
mod growth;
mod mixed;
mod side;
mod single;
mod threads;

fn main() {
    let mut criterion = Criterion::default()
        // About a hundred benchmarks at about three seconds each, reports included.
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(40)
        // Enough for the intervals shown here; the default of 100,000 takes as long as a
        // measurement.
        .nresamples(20_000)
        .configure_from_args();

    single::pairs(&mut criterion);
    single::zeroed(&mut criterion);
    batches::lifo(&mut criterion);
    batches::fifo(&mut criterion);
    batches::random(&mut criterion);
    mixed::one_thread(&mut criterion);
    mixed::every_core(&mut criterion);
    growth::vec_growth(&mut criterion);
    threads::hand_over(&mut criterion);
    threads::churn(&mut criterion);

    criterion.final_summary();
}

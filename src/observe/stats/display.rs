//! Snapshots as tables.

use core::fmt;

use super::{Change, HeapUser, Stats, ThreadStats};

/// Bytes as kibibytes.
struct Kib(i64);

impl Kib {
    const fn of(bytes: usize) -> Self {
        Self(bytes as i64)
    }
}

impl fmt::Display for Kib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} KiB", self.0 / 1024)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "allocated {}", Kib::of(self.allocated))?;
        writeln!(f, "  asked   {}", Kib::of(self.requested))?;
        writeln!(f, "  in all  {}", Kib(self.requested_total.cast_signed()))?;
        if let (Some(allocations), Some(frees)) = (self.allocations_total, self.frees_total) {
            writeln!(f, "  calls   {allocations:>12} allocations, {frees} frees")?;
        }
        writeln!(f, "in flight {}", Kib::of(self.in_flight))?;
        writeln!(f, "in bins   {}", Kib::of(self.binned))?;
        writeln!(f, "  large   {} in {}", Kib::of(self.large), self.large_count)?;
        writeln!(f, "active    {}", Kib::of(self.active))?;
        writeln!(f, "mapped    {}", Kib::of(self.mapped))?;
        writeln!(f, "  slabs   {}", Kib::of(self.slabs))?;
        writeln!(f, "  dirty   {}", Kib::of(self.dirty))?;
        writeln!(f, "  clean   {}", Kib::of(self.clean))?;
        writeln!(f, "  retained{}", Kib::of(self.retained))?;
        writeln!(f, "  metadata{}", Kib::of(self.metadata))?;
        writeln!(f, "committed {}", Kib::of(self.committed))?;
        if let Some(resident) = self.resident {
            writeln!(f, "resident  {} of the whole process", Kib::of(resident))?;
        }
        let so_far = |bytes: u64| Kib(bytes.cast_signed());
        writeln!(f, "purged    {} so far, in {}", so_far(self.purged_total), self.purges_total)?;
        writeln!(f, "copied    {} so far", so_far(self.copied_total))?;
        writeln!(f, "stranded  {} so far", so_far(self.lost_total))?;
        writeln!(f, "dear huge {:>12}     so far", self.dear_huge_pages_total)?;
        writeln!(f, "failures  {:>12}     so far", self.failures_total)?;
        for call in &self.calls {
            writeln!(f, "{:<10}{:>12}     calls, {} refused", call.name, call.made, call.refused)?;
        }
        let heads = ["block", "used", "capacity", "slabs", "refills", "remote"];
        row(f, heads)?;
        for class in self.classes() {
            let sizes = [class.block, class.used, class.capacity, class.slabs];
            let [block, used, capacity, slabs] = sizes.map(|size| size as u64);
            row(f, [block, used, capacity, slabs, class.refills, class.remote_frees])?;
        }
        Ok(())
    }
}

fn row<T: fmt::Display>(f: &mut fmt::Formatter<'_>, cells: [T; 6]) -> fmt::Result {
    for cell in cells {
        write!(f, "{cell:>12}")?;
    }
    writeln!(f)
}

impl fmt::Display for ThreadStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            HeapUser::Thread(thread) => write!(f, "thread {thread:<10}")?,
            HeapUser::Nobody => write!(f, "{:<17}", "no thread")?,
            HeapUser::Shared => write!(f, "{:<17}", "shared")?,
        }
        write!(f, "{} in {} blocks, slabs", Kib::of(self.allocated), self.blocks)?;
        write!(f, "{}, {} refills, ", Kib::of(self.slabs), self.refills)?;
        write!(f, "{} freed by other threads", self.remote_frees)
    }
}

impl fmt::Display for Change {
    /// What has changed, a line each; nothing where nothing has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [
            ("allocated", self.allocated),
            ("large", self.large),
            ("active", self.active),
            ("slabs", self.slabs),
            ("dirty", self.dirty),
            ("clean", self.clean),
            ("retained", self.retained),
            ("metadata", self.metadata),
            ("mapped", self.mapped),
            ("committed", self.committed),
            ("resident", self.resident.unwrap_or(0)),
            ("purged", self.purged_total),
        ];
        for (name, bytes) in bytes.into_iter().filter(|(_, bytes)| *bytes != 0) {
            writeln!(f, "{name:<10}{bytes:>+16} bytes")?;
        }
        let counts = [
            ("large", self.large_count),
            ("purges", self.purges_total),
            ("failures", self.failures_total),
            ("calls", self.calls),
            ("refills", self.refills),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
            writeln!(f, "{name:<10}{count:>+16} times")?;
        }
        Ok(())
    }
}

//! What can go wrong, and the report that ends the process.

use std::alloc::Layout;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::door::Doors;
use crate::options::{Length, Order, Output};
use crate::pattern::Mismatch;
use crate::run::{self, Run};

/// Exit status after any failure.
pub(crate) const STATUS: i32 = 1;

/// A block as reports name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) address: usize,
    pub(crate) layout: Layout,
    pub(crate) id: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, align) = (self.layout.size(), self.layout.align());
        write!(f, "block {:#x} at {:#x}, {size} bytes aligned to {align}", self.id, self.address)
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// A block lost its contents while nobody else should have written it.
    Contents { block: Holder, mismatch: Mismatch },
    /// A block lost its contents on its way to another size.
    Moved { from: Holder, to: Holder, mismatch: Mismatch },
    /// Memory asked to be zero was not.
    NotZero { block: Holder, offset: usize, found: u8 },
    /// A block is not aligned as asked.
    Misaligned { block: Holder },
    /// A block has fewer bytes than were asked for, by the allocator's own word.
    Short { block: Holder, usable: usize },
    /// A block lies where another one is live.
    Overlap { block: Holder, start: usize, bytes: usize },
    /// Null without any limit that explains it.
    Refused { layout: Layout },
    /// A forked child failed; it has said how, if it could.
    Child { status: i32 },
}

impl Damage {
    fn kind(&self) -> &'static str {
        match self {
            Self::Contents { .. } | Self::Moved { .. } => "corruption",
            Self::NotZero { .. } => "zeroed memory is not zero",
            Self::Misaligned { .. } => "misalignment",
            Self::Short { .. } => "a block too short",
            Self::Overlap { .. } => "overlap",
            Self::Refused { .. } => "refusal without cause",
            Self::Child { .. } => "failure in a forked child",
        }
    }

    fn what(&self, f: &mut impl Write) -> fmt::Result {
        match self {
            Self::Contents { mismatch, .. } | Self::Moved { mismatch, .. } => {
                let Mismatch { offset, expected, found, shown } = mismatch;
                write!(f, "from byte {offset} on")?;
                for (name, bytes) in [(" expected", expected), ("; found", found)] {
                    write!(f, "{name}")?;
                    for byte in bytes.iter().take(*shown) {
                        write!(f, " {byte:02x}")?;
                    }
                }
                Ok(())
            }
            Self::NotZero { offset, found, .. } => write!(f, "byte {offset} is {found:#04x}"),
            Self::Misaligned { .. } => f.write_str("the address is no multiple of the alignment"),
            Self::Short { usable, .. } => write!(f, "it has {usable} bytes only"),
            Self::Overlap { start, bytes, .. } => write!(f, "{bytes} bytes from {start:#x} are live already"),
            Self::Refused { .. } => f.write_str("null, though there must be room"),
            Self::Child { status } if libc::WIFSIGNALED(*status) => {
                write!(f, "killed by signal {} (14: it hung)", libc::WTERMSIG(*status))
            }
            Self::Child { status } => write!(f, "exit status {}", libc::WEXITSTATUS(*status)),
        }
    }

    fn place(&self, f: &mut impl Write) -> fmt::Result {
        match self {
            Self::Contents { block, .. }
            | Self::NotZero { block, .. }
            | Self::Misaligned { block }
            | Self::Short { block, .. }
            | Self::Overlap { block, .. } => write!(f, "{block}"),
            Self::Moved { from, to, .. } => write!(f, "{from}, now {to}"),
            Self::Refused { layout } => write!(f, "{} bytes aligned to {}", layout.size(), layout.align()),
            Self::Child { .. } => f.write_str("in the child"),
        }
    }
}

/// Who met the damage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness {
    pub(crate) lane: usize,
    pub(crate) operation: u64,
    /// What it was doing.
    pub(crate) doing: &'static str,
}

/// Text on the stack: reports are made without the allocator, which may be broken.
pub(crate) struct Text {
    bytes: [u8; 2048],
    length: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 2048], length: 0 }
    }

    /// Writes it out in one call.
    pub(crate) fn send(&self, to: libc::c_int) {
        let length = self.length.min(self.bytes.len());
        // SAFETY: the bytes are readable.
        unsafe { libc::write(to, self.bytes.as_ptr().cast(), length) };
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // What does not fit is cut.
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(text.bytes()) {
            *slot = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Reports `damage` and ends the process, with status 1. The first report counts; whoever
/// comes later waits for the end.
#[cold]
#[inline(never)]
pub(crate) fn report(damage: &Damage, witness: Witness) -> ! {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    if REPORTED.swap(true, Ordering::Relaxed) {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
    let mut text = Text::new();
    let run = run::current();
    // Writing into `Text` never fails.
    let _ = describe(&mut text, damage, witness, run);
    text.send(libc::STDERR_FILENO);
    if let Some(run) = run.filter(|run| run.options.output == Output::Json) {
        let mut json = Text::new();
        let (Witness { lane, operation, doing }, seed) = (witness, run.options.seed);
        let _ = writeln!(
            json,
            r#"{{"outcome":"{}","seed":{seed},"lane":{lane},"operation":{operation},"doing":"{doing}"}}"#,
            damage.kind(),
        );
        json.send(libc::STDOUT_FILENO);
    }
    // SAFETY: no preconditions. No handler runs: the allocator may be broken.
    unsafe { libc::_exit(STATUS) }
}

fn describe(f: &mut Text, damage: &Damage, witness: Witness, run: Option<&Run>) -> fmt::Result {
    let Witness { lane, operation, doing } = witness;
    write!(f, "\nfreestone-stress: {}\n  what:      ", damage.kind())?;
    damage.what(f)?;
    write!(f, "\n  where:     ")?;
    damage.place(f)?;
    if let Some(run) = run {
        write!(f, "\n  seed:      {}", run.options.seed)?;
    }
    writeln!(f, "\n  operation: {operation} of lane {lane}, doing: {doing}")?;
    match run {
        Some(run) => again(f, run, operation),
        None => Ok(()),
    }
}

/// The command that repeats the run, up to `operation` if it is repeatable exactly.
pub(crate) fn again(f: &mut impl Write, run: &Run, operation: u64) -> fmt::Result {
    let options = &run.options;
    write!(f, "  again:     freestone-stress")?;
    match (options.order, options.length) {
        (Order::Strict, Length::Operations(operations)) => {
            write!(f, " --replay {} --ops {operations}", options.seed)?;
        }
        (Order::Strict, Length::Time(_)) => {
            write!(f, " --replay {} --ops {}", options.seed, operation + 1)?;
        }
        (Order::Free, Length::Operations(operations)) => {
            write!(f, " --seed {} --threads {} --ops {operations}", options.seed, options.threads)?;
        }
        (Order::Free, Length::Time(time)) => {
            let seconds = time.as_secs();
            write!(f, " --seed {} --threads {} --seconds {seconds}", options.seed, options.threads)?;
        }
    }
    write!(f, " --profile {} --live-mb {}", options.profile_name, options.live_bytes >> 20)?;
    if options.doors != Doors::Rust {
        write!(f, " --door {}", options.doors.name())?;
    }
    if let Some(limit) = options.limit_mb {
        write!(f, " --limit-mb {limit}")?;
    }
    if options.no_forks {
        write!(f, " --no-forks")?;
    }
    if options.fault_rate > 0.0 {
        write!(f, " --faults {}", options.fault_rate)?;
    }
    if let Some(at) = options.corrupt_after {
        write!(f, " --corrupt-after {at}")?;
    }
    writeln!(f)
}

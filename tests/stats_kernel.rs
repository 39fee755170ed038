//! What the statistics call mapped and resident is what the kernel does, byte for byte where only
//! the allocator maps.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Bytes of private anonymous mappings, and resident bytes of all: by `/proc/self/smaps`.
fn kernel(buffer: &mut Vec<u8>) -> (usize, usize) {
    buffer.clear();
    let room = buffer.capacity();
    File::open("/proc/self/smaps").and_then(|mut file| file.read_to_end(buffer)).expect("smaps is readable");
    assert_eq!(buffer.capacity(), room, "reading maps nothing");
    let text = str::from_utf8(buffer).expect("smaps is text");
    let (mut mapped, mut resident, mut anonymous) = (0, 0, false);
    for line in text.lines() {
        let words: [&str; 6] = {
            let mut words = line.split_ascii_whitespace();
            std::array::from_fn(|_| words.next().unwrap_or(""))
        };
        let kib = || words[1].parse::<usize>().expect("a number") * 1024;
        match words[0] {
            "Size:" if anonymous => mapped += kib(),
            "Rss:" => resident += kib(),
            range if range.contains('-') => {
                anonymous = words[1].starts_with("rw-p") && words[5].is_empty();
            }
            _ => {}
        }
    }
    (mapped, resident)
}

fn main() {
    let mut buffer = Vec::with_capacity(512 << 10);
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(100_000);
    // Everything that a first call maps is mapped.
    let _ = (kernel(&mut buffer), freestone::stats());
    let before = (freestone::stats().with_resident(), kernel(&mut buffer));
    for index in 0..60_000_usize {
        kept.push(vec![1; 1 + index * 7 % 2000]);
    }
    for _ in 0..8 {
        kept.push(black_box(vec![1; 4 << 20]));
    }
    let full = (freestone::stats().with_resident(), kernel(&mut buffer));
    let grown = full.1.0 - before.1.0;
    assert!(grown > 64 << 20, "{grown}");
    // Guards are the kernel's, before and behind each large block.
    // SAFETY: no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let guards = if cfg!(feature = "secure") { 8 * 2 * page } else { 0 };
    assert_eq!(full.0.since(&before.0).mapped, i64::try_from(grown - guards).expect("fits"));
    let (said, is) = (full.0.resident.expect("readable"), full.1.1);
    assert!(said.abs_diff(is) < 1 << 20, "resident: said {said}, is {is}");
    assert!(full.0.active <= full.0.mapped && full.0.active >= full.0.allocated);

    kept.clear();
    freestone::purge();
    let empty = (freestone::stats().with_resident(), kernel(&mut buffer));
    assert_eq!(
        empty.0.since(&full.0).mapped,
        i64::try_from(empty.1.0).expect("fits") - i64::try_from(full.1.0 - guards).expect("fits")
    );
    let change = empty.0.since(&before.0);
    assert!(change.purged_total > 0 && change.purges_total > 0 && change.calls > 0, "{change}");
    let text = change.to_string();
    assert!(text.contains(&format!("purged    {:>+16} bytes\n", change.purged_total)), "{text}");
    assert!(text.contains(&format!("calls     {:>+16} times\n", change.calls)), "{text}");
    assert_eq!(before.0.since(&before.0).to_string(), "", "nothing has changed");
    let (said, is) = (empty.0.resident.expect("readable"), empty.1.1);
    assert!(said.abs_diff(is) < 1 << 20, "resident: said {said}, is {is}");
    assert!(empty.0.to_string().contains("resident"));
}

//! A plugin with an allocator of its own, as a shared library that a program loads and unloads: see
//! `tests/plugin.rs`.

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Builds something, takes it apart, and says how many bytes it was.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_work(rounds: u32) -> u64 {
    let mut bytes = 0;
    for round in 0..rounds {
        let lines: Vec<String> = (0..100).map(|line| format!("line {line} of round {round}")).collect();
        let large = vec![1_u8; 3 << 20];
        bytes += lines.iter().map(String::len).sum::<usize>() + large.len();
    }
    bytes as u64
}

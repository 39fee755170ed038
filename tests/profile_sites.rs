//! The profile attributes live bytes to the functions that allocated them, at least 95 in a
//! hundred, and forgets what was freed, by whichever thread. Read back by pprof's own definition of
//! the format.

mod profile_support;

use std::hint::black_box;
use std::thread;

use freestone::profile;
use profile_support::now;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const MIB: usize = 1 << 20;

#[inline(never)]
#[expect(clippy::vec_box, reason = "each box is a block to be found")]
fn small_boxes(bytes: usize) -> Vec<Box<[u64; 6]>> {
    let mut boxes = Vec::with_capacity(bytes / 48);
    boxes.extend((0..bytes / 48).map(|_| black_box(Box::new([1; 6]))));
    black_box(boxes)
}

#[inline(never)]
fn medium_vecs(bytes: usize) -> Vec<Vec<u8>> {
    black_box((0..bytes / 5120).map(|_| black_box(vec![1; 5120])).collect())
}

#[inline(never)]
fn zeroed_vecs(bytes: usize) -> Vec<Vec<u8>> {
    black_box((0..bytes / 40_960).map(|_| black_box(vec![0; 40_960])).collect())
}

#[inline(never)]
fn large_vecs(bytes: usize) -> Vec<Vec<u8>> {
    black_box((0..bytes / (4 * MIB)).map(|_| black_box(vec![1; 4 * MIB])).collect())
}

#[inline(never)]
fn grown_vec(bytes: usize) -> Vec<u8> {
    let mut vec = Vec::new();
    for _ in 0..bytes / 65_536 {
        vec.extend_from_slice(black_box(&[1; 65_536]));
    }
    black_box(vec)
}

#[inline(never)]
fn freed_by_another_thread(bytes: usize) {
    let vecs: Vec<Vec<u8>> = (0..bytes / 3000).map(|_| black_box(vec![1; 3000])).collect();
    thread::spawn(move || drop(vecs)).join().expect("dropping does not panic");
}

fn main() {
    // More samples than by default, so that chance has little to say.
    profile::start(16 << 10);
    // The thread notices.
    drop(black_box(vec![1_u8; 2 * MIB]));
    drop(black_box(vec![1_u8; 2 * MIB]));

    let sites: [(&str, usize); 5] = [
        ("small_boxes", 60 * MIB + 60 * MIB / 48 * 8),
        ("medium_vecs", 50 * MIB + 50 * MIB / 5120 * 24),
        ("zeroed_vecs", 40 * MIB),
        ("large_vecs", 80 * MIB),
        ("grown_vec", 64 * MIB),
    ];
    let boxes = small_boxes(60 * MIB);
    let medium = medium_vecs(50 * MIB);
    let zeroed = zeroed_vecs(40 * MIB);
    assert!(zeroed.iter().all(|vec| vec.iter().all(|byte| *byte == 0)), "sampled blocks are zeroed too");
    let large = large_vecs(80 * MIB);
    let grown = grown_vec(64 * MIB);
    freed_by_another_thread(30 * MIB);

    let said = now();
    let mut right = 0_usize;
    for (function, bytes) in sites {
        let claimed = said.at(function);
        let error = claimed.abs_diff(bytes) as f64 / bytes as f64;
        assert!(error < 0.1, "{function}: {claimed} of {bytes} bytes");
        right += claimed;
    }
    let live = said.live;
    assert!(right as f64 > 0.95 * live as f64, "{right} of {live} live bytes are at the right functions");
    let gone = said.at("freed_by_another_thread");
    assert!(gone < MIB / 2, "{gone} bytes of what was freed by another thread");
    assert!(said.all > said.live + 60 * MIB, "{} of {}", said.live, said.all);

    let mut drawing = Vec::new();
    profile::flame_graph(&mut drawing).expect("there is something to draw");
    let drawing = String::from_utf8(drawing).expect("an SVG is text");
    assert!(drawing.contains("<svg") && drawing.contains("small_boxes"));

    // Everything goes, and the profile with it. What is sampled is freed like all else.
    drop((boxes, medium, zeroed, large, grown));
    let said = now();
    assert!(said.live < MIB, "{} bytes live at the end", said.live);
    profile::stop();
}

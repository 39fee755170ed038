//! The picture shows what the statistics count: every unit, block and large allocation once.

use std::hint::black_box;

use freestone::inspect::{Piece, UnitPicture, heap_map};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    allocated: usize,
    slabs: usize,
    dirty: usize,
    clean: usize,
    large: usize,
    large_count: usize,
    retained: usize,
}

fn picture() -> Sums {
    let mut sums = Sums::default();
    let mut last_chunk = 0;
    heap_map(|piece| match piece {
        Piece::Chunk(chunk) => {
            assert!(chunk.address > last_chunk, "chunks come in order");
            last_chunk = chunk.address;
            assert_eq!(chunk.units().first(), Some(&UnitPicture::Records));
            for unit in chunk.units() {
                match unit {
                    UnitPicture::Dirty => sums.dirty += 65536,
                    UnitPicture::Clean => sums.clean += 65536,
                    UnitPicture::Slab(slab) => {
                        assert!(slab.used <= slab.carved && slab.carved <= slab.capacity, "{slab:?}");
                        assert!(slab.capacity * slab.block <= slab.units * 65536, "{slab:?}");
                        sums.allocated += slab.used * slab.block;
                        sums.slabs += 65536;
                    }
                    UnitPicture::More => sums.slabs += 65536,
                    _ => {}
                }
            }
        }
        Piece::Large { bytes, .. } => {
            sums.allocated += bytes;
            sums.large += bytes;
            sums.large_count += 1;
        }
        Piece::Retained { bytes, .. } => sums.retained += bytes,
        _ => unreachable!("there are three kinds"),
    });
    sums
}

fn books() -> Sums {
    let stats = freestone::stats();
    Sums {
        // For its slab a block in a bin is a used one.
        allocated: stats.allocated + stats.binned,
        slabs: stats.slabs,
        dirty: stats.dirty,
        clean: stats.clean,
        large: stats.large,
        large_count: stats.large_count,
        retained: stats.retained,
    }
}

fn main() {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(40_000);
    for index in 0..30_000_usize {
        kept.push(black_box(vec![1; 1 + index * 13 % 3000]));
    }
    // More large ones than are listed under one lock.
    for index in 0..100 {
        kept.push(black_box(Vec::with_capacity((2 << 20) + index * 4096)));
    }
    assert_eq!(picture(), books());
    assert!(picture().large_count >= 100 && picture().slabs > 40 << 20);

    let mut index = 0;
    kept.retain(|_| {
        index += 1;
        index % 3 == 0
    });
    assert_eq!(picture(), books());
    freestone::purge();
    assert_eq!(picture(), books());
    assert_eq!((picture().dirty, picture().retained), (0, 0));

    // The caller may allocate and free while it looks.
    let mut seen = Vec::new();
    heap_map(|piece| {
        if let Piece::Chunk(chunk) = piece {
            seen.push(vec![chunk.address; 10]);
        }
        kept.pop();
    });
    assert!(!seen.is_empty());
}

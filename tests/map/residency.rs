//! Which pages are in memory: those touched, and no others.

use crate::support::{file, page, pattern, poke};
use freestone::map::{Error, Mapping, Refusal};

fn there(mapping: &Mapping) -> Vec<bool> {
    mapping.residency(..).expect("asks").pages().collect()
}

#[test]
fn touched_pages_and_no_others() {
    let mapping = Mapping::anonymous(5 * page()).map().expect("maps");
    assert_eq!(there(&mapping), [false; 5]);
    for number in [1, 4] {
        poke(mapping.as_mut_ptr().wrapping_add(number * page()), 1);
    }
    assert_eq!(there(&mapping), [false, true, false, false, true]);
    let residency = mapping.residency(..).expect("asks");
    assert_eq!((residency.resident_pages(), residency.resident_bytes()), (2, 2 * page()));
}

#[test]
fn of_a_part_by_the_pages_it_touches() {
    let mapping = Mapping::anonymous(5 * page()).map().expect("maps");
    poke(mapping.as_mut_ptr().wrapping_add(2 * page()), 1);
    let part =
        |range: std::ops::Range<usize>| mapping.residency(range).map(|residency| residency.pages().collect());
    assert_eq!(part(2 * page() - 1..2 * page() + 1), Ok(vec![false, true]));
    assert_eq!(part(2 * page()..2 * page()), Ok(Vec::new()));
    assert_eq!(part(0..5 * page() + 1), Err(Error::Refused(Refusal::OutOfBounds)));
}

#[test]
fn a_file_just_written_is_in_memory_and_bytes_beyond_it_are_not() {
    let mapping = Mapping::file(&file(&pattern(2 * page()))).offset(1).len(4 * page()).map().expect("maps");
    assert_eq!(there(&mapping), [true, true, false, false, false]);
}

#[test]
fn of_a_mapping_of_many_pages() {
    let mapping = Mapping::anonymous(1 << 32).no_reserve().map().expect("maps");
    let residency = mapping.residency(..).expect("asks");
    assert_eq!((residency.pages().len(), residency.resident_pages()), ((1 << 32) / page(), 0));
}

//! Each call of the mapping floor refused, one at a time: an error that says which errno it was,
//! contents as they were, and nothing left mapped.

use crate::support::{WELL, address_space_pages, in_child, page};
use freestone::fault_injection::{Call, allow_all, refuse, refused, seen};
use freestone::map::{Advice, Error, Mapping, Placement, Protection};

/// Everything once. What fails leaves the mapping as it was.
fn life(page: usize, keep: &mut impl FnMut(Result<(), Error>)) -> Result<(), Error> {
    let mut guarded = Mapping::anonymous(3 * page).guard_before(page).guard_after(1).map()?;
    let aligned = Mapping::anonymous(page).align(64 * page).map()?;
    assert!(aligned.address().get().is_multiple_of(64 * page));
    guarded.as_mut_slice()?.fill(7);
    keep(guarded.protect(Protection::READ));
    assert!(guarded.as_slice()?.iter().all(|byte| *byte == 7));
    keep(guarded.protect(Protection::READ_WRITE));

    let mut plain = Mapping::anonymous(4 * page).map()?;
    plain.as_mut_slice()?.fill(9);
    keep(plain.advise(.., Advice::WillNeed));
    for (len, placement) in [(64 * page, Placement::MayMove), (2 * page, Placement::InPlace)] {
        let before = plain.len();
        let resized = plain.resize(len, placement);
        assert_eq!(plain.len(), if resized.is_ok() { len } else { before });
        assert!(plain.as_slice()?[..2 * page].iter().all(|byte| *byte == 9));
        keep(resized);
    }
    let back = plain.split_off(page)?;
    if let Err(still) = back.unmap() {
        keep(Err(still.error));
        assert!(still.mapping.as_slice()?.iter().all(|byte| *byte == 9));
        keep(still.mapping.unmap().map_err(|still| still.error));
    }
    if plain.discard(..).map_err(|error| keep(Err(error))).is_ok() {
        assert!(plain.as_slice()?.iter().all(|byte| *byte == 0));
    }
    Ok(())
}

fn each_call_refused(calls: &[Call]) {
    // Found by a mapping, which must not be the one refused.
    let page = page();
    let none = &mut |result: Result<(), Error>| assert!(result.is_ok(), "{result:?}");
    life(page, none).expect("nothing is refused");
    let before = address_space_pages();
    for &call in calls {
        refuse(call, u64::MAX, 0, libc::ENOMEM);
        life(page, none).expect("nothing is refused");
        let count = seen(call);
        assert!(count > 0, "{call:?} is never called");
        let mut refused_ever = 0;
        for (number, errno) in (0..count)
            .flat_map(|number| [libc::ENOMEM, libc::EAGAIN, libc::EINVAL].map(|errno| (number, errno)))
        {
            let mut errors = Vec::with_capacity(4);
            refuse(call, number, 1, errno);
            let ended = life(page, &mut |result| errors.extend(result.err()));
            // Where a mapping comes to lie, aligned or not, decides how much is unmapped of it.
            assert!(refused(call) == 1 || call == Call::Unmap, "{call:?} number {number}");
            refused_ever += refused(call);
            allow_all();
            errors.extend(ended.err());
            // A drop has nobody to tell.
            assert!(errors.len() == 1 || (call == Call::Unmap && errors.is_empty()), "{errors:?}");
            for error in errors {
                assert_eq!(error.errno().map(|errno| errno.number()), Some(errno), "{error}");
            }
            if call != Call::Unmap {
                assert_eq!(address_space_pages(), before, "after {call:?} number {number}");
            }
        }
        assert!(refused_ever >= count, "{call:?} was refused {refused_ever} times of {count}");
    }
}

#[test]
fn nothing_stays_mapped() {
    assert_eq!(in_child(|| each_call_refused(&[Call::Map, Call::Remap, Call::Advise, Call::Protect])), WELL);
}

/// What a drop cannot unmap stays, as documented: that is all.
#[test]
fn unmapping() {
    assert_eq!(in_child(|| each_call_refused(&[Call::Unmap])), WELL);
}

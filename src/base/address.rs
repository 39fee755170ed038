//! Arithmetic on addresses and lengths.
#![forbid(unsafe_code)]

/// `value` rounded up to a multiple of `align`, a power of two. Wraps on overflow, so callers bound
/// `value` by `isize::MAX` first.
#[inline]
pub(crate) const fn align_up(value: usize, align: usize) -> usize {
    value.wrapping_add(align.wrapping_sub(1)) & align.wrapping_neg()
}

/// `value` rounded down to a multiple of `align`, a power of two.
#[inline]
pub(crate) const fn align_down(value: usize, align: usize) -> usize {
    value & align.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding() {
        assert_eq!(align_up(0, 8), 0);
        assert_eq!(align_up(1, 8), 8);
        assert_eq!(align_up(8, 8), 8);
        assert_eq!(align_down(4097, 4096), 4096);
        assert_eq!(align_down(4095, 4096), 0);
    }
}

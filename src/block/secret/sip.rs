//! SipHash-2-4 (Aumasson and Bernstein, 2012) of one word: its hashes tell nothing of the key. Too
//! slow for each block; used where the kernel gives no random bytes.
#![forbid(unsafe_code)]

struct State([u64; 4]);

impl State {
    const fn round(self) -> Self {
        let Self([a, b, c, d]) = self;
        let a = a.wrapping_add(b);
        let c = c.wrapping_add(d);
        let b = b.rotate_left(13) ^ a;
        let d = d.rotate_left(16) ^ c;
        let a = a.rotate_left(32).wrapping_add(d);
        let c = c.wrapping_add(b);
        let d = d.rotate_left(21) ^ a;
        let b = b.rotate_left(17) ^ c;
        Self([a, b, c.rotate_left(32), d])
    }

    const fn taking(self, word: u64) -> Self {
        let Self([a, b, c, d]) = self;
        let Self([a, b, c, d]) = Self([a, b, c, d ^ word]).round().round();
        Self([a ^ word, b, c, d])
    }
}

/// The hash of `word`, as eight bytes.
pub(super) const fn hash([first, second]: [u64; 2], word: u64) -> u64 {
    let state = State([
        first ^ 0x736f_6d65_7073_6575,
        second ^ 0x646f_7261_6e64_6f6d,
        first ^ 0x6c79_6765_6e65_7261,
        second ^ 0x7465_6462_7974_6573,
    ]);
    let State([a, b, c, d]) = state.taking(word).taking((size_of::<u64>() as u64) << 56);
    let State([a, b, c, d]) = State([a, b, c ^ 0xff, d]).round().round().round().round();
    a ^ b ^ c ^ d
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// The ninth of the paper's vectors: eight bytes from zero up, under the key of sixteen from
    /// zero up.
    #[test]
    fn the_vector_of_eight_bytes() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(hash(key, 0x0706_0504_0302_0100), 0x93f5_f579_9a93_2462);
    }
}

//! Chance that can be repeated.

/// Draws numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed draws the same numbers.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A number of the range.
    pub(crate) fn from(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + self.next() as usize % range.len()
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.from(0..of.len())]
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): tiny, and good enough to choose moments.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

//! Chance that can be repeated.

/// Draws numbers from a seed.
pub(super) struct Dice(u64);

impl Dice {
    /// From the seed in `HANDFAST_CHAOS_SEED`, else from a fresh one; either is printed, so that a failure can be had again.
    pub(super) fn new() -> Self {
        let given = std::env::var("HANDFAST_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| rand::random_range(0..1_000_000));
        eprintln!("HANDFAST_CHAOS_SEED={seed}");
        Self(seed)
    }

    /// A number of the range.
    pub(super) fn from(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + self.next() as usize % range.len()
    }

    /// Heads or tails.
    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): tiny, and good enough to choose moments.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

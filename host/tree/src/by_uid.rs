//! Maps by uid. Uids are made by the host at random, so nobody can choose them to collide, and a
//! cheap hash does.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type ByUid<K, V> = HashMap<K, V, BuildHasherDefault<UidHasher>>;

/// A map with room for this many.
pub(crate) fn with_room<K, V>(count: usize) -> ByUid<K, V> {
    ByUid::with_capacity_and_hasher(count, BuildHasherDefault::default())
}

/// Multiplies what it is given; good for uids alone.
#[derive(Default)]
pub(crate) struct UidHasher(u64);

impl Hasher for UidHasher {
    fn write(&mut self, bytes: &[u8]) {
        /// Odd, with its bits spread: that of the golden ratio.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(SPREAD);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length of a uid, the same for all.
    }

    fn finish(&self) -> u64 {
        // Multiplication spreads upwards; maps look at the lowest bits first.
        self.0.rotate_left(26)
    }
}

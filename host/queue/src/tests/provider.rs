//! A provider that counts what is done to it, and forgets, hides and loses at random.

use std::collections::BTreeMap;

use enginehouse_model::Timestamp;

/// Milliseconds from a request's sending to the last moment at which it can arrive.
pub(super) const REQUEST_TIMEOUT: u64 = 10_000;
/// Milliseconds until what a request did can be seen, at most.
pub(super) const LAG: u64 = 5_000;

/// A small random number generator (splitmix64): a seed repeats a run.
#[derive(Clone, Debug)]
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn chance(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }
}

/// What one request did, by its digest.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub times: u32,
    arrives: Timestamp,
    visible: Timestamp,
    ends: Timestamp,
    pub ends_badly: bool,
    pub forgotten: bool,
}

#[derive(Debug, Default)]
pub(super) struct Provider {
    pub effects: BTreeMap<String, Effect>,
}

/// What can be seen of a request.
pub(super) enum Seen {
    Nothing,
    Running,
    Over,
}

impl Provider {
    /// A request is on its way, and will do something when it arrives.
    pub(super) fn send(&mut self, digest: &str, now: Timestamp, random: &mut Random, late: bool) {
        let delay = if late {
            random.below(REQUEST_TIMEOUT)
        } else {
            0
        };
        let arrives = now.plus_ms(delay);
        let effect = Effect {
            times: 1,
            arrives,
            visible: arrives.plus_ms(random.below(LAG)),
            ends: arrives.plus_ms(random.below(20_000)),
            ends_badly: random.chance(5),
            forgotten: random.chance(8),
        };
        self.effects
            .entry(digest.to_owned())
            .and_modify(|before| before.times += 1)
            .or_insert(effect);
    }

    /// What `settle` sees.
    pub(super) fn look(&self, digest: &str, now: Timestamp) -> Seen {
        match self.effects.get(digest) {
            Some(effect) if effect.visible <= now => match effect.ends <= now {
                true => Seen::Over,
                false => Seen::Running,
            },
            _ => Seen::Nothing,
        }
    }

    /// Whether the task of a request has ended, and how badly.
    pub(super) fn task(&self, digest: &str, now: Timestamp) -> Option<bool> {
        let effect = self.effects.get(digest)?;
        assert!(effect.arrives <= now, "polled before it was begun");
        (effect.ends <= now).then_some(effect.ends_badly)
    }

    /// Whether the request did something, or will.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.effects.contains_key(digest)
    }
}

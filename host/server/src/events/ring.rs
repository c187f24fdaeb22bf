//! The newest events, numbered without gaps.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::events::Draft;

/// Most bytes of the events together.
const BYTES_MAX: usize = 8 << 20;

/// An event with its number.
#[derive(Debug)]
pub(crate) struct Event {
    pub id: u64,
    pub draft: Draft,
}

/// What comes after a place.
#[derive(Debug)]
pub(crate) enum After {
    /// In their order; none: there is nothing new.
    Events(Vec<Arc<Event>>),
    /// Some of it is no longer there.
    Lost,
}

/// Bounded by count and by bytes: the oldest make room for the newest.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Number of the next one.
    next: u64,
    most: usize,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            events: VecDeque::new(),
            next: 1,
            most: most.max(1),
            bytes: 0,
        }
    }

    /// The place after all there is.
    pub(crate) fn latest(&self) -> u64 {
        self.next - 1
    }

    pub(crate) fn push(&mut self, draft: Draft) {
        self.bytes += draft.data.len();
        let id = self.next;
        self.next += 1;
        self.events.push_back(Arc::new(Event { id, draft }));
        // One that is larger than all may be is told all the same.
        while self.events.len() > self.most || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= oldest.draft.data.len();
            }
        }
    }

    /// Something happened that is told to nobody: whoever listens must read the state again.
    pub(crate) fn lose(&mut self) {
        self.events.clear();
        self.bytes = 0;
        self.next += 1;
    }

    /// At most `limit` events after a place.
    pub(crate) fn after(&self, place: u64, limit: usize) -> After {
        let oldest = self.events.front().map_or(self.next, |event| event.id);
        if place >= self.next || place + 1 < oldest {
            return After::Lost;
        }
        let skip = usize::try_from(place + 1 - oldest).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skip).take(limit);
        After::Events(events.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(bytes: usize) -> Draft {
        Draft::new(
            "node",
            None,
            &enginehouse_model::FullName::root(),
            &"x".repeat(bytes),
        )
    }

    /// The numbers after a place, or that some are lost.
    fn after(ring: &Ring, place: u64) -> Option<Vec<u64>> {
        match ring.after(place, 100) {
            After::Events(events) => Some(events.iter().map(|event| event.id).collect()),
            After::Lost => None,
        }
    }

    #[test]
    fn a_reader_gets_each_event_once_or_is_told_that_some_are_lost() {
        let mut ring = Ring::new(3);
        assert_eq!(after(&ring, 0), Some(vec![]));
        assert_eq!(after(&ring, 1), None, "a place that nobody was given");
        for _ in 0..3 {
            ring.push(draft(1));
        }
        assert_eq!(after(&ring, 0), Some(vec![1, 2, 3]));
        assert_eq!(after(&ring, 2), Some(vec![3]));
        let After::Events(two) = ring.after(0, 2) else {
            panic!("lost")
        };
        assert_eq!(two.len(), 2);
        ring.push(draft(1));
        assert_eq!(after(&ring, 0), None, "the first made room");
        assert_eq!(after(&ring, 1), Some(vec![2, 3, 4]));
        assert_eq!(after(&ring, ring.latest()), Some(vec![]));
    }

    #[test]
    fn what_is_told_to_nobody_is_a_gap_for_everybody() {
        let mut ring = Ring::new(3);
        ring.push(draft(1));
        let place = ring.latest();
        ring.lose();
        assert_eq!(after(&ring, place), None);
        let place = ring.latest();
        assert_eq!(after(&ring, place), Some(vec![]));
        ring.push(draft(1));
        assert_eq!(after(&ring, place).unwrap().len(), 1);
    }

    #[test]
    fn large_events_leave_room_for_fewer() {
        let mut ring = Ring::new(1000);
        for _ in 0..20 {
            ring.push(draft(1 << 20));
        }
        assert!(ring.bytes <= BYTES_MAX, "{}", ring.bytes);
        assert!(
            (5..=8).contains(&ring.events.len()),
            "{}",
            ring.events.len()
        );
        ring.push(draft(BYTES_MAX * 2));
        assert_eq!(after(&ring, ring.latest() - 1).unwrap().len(), 1);
        ring.push(draft(1));
        assert_eq!(
            ring.bytes,
            ring.events
                .iter()
                .map(|e| e.draft.data.len())
                .sum::<usize>()
        );
    }
}

//! An order in which each comes after what it needs.

use std::collections::BTreeSet;

/// The places `0..before.len()` in an order in which each comes after those of its set, and
/// otherwise as they were given. Places that there are not are nothing to wait for.
///
/// # Errors
/// With those that cannot be begun because they need each other, or something that does.
pub fn sequence(before: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut then: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    let mut waits: Vec<usize> = vec![0; before.len()];
    for (at, needed) in before.iter().enumerate() {
        for other in needed {
            if let Some(then) = then.get_mut(*other) {
                then.push(at);
                if let Some(waits) = waits.get_mut(at) {
                    *waits += 1;
                }
            }
        }
    }
    let free = waits.iter().enumerate().filter(|(_, waits)| **waits == 0);
    let mut ready: BTreeSet<usize> = free.map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for next in then.get(at).into_iter().flatten() {
            if let Some(waits) = waits.get_mut(*next) {
                *waits -= 1;
                if *waits == 0 {
                    ready.insert(*next);
                }
            }
        }
    }
    if order.len() == before.len() {
        return Ok(order);
    }
    let held = waits.iter().enumerate().filter(|(_, waits)| **waits > 0);
    Err(held.map(|(at, _)| at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(before: &[&[usize]]) -> Result<Vec<usize>, Vec<usize>> {
        let sets = before.iter().map(|set| set.iter().copied().collect());
        sequence(&sets.collect::<Vec<_>>())
    }

    #[test]
    fn each_comes_after_what_it_needs_and_else_as_it_was_given() {
        assert_eq!(of(&[]), Ok(vec![]));
        assert_eq!(of(&[&[], &[], &[]]), Ok(vec![0, 1, 2]));
        assert_eq!(of(&[&[2], &[], &[1]]), Ok(vec![1, 2, 0]));
        assert_eq!(of(&[&[1, 2], &[3], &[3], &[]]), Ok(vec![3, 1, 2, 0]));
    }

    #[test]
    fn those_that_need_each_other_are_named_with_what_comes_after_them() {
        assert_eq!(of(&[&[0]]), Err(vec![0]));
        assert_eq!(of(&[&[1], &[0], &[]]), Err(vec![0, 1]));
        assert_eq!(of(&[&[1], &[2], &[1], &[]]), Err(vec![0, 1, 2]));
    }

    #[test]
    fn what_is_not_there_is_not_waited_for() {
        assert_eq!(of(&[&[7], &[]]), Ok(vec![0, 1]));
    }
}

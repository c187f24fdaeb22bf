//! A small map in the order of its names. Machines have one disk and two nics: in a `BTreeMap`
//! each of these would take the room of eleven.

use std::sync::Arc;

/// Values by name, in the order of the names.
#[derive(Clone, Debug, PartialEq)]
pub struct ByName<V>(Vec<(Arc<str>, V)>);

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> ByName<V> {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        let at = self.place(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts in the place of a value what `change` makes of it; without one, it is no more.
    pub(crate) fn update(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Option<V>)) {
        match self.place(name) {
            Ok(at) => {
                let (name, value) = self.0.remove(at);
                let mut value = Some(value);
                change(&mut value);
                if let Some(value) = value {
                    self.0.insert(at, (name, value));
                }
            }
            Err(at) => {
                let mut value = None;
                change(&mut value);
                if let Some(value) = value {
                    self.0.insert(at, (Arc::clone(name), value));
                }
            }
        }
    }

    /// Keeps what `change` leaves of each value.
    pub(crate) fn filter_map(&self, change: impl Fn(&mut Option<V>)) -> Self
    where
        V: Clone,
    {
        let kept = self.0.iter().filter_map(|(name, value)| {
            let mut kept = Some(value.clone());
            change(&mut kept);
            kept.map(|kept| (Arc::clone(name), kept))
        });
        Self(kept.collect())
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_order_whatever_the_order_of_updates() {
        let mut map = ByName::default();
        for (name, value) in [
            ("b", Some(1)),
            ("c", Some(2)),
            ("a", Some(3)),
            ("b", Some(4)),
            ("c", None),
            ("d", None),
        ] {
            map.update(&name.into(), |slot| *slot = value);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [("a", &3), ("b", &4)]);
        assert_eq!((map.get("b"), map.get("c")), (Some(&4), None));
        let odd = map.filter_map(|slot| {
            slot.take_if(|value| *value % 2 == 0);
        });
        assert_eq!(odd.iter().collect::<Vec<_>>(), [("a", &3)]);
    }
}

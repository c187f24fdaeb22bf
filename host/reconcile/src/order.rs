//! The order of the machines of a plan: by hypervisor; numeric ids first, by value; other ids by
//! bytes; those without one last, by name.
//!
//! Keys are small and lend their texts: ordering a hundred thousand machines copies none.

use std::collections::BTreeMap;

use enginehouse_model::{FullName, HypervisorUid, NodeUid};

use crate::MachinePlan;

/// Digits that always fit into a `u64`.
const DIGITS_MAX: usize = 19;

pub(crate) fn in_order(machines: Vec<MachinePlan>) -> Vec<MachinePlan> {
    let order: Vec<usize> = {
        let mut ranks: BTreeMap<(&str, HypervisorUid), u32> = BTreeMap::new();
        for machine in &machines {
            ranks.insert((&machine.hypervisor_name, machine.hypervisor), 0);
        }
        for (rank, of) in (0..).zip(ranks.values_mut()) {
            *of = rank;
        }
        let rank = |machine: &MachinePlan| {
            let hypervisor = (machine.hypervisor_name.as_str(), machine.hypervisor);
            ranks.get(&hypervisor).copied().unwrap_or_default()
        };
        let mut keys: Vec<(Key<'_>, usize)> = machines
            .iter()
            .enumerate()
            .map(|(at, machine)| (key(rank(machine), machine), at))
            .collect();
        if keys.is_sorted() {
            drop(keys);
            return machines;
        }
        keys.sort_unstable();
        keys.into_iter().map(|(_, at)| at).collect()
    };
    let mut machines: Vec<Option<MachinePlan>> = machines.into_iter().map(Some).collect();
    let taken = order.into_iter();
    taken
        .filter_map(|at| machines.get_mut(at).and_then(Option::take))
        .collect()
}

/// Hypervisor, id, name, node.
type Key<'a> = (u32, Id<'a>, &'a FullName, NodeUid);

/// In the order of the variants. Texts follow a number only to tell `09` from `9`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Id<'a> {
    Number(u64, &'a str),
    /// Longer is larger once leading zeros are gone; no number is too large for that.
    Large(usize, &'a str, &'a str),
    Text(&'a str),
    None,
}

fn key(rank: u32, machine: &MachinePlan) -> Key<'_> {
    let id = match machine.machine_id.as_deref() {
        Some(id) if id.bytes().all(|byte| byte.is_ascii_digit()) => {
            let digits = id.trim_start_matches('0');
            let number = match digits.len() {
                0 => Some(0),
                1..=DIGITS_MAX => digits.parse().ok(),
                _ => None,
            };
            match number {
                Some(number) => Id::Number(number, id),
                None => Id::Large(digits.len(), digits, id),
            }
        }
        Some(id) => Id::Text(id),
        None => Id::None,
    };
    (rank, id, &machine.name, machine.node)
}

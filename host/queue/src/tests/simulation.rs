//! What holds whatever the provider does, whoever cancels, and wherever the host is killed.

use std::collections::BTreeMap;

use enginehouse_model::{NodeUid, OperationId};

use super::engine::{digest, phases};
use super::fixture::{hypervisor, spec};
use super::provider::Random;
use super::shell::{Kill, Shell, Work};
use crate::{Entry, Final, Operation, Phase, Spec};

/// Orders of one run: up to ten operations on four machines of two hypervisors, and one operation
/// with parts.
fn orders(random: &mut Random) -> Vec<Vec<Spec>> {
    let mut number = 0;
    let mut one = |random: &mut Random| {
        number += 1;
        let target = 1 + u128::from(random.below(4));
        let mut spec = spec(number, target);
        spec.hypervisor = Some(hypervisor(1 + target / 4));
        spec
    };
    let mut orders: Vec<Vec<Spec>> = (0..2 + random.below(6))
        .map(|_| vec![one(random)])
        .collect();
    let mut parent = one(random);
    parent.target = spec(0, 100).target;
    parent.hypervisor = None;
    let parts: Vec<Spec> = (0..1 + random.below(3))
        .map(|_| Spec {
            parent: Some(parent.number),
            ..one(random)
        })
        .collect();
    parent.children = parts.iter().map(|part| part.number).collect();
    orders.push(std::iter::once(parent).chain(parts).collect());
    orders
}

fn simulate(seed: u64, kill: Kill) -> Shell {
    let mut shell = Shell::new(seed, kill);
    let mut random = Random(seed ^ 0xabcd);
    let orders = orders(&mut random);
    let specs: Vec<Spec> = orders.iter().flatten().cloned().collect();
    let mut at = 0;
    for order in orders {
        at += random.below(2_000);
        shell.later(at, Work::Submit(order));
    }
    for spec in &specs {
        if random.chance(25) {
            let ms = random.below(60_000);
            shell.later(ms, Work::Cancel(spec.number));
        }
    }
    shell.later(60_000, Work::LookAround);
    shell.run();
    check(&shell, &specs);
    shell
}

/// What must hold of a run that is over.
fn check(shell: &Shell, specs: &[Spec]) {
    assert!(shell.queue.is_clean(), "something was left behind");
    for (digest, effect) in &shell.provider.effects {
        assert_eq!(effect.times, 1, "{digest} was done {} times", effect.times);
    }
    for spec in specs {
        let ended = shell.ended.get(&spec.number);
        let ended = ended.unwrap_or_else(|| panic!("{} did not end", spec.number));
        check_truth(shell, ended);
    }
    check_order(shell, specs);
}

/// The final state is true.
fn check_truth(shell: &Shell, ended: &Operation) {
    let number = ended.number();
    let Phase::Ended { state, problem } = &ended.phase else {
        panic!("{number} left the queue while {:?}", ended.phase);
    };
    if !ended.spec.children.is_empty() || shell.judged.contains(&number) {
        return;
    }
    let journal = shell.journal.iter().filter(|(of, _)| *of == number);
    let skipped = journal
        .filter(|(_, text)| text.contains("\"skipped\""))
        .count();
    let done = |step: usize, escalated| {
        phases(&ended.steps[step])
            .iter()
            .enumerate()
            .filter(|(_, kind)| matches!(kind.as_str(), "once" | "task"))
            .map(|(phase, _)| shell.provider.has(&digest(number, step, phase, escalated)))
            .collect::<Vec<bool>>()
    };
    match state {
        Final::Succeeded => {
            assert_eq!(ended.step, ended.steps.len());
            let complete = (0..ended.steps.len())
                .filter(|step| {
                    done(*step, false).iter().all(|done| *done)
                        || done(*step, true).iter().all(|done| *done)
                })
                .count();
            assert!(
                complete + skipped >= ended.steps.len(),
                "{number} did not do all"
            );
        }
        Final::Failed => assert!(problem.is_some(), "{number} failed without a reason"),
        Final::Cancelled => {
            assert!(ended.cancel.is_some(), "nobody cancelled {number}");
            if ended.current_step().is_some() {
                let begun = done(ended.step, ended.state.escalated);
                assert!(!begun.contains(&true), "{number} was left half done");
            }
        }
    }
}

/// Lanes ran in order; parents ended after their parts.
fn check_order(shell: &Shell, specs: &[Spec]) {
    let targets: BTreeMap<OperationId, NodeUid> = specs
        .iter()
        .map(|spec| (spec.number, spec.target))
        .collect();
    let mut open: BTreeMap<NodeUid, OperationId> = BTreeMap::new();
    let mut ended = Vec::new();
    for (number, text) in &shell.journal {
        let target = targets[number];
        match serde_json::from_str(text).unwrap() {
            Entry::Started => {
                let before = open.insert(target, *number);
                assert!(before.is_none_or(|before| before <= *number));
                assert!(before.is_none_or(|b| b == *number || ended.contains(&b)));
            }
            Entry::Ended { .. } => {
                let spec = specs.iter().find(|spec| spec.number == *number).unwrap();
                assert!(spec.children.iter().all(|child| ended.contains(child)));
                ended.push(*number);
            }
            _ => {}
        }
    }
}

#[test]
fn every_run_ends_truly_and_nothing_is_done_twice() {
    let mut states = BTreeMap::<&str, usize>::new();
    let mut entries = BTreeMap::<String, usize>::new();
    for seed in 0..800 {
        let shell = simulate(seed, Kill::Never);
        for ended in shell.ended.values() {
            *states.entry(ended.state_name()).or_default() += 1;
        }
        for (_, text) in &shell.journal {
            let entry: Entry = serde_json::from_str(text).unwrap();
            let name = crate::transition::entry_name(&entry);
            *entries.entry(name).or_default() += 1;
        }
    }
    // The runs are about something: every entry and every end is in them, and often.
    assert_eq!(states.len(), 3, "{states:?}");
    assert!(states.values().all(|n| *n > 200), "{states:?}");
    assert_eq!(entries.len(), 21, "{entries:?}");
    assert!(entries.values().all(|n| *n > 20), "{entries:?}");
}

#[test]
fn a_kill_after_any_entry_changes_nothing_of_that() {
    for seed in 0..8 {
        let entries = simulate(seed, Kill::Never).journal.len();
        for after in 1..=entries {
            assert_eq!(simulate(seed, Kill::After(after)).crashes, 1);
        }
    }
}

#[test]
fn many_kills_change_nothing_of_that_either() {
    let mut crashes = 0;
    for seed in 0..250 {
        crashes += simulate(seed, Kill::PerCent(4)).crashes;
    }
    assert!(crashes > 500, "{crashes}");
}

//! What holds whatever the provider does, whoever cancels, and wherever the host is killed.

use std::collections::BTreeMap;

use enginehouse_model::{NodeUid, OperationId};

use super::engine::{digest, phases};
use super::fixture::{hypervisor, spec};
use super::provider::Random;
use super::shell::{Kill, Shell, Work};
use crate::{After, EndedPart, Entry, Final, OnFailure, Operation, Phase, Place, Spec, Urgency};

/// Orders of one run: up to ten operations on four machines of two hypervisors, and one operation
/// with parts.
fn orders(random: &mut Random) -> Vec<Vec<Spec>> {
    let mut number = 0;
    let mut one = |random: &mut Random| {
        number += 1;
        let target = 1 + u128::from(random.below(4));
        let mut spec = spec(number, target);
        spec.hypervisor = Some(hypervisor(1 + target / 4));
        spec.overtakes = random.chance(10);
        if random.chance(30) {
            spec.urgency = Urgency::Automatic;
        }
        if number > 1 && random.chance(20) {
            spec.supersedes = vec![OperationId(1 + random.below(number - 1))];
        }
        spec
    };
    let mut orders: Vec<Vec<Spec>> = (0..2 + random.below(6))
        .map(|_| vec![one(random)])
        .collect();
    let mut parent = one(random);
    parent.target = spec(0, 100).target;
    parent.hypervisor = None;
    parent.overtakes = false;
    parent.supersedes = Vec::new();
    let rolls_back = |random: &mut Random| match random.chance(50) {
        true => OnFailure::Rollback,
        false => OnFailure::Keep,
    };
    parent.on_failure = rolls_back(random);
    let mut parts: Vec<Spec> = Vec::new();
    for _ in 0..1 + random.below(4) {
        let before = parts.iter().filter(|_| random.chance(40));
        let after = before
            .map(|before| After {
                number: before.number,
                however_it_ends: false,
            })
            .collect();
        let part = Spec {
            parent: Some(parent.number),
            after,
            overtakes: false,
            on_failure: rolls_back(random),
            ..one(random)
        };
        parts.push(part);
    }
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
    shell.last_number = specs.len() as u64;
    for spec in &specs {
        if random.chance(25) {
            let ms = random.below(60_000);
            shell.later(ms, Work::Cancel(spec.number));
        }
        if random.chance(25) {
            let other = OperationId(1 + random.below(specs.len() as u64));
            let place = match random.below(4) {
                0 => Place::First,
                1 => Place::Last,
                2 => Place::Before(other),
                _ => Place::After(other),
            };
            shell.later(random.below(8_000), Work::Move(spec.number, place));
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
    let taken_back = shell
        .ended
        .values()
        .filter(|ended| ended.spec.kind == "undo");
    let mut all = specs.to_vec();
    for ended in taken_back {
        check_truth(shell, ended);
        all.push(ended.spec.clone());
    }
    check_rollback(shell, specs);
    check_order(shell, &all);
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
        Final::Superseded => assert!(ended.steps.is_empty(), "{number} was left half done"),
        Final::Cancelled => {
            let after_one = problem.is_some() && !ended.spec.after.is_empty();
            assert!(
                ended.cancel.is_some() || after_one,
                "nobody cancelled {number}"
            );
            if ended.current_step().is_some() {
                let begun = done(ended.step, ended.state.escalated);
                assert!(!begun.contains(&true), "{number} was left half done");
            }
        }
    }
}

/// What had a failed part is taken back, every part once, the last first; nothing else is.
fn check_rollback(shell: &Shell, specs: &[Spec]) {
    for parent in specs.iter().filter(|spec| !spec.children.is_empty()) {
        let ended = &shell.ended[&parent.number];
        let own = |part: &&EndedPart| {
            part.on_failure == OnFailure::Rollback || parent.on_failure == OnFailure::Rollback
        };
        let failed = ended
            .forward_parts()
            .filter(|part| part.state == Final::Failed)
            .any(|part| own(&part));
        assert_eq!(ended.undo.is_some(), failed, "{}", parent.number);
        let undo: Vec<OperationId> = ended.undo.iter().flatten().copied().collect();
        let targets: Vec<NodeUid> = undo.iter().map(|n| shell.ended[n].spec.target).collect();
        let asked = parent.children.iter().rev();
        let asked: Vec<NodeUid> = asked.map(|n| shell.ended[n].spec.target).collect();
        assert!(!failed || targets == asked, "{}", parent.number);
    }
}

/// Of a lane one ran at a time, and each after what it had to wait for; parents ended after their
/// parts.
fn check_order(shell: &Shell, specs: &[Spec]) {
    let by_number: BTreeMap<OperationId, &Spec> =
        specs.iter().map(|spec| (spec.number, spec)).collect();
    let mut open: BTreeMap<NodeUid, OperationId> = BTreeMap::new();
    let mut ended = Vec::new();
    for (number, text) in &shell.journal {
        let spec = by_number[number];
        match serde_json::from_str(text).unwrap() {
            Entry::Started => {
                let before = open.insert(spec.target, *number);
                assert!(before.is_none_or(|b| b == *number || ended.contains(&b)));
                let mut after = spec.after.iter();
                assert!(after.all(|after| ended.contains(&after.number)));
            }
            Entry::Ended { .. } => {
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
    assert_eq!(states.len(), 4, "{states:?}");
    assert!(states.values().all(|n| *n > 150), "{states:?}");
    assert_eq!(entries.len(), 24, "{entries:?}");
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

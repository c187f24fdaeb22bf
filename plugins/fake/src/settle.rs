//! What became of a request whose answer was lost: a create is found by the mark it carries, the
//! other ones by what they change.

use enginehouse_sdk::prelude::*;

use crate::Phase;
use crate::act::changes;
use crate::provider::{Vm, machine, machines};

pub(crate) fn settle(
    cx: &Cx,
    request: &ActionRequest,
    phase: Option<Phase>,
    sent: &Sent,
) -> Result<Settled<Phase>> {
    let id = request.machine.as_ref().map_or("", |machine| &machine.id);
    match (&request.action, phase) {
        (Action::Create { .. }, _) => created(cx, sent),
        (
            Action::Configure {
                desired, changed, ..
            },
            _,
        ) => {
            let (vm, body) = (machine(cx, id)?, changes(desired, changed)?);
            let mut wanted = body.as_object().into_iter().flatten();
            let fits = wanted.all(|(field, value)| match value.as_object() {
                Some(labels) => labels
                    .iter()
                    .all(|(name, value)| vm.raw["labels"][name] == *value),
                None => vm.raw[field] == *value,
            });
            Ok(if fits {
                Settled::done(Phase::Changed)
            } else {
                Settled::not_started()
            })
        }
        (Action::Restart { .. }, Some(Phase::Restarting { boots })) => {
            let vm = machine(cx, id)?;
            let restarted = vm.raw["boots"].as_u64() > Some(boots);
            Ok(by_task(&vm, "restart", sent, restarted, Phase::Ended))
        }
        (Action::DiskAdd { name, .. }, _) => {
            let vm = machine(cx, id)?;
            let added = vm.slots().any(|(label, _)| label == *name);
            Ok(by_task(&vm, "disk-add", sent, added, Phase::Changed))
        }
        (action, _) => Ok(Settled::unknown(format!(
            "{} loses no request",
            action.name()
        ))),
    }
}

/// The task of a locked machine tells of a request that is still being carried out.
fn by_task(vm: &Vm, lock: &str, sent: &Sent, done: bool, phase: Phase) -> Settled<Phase> {
    match vm
        .task()
        .filter(|_| vm.shown.lock.as_deref() == Some(lock) && !sent.lost)
    {
        Some(task) => Settled::pending(task, phase),
        None if done => Settled::done(phase),
        None => Settled::not_started(),
    }
}

fn created(cx: &Cx, sent: &Sent) -> Result<Settled<Phase>> {
    let (mut ours, mut hidden, mut cursor) = (Vec::new(), Vec::new(), None);
    let away = loop {
        let page = machines(cx, cursor.as_deref())?;
        for vm in page.machines {
            match &vm.shown.mark {
                Some(mark) if *mark == cx.mark() => ours.push(vm),
                Some(_) => {}
                None => hidden.push(vm.shown.id),
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break page.hosts_away.join(", "),
        }
    };
    Ok(match ours.as_slice() {
        // What is not seen could be ours: asked again until it is.
        [] if !away.is_empty() => {
            return Err(Error::unreachable(format_args!(
                "{away} may have the machine"
            )));
        }
        [] if !hidden.is_empty() => {
            return Err(Error::busy(format_args!(
                "no mark to see yet on {}",
                hidden.join(", ")
            )));
        }
        [] => Settled::not_started(),
        [vm] => {
            let id = vm.shown.id.clone();
            let phase = Phase::Made { id: id.clone() };
            by_task(vm, "create", sent, true, phase)
                .created(Object::machine(&id))
                .machine_id(id)
        }
        [first, second, ..] => {
            let (first, second) = (&first.shown.id, &second.shown.id);
            Settled::unknown(format!(
                "{first} and {second} carry the mark of this operation"
            ))
        }
    })
}

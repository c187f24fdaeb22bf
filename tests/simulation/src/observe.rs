//! Looks at a machine before something is done to it.

use enginehouse_model::documents::{Code, Machine, Problem};
use enginehouse_model::{Identity, MachineRecord, Mark, Timestamp};
use enginehouse_reconcile::recognise;

use crate::engine;
use crate::prepare::Target;
use crate::run::Simulation;
use crate::settings::Fault;

impl Simulation {
    /// Reads the machine on record. `None`: it is not there.
    pub(crate) fn observe(&self, provider: usize, id: &str) -> Result<Option<Machine>, Problem> {
        let now = self.outside.now;
        let Some(provider) = self.outside.providers.get(provider) else {
            return Ok(None);
        };
        if !provider.is_up(now) {
            return Err(engine::unreachable(provider));
        }
        Ok(id.parse().ok().and_then(|id| provider.read(id, now)))
    }

    /// A list that is no older than the operation that needs it, nor than the end of what came before
    /// it in its lane; one list serves all that wait.
    fn listed(&mut self, target: &Target, queued_at: Timestamp) -> Result<Vec<Machine>, Problem> {
        let now = self.now();
        let trusts = self.has(Fault::TrustsOldLists);
        let provider = self.outside.providers.get(target.provider);
        let (Some(memory), Some(provider)) = (&mut self.memory, provider) else {
            return Ok(Vec::new());
        };
        let before = memory.last_ended.get(&target.node).copied();
        let before = before.filter(|_| !trusts).unwrap_or_default();
        let since = queued_at.max(before);
        let kept = memory.lists.get(&target.hypervisor);
        if let Some((_, list)) = kept.filter(|(began_at, _)| *began_at >= since) {
            return Ok(list.clone());
        }
        if !provider.is_up(now) {
            return Err(engine::unreachable(provider));
        }
        let list = provider.list(now);
        memory.lists.insert(target.hypervisor, (now, list.clone()));
        Ok(list)
    }

    /// Is there room for a machine of this name, or is it there already?
    pub(crate) fn room(
        &mut self,
        target: &mut Target,
        queued_at: Timestamp,
    ) -> Result<Option<Machine>, Problem> {
        let list = self.listed(target, queued_at)?;
        let name = target.desired.name.as_deref();
        let same_name = list
            .into_iter()
            .filter(|machine| machine.name.as_deref() == name);
        for listed in same_name {
            // What is being copied may not show its mark yet.
            let machine = match &listed.mark {
                Some(_) => Some(listed),
                None => self.observe(target.provider, &listed.id)?,
            };
            let Some(machine) = machine else {
                continue;
            };
            let mark = machine.mark.as_deref();
            let mark = mark.and_then(|mark| mark.parse::<Mark>().ok());
            return match (&mut target.record, mark) {
                (Some(record), Some(mark)) if mark.machine == record.uid => {
                    record.identity = Some(Identity {
                        machine_id: machine.id.clone(),
                        kind: machine.kind.clone(),
                        host: machine.host.clone(),
                        incarnation: None,
                    });
                    recognise(record, &machine);
                    self.outside.ledger.found_to_deploy += 1;
                    Ok(Some(machine))
                }
                _ => {
                    self.check_stranger(target, &machine);
                    let text = format!("a machine of that name is there, {}", machine.id);
                    Err(Problem::new(Code::Conflict, text))
                }
            };
        }
        Ok(None)
    }

    /// The machine that an unfinished creation may have made, whose id is not on record: found by its
    /// mark.
    pub(crate) fn begun(
        &mut self,
        target: &Target,
        record: &MachineRecord,
        queued_at: Timestamp,
    ) -> Result<Option<Machine>, Problem> {
        let ours = record.mark.to_string();
        let name = target.desired.name.as_deref();
        let mut found: Vec<Machine> = Vec::new();
        for machine in self.listed(target, queued_at)? {
            let is_named_so = machine.name.is_none() || machine.name.as_deref() == name;
            match &machine.mark {
                Some(mark) if *mark == ours => found.push(machine),
                // Lists may be without marks; then those are read that may be it.
                None if is_named_so => match self.observe(target.provider, &machine.id)? {
                    Some(seen) if seen.mark.as_ref() == Some(&ours) => found.push(seen),
                    Some(seen) if seen.mark.is_none() => {
                        let text = format!("machine {} does not show its mark yet", seen.id);
                        return Err(Problem::new(Code::Busy, text));
                    }
                    Some(_) | None => {}
                },
                Some(_) | None => {}
            }
        }
        if let [first, second, ..] = found.as_slice() {
            let text = format!("machines {} and {} both carry it", first.id, second.id);
            return Err(Problem::new(Code::Conflict, text));
        }
        let found = found.pop();
        self.outside.ledger.found_to_undeploy += u64::from(found.is_some());
        Ok(found)
    }
}

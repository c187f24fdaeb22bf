//! Machines and tasks as the API shows them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Ending, Machine, Task, World};

impl World {
    /// Is this machine to be seen at all?
    pub(crate) fn visible(&self, machine: &Machine) -> bool {
        machine.made_at + self.knobs.hidden_ms <= self.now
    }

    pub(crate) fn is_away(&self, host: &str) -> bool {
        self.knobs.offline_hosts.iter().any(|away| away == host)
    }

    /// A machine being made shows nothing but its lock where the knob says so.
    fn veiled(&self, machine: &Machine) -> bool {
        self.knobs.late_mark
            && machine
                .lock
                .as_ref()
                .is_some_and(|lock| matches!(lock.reason.as_str(), "create" | "clone"))
    }

    pub(crate) fn show_machine(&self, number: u64, machine: &Machine) -> Value {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| {
            shown.insert(name.to_owned(), value);
        };
        put("id", json!(format!("m-{number}")));
        put("kind", json!("vm"));
        put("host", json!(machine.host));
        put("power", json!(machine.power));
        if let Some(lock) = &machine.lock {
            put("lock", json!(lock.reason));
            put("task", json!(format!("t-{}", lock.task)));
        }
        if !self.veiled(machine) {
            put("name", json!(machine.name));
            put("mark", json!(machine.mark));
            put("incarnation", json!(machine.incarnation));
            put("config", config(machine));
            put("slots", slots(machine));
            put("boots", json!(machine.boots));
            put("version", json!(machine.version.to_string()));
            put("restart_needed", json!(machine.restart_needed));
            put("incomplete", json!(machine.incomplete));
        }
        Value::Object(shown)
    }

    pub(crate) fn show_task(&self, number: u64, task: &Task) -> Value {
        let percent = task.percent(self.now);
        let mut shown = json!({
            "id": format!("t-{number}"),
            "kind": task.kind,
            "machine": format!("m-{}", task.machine),
            "state": if task.ended { "ended" } else { "running" },
            "percent": percent,
            "log": task.log(percent),
        });
        if task.ended {
            let (result, warnings, error) = match &task.ending {
                Ending::Done { warnings } if warnings.is_empty() => ("ok", &[][..], None),
                Ending::Done { warnings } => ("warning", &warnings[..], None),
                Ending::Failed { code, message, .. } => {
                    let error = json!({"code": code, "message": message});
                    ("error", &[][..], Some(error))
                }
            };
            shown["result"] = json!(result);
            shown["warnings"] = json!(warnings);
            shown["error"] = json!(error);
        }
        shown
    }
}

/// A configuration as clients send it, but with disks and nics by slot.
fn config(machine: &Machine) -> Value {
    json!({
        "name": machine.name,
        "base_image": machine.image,
        "vcpu": machine.vcpu,
        "memory": machine.memory,
        "description": machine.description.as_deref().unwrap_or_default(),
        "labels": machine.labels,
        "disks": machine.disks,
        "nics": machine.nics,
        "settings": {"firmware": machine.firmware},
    })
}

/// Where to find what the client has labelled.
fn slots(machine: &Machine) -> Value {
    let disks = machine.disks.iter().map(|(slot, disk)| (&disk.label, slot));
    let nics = machine.nics.iter().map(|(slot, nic)| (&nic.label, slot));
    let slots = disks.chain(nics).filter(|(label, _)| !label.is_empty());
    json!(slots.collect::<BTreeMap<_, _>>())
}

impl Task {
    fn percent(&self, now: u64) -> u64 {
        let whole = self.ends_at.saturating_sub(self.began_at);
        let part = now.saturating_sub(self.began_at);
        match (part * 100).checked_div(whole) {
            _ if self.ended => 100,
            // It is due, but not ended: 100 is said by the end alone.
            Some(percent) => percent.min(99),
            None => 0,
        }
    }

    /// The lines so far. Lines are only ever added: the count of those seen is a cursor.
    fn log(&self, percent: u64) -> Vec<String> {
        let mut lines = vec![format!("{} of m-{} began", self.kind, self.machine)];
        for mark in [25, 50, 75] {
            if percent >= mark {
                lines.push(format!("{mark} % done"));
            }
        }
        if self.ended {
            match &self.ending {
                Ending::Done { warnings } => {
                    lines.extend(warnings.iter().map(|warning| format!("WARNING: {warning}")));
                    lines.push(format!("{} of m-{} ended", self.kind, self.machine));
                }
                Ending::Failed { message, .. } => lines.push(format!("ERROR: {message}")),
            }
        }
        lines
    }
}

//! An operation in doubt as text: what a person looks at before saying what happened.

use enginehouse_api::{CreatedObject, Doubt, Finding};

use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::date_time;

/// Everything that is known, and the commands to copy.
#[must_use]
pub fn doubt(doubt: &Doubt, paint: Painter) -> String {
    let mut text = format!("{}\n", paint.paint(Style::Bad, "what is in doubt:"));
    text.push_str(&facts(doubt).render(paint));
    if !doubt.found.is_empty() {
        text.push_str("what looking at the hypervisor found:\n");
        let mut table = Table::new();
        for finding in &doubt.found {
            table.row([
                (Style::Faint, format!("  {}", date_time(finding.at))),
                (Style::Plain, answer(finding)),
            ]);
        }
        text.push_str(&table.render(paint));
    }
    text.push_str("what you can say:\n");
    for verdict in &doubt.verdicts {
        let style = match verdict.refused {
            Some(_) => Style::Faint,
            None => Style::Warning,
        };
        text.push_str(&format!("  {}\n", paint.paint(style, &verdict.command)));
        text.push_str(&format!("      {}\n", one_line(&verdict.effect)));
        if let Some(reason) = &verdict.refused {
            text.push_str(&format!("      refused now: {}\n", one_line(reason)));
        }
    }
    text
}

fn facts(doubt: &Doubt) -> Table {
    let mut facts = Table::new();
    let mut fact = |name: &str, value: String| {
        facts.row([
            (Style::Faint, format!("  {name}")),
            (Style::Plain, one_line(&value)),
        ]);
    };
    if let Some(at) = doubt.since {
        fact("since", date_time(at));
    }
    if let Some(hypervisor) = &doubt.hypervisor {
        let mut value = format!("{} ({})", hypervisor.name, hypervisor.engine);
        if let Some(address) = &hypervisor.address {
            value.push_str(&format!(" at {address}"));
        }
        fact("hypervisor", value);
    }
    let mut step = format!("{} {}", doubt.step, doubt.action);
    if !doubt.text.is_empty() {
        step.push_str(&format!(": {}", doubt.text));
    }
    fact("step", step);
    if let Some(request) = &doubt.request {
        let what = format!(
            "{} {} ({}, to `{}`)",
            request.method, request.path, request.effect, request.endpoint
        );
        fact("request", what);
        fact("sent", date_time(request.sent_at));
        fact("arrives until", date_time(request.deadline));
        fact(
            "its answer",
            if request.answered {
                "began a task, which cannot be asked about any more".to_owned()
            } else {
                "is not known".to_owned()
            },
        );
    }
    if let Some(task) = &doubt.task {
        fact("task", task.clone());
    }
    fact(
        "machine",
        doubt
            .machine_id
            .clone()
            .unwrap_or_else(|| "its id is not known".to_owned()),
    );
    if let Some(mark) = &doubt.mark {
        fact("its mark", mark.clone());
    }
    if !doubt.reserved.is_empty() {
        fact("reserved", objects(&doubt.reserved));
    }
    if !doubt.created.is_empty() {
        fact("made so far", objects(&doubt.created));
    }
    facts
}

fn objects(objects: &[CreatedObject]) -> String {
    let named: Vec<String> = objects
        .iter()
        .map(|object| format!("{} {}", object.kind, object.id))
        .collect();
    named.join(", ")
}

fn answer(finding: &Finding) -> String {
    let text = one_line(&finding.text);
    match finding.times {
        0 | 1 => text,
        times => format!(
            "{text} ({times} times, last {})",
            date_time(finding.last_at)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain() -> Painter {
        crate::output::Output::new(crate::args::Format::Json).out()
    }

    #[test]
    fn everything_is_said_in_lines_that_cannot_be_forged() {
        let doubt: Doubt = serde_json::from_value(json!({
            "reason": "no trace", "since": 0,
            "hypervisor": {"name": "pve", "type": "proxmox", "address": "https://10.0.0.1:8006"},
            "mark": "eh1:a:b:5", "step": 1, "action": "create", "text": "web1, 2 vcpu",
            "request": {"endpoint": "host", "method": "POST", "path": "/clone", "effect": "once",
                        "sent_at": 0, "deadline": 30000},
            "reserved": [{"kind": "vmid", "id": "100"}],
            "found": [{"at": 0, "last_at": 60000, "times": 3, "text": "no\nlist"}],
            "verdicts": [
                {"as": "done", "effect": "goes on", "command": "enginehouse ops resolve 5 --as done",
                 "refused": "no machine id is known"},
                {"as": "retry", "effect": "sends it once more",
                 "command": "enginehouse ops resolve 5 --as retry"},
            ],
        }))
        .unwrap();
        let text = super::doubt(&doubt, plain());
        for part in [
            "pve (proxmox) at https://10.0.0.1:8006",
            "1 create: web1, 2 vcpu",
            "POST /clone (once, to `host`)",
            "its answer     is not known",
            "its id is not known",
            "eh1:a:b:5",
            "vmid 100",
            "no list (3 times, last ",
            "  enginehouse ops resolve 5 --as done\n      goes on\n      refused now: no machine id",
            "  enginehouse ops resolve 5 --as retry\n      sends it once more\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains("task"), "{text}");
    }
}

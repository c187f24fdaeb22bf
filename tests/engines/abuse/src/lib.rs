//! An engine that misbehaves, for the tests of the engine runtime.
//!
//! The hypervisor's setting `mode` says how; see `misdeeds`. It is written against the contract
//! itself, not the SDK, which would keep it from most of this.

mod bindings {
    #![allow(missing_docs)]
    wit_bindgen::generate!({
        inline: "
            package enginehouse:abuse;
            world abuse {
                include enginehouse:engine/engine@0.1.0;
                include enginehouse:engine/assessor@0.1.0;
            }
        ",
        path: "../../../wit",
        world: "enginehouse:abuse/abuse",
        generate_all,
    });
}

mod misdeeds;

use bindings::enginehouse::engine::host::{Call, Hypervisor};
use bindings::enginehouse::engine::types::Problem;
use bindings::exports::enginehouse::engine::{assess, machines, meta};
use serde_json::{Value, json};

struct Abuse;

bindings::export!(Abuse with_types_in bindings);

impl meta::Guest for Abuse {
    fn describe() -> String {
        json!({
            "name": "abuse",
            "title": "Abuse",
            "version": "0.1.0",
            "aliases": ["mischief"],
            "kinds": ["none"],
            "actions": ["create", "create.from-scratch"],
            "auth": ["none", "bearer", "basic", "header", "proxmox-token", "proxmox-ticket"],
            "default_scheme": "http",
            "visibility_lag_ms": 0,
        })
        .to_string()
    }

    fn check(_: &Call, hypervisor: &Hypervisor) -> Result<String, Problem> {
        let text = misdeeds::get(hypervisor, "host", "/identity")?.text()?;
        Ok(json!({"version": "1", "identity": text}).to_string())
    }
}

impl machines::Guest for Abuse {
    fn list(_: &Call, hypervisor: &Hypervisor, _: Option<String>) -> Result<String, Problem> {
        if misdeeds::mode(hypervisor) == "once-in-list" {
            misdeeds::send(hypervisor, "host", "POST", "/machines", "once", b"")?;
        }
        let answer = misdeeds::get(hypervisor, "host", "/machines")?;
        if answer.status == 401 {
            return Err(misdeeds::problem("session-expired", "no ticket"));
        }
        Ok(
            json!({"machines": [{"id": "1", "name": answer.reason, "power": "running"}]})
                .to_string(),
        )
    }

    fn read(
        _: &Call,
        _: &Hypervisor,
        ids: Vec<String>,
    ) -> Result<Vec<Result<String, Problem>>, Problem> {
        let answers = ids.iter().map(|id| {
            let id = serde_json::from_str::<Value>(id).unwrap_or_default()["id"].clone();
            if id == "none" {
                return Err(misdeeds::problem("not-found", "no such machine"));
            }
            Ok(json!({"id": id, "power": "stopped"}).to_string())
        });
        Ok(answers.collect())
    }

    fn run(
        call: &Call,
        hypervisor: &Hypervisor,
        action: String,
        token: Option<Vec<u8>>,
    ) -> Result<machines::Step, Problem> {
        misdeeds::run(call, hypervisor, &action, token)
    }

    fn settle(
        call: &Call,
        hypervisor: &Hypervisor,
        _: String,
        _: Option<Vec<u8>>,
    ) -> Result<machines::Settled, Problem> {
        if misdeeds::mode(hypervisor) == "once-in-settle" {
            misdeeds::send(hypervisor, "host", "POST", "/machines", "once", b"")?;
        }
        let found = misdeeds::get(hypervisor, "host", "/settle")?.text()?;
        let sent = call.sent().unwrap_or_default();
        match found.as_str() {
            "not-started" => Ok(machines::Settled::NotStarted),
            "exists" => Ok(machines::Settled::Done(misdeeds::found("7"))),
            _ => Ok(machines::Settled::Unknown(format!("{found}; sent {sent}"))),
        }
    }

    fn poll(
        _: &Call,
        hypervisor: &Hypervisor,
        tasks: Vec<machines::TaskQuery>,
    ) -> Result<Vec<machines::TaskState>, Problem> {
        match misdeeds::mode(hypervisor).as_str() {
            "forgetful" => return Ok(Vec::new()),
            "spin-in-poll" => misdeeds::spin(),
            "endless-task" => {
                let found = misdeeds::get(hypervisor, "host", "/task")?.text()?;
                if found == "running" {
                    return Ok(tasks.into_iter().map(misdeeds::still_running).collect());
                }
            }
            _ => {}
        }
        let states = tasks.into_iter().map(|query| machines::TaskState {
            state: "ended".to_owned(),
            cursor: format!("{}+", query.cursor),
            detail: json!({"percent": 100, "lines": [query.task], "end": {}}).to_string(),
        });
        Ok(states.collect())
    }
}

impl assess::Guest for Abuse {
    fn assess(question: String) -> Result<String, Problem> {
        let question: Value = serde_json::from_str(&question).unwrap_or_default();
        match question["desired"]["settings"]["mode"].as_str() {
            Some("spin") => misdeeds::spin(),
            Some("refuse") => Err(misdeeds::problem("invalid", "no such setting")),
            _ => Ok(
                json!({"fields": {"vcpu": {"class": "restart", "reason": "no hotplug"}}})
                    .to_string(),
            ),
        }
    }
}

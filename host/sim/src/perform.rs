//! From a request to the world to its answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal};
use crate::body::parse;
use crate::knobs::Verdict;
use crate::{Call, World};

/// A call with all that came with it.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub call: Call,
    /// The ids in the path.
    pub ids: &'a [&'a str],
    pub query: &'a BTreeMap<String, String>,
    /// The version that the client has seen.
    pub if_match: Option<&'a str>,
    pub body: &'a [u8],
}

impl World {
    /// Answers a request without a server and at once: for tests that keep time themselves, with
    /// [`World::advance`]. Status and body; `None`: the connection is closed without an answer.
    /// Knobs hold, but for those that let time pass.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &[(String, String)],
        if_match: Option<&str>,
        body: &[u8],
    ) -> Option<(u16, Value)> {
        let (call, ids) = Call::of(method, path);
        let verdict = self.judge(call);
        if verdict.drop {
            return None;
        }
        let request = Request {
            call,
            ids: &ids,
            query: &query.iter().cloned().collect(),
            if_match,
            body,
        };
        let result = self.respond(&request, &verdict);
        self.advance(self.now);
        if verdict.lose_answer {
            return None;
        }
        Some(match result {
            Ok(answer) => (answer.status, answer.body),
            Err(refusal) => (refusal.status, refusal.body()),
        })
    }

    /// What goes wrong with this call.
    pub(crate) fn judge(&mut self, call: Call) -> Verdict {
        let mut knobs = std::mem::take(&mut self.knobs);
        let verdict = knobs.judge(call, &mut self.chance);
        self.knobs = knobs;
        // The counters of faults are part of the world.
        if !self.knobs.faults.is_empty() {
            self.touch();
        }
        verdict
    }

    /// Does the work of a call, or refuses it as a fault says.
    pub(crate) fn respond(
        &mut self,
        request: &Request<'_>,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        match &verdict.answer {
            Some((status, code, message)) => Err(Refusal::new(*status, code, message.as_str())),
            None => self.perform(request, verdict),
        }
    }

    /// Does the work of a call.
    fn perform(&mut self, request: &Request<'_>, verdict: &Verdict) -> Result<Answer, Refusal> {
        let id = request.ids.first().copied().unwrap_or_default();
        match request.call {
            Call::Info => Ok(Answer::ok(json!({
                "product": "enginehouse-sim",
                "version": env!("CARGO_PKG_VERSION"),
                "identity": self.identity,
            }))),
            Call::ImageList => Ok(Answer::ok(json!({"images": self.images}))),
            Call::VolumeList => Ok(Answer::ok(json!({"volumes": self.volumes}))),
            Call::MachineList => self.list(request.query),
            Call::MachineRead => self.read(id),
            Call::MachineCreate => self.create(parse(request.body)?, verdict),
            Call::MachineClone => self.clone_machine(id, &parse(request.body)?, verdict),
            Call::MachineUpdate => self.update(id, request, parse(request.body)?),
            Call::MachineDestroy => self.destroy(id, request, verdict),
            Call::MachineStart => self.start(id, verdict),
            Call::MachineStop => self.stop(id, verdict),
            Call::MachineShutdown => self.shutdown(id, &parse(request.body)?, verdict),
            Call::MachineRestart => self.restart(id, &parse(request.body)?, verdict),
            Call::DiskAdd => self.add_disk(id, request, parse(request.body)?, verdict),
            Call::DiskGrow => self.grow_disk(id, request, &parse(request.body)?, verdict),
            Call::DiskRemove => self.remove_disk(id, request, verdict),
            Call::NicAdd => self.add_nic(id, request, parse(request.body)?, verdict),
            Call::NicChange => self.change_nic(id, request, parse(request.body)?, verdict),
            Call::NicRemove => self.remove_nic(id, request, verdict),
            Call::TaskRead => self.read_task(id),
            Call::TaskList => self.read_tasks(request.query.get("ids").map_or("", String::as_str)),
            Call::Unknown => Err(Refusal::new(
                404,
                "no-route",
                "there is no such path or method",
            )),
        }
    }
}

//! The engine: which function of the contract is done where.

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place};
use crate::phase::{Errand, Phase};
use crate::settings::Connection;
use crate::{cards, check, configure, create, describe, errand, list, poll, read, removal, settle};

/// Proxmox VE.
pub struct Proxmox;

impl Engine for Proxmox {
    type Phase = Phase;

    fn describe() -> Description {
        describe::describe()
    }

    fn check(cx: &Cx) -> Result<Health> {
        check::check(cx)
    }

    fn list(cx: &Cx, _cursor: Option<&str>) -> Result<Page> {
        list::list(cx)
    }

    fn read(cx: &Cx, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        read::read(cx, ids)
    }

    fn run(cx: &Cx, request: &ActionRequest, phase: Option<Phase>) -> Result<Step<Phase>> {
        let action = &request.action;
        let Some(phase) = phase else {
            return begin(cx, request);
        };
        match (phase, action) {
            (
                Phase::Choose {
                    source,
                    node,
                    refused,
                },
                Action::Create { .. },
            ) => create::choose(cx, source, node, refused),
            (Phase::Clone(making), Action::Create { desired }) => {
                create::clone(cx, desired, making)
            }
            (Phase::Make(making), Action::Create { desired }) => create::make(cx, desired, making),
            (Phase::Taken(making), Action::Create { .. }) => create::taken(cx, making),
            (Phase::Made(making), Action::Create { desired }) => create::made(cx, desired, making),
            (Phase::Write(write), action) => configure::write(cx, action, write),
            (Phase::Written(write), action) => configure::written(action, write),
            (Phase::Reread(write), action) => configure::reread(cx, action, write),
            (Phase::Send(errand), action) => errand::send(cx, action, errand),
            (Phase::Sent(errand), action) => errand::sent(cx, action, errand),
            (Phase::Detach(it), Action::DiskRemove { .. }) => removal::detach(cx, it),
            (Phase::NotDetached(it), Action::DiskRemove { .. }) => removal::not_detached(cx, it),
            (Phase::Detached(it), Action::DiskRemove { .. }) => removal::detached(cx, it),
            (Phase::Revert(it), Action::DiskRemove { .. }) => removal::revert(cx, it),
            (Phase::Reverted(it), Action::DiskRemove { .. }) => removal::reverted(&it),
            (Phase::Erase(it), Action::DiskRemove { .. }) => removal::erase(cx, it),
            (Phase::Erased(it), Action::DiskRemove { .. }) => Ok(removal::erased(&it)),
            (
                Phase::Choose { .. }
                | Phase::Clone(_)
                | Phase::Make(_)
                | Phase::Taken(_)
                | Phase::Made(_),
                action,
            ) => Err(Error::invalid(format_args!(
                "the token belongs to a create, and the action is {}",
                action.name()
            ))),
            (
                Phase::Detach(_)
                | Phase::NotDetached(_)
                | Phase::Detached(_)
                | Phase::Revert(_)
                | Phase::Reverted(_)
                | Phase::Erase(_)
                | Phase::Erased(_),
                action,
            ) => Err(Error::invalid(format_args!(
                "the token belongs to the removal of a disk, and the action is {}",
                action.name()
            ))),
        }
    }

    fn settle(
        cx: &Cx,
        request: &ActionRequest,
        phase: Option<Phase>,
        sent: Sent,
    ) -> Result<Settled<Phase>> {
        let phase = match (phase, &request.action) {
            (Some(phase), _) => phase,
            // The first phase of these sends nothing.
            (
                None,
                Action::Create { .. }
                | Action::Configure { .. }
                | Action::Adopt
                | Action::DiskAdd { .. }
                | Action::DiskRemove { .. }
                | Action::NicAdd { .. }
                | Action::NicChange { .. }
                | Action::NicRemove { .. },
            ) => {
                return Ok(Settled::not_started());
            }
            (
                None,
                Action::Start
                | Action::Stop { .. }
                | Action::Restart { .. }
                | Action::Destroy { .. }
                | Action::DiskGrow { .. },
            ) => Phase::Send(Errand::at(place(cx, request)?)),
        };
        settle::settle(cx, &request.action, phase, &sent)
    }

    fn poll(cx: &Cx, tasks: &[TaskQuery]) -> Result<Vec<TaskState>> {
        poll::poll(cx, tasks)
    }
}

fn begin(cx: &Cx, request: &ActionRequest) -> Result<Step<Phase>> {
    match &request.action {
        Action::Create { desired } if request.machine.is_some() => {
            create::finish_what_broke_off(cx, desired, place(cx, request)?)
        }
        Action::Create { desired } => create::begin(cx, desired),
        Action::Configure {
            desired,
            changed,
            observed,
        } => configure::begin(
            cx,
            place(cx, request)?,
            desired,
            changed,
            observed.as_deref(),
        ),
        Action::Adopt => configure::adopt(cx, place(cx, request)?),
        Action::DiskAdd { name, disk } => configure::add_disk(cx, place(cx, request)?, name, disk),
        action @ (Action::NicAdd { .. } | Action::NicChange { .. } | Action::NicRemove { .. }) => {
            cards::begin(cx, place(cx, request)?, action)
        }
        Action::DiskRemove { slot, keep } => removal::begin(cx, place(cx, request)?, slot, *keep),
        action @ (Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::Destroy { .. }
        | Action::DiskGrow { .. }) => {
            let place = match place(cx, request) {
                // Nowhere in the cluster.
                Err(error)
                    if error.is(Code::NotFound) && matches!(action, Action::Destroy { .. }) =>
                {
                    return Ok(Step::done(Outcome::default()));
                }
                place => place?,
            };
            errand::send(cx, action, Errand::at(place))
        }
    }
}

/// Where the machine of an action was last seen; without a word of that the cluster is asked.
fn place(cx: &Cx, request: &ActionRequest) -> Result<Place> {
    let Some(machine) = &request.machine else {
        return Err(Error::invalid(format_args!(
            "{} without a machine",
            request.action.name()
        )));
    };
    let vmid = api::vmid(machine)?;
    if machine.kind.as_deref() == Some("lxc") {
        return Err(api::containers_come_later(vmid));
    }
    let node = match &machine.host {
        Some(node) => Some(node.clone()),
        None => cx.settings::<Connection>()?.node,
    };
    match node {
        Some(node) => Ok(Place::new(node, vmid)),
        None => api::locate(cx, vmid),
    }
}

//! The lines of the table: what is ordered, which step meets which trouble, and what comes of it.

use enginehouse_api::{Change, OnFailure, OperationKind, Params};
use enginehouse_tests::confirmed;
use serde_json::{Value, json};

/// A step, by its one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Configure,
    DiskAdd,
    Grow,
    DiskRemove,
    NicAdd,
    NicChange,
    NicRemove,
    Adopt,
    Start,
    Stop,
    Restart,
    Destroy,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its answer gets lost.
    Lost,
    /// The host is killed when it took effect, before the host could know.
    Killed,
    /// The provider refuses it.
    Refused,
}

/// One line: what is ordered, and which step meets trouble.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kind: OperationKind,
    pub step: Step,
    /// What a reconfigure changes.
    pub change: &'static str,
    /// The step is one of those that take the operation back.
    pub undo: bool,
}

const fn row(kind: OperationKind, step: Step, change: &'static str) -> Row {
    let undo = false;
    Row {
        kind,
        step,
        change,
        undo,
    }
}

const fn undo(kind: OperationKind, step: Step, change: &'static str) -> Row {
    let undo = true;
    Row {
        kind,
        step,
        change,
        undo,
    }
}

pub const ROWS: [Row; 24] = [
    row(OperationKind::Deploy, Step::Create, ""),
    row(OperationKind::Deploy, Step::Grow, ""),
    row(OperationKind::Deploy, Step::Start, ""),
    row(OperationKind::Reconfigure, Step::Configure, "note"),
    row(OperationKind::Reconfigure, Step::Grow, "grow"),
    row(OperationKind::Reconfigure, Step::DiskAdd, "add"),
    row(OperationKind::Reconfigure, Step::DiskRemove, "less disk"),
    row(OperationKind::Reconfigure, Step::NicAdd, "more nic"),
    row(OperationKind::Reconfigure, Step::NicChange, "other nic"),
    row(OperationKind::Reconfigure, Step::NicRemove, "less nic"),
    row(OperationKind::Reconfigure, Step::Stop, REPLACE),
    row(OperationKind::Reconfigure, Step::Destroy, REPLACE),
    row(OperationKind::Reconfigure, Step::Create, REPLACE),
    row(OperationKind::Reconfigure, Step::Grow, REPLACE),
    row(OperationKind::Reconfigure, Step::Start, REPLACE),
    row(OperationKind::Adopt, Step::Adopt, ""),
    row(OperationKind::Stop, Step::Stop, ""),
    row(OperationKind::Start, Step::Start, ""),
    row(OperationKind::Restart, Step::Restart, ""),
    row(OperationKind::Undeploy, Step::Stop, ""),
    row(OperationKind::Undeploy, Step::Destroy, ""),
    undo(OperationKind::Deploy, Step::Stop, "both"),
    undo(OperationKind::Deploy, Step::Destroy, "both"),
    undo(OperationKind::Reconfigure, Step::Configure, "note and grow"),
];

/// What only another machine can be.
pub const REPLACE: &str = "replace";

impl Row {
    /// The order, by what it is for people.
    pub fn name(&self) -> String {
        match self.change {
            REPLACE => "replace".to_owned(),
            _ if self.undo => format!("undo of {}", self.kind),
            _ => self.kind.to_string(),
        }
    }

    /// What the machine is before.
    pub fn definition(&self) -> Value {
        let mut definition = json!({"disks": {"root": {"size": "20GiB"}}});
        match self.change {
            "less disk" => definition["disks"]["data"] = json!({"size": "4GiB"}),
            "other nic" => definition["nics"] = json!({"lan": {"vlan": 10}}),
            "less nic" => {
                definition["nics"] =
                    json!({"lan": {"vlan": 10}, "dmz": {"network": "vmbr5", "vlan": 5}});
            }
            _ => {}
        }
        definition
    }
}

/// The same on every provider.
pub const TABLE: &str = "\
deploy, create lost: succeeded; running, 20 GiB
deploy, create killed: succeeded; running, 20 GiB
deploy, create refused: failed; none; again: running, 20 GiB
deploy, grow lost: succeeded; running, 20 GiB
deploy, grow killed: succeeded; running, 20 GiB
deploy, grow refused: failed; stopped, small; again: running, 20 GiB
deploy, start lost: succeeded; running, 20 GiB
deploy, start killed: succeeded; running, 20 GiB
deploy, start refused: failed; stopped, 20 GiB; again: running, 20 GiB
reconfigure, configure lost: succeeded; running, 20 GiB, noted
reconfigure, configure killed: succeeded; running, 20 GiB, noted
reconfigure, configure refused: failed; running, 20 GiB; again: running, 20 GiB, noted
reconfigure, grow lost: succeeded; running, 30 GiB
reconfigure, grow killed: succeeded; running, 30 GiB
reconfigure, grow refused: failed; running, 20 GiB; again: running, 30 GiB
reconfigure, disk-add lost: succeeded; running, 20 GiB, 2 disks
reconfigure, disk-add killed: succeeded; running, 20 GiB, 2 disks
reconfigure, disk-add refused: failed; running, 20 GiB; again: running, 20 GiB, 2 disks
reconfigure, disk-remove lost: succeeded; running, 20 GiB
reconfigure, disk-remove killed: succeeded; running, 20 GiB
reconfigure, disk-remove refused: failed; running, 20 GiB, 2 disks; again: running, 20 GiB
reconfigure, nic-add lost: succeeded; running, 20 GiB, vlan 5
reconfigure, nic-add killed: succeeded; running, 20 GiB, vlan 5
reconfigure, nic-add refused: failed; running, 20 GiB; again: running, 20 GiB, vlan 5
reconfigure, nic-change lost: succeeded; running, 20 GiB, vlan 20
reconfigure, nic-change killed: succeeded; running, 20 GiB, vlan 20
reconfigure, nic-change refused: failed; running, 20 GiB, vlan 10; again: running, 20 GiB, vlan 20
reconfigure, nic-remove lost: succeeded; running, 20 GiB, vlan 10
reconfigure, nic-remove killed: succeeded; running, 20 GiB, vlan 10
reconfigure, nic-remove refused: failed; running, 20 GiB, vlan 5, vlan 10; again: running, 20 GiB, vlan 10
replace, stop lost: succeeded; running, 20 GiB, a new one
replace, stop killed: succeeded; running, 20 GiB, a new one
replace, stop refused: failed; running, 20 GiB, the old one; again: running, 20 GiB, a new one
replace, destroy lost: succeeded; running, 20 GiB, a new one
replace, destroy killed: succeeded; running, 20 GiB, a new one
replace, destroy refused: failed; stopped, 20 GiB, the old one; again: running, 20 GiB, a new one
replace, create lost: succeeded; running, 20 GiB, a new one
replace, create killed: succeeded; running, 20 GiB, a new one
replace, create refused: failed; none; again: running, 20 GiB, a new one
replace, grow lost: succeeded; running, 20 GiB, a new one
replace, grow killed: succeeded; running, 20 GiB, a new one
replace, grow refused: failed; stopped, small, a new one; again: running, 20 GiB, a new one
replace, start lost: succeeded; running, 20 GiB, a new one
replace, start killed: succeeded; running, 20 GiB, a new one
replace, start refused: failed; stopped, 20 GiB, a new one; again: running, 20 GiB, a new one
adopt, adopt lost: succeeded; stopped, 20 GiB, marked
adopt, adopt killed: succeeded; stopped, 20 GiB, marked
adopt, adopt refused: failed; stopped, 20 GiB, not marked; again: stopped, 20 GiB, marked
stop, stop lost: succeeded; stopped, 20 GiB
stop, stop killed: succeeded; stopped, 20 GiB
stop, stop refused: failed; running, 20 GiB; again: stopped, 20 GiB
start, start lost: succeeded; running, 20 GiB
start, start killed: succeeded; running, 20 GiB
start, start refused: failed; stopped, 20 GiB; again: running, 20 GiB
restart, restart lost: succeeded; running, 20 GiB, 1 restart
restart, restart killed: succeeded; running, 20 GiB, 1 restart
restart, restart refused: failed; running, 20 GiB; again: running, 20 GiB, 1 restart
undeploy, stop lost: succeeded; none
undeploy, stop killed: succeeded; none
undeploy, stop refused: failed; running, 20 GiB; again: none
undeploy, destroy lost: succeeded; none
undeploy, destroy killed: succeeded; none
undeploy, destroy refused: failed; stopped, 20 GiB; again: none
undo of deploy, stop lost: failed; back b, a; none; none
undo of deploy, stop killed: failed; back b, a; none; none
undo of deploy, stop refused: failed; back b, not a; running, small; none; again; none; none
undo of deploy, destroy lost: failed; back b, a; none; none
undo of deploy, destroy killed: failed; back b, a; none; none
undo of deploy, destroy refused: failed; back a, not b; none; stopped, small; again; none; none
undo of reconfigure, configure lost: failed; back it; running, 20 GiB
undo of reconfigure, configure killed: failed; back it; running, 20 GiB
undo of reconfigure, configure refused: failed; nothing was taken back, not it; running, 20 GiB, noted; again; running, 20 GiB
";

/// A step, as operations call it.
pub fn action(step: Step) -> String {
    match step {
        Step::Grow => "disk-grow".to_owned(),
        other => word(other).to_owned(),
    }
}

pub fn word(step: Step) -> &'static str {
    match step {
        Step::Create => "create",
        Step::Configure => "configure",
        Step::DiskAdd => "disk-add",
        Step::Grow => "grow",
        Step::DiskRemove => "disk-remove",
        Step::NicAdd => "nic-add",
        Step::NicChange => "nic-change",
        Step::NicRemove => "nic-remove",
        Step::Adopt => "adopt",
        Step::Start => "start",
        Step::Stop => "stop",
        Step::Restart => "restart",
        Step::Destroy => "destroy",
    }
}

pub fn happens(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Lost => "lost",
        Trouble::Killed => "killed",
        Trouble::Refused => "refused",
    }
}

/// With a yes to what it destroys.
fn unset(key: &[&str]) -> Params {
    Params {
        changes: vec![Change::Unset {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
        }],
        ..confirmed()
    }
}

fn set(key: &[&str], value: Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            value,
        }],
        ..Params::default()
    }
}

/// `another`: an image that the provider has, too.
pub fn params(row: Row, another: &str) -> Params {
    match (row.kind, row.change) {
        (OperationKind::Undeploy, _) => confirmed(),
        (_, "note") => set(&["description"], json!("noted")),
        (_, "grow") => set(&["disks", "root", "size"], json!("30GiB")),
        (_, "add") => set(&["disks", "data"], json!({"size": "4GiB"})),
        (_, "less disk") => unset(&["disks", "data"]),
        (_, "more nic") => set(&["nics", "dmz"], json!({"network": "vmbr5", "vlan": 5})),
        (_, "other nic") => set(&["nics", "lan", "vlan"], json!(20)),
        (_, "less nic") => unset(&["nics", "dmz"]),
        (_, REPLACE) => Params {
            confirm_destructive: true,
            ..set(&["base_image"], json!(another))
        },
        (_, "note and grow") => {
            let mut both = set(&["description"], json!("noted"));
            let grow = set(&["disks", "root", "size"], json!("30GiB"));
            both.changes.extend(grow.changes);
            all_or_nothing(both)
        }
        (_, "both") => all_or_nothing(Params::default()),
        _ => Params::default(),
    }
}

fn all_or_nothing(params: Params) -> Params {
    Params {
        on_failure: Some(OnFailure::Rollback),
        ..params
    }
}

//! What is remembered of a machine that drifted.

use std::collections::BTreeMap;

use enginehouse_model::{MachineRecord, MachineUid, OperationId, Timestamp};
use enginehouse_reconcile::{Drifted, FieldChange, KeptBack, Repairs};
use enginehouse_store::{Document, DocumentError, Row, Table, Write};
use serde::{Deserialize, Serialize};

use crate::house::Staged;

/// Where the rows are among the settings.
const PREFIX: &str = "drift/";
const VERSION: u16 = 1;

/// Of a machine that has drifted, or was repaired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Watched {
    pub drift: Vec<Drifted>,
    /// When the observation was made that showed it.
    pub seen_at: Timestamp,
    pub repairs: Repairs,
    /// What of it is not repaired without a person, and why; `None`: not known since the host started.
    #[serde(skip)]
    pub kept_back: Option<Vec<KeptBack>>,
    /// What was ordered last without a person, and when: not again at once if it came to nothing.
    #[serde(skip)]
    pub tried: Option<Tried>,
}

/// An automatic order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    pub at: Timestamp,
    pub operation: OperationId,
    /// What differed then.
    pub changes: Vec<FieldChange>,
}

impl Watched {
    /// What of it is known now: what was seen before the machine's last step says nothing any more.
    pub(crate) fn drift(&self, record: &MachineRecord) -> &[Drifted] {
        match self.seen_at >= record.last_step_ended {
            true => &self.drift,
            false => &[],
        }
    }

    fn is_forgotten(&self) -> bool {
        self.drift.is_empty() && self.repairs.is_empty() && self.tried.is_none()
    }

    fn is_empty(&self) -> bool {
        self.drift.is_empty() && self.repairs.is_empty()
    }
}

fn key(machine: MachineUid) -> String {
    format!("{PREFIX}{machine}")
}

/// Puts it in the place of what was remembered of the machine; what says nothing is forgotten.
pub(crate) fn put(
    all: &mut BTreeMap<MachineUid, Watched>,
    staged: &mut Staged,
    machine: MachineUid,
    now: Watched,
) {
    let before = all.get(&machine);
    let is_stored = before.is_some_and(|before| !before.is_empty());
    let same = before.is_some_and(|b| b.drift == now.drift && b.repairs == now.repairs);
    if now.is_empty() {
        if is_stored {
            staged.writes.push(Write::Delete {
                table: Table::Meta,
                key: key(machine),
            });
        }
    } else if !same {
        staged.put(Table::Meta, key(machine), VERSION, &now);
    }
    if now.is_forgotten() {
        all.remove(&machine);
    } else {
        all.insert(machine, now);
    }
}

/// Forgets machines that are not on record any more.
pub(crate) fn forget_gone<R>(
    all: &mut BTreeMap<MachineUid, Watched>,
    staged: &mut Staged,
    records: &BTreeMap<MachineUid, R>,
) {
    let gone = all.keys().filter(|machine| !records.contains_key(machine));
    let gone: Vec<MachineUid> = gone.copied().collect();
    for machine in gone {
        put(all, staged, machine, Watched::default());
    }
}

/// What is stored.
///
/// # Errors
/// When a row cannot be read.
pub(crate) fn load(meta: &[Row]) -> Result<BTreeMap<MachineUid, Watched>, DocumentError> {
    let rows = meta.iter().filter_map(|row| {
        let machine = row.key.strip_prefix(PREFIX)?.parse().ok()?;
        Some((machine, &row.document))
    });
    rows.map(|(machine, document): (MachineUid, &Document)| Ok((machine, document.read()?)))
        .collect()
}

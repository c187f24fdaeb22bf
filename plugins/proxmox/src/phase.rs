//! What an action remembers between its phases.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

use crate::api::Place;
use crate::form::Form;
use crate::guest_config::GuestConfig;

/// The next thing to do. Those that send a `once` request are `Clone`, `Make`, `Write`, `Send`,
/// `Detach`, `Revert` and `Erase`;
/// everything that decides what such a request says happens a phase earlier, so that it is the same
/// when the phase is run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// Choose a VMID that is in neither the host's knowledge nor `refused`.
    Choose {
        #[serde(default)]
        source: Option<Place>,
        node: String,
        #[serde(default)]
        refused: Vec<u64>,
    },
    /// Ask for the clone.
    Clone(Making),
    /// Ask for a machine from nothing.
    Make(Making),
    /// The VMID was taken: by somebody else, or by ourselves in a request thought lost?
    Taken(Making),
    /// The machine should be there: see what it lacks.
    Made(Making),
    /// Write to the configuration.
    Write(Write),
    /// It was written.
    Written(Write),
    /// Somebody else wrote first: look again.
    Reread(Write),
    /// Ask for one of the actions that are a request and its task.
    Send(Errand),
    /// Its task ended.
    Sent(Errand),
    /// Take a disk off.
    Detach(Removal),
    /// That was refused, as the machine was not as it was looked at: look again.
    NotDetached(Removal),
    /// It was taken off: look for its volume.
    Detached(Removal),
    /// Take back what only the next start would do.
    Revert(Removal),
    /// It was taken back.
    Reverted(Removal),
    /// Destroy the volume.
    Erase(Removal),
    /// It was destroyed.
    Erased(Removal),
}

/// A disk being removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    pub place: Place,
    pub slot: String,
    /// What the slot held when it was looked at: nothing else is destroyed.
    pub volume: String,
    /// What the configuration must still be.
    #[serde(default)]
    pub digest: Option<String>,
    /// The entry that the volume has since it was taken off.
    #[serde(default)]
    pub unused: Option<String>,
    /// To be taken back: the entries that wait for the next start.
    #[serde(default)]
    pub waiting: String,
    /// Why the running machine does not let go of it.
    #[serde(default)]
    pub words: Option<String>,
    /// How often somebody else was faster.
    #[serde(default)]
    pub tries: u32,
}

/// A machine being made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Making {
    /// The template; absent: from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Place>,
    /// Where the new machine will be.
    pub place: Place,
    /// VMIDs that turned out to be taken.
    #[serde(default)]
    pub refused: Vec<u64>,
    /// The answer to the request was lost: the machine may be somebody else's until its mark is seen.
    #[serde(default)]
    pub doubtful: bool,
    /// Tries so far that found something locked.
    #[serde(default)]
    pub tries: u32,
}

impl Making {
    /// Where its configuration is while it is made: a clone appears on its template's node, and is
    /// moved to its own at the end.
    pub fn birthplace(&self) -> Place {
        match &self.source {
            Some(source) => Place::new(&source.node, self.place.vmid),
            None => self.place.clone(),
        }
    }

    pub fn choose_again(self) -> Phase {
        let mut refused = self.refused;
        refused.push(self.place.vmid);
        Phase::Choose {
            source: self.source,
            node: self.place.node,
            refused,
        }
    }
}

/// A write to a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    pub place: Place,
    pub form: Form,
    /// What the configuration must still be.
    #[serde(default)]
    pub digest: Option<String>,
    /// What the configuration was, where it was read.
    #[serde(default)]
    pub before: Option<GuestConfig>,
    /// The definition's names -> slots, of what this writes or found.
    #[serde(default)]
    pub slots: BTreeMap<String, String>,
    /// How often somebody else was faster.
    #[serde(default)]
    pub tries: u32,
}

/// A request and its task, about a machine that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errand {
    pub place: Place,
    /// The task only hands the wish to the cluster's HA manager.
    #[serde(default)]
    pub managed: bool,
    /// Tries so far that found something locked.
    #[serde(default)]
    pub tries: u32,
    /// The second half of a restart without asking the guest.
    #[serde(default)]
    pub starting: bool,
}

impl Errand {
    pub fn at(place: Place) -> Self {
        Self {
            place,
            managed: false,
            tries: 0,
            starting: false,
        }
    }
}

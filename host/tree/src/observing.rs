//! How often a hypervisor is looked at.

use serde_json::{Map, Value, json};

use crate::guest::{optional, put};
use crate::problem::Reader;
use crate::schema::{Schemas, object};
use crate::secret::Secrets;
use crate::written::Leaf;

/// How often a hypervisor is looked at where nobody asks. Absent: as the host does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observing {
    /// Seconds between two lists of its machines.
    pub interval_s: Option<Seconds>,
    /// Seconds in which each machine is read in full once.
    pub full_s: Option<Seconds>,
}

/// 31 days.
const MOST_S: u32 = 31 * 86_400;

/// Seconds, one or more and at most 31 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u32);

impl Leaf for Seconds {
    const EXPECTED: &'static str = "a whole number of seconds, 1 to 2678400 (31 days)";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let within = number.filter(|number| (1..=MOST_S).contains(number));
        within.map(Self).ok_or(None)
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": MOST_S })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

impl Observing {
    pub(crate) fn schema(schemas: &mut Schemas) -> Value {
        let mut members = Map::new();
        members.insert(
            "interval_s".to_owned(),
            schemas.key::<Seconds>("Seconds between two lists of its machines."),
        );
        members.insert(
            "full_s".to_owned(),
            schemas.key::<Seconds>(
                "Seconds in which each machine is read in full once; what a list does not show is no older.",
            ),
        );
        Value::Object(object(members))
    }

    pub(crate) fn read(members: &Map<String, Value>, at: &mut Reader) -> Self {
        at.only(members, ["interval_s", "full_s"]);
        Self {
            interval_s: optional(members, "interval_s", at),
            full_s: optional(members, "full_s", at),
        }
    }

    pub(crate) fn json(self) -> Map<String, Value> {
        let mut members = Map::new();
        let interval = self.interval_s.as_ref();
        put(&mut members, "interval_s", interval, Secrets::Shown);
        put(&mut members, "full_s", self.full_s.as_ref(), Secrets::Shown);
        members
    }
}

//! States of a descriptor and the edges between them: one table, all pairs.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// State of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Provisioned,
    Deployed,
    Unreachable,
}

/// What happens to a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    Provision,
    Deprovision,
    Deploy,
    Undeploy,
    ConnectionLost,
    Reconnected,
    MachineMissing,
}

impl Status {
    pub const ALL: [Self; 3] = [Self::Provisioned, Self::Deployed, Self::Unreachable];
}

impl Event {
    pub const ALL: [Self; 7] = [
        Self::Provision,
        Self::Deprovision,
        Self::Deploy,
        Self::Undeploy,
        Self::ConnectionLost,
        Self::Reconnected,
        Self::MachineMissing,
    ];
}

/// Where an allowed event leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    Is(Status),
    /// The descriptor is removed.
    Gone,
}

/// A pair that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("`{event}` is refused while {status}: {instead}")]
pub struct Refused {
    pub status: Status,
    pub event: Event,
    /// What to do instead.
    pub instead: &'static str,
}

/// The table. `machine` says whether a machine is on record: what a failed deploy leaves behind
/// on a provisioned descriptor.
///
/// # Errors
/// For every pair that is no edge, with the way out.
pub fn next(status: Status, machine: bool, event: Event) -> Result<Next, Refused> {
    use Event as E;
    use Status as S;
    let refused = |instead| {
        Err(Refused {
            status,
            event,
            instead,
        })
    };
    match (status, event) {
        (S::Provisioned, E::Deploy) => Ok(Next::Is(S::Deployed)),
        (S::Provisioned, E::Deprovision) if machine => refused(
            "a deploy that failed left a machine: undeploy removes it, deploy goes on with it",
        ),
        (S::Provisioned, E::Deprovision) => Ok(Next::Gone),
        (S::Provisioned, E::Undeploy) if machine => Ok(Next::Is(S::Provisioned)),
        (S::Provisioned, E::Undeploy) => {
            refused("there is no machine; deprovision removes the descriptor")
        }
        (S::Provisioned, E::ConnectionLost | E::Reconnected) => {
            refused("there is no machine to have a connection to; deploy makes one")
        }
        (S::Provisioned, E::MachineMissing) => {
            refused("there is no machine that could be missing; deploy makes one")
        }
        (S::Provisioned | S::Deployed | S::Unreachable, E::Provision) => {
            refused("the descriptor exists; edit it, or provision under another name")
        }
        (S::Deployed, E::Undeploy) => Ok(Next::Is(S::Provisioned)),
        (S::Deployed, E::ConnectionLost) => Ok(Next::Is(S::Unreachable)),
        (S::Deployed, E::Deprovision) => refused("undeploy the machine first"),
        (S::Deployed, E::Deploy) => refused("reconfigure applies what has changed"),
        (S::Deployed, E::Reconnected) => refused("it was never disconnected; nothing to do"),
        (S::Deployed, E::MachineMissing) => {
            refused("a machine is missing only after its connection was lost; resync looks for it")
        }
        (S::Unreachable, E::Reconnected) => Ok(Next::Is(S::Deployed)),
        (S::Unreachable, E::MachineMissing) => Ok(Next::Is(S::Provisioned)),
        (S::Unreachable, E::Deprovision | E::Undeploy) => refused(
            "wait until it is reachable and undeploy then, or confirm that the machine is missing",
        ),
        (S::Unreachable, E::Deploy) => {
            refused("it is deployed already; wait until it is reachable, then reconfigure")
        }
        (S::Unreachable, E::ConnectionLost) => refused("the connection is lost already"),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provisioned => "provisioned",
            Self::Deployed => "deployed",
            Self::Unreachable => "unreachable",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provision => "provision",
            Self::Deprovision => "deprovision",
            Self::Deploy => "deploy",
            Self::Undeploy => "undeploy",
            Self::ConnectionLost => "connection lost",
            Self::Reconnected => "reconnected",
            Self::MachineMissing => "machine missing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as text: what is not in it is a change of the rules.
    #[test]
    fn the_edges_are_those_of_the_rules_and_no_others() {
        let mut edges = Vec::new();
        for status in Status::ALL {
            for machine in [false, true] {
                for event in Event::ALL {
                    match next(status, machine, event) {
                        Ok(Next::Is(to)) => {
                            edges.push(format!("{status} {machine}: {event} -> {to}"))
                        }
                        Ok(Next::Gone) => {
                            edges.push(format!("{status} {machine}: {event} -> gone"))
                        }
                        Err(refused) => {
                            let text = refused.to_string();
                            assert!(text.contains(&status.to_string()), "{text}");
                            assert!(text.contains(&event.to_string()), "{text}");
                            assert!(!refused.instead.is_empty());
                        }
                    }
                }
            }
        }
        assert_eq!(
            edges,
            [
                "provisioned false: deprovision -> gone",
                "provisioned false: deploy -> deployed",
                "provisioned true: deploy -> deployed",
                "provisioned true: undeploy -> provisioned",
                "deployed false: undeploy -> provisioned",
                "deployed false: connection lost -> unreachable",
                "deployed true: undeploy -> provisioned",
                "deployed true: connection lost -> unreachable",
                "unreachable false: reconnected -> deployed",
                "unreachable false: machine missing -> provisioned",
                "unreachable true: reconnected -> deployed",
                "unreachable true: machine missing -> provisioned",
            ]
        );
    }
}

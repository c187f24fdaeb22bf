//! Is the machine that is there the one that we made?
//!
//! Ids are used again by providers, and clones copy marks. So three things have to agree: the id on
//! the record, the mark that was written at creation, and the incarnation that the provider makes
//! new for every machine. What contradicts one of them is not ours and is left alone altogether.
//! What only cannot be seen leaves it unclear: such a machine may be configured, never destroyed.

use enginehouse_model::documents::Machine;
use enginehouse_model::{Identity, MachineRecord, Mark};

/// Whose machine it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Id, mark and incarnation agree with the record.
    Ours,
    /// At least one of them contradicts; the text says which, and what to do.
    NotOurs(String),
    /// None contradicts, but not all were seen; the text says which.
    Unclear(String),
}

/// Compares the record with the machine that is observed in its place.
#[must_use]
pub fn owned(record: &MachineRecord, observed: &Machine) -> Ownership {
    let Some(identity) = &record.identity else {
        return Ownership::Unclear(
            "its creation did not get as far as an id on record: run `deploy` again".to_owned(),
        );
    };
    if identity.machine_id != observed.id {
        return Ownership::NotOurs(format!(
            "the record is about machine {}, this is {}",
            identity.machine_id, observed.id
        ));
    }
    let id = &observed.id;
    if let (Some(recorded), Some(seen)) = (&identity.incarnation, &observed.incarnation)
        && recorded != seen
    {
        return Ownership::NotOurs(format!(
            "machine {id} is another one than was deployed: its incarnation is {seen}, on record is {recorded}"
        ));
    }
    let mark = observed.mark.as_deref();
    let parsed = mark.and_then(|mark| mark.parse::<Mark>().ok());
    if let Some(mark) = parsed
        && mark != record.mark
    {
        return Ownership::NotOurs(format!(
            "machine {id} carries the mark of {}",
            whose(&mark, &record.mark)
        ));
    }
    match (mark, &identity.incarnation, &observed.incarnation) {
        (None, _, _) => unclear(id, "its mark was not shown"),
        (Some(""), _, _) => unclear(
            id,
            "it carries no mark: somebody has removed it, or it is not the machine that was deployed",
        ),
        (Some(_), None, _) => unclear(id, "no incarnation is on record"),
        (Some(_), Some(_), None) => unclear(id, "its incarnation was not shown"),
        (Some(_), Some(_), Some(_)) => match parsed {
            Some(_) => Ownership::Ours,
            None => unclear(id, "its mark is not one of Enginehouse"),
        },
    }
}

/// Writes onto the record what a creation that broke off has made: its id, where that is not on
/// record yet, and its incarnation at first sight. Only for a machine that carries the very mark of
/// that creation; says whether it did. Without it such a machine could never be undeployed.
///
/// Marks are copied by clones: the caller makes sure that no other machine of the hypervisor
/// carries this one. With two of them both are held.
pub fn recognise(record: &mut MachineRecord, observed: &Machine) -> bool {
    let marked = observed.mark.as_deref().and_then(|mark| mark.parse().ok()) == Some(record.mark);
    let Some(incarnation) = observed.incarnation.clone().filter(|_| marked) else {
        return false;
    };
    match &mut record.identity {
        Some(identity) if identity.machine_id == observed.id && identity.incarnation.is_none() => {
            identity.incarnation = Some(incarnation);
            true
        }
        Some(_) => false,
        identity => {
            *identity = Some(Identity {
                machine_id: observed.id.clone(),
                kind: observed.kind.clone(),
                host: observed.host.clone(),
                incarnation: Some(incarnation),
            });
            true
        }
    }
}

fn unclear(id: &str, what: &str) -> Ownership {
    Ownership::Unclear(format!(
        "machine {id} cannot be told from a copy or a stranger: {what}"
    ))
}

fn whose(mark: &Mark, ours: &Mark) -> String {
    if mark.installation != ours.installation {
        format!("another installation of Enginehouse, {}", mark.installation)
    } else if mark.machine != ours.machine {
        format!("another descriptor's machine, {}", mark.machine)
    } else {
        format!("another creation of it, by operation {}", mark.operation)
    }
}

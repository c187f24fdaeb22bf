//! Finding what a lost creation made.

use enginehouse_documents::Machine;

use crate::{Cx, Engine, Error, Object, Result, Settled};

impl<P> Settled<P> {
    /// Settles a creation by the mark that it wrote: goes through all pages of [`Engine::list`], and
    /// where one machine carries [`Cx::mark`], `found` says how far it is (see [`Settled::seen`]). No
    /// such machine: not started. Two: unknown, since a copy made by hand carries the mark too.
    ///
    /// For providers that take a mark with the creation itself, and show it in their lists. A machine
    /// that hides its mark may be ours, and so may one in a gap: as long as there are such and ours is
    /// not seen, nothing is settled and the host asks again.
    ///
    /// # Errors
    /// `busy` while a machine hides its mark, `unreachable` while a part is away, and those of `list`
    /// and `found`.
    pub fn by_mark<E: Engine<Phase = P>>(
        cx: &Cx,
        found: impl FnOnce(&Machine) -> Result<Self>,
    ) -> Result<Self> {
        let (mut ours, mut hidden, mut away) = (Vec::new(), Vec::new(), Vec::new());
        let (ours_is, mut cursor) = (cx.mark(), None);
        loop {
            let page = E::list(cx, cursor.as_deref())?;
            for machine in page.machines {
                match &machine.mark {
                    Some(mark) if *mark == ours_is => ours.push(machine),
                    Some(_) => {}
                    None => hidden.push(machine.id),
                }
            }
            away.extend(page.coverage.gaps.into_iter().map(|gap| match gap.name {
                name if name.is_empty() => gap.scope,
                name => name,
            }));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        // Each page of some lists names the same gaps.
        away.sort();
        away.dedup();
        match ours.as_slice() {
            [] if !away.is_empty() => {
                let away = away.join(", ");
                Err(Error::unreachable(format_args!(
                    "{away} may have the machine"
                )))
            }
            [] if !hidden.is_empty() => {
                let hidden = hidden.join(", ");
                Err(Error::busy(format_args!("no mark to see yet on {hidden}")))
            }
            [] => Ok(Self::not_started()),
            [machine] => Ok(found(machine)?
                .created(Object::machine(&machine.id))
                .machine_id(&machine.id)),
            [first, second, ..] => Ok(Self::unknown(format!(
                "{} and {} carry the mark of this operation",
                first.id, second.id
            ))),
        }
    }
}

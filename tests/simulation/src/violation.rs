//! What must hold, and did not.

use std::fmt;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An acknowledged operation ends, and is on record.
    Ends,
    /// A `once` effect happens at most once.
    Once,
    /// Operations on one machine run in order; a parent ends after its parts.
    Order,
    /// The order of a lane that was promised is kept, unless somebody moves what waits in it.
    Lane,
    /// Nothing begins before what it needs, and nothing that needs what failed; taken back in reverse.
    Needs,
    /// A move that makes operations wait for each other, or impossible, is refused, and no other.
    Moves,
    /// What was accepted is possible when its turn comes, unless something before it did not succeed.
    Accepted,
    /// What was superseded never reaches the provider, and what it was to change is not lost.
    Superseded,
    /// A wave begins when the one before is over, and nothing after too many failures; what was not
    /// begun is said.
    Waves,
    /// Taken back is what an operation itself made and nothing else, and what was not is said.
    Rollback,
    /// A machine that an unfinished creation made is gone on with or removed, never left or doubled;
    /// what an operation goes on with is on record afterwards.
    Adopted,
    /// What people want goes before what the host wants itself.
    People,
    /// Nothing is destroyed, and nothing leads up to that, where a machine was protected before it was
    /// decided; and protection is not taken away by the way.
    Protected,
    /// What a folder asks signatures for is done when enough people have signed this very thing, none of
    /// them who ordered it, in time and once; and it is done where only other machines have changed.
    Approved,
    /// Without a person nothing is done above the policy, nor below a folder that is paused, nor on a machine
    /// on which something is under way, nor again to a field of which the repair never lasted.
    Alone,
    /// What was seen before the last step of a machine ended does not count; a drift that is told is
    /// one.
    Observed,
    /// What the definition does not say is not touched.
    Unmanaged,
    /// Nothing is tried at a hypervisor that is lost.
    Breaker,
    /// Slots and copies stay within their limits.
    Limits,
    /// Nothing is done to a machine that is not ours.
    Ours,
    /// What an operation says it did is so, and what is on record is so.
    Truth,
    /// After all is applied there is nothing left to do.
    Settled,
    /// What is durable can be loaded, and is what memory was.
    Load,
    /// The queue takes what the host tells it, and asks for everything once.
    Protocol,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub text: String,
}

impl Violation {
    pub fn new(rule: Rule, text: impl Into<String>) -> Self {
        Self {
            rule,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

impl std::error::Error for Violation {}

/// Fails with the rule where the condition does not hold.
pub(crate) fn holds(
    condition: bool,
    rule: Rule,
    text: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if condition {
        Ok(())
    } else {
        Err(Violation::new(rule, text()))
    }
}

//! What a run is like, beside its seed.

use std::fmt;
use std::str::FromStr;

/// When the host is killed. A moment is before and after each commit becomes durable, and before
/// each thing that the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Never,
    /// Once, at the so many-th moment.
    At(usize),
    /// At one moment out of a thousand, so often.
    PerMille(u64),
}

/// As `never`, `at:37`, `per-mille:15`.
impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::At(moment) => write!(f, "at:{moment}"),
            Self::PerMille(rate) => write!(f, "per-mille:{rate}"),
        }
    }
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none of never, at:MOMENT, per-mille:RATE");
        match text.split_once(':') {
            None if text == "never" => Ok(Self::Never),
            Some(("at", moment)) => moment.parse().map(Self::At).map_err(|_| wrong()),
            Some(("per-mille", rate)) => rate.parse().map(Self::PerMille).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Something that the host does wrong: what the checks have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Requests that may take effect once are not journalled, so they are sent again blindly.
    LosesIntents,
    /// Clients are answered before their order is durable.
    AnswersEarly,
    /// What the journal is to know first is carried out before it does.
    ActsEarly,
    /// What cannot be seen is taken not to be there at once.
    IgnoresLag,
    /// A machine is destroyed without being looked at again.
    SkipsGuards,
    /// What a step achieved is not written on the machine's record.
    ForgetsOutcomes,
    /// Operations do not wait for what they need.
    IgnoresNeeds,
    /// An operation is moved without a look at whether it is possible there.
    MovesBlindly,
    /// A newer `reconfigure` drops what the older ones were to change.
    DropsSuperseded,
    /// A forced stop waits for all that was ordered before it.
    WaitsInLine,
    /// What is taken back is taken back in the order in which it was done.
    TakesBackForwards,
    /// What is taken back is destroyed, whoever made it.
    TakesBackAll,
    /// What the host wants itself is taken for what a person wants.
    AllAreAlike,
    /// A hypervisor that is lost is never asked whether it is back.
    NeverProbes,
    /// What an operation makes of the machine that it was told to go on with is not written on record.
    LeavesOffRecord,
    /// A creation that is to go on with a machine makes another.
    MakesAnother,
    /// A creation goes on with what a person says is there, without a look at it.
    TakesTheirWord,
    /// An undeploy that knows no id takes it that there is no machine.
    LooksForNoMark,
    /// A deploy forgets a creation that broke off before it looks for its machine by the mark.
    ForgetsFirst,
    /// A creation that is asked for again keeps the id of the machine that is gone.
    KeepsFirstId,
    /// A list that is older than the end of what came before in the lane is taken for new.
    TrustsOldLists,
    /// A plan is made as if nothing were protected.
    PlansThroughTheGate,
    /// Whether a machine is protected is asked when it is planned, and not again.
    LooksOnceForProtection,
    /// What was seen before the last step of a machine is believed.
    BelievesOldObservations,
    /// What the definition does not say is to be empty.
    TakesUnsetForEmpty,
    /// All waves begin at once.
    BeginsAllWaves,
    /// What goes in waves goes on, whatever fails.
    NeverStopsWaves,
    /// A rollback is not held against what came after.
    TakesBackWhatWasChanged,
    /// What is tried again is not looked at again.
    TriesAgainUnguarded,
    /// An order may take protection away without saying so.
    LowersByTheWay,
    /// What needs approval is done without asking for it.
    AsksNobody,
    /// A signature of who ordered it counts.
    CountsTheAuthor,
    /// What was approved is done, whatever it has become.
    ApprovesWhatever,
    /// What was approved is not looked at again right before it is done.
    LooksOnceForApproval,
    /// What was approved and put off is not held against its approval when it is tried again.
    TriesAgainUncovered,
    /// An approval is used again, by another operation that would do the same.
    ApprovesForEver,
    /// An approval is good for long.
    ForgetsTheTime,
    /// Who says no is not heard.
    OverhearsNo,
    /// An approval is bound to what goes on elsewhere.
    SignsTheWorld,
    /// A disk that somebody else gave a machine is taken for one of ours.
    TakesAllDisksForOurs,
    /// What may run without a person is not asked of the policy.
    RepairsAgainstPolicy,
    /// A pause is not looked at.
    RepairsInAPause,
    /// A field is repaired again and again.
    RepairsForEver,
    /// What is under way on a machine is not waited for.
    RepairsTheBusy,
}

impl Fault {
    pub const ALL: [Self; 44] = [
        Self::LosesIntents,
        Self::AnswersEarly,
        Self::ActsEarly,
        Self::IgnoresLag,
        Self::SkipsGuards,
        Self::ForgetsOutcomes,
        Self::IgnoresNeeds,
        Self::MovesBlindly,
        Self::DropsSuperseded,
        Self::WaitsInLine,
        Self::TakesBackForwards,
        Self::TakesBackAll,
        Self::AllAreAlike,
        Self::NeverProbes,
        Self::LeavesOffRecord,
        Self::MakesAnother,
        Self::TakesTheirWord,
        Self::LooksForNoMark,
        Self::ForgetsFirst,
        Self::KeepsFirstId,
        Self::TrustsOldLists,
        Self::PlansThroughTheGate,
        Self::LooksOnceForProtection,
        Self::BelievesOldObservations,
        Self::TakesUnsetForEmpty,
        Self::BeginsAllWaves,
        Self::NeverStopsWaves,
        Self::TakesBackWhatWasChanged,
        Self::TriesAgainUnguarded,
        Self::LowersByTheWay,
        Self::AsksNobody,
        Self::CountsTheAuthor,
        Self::ApprovesWhatever,
        Self::LooksOnceForApproval,
        Self::TriesAgainUncovered,
        Self::ApprovesForEver,
        Self::ForgetsTheTime,
        Self::OverhearsNo,
        Self::SignsTheWorld,
        Self::TakesAllDisksForOurs,
        Self::RepairsAgainstPolicy,
        Self::RepairsInAPause,
        Self::RepairsForEver,
        Self::RepairsTheBusy,
    ];
}

/// How the world behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Requests arrive, answers come back, engines work, nobody meddles.
    Fair,
    /// Anything may happen.
    Foul,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub kill: Kill,
    pub weather: Weather,
    pub fault: Option<Fault>,
    /// Whether a trace is kept.
    pub traced: bool,
}

impl Settings {
    #[must_use]
    pub fn foul(kill: Kill) -> Self {
        Self {
            kill,
            weather: Weather::Foul,
            fault: None,
            traced: false,
        }
    }

    /// What a seed is run with where nobody says otherwise: a quarter of the seeds without a kill, a
    /// quarter with one at some moment, the others with a few or with many.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::foul(match seed % 4 {
            0 => Kill::Never,
            1 => Kill::At(usize::try_from(1 + seed / 4 % 500).unwrap_or(1)),
            2 => Kill::PerMille(10),
            _ => Kill::PerMille(60),
        })
    }

    #[must_use]
    pub fn fair() -> Self {
        Self {
            weather: Weather::Fair,
            ..Self::foul(Kill::Never)
        }
    }
}

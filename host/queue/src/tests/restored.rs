//! What had begun when a backup was made, after the backup was restored.

use enginehouse_model::documents::Code;

use super::fixture::{Bench, ONE, again, at, fails, prepared, sending, step};
use crate::{Command, Output, Phase};

const PREPARE: Command = Command::Prepare { operation: ONE };

fn anew(bench: &mut Bench) -> Output {
    bench.queue.begin_anew("ann", at(99))
}

#[test]
fn what_had_begun_is_looked_at_and_planned_again() {
    let begun: [fn() -> Bench; 6] = [
        || Bench::calling(&["create"]),
        || {
            let mut bench = Bench::calling(&["create"]);
            bench.tell(sending());
            bench
        },
        || {
            let mut bench = Bench::calling(&["create", "start"]);
            bench.tell(again(1));
            bench
        },
        || Bench::waiting(&["create"]),
        || {
            let mut bench = Bench::calling(&["create"]);
            bench.tell(fails(Code::Unreachable));
            bench
        },
        || Bench::settling(&["create"]),
    ];
    for (at, bench) in begun.into_iter().enumerate() {
        let mut bench = bench();
        let output = anew(&mut bench);
        assert_eq!(output.commands, [PREPARE], "{at}");
        assert_eq!(output.entries.len(), 1, "{at}");
        let one = bench.one();
        assert_eq!(one.phase, Phase::Starting, "{at}");
        assert!(one.steps.is_empty() && one.state.is_untouched(), "{at}");
        assert_eq!(
            bench.queue.next_wake(),
            None,
            "{at}: nothing of before is due"
        );
        bench.tell(prepared(vec![step("start")]));
        assert_eq!(bench.one().phase, Phase::Calling, "{at}");
    }
}

#[test]
fn what_is_in_doubt_stays_so() {
    let mut bench = Bench::in_doubt(&["create"]);
    assert_eq!(anew(&mut bench), Output::default());
    assert!(matches!(bench.one().phase, Phase::InDoubt { .. }));
}

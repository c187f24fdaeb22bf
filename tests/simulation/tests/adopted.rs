//! Cases of machines that unfinished creations made: a person says that one is there, or it is found by
//! its mark.

use enginehouse_model::OperationId;
use enginehouse_queue::Final;
use enginehouse_simulation::{
    Kill, Kind, Naming, Params, Settings, Simulation, Temper, Verdict, Violation, Weather,
};
use serde_json::json;

const ONE: OperationId = OperationId(1);
const TWO: OperationId = OperationId(2);

/// A deploy of one machine at a provider like this one.
fn deploy(naming: Naming, kill: Kill, temper: Temper) -> Result<Simulation, Violation> {
    let settings = Settings::foul(kill);
    let definition =
        json!({"disks": {"data": {"size": "4GiB"}}, "nics": {"lan": {"network": "n"}}});
    let machines = [("/vm1", definition)];
    let mut simulation = Simulation::quiet(7, settings, &[naming], &machines)?;
    simulation.outside.weather = Weather::Fair;
    simulation.outside.providers[0].temper = temper;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run_out()?;
    // What is asked and done from now on is known.
    simulation.outside.providers[0].temper = Temper::GOOD;
    Ok(simulation)
}

/// The machines that were made by us.
fn ours(simulation: &Simulation) -> Vec<u64> {
    let vms = simulation.outside.providers[0].vms.iter();
    vms.filter(|(_, vm)| vm.made_for.is_some())
        .map(|(id, _)| *id)
        .collect()
}

fn undeploy(simulation: &mut Simulation, number: OperationId) -> Result<(), Violation> {
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.check_over()?;
    assert_eq!(simulation.end_of(number), Some(Final::Succeeded));
    assert!(ours(simulation).is_empty());
    Ok(())
}

/// The task of its copy is forgotten while it runs.
const FORGETFUL: Temper = Temper {
    forgets: 1_000,
    slow: 12_000,
    ..Temper::GOOD
};

/// It does not let anybody look at what became of a request.
const SECRETIVE: Temper = Temper {
    denies: 1_000,
    slow: 12_000,
    ..Temper::GOOD
};

#[test]
fn a_creation_that_is_called_done_goes_on_with_the_machine_that_is_there() {
    for naming in [Naming::ChosenId, Naming::Marked] {
        let mut simulation = deploy(naming, Kill::Never, FORGETFUL).unwrap();
        assert!(simulation.is_in_doubt(ONE));
        let made = ours(&simulation);
        assert_eq!(made.len(), 1);

        simulation.resolve_at(20_000, ONE, Verdict::Done);
        simulation.run().unwrap();
        simulation.check_over().unwrap();
        assert_eq!(simulation.end_of(ONE), Some(Final::Succeeded));
        assert_eq!(ours(&simulation), made);
        let provider = &simulation.outside.providers[0];
        assert_eq!(provider.arrived["clone"], 1);
        let vm = &provider.vms[&made[0]];
        assert!(vm.slots.contains_key("data"));
        assert_eq!(vm.nics, ["lan"]);
        assert!(vm.initialized);
        let machine_id = simulation.document(ONE).unwrap().machine_id;
        assert_eq!(machine_id, Some(made[0].to_string()));

        undeploy(&mut simulation, TWO).unwrap();
    }
}

#[test]
fn what_is_called_done_and_does_not_carry_the_mark_is_not_touched() {
    let mut simulation = deploy(Naming::Blind, Kill::Never, FORGETFUL).unwrap();
    assert!(simulation.is_in_doubt(ONE));
    simulation.resolve_at(20_000, ONE, Verdict::Done);
    simulation.run().unwrap();
    let result = simulation.document(ONE).unwrap();
    assert_eq!(result.end, Some(Final::Failed));
    let told = result.problem.unwrap().message;
    assert!(told.contains("does not carry our mark"), "{told}");
    let provider = &simulation.outside.providers[0];
    assert_eq!(provider.arrived["clone"], 1);
    assert_eq!(provider.arrived.get("initialize"), None);
}

#[test]
fn what_is_called_done_and_is_not_there_is_not_made() {
    let mut simulation = deploy(Naming::ChosenId, Kill::Never, FORGETFUL).unwrap();
    let made = ours(&simulation)[0];
    simulation.outside.providers[0].vms.remove(&made);
    simulation.resolve_at(20_000, ONE, Verdict::Done);
    simulation.run().unwrap();
    assert_eq!(simulation.end_of(ONE), Some(Final::Failed));
    assert_eq!(simulation.outside.providers[0].arrived["clone"], 1);
    assert!(ours(&simulation).is_empty());
}

/// Wherever the host is killed while it makes a machine of which it may not learn what became of it: with
/// no id on record nobody can call it done, and what is ordered next finds the machine by its mark.
#[test]
fn a_machine_without_an_id_on_record_is_found_by_its_mark() {
    for naming in [Naming::ChosenId, Naming::Marked] {
        let calm = deploy(naming, Kill::Never, SECRETIVE).unwrap();
        let mut found = (0, 0);
        for moment in 1..=calm.outside.moments {
            let doubtful = || {
                let mut simulation = deploy(naming, Kill::At(moment), SECRETIVE).unwrap();
                // Refused, where its id is not known.
                simulation.resolve_at(20_000, ONE, Verdict::Done);
                simulation.run_out().unwrap();
                simulation
            };
            let mut simulation = doubtful();
            if !simulation.is_in_doubt(ONE) || ours(&simulation).is_empty() {
                continue;
            }
            simulation.resolve_at(0, ONE, Verdict::Failed);
            simulation.run().unwrap();
            assert_eq!(simulation.end_of(ONE), Some(Final::Failed), "{moment}");
            undeploy(&mut simulation, TWO).unwrap();
            assert_eq!(simulation.outside.ledger.found_to_undeploy, 1, "{moment}");
            found.0 += 1;

            let mut simulation = doubtful();
            let made = ours(&simulation);
            simulation.resolve_at(0, ONE, Verdict::Failed);
            simulation.order_at(1, Kind::Deploy, "/vm1", Params::default());
            simulation.run().unwrap();
            simulation.check_over().unwrap();
            assert_eq!(simulation.end_of(TWO), Some(Final::Succeeded), "{moment}");
            assert_eq!(ours(&simulation), made, "{moment}");
            assert_eq!(simulation.outside.providers[0].arrived["clone"], 1);
            assert_eq!(simulation.outside.ledger.found_to_deploy, 1, "{moment}");
            undeploy(&mut simulation, OperationId(3)).unwrap();
            found.1 += 1;
        }
        assert!(found.0 > 0 && found.1 > 0, "{naming:?}: {found:?}");
    }
}

//! What an order is asked about before anybody looks.

use enginehouse_model::documents::{Config, Nic};

use super::world::{GIB, World, disks};
use crate::taken_away;

fn full() -> Config {
    Config {
        base_image: Some("d12".to_owned()),
        disks: disks([("root", GIB), ("data", GIB)]),
        nics: [("lan".to_owned(), Nic::default())].into(),
        ..Config::default()
    }
}

fn going(edit: impl FnOnce(&mut Config)) -> Vec<String> {
    let record = World::new(9).deployed(full()).record.unwrap();
    let mut desired = full();
    edit(&mut desired);
    taken_away(&desired, &record)
}

#[test]
fn what_stays_or_comes_is_not_asked_about() {
    assert!(going(|_| {}).is_empty());
    assert!(
        going(|config| {
            config.vcpu = Some(4);
            config.disks.extend(disks([("new", GIB)]));
            config.placement.host = Some("n2".to_owned());
            // It stays what it was made from.
            config.base_image = None;
        })
        .is_empty()
    );
}

#[test]
fn disks_nics_and_the_machine_itself_are() {
    let parts = going(|config| {
        config.disks.remove("data");
        config.nics.clear();
    });
    assert_eq!(parts, ["disk data", "nic lan"]);
    let whole = going(|config| {
        config.nics.clear();
        config.base_image = Some("d13".to_owned());
    });
    assert_eq!(whole, ["the machine itself, for base_image d12 -> d13"]);
}

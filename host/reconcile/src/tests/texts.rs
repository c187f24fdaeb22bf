//! Plans as people read them: what holds for any. Whole texts are in `golden`.

use enginehouse_model::documents::Config;
use serde_json::json;

use super::world::{MIB, World};
use crate::{Intent, Layout, Plan, plan};

fn small() -> Config {
    Config {
        name: Some("vm".to_owned()),
        vcpu: Some(2),
        memory: Some(2048 * MIB),
        ..Config::default()
    }
}

fn render(plan: &Plan) -> String {
    crate::render(plan, Layout::default())
}

#[test]
fn nothing_at_all() {
    assert_eq!(render(&plan(&[])), "nothing to do: there is no machine\n");
}

#[test]
fn what_a_provider_writes_into_names_cannot_repaint_the_terminal() {
    let mut world = World::new(9).desired(small()).deployed(small());
    let machine = world.observed.as_mut().unwrap();
    machine.name = Some("a\x1b[2K\nb".to_owned());
    machine.lock = Some("back\rup".to_owned());
    let text = render(&world.plan(Intent::Reconfigure));
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    assert!(text.contains(r#"name "a\u001b[2K\nb" -> vm"#), "{text}");
}

#[test]
fn a_secret_setting_is_written_but_not_shown() {
    let with = |key: &str| Config {
        settings: json!({"key": key}).as_object().unwrap().clone(),
        ..small()
    };
    let world = World::new(9)
        .desired(with("hunter2"))
        .deployed(with("swordfish"))
        .observed(with("swordfish"));
    let plan = world.plan(Intent::Reconfigure);
    let text = render(&plan);
    assert!(text.contains("settings.key (secret) -> (secret)"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("swordfish"));
}

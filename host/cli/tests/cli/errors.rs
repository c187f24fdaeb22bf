//! Errors of the host's own commands.

use crate::scripted::{enginehouse, run};

#[test]
fn serve_refuses_what_is_no_address_or_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let mut shown = String::new();
    for args in [
        ["serve", "--listen", "localhost"],
        ["serve", "--shutdown-timeout", "soon"],
        ["serve", "--log", "a=b=c"],
        ["serve", "--listen", "192.0.2.1:0"],
    ] {
        let mut command = enginehouse(&args);
        command.args(["--data", data]);
        let ran = run(command);
        assert_ne!(ran.code, 0);
        shown.push_str(&format!("$ {}\n{}\n", args.join(" "), ran.all()));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_demonstration_says_where_it_looked_for_engines() {
    let ran = run(enginehouse(&["demo", "--once", "--engines", "/nowhere"]));
    insta::assert_snapshot!(ran.all());
}

#[test]
fn an_unknown_command_or_option_is_wrong_usage() {
    for args in [
        vec!["destroy", "/web"],
        vec!["deploy"],
        vec!["deploy", "/web", "--frobnicate"],
        vec!["ops", "show", "twelve"],
        vec!["stop", "/a", "--force", "--timeout", "5s"],
    ] {
        let ran = run(enginehouse(&args));
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.err.contains("error:"), "{}", ran.err);
    }
}

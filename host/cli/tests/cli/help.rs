//! `--help`.

use crate::scripted::{enginehouse, run};

#[test]
fn the_overview_says_commands_servers_and_exit_codes() {
    insta::assert_snapshot!(run(enginehouse(&["--help"])).out);
}

/// Every command of every level describes itself, its arguments and its options.
#[test]
fn every_command_has_help() {
    let mut to_visit: Vec<Vec<String>> = vec![Vec::new()];
    let mut visited = 0;
    while let Some(path) = to_visit.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let ran = run(enginehouse(&args));
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        assert!(ran.out.contains("Usage: enginehouse"), "{}", ran.out);
        visited += 1;
        let commands = ran
            .out
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty());
        for line in commands {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            assert!(words.next().is_some(), "`{name}` is not described: {line}");
            // Wrapped lines of a description are indented deeper than names.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                to_visit.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(visited > 50, "commands and groups of commands: {visited}");
}

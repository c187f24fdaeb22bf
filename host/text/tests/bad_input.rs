//! Every kind of bad input, and what is said of it.

use enginehouse_model::FullName;
use enginehouse_text::{Source, read_files, secrets_missing};
use enginehouse_tree::Definition;
use serde_json::json;

/// All that is wrong with the files, a line for each problem, with its hint.
fn said_of(files: &[(&str, &[u8])]) -> String {
    let reading = read_files(&FullName::root(), files.iter().copied());
    let mut text = String::new();
    for problem in &reading.problems {
        let line = problem.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.chars().count() < 700, "{line}");
        text.push_str(&line);
        if let Some(hint) = &problem.hint {
            text.push_str(&format!(" [{hint}]"));
        }
        text.push('\n');
    }
    if reading.more_problems > 0 {
        text.push_str(&format!("and {} more\n", reading.more_problems));
    }
    text
}

#[test]
fn all_problems_of_all_files_are_said_at_once_with_line_and_column() {
    let said = said_of(&[
        (
            "web/vm1.yaml",
            b"# a machine\nmemroy: 4GiB\nvcpu: many\n\ndisks:\n  root:\n    size: 8192\n    shiny: true\nhypervisors:\n  h:\n    type: proxmox\n    user: a\n    username: b\n    password: [hunter2]\n",
        ),
        ("web/_folder.yaml", b"labels:\n  - a\nxyzzy: 1\n"),
    ]);
    insta::assert_snapshot!(said, @r#"
    web/_folder.yaml:2:3: labels: expected an object of named entries, found a list
    web/_folder.yaml:3:1: xyzzy: unknown key [known here: hypervisors, use_hypervisor, filter_hypervisors_allow, destruction_limit, prototypes, use_prototype, base_image, vcpu, memory, description, power, labels, placement, disks, nics, guest, settings, depends_on, protect, policy, follow, approvals, on_failure]
    web/vm1.yaml:2:1: memroy: unknown key, did you mean `memory`?
    web/vm1.yaml:3:7: vcpu: expected a whole number, 1 or more, found the text "many"
    web/vm1.yaml:7:11: disks.root.size: expected a size with a unit, such as 8GiB, found the number 8192 [write 8192MiB or 8192GiB for one of these]
    web/vm1.yaml:8:5: disks.root.shiny: unknown key [known here: size, storage, storage_class, bus, keep]
    web/vm1.yaml:13:5: hypervisors.h.username: says the same as `user` [keep one of the two]
    web/vm1.yaml:14:15: hypervisors.h.password: expected a password as text, or {"secret": NAME}, {"env": NAME} or {"file": PATH}, found a list
    "#);
}

#[test]
fn what_is_no_yaml_is_said_with_its_place() {
    let bomb = {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in ["b", "c", "d", "e", "f", "g"].iter().zip("abcdef".chars()) {
            let items = vec![format!("*{before}"); 9].join(", ");
            text.push_str(&format!("{name}: &{name} [{items}]\n"));
        }
        text
    };
    let nested = format!("settings: {}", "[".repeat(10_000));
    let large = vec![b'#'; (8 << 20) + 1];
    let files: [(&str, &[u8]); 12] = [
        ("alias.yaml", b"memory: *size\n"),
        ("binary.yaml", b"vcpu: 2\nmemory: \xff\xfe\n"),
        ("bomb.yaml", bomb.as_bytes()),
        ("control.yaml", b"description: a\x00b\n"),
        ("documents.yaml", b"vcpu: 2\n---\nvcpu: 3\n"),
        ("infinite.yaml", b"settings:\n  ratio: .inf\n"),
        ("large.yaml", &large),
        ("list.yaml", b"\n- vcpu: 2\n"),
        ("nested.yaml", nested.as_bytes()),
        ("open.yaml", b"disks: {root: {size: 8GiB}\n"),
        ("text.yaml", b"just a text\n"),
        ("twice.yaml", b"vcpu: 2\nmemory: 4GiB\nvcpu: 3\n"),
    ];
    insta::assert_snapshot!(said_of(&files), @r#"
    alias.yaml:1:9: reference to unknown value
    binary.yaml:2:9: no UTF-8: byte 0xFF
    bomb.yaml:4:8: aliases make it many times larger than it is written
    control.yaml:1:15: unexpected character: `\u{0}'
    documents.yaml:2:1: a second document begins here; a file has one
    infinite.yaml:2:10: value `.inf` is not a finite number
    large.yaml: larger than 8 MiB
    list.yaml:2:1: expected a mapping of keys to values, found a list
    nested.yaml:1:139: lists and mappings are nested too deeply
    open.yaml:1:8: unclosed bracket '{'
    text.yaml:1:1: expected a mapping of keys to values, found a text
    twice.yaml:3:1: duplicate mapping key `vcpu` is not allowed here
    "#);
}

#[test]
fn secrets_in_settings_are_refused_with_their_place_and_never_repeated() {
    let files: [(&str, &[u8]); 1] = [(
        "vm.yaml",
        b"settings:\n  api_token: hunter2\nhypervisors:\n  h: {type: fake, host: a, settings: {password: hunter2}}\n",
    )];
    let said = said_of(&files);
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
    vm.yaml:2:14: settings.api_token: expected no secret, as the key says it is one, found a text [settings stand in plans and in what is recorded as deployed; secrets of a guest have their place below `guest`]
    vm.yaml:4:49: hypervisors.h.settings.password: expected no secret, as the key says it is one, found a text [an engine reads its settings; write the connection's password as `password` of the entry, which the host keeps from engines]
    "#);
}

#[test]
fn paths_that_no_node_can_have_are_refused() {
    let long = format!("{}.yaml", "x".repeat(10_000));
    let deep = format!("{}vm.yaml", "a/".repeat(100));
    let files: [(&str, &[u8]); 9] = [
        ("../etc/passwd.yaml", b""),
        ("/etc/passwd.yaml", b""),
        ("web/../../up.yaml", b""),
        ("web//vm.yaml", b""),
        ("a\\b.yaml", b""),
        ("bell\u{7}.yaml", b""),
        ("\u{202e}lmay.yaml", b""),
        (&long, b""),
        (&deep, b""),
    ];
    insta::assert_snapshot!(said_of(&files), @r#"
    ../etc/passwd.yaml: `..` cannot be the name of a node: `.` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    /etc/passwd.yaml: a path must not begin with `/`; it is relative to the directory
    a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/…: nodes are nested more than 64 deep
    a\\b.yaml: `a\\b` cannot be the name of a node: `\\` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    bell\u{7}.yaml: `bell\u{7}` cannot be the name of a node: `\u{7}` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    web/../../up.yaml: `..` cannot be the name of a node: `.` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    web//vm.yaml: `` cannot be the name of a node: a name must not be empty
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` cannot be the name of a node: a name has at most 63 characters, this one has 10000
    \u{202e}lmay.yaml: `\u{202e}lmay` cannot be the name of a node: `\u{202e}` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    "#);
}

#[test]
fn files_that_contradict_each_other_are_named() {
    let files: [(&str, &[u8]); 6] = [
        ("db.yaml", b"vcpu: 1\n"),
        ("db/vm1.yaml", b"vcpu: 1\n"),
        ("web/vm1.yaml", b"vcpu: 1\n"),
        ("web/vm1.yml", b"vcpu: 2\n"),
        ("Web/vm1.yaml", b"vcpu: 1\n"),
        ("~web/vm1.yaml", b"vcpu: 2\n"),
    ];
    insta::assert_snapshot!(said_of(&files), @r#"
    db.yaml: makes `/db` a descriptor, and there is a directory that makes it a folder [rename one of them, or move what is in the directory]
    web/vm1.yml: says what `/web/vm1` is, and `web/vm1.yaml` does so too [keep one of the two files]
    ~web/vm1.yaml: says what `/Web/vm1` is, and `Web/vm1.yaml` does so too [keep one of the two files]
    "#);
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let files: Vec<(String, &[u8])> = (0..1_500)
        .map(|at| (format!("vm{at}.yaml"), b"vcpu: 0\n".as_slice()))
        .collect();
    let reading = read_files(
        &FullName::root(),
        files.iter().map(|(path, bytes)| (path.as_str(), *bytes)),
    );
    assert_eq!(reading.problems.len(), 1_000);
    assert_eq!(reading.more_problems, 500);
}

#[test]
fn files_of_no_node_are_counted_and_left_alone() {
    let files: [(&str, &[u8]); 4] = [
        ("README.md", b"\xff"),
        (".git/config.yaml", b"]"),
        (".enginehouse/definition.schema.json", b"{}"),
        ("vm1.yaml", b"vcpu: 1"),
    ];
    let reading = read_files(&FullName::root(), files);
    assert_eq!(reading.problems, []);
    assert_eq!(reading.ignored, 3);
    let names: Vec<String> = reading
        .wanted
        .iter()
        .map(|wanted| wanted.node.to_string())
        .collect();
    // The root is there because something is in its directory; nothing is said of it.
    assert_eq!(names, ["/", "/vm1"]);
    assert!(matches!(
        reading.wanted.first().map(|wanted| &wanted.says),
        Some(Source::Nothing)
    ));
}

#[test]
fn a_hidden_secret_stays_or_is_missed_with_its_place() {
    let text = b"hypervisors:\n  h:\n    type: proxmox\n    host: https://a:8006\n    user: u\n    password: (secret)\nguest:\n  domain:\n    domain: example.org\n    password: (secret)\n";
    let files: [(&str, &[u8]); 1] = [("_folder.yaml", text)];
    let reading = read_files(&FullName::root(), files);
    assert_eq!(reading.problems, []);
    let Some(Source::Hidden(members)) = reading.wanted.first().map(|wanted| &wanted.says) else {
        panic!("{reading:?}");
    };
    let before = Definition::from_json(&json!({
        "hypervisors": {"h": {"type": "proxmox", "host": "https://old:8006", "user": "u", "password": "hunter2"}},
        "guest": {"domain": {"domain": "example.org", "password": {"env": "JOIN"}}},
    }))
    .unwrap();
    let kept = secrets_missing("_folder.yaml", text, members, Some(&before)).unwrap();
    let kept = kept.to_json();
    assert_eq!(kept["hypervisors"]["h"]["password"], "hunter2");
    assert_eq!(kept["hypervisors"]["h"]["host"], "https://a:8006");
    assert_eq!(kept["guest"]["domain"]["password"], json!({"env": "JOIN"}));

    let problems = secrets_missing("_folder.yaml", text, members, None).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    _folder.yaml:6:15: hypervisors.h.password: `(secret)` keeps a secret as it is, and the tree has none here
    _folder.yaml:10:15: guest.domain.password: `(secret)` keeps a secret as it is, and the tree has none here
    "#);
}

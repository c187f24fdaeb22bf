//! Which server, and what when it is not there.

use serde_json::json;

use crate::scripted::{Scripted, TOKEN, enginehouse, run, write_access};

const TREE: &str = "GET /v1/tree?path=%2F";

fn empty_tree() -> Scripted {
    Scripted::new().on(
        TREE,
        200,
        json!({"uid": "0199a0b0c0d07000800000000000000a", "full_name": "/", "kind": "folder"}),
    )
}

#[test]
fn a_data_directory_names_the_server_and_holds_its_token() {
    let server = empty_tree();
    let dir = tempfile::tempdir().unwrap();
    write_access(dir.path(), &server.url, TOKEN);
    let path = dir.path().to_str().unwrap();

    let ran = run(enginehouse(&["tree", "--data", path]));
    assert_eq!((ran.code, ran.out.as_str()), (0, "/\n"), "{}", ran.err);

    let mut command = enginehouse(&["tree"]);
    command.env("ENGINEHOUSE_DATA", path);
    assert_eq!(run(command).code, 0);

    let home = tempfile::tempdir().unwrap();
    let mut command = enginehouse(&["--server", &server.url, "tree"]);
    command.env("HOME", home.path());
    let token = dir.path().join("token");
    command.args(["--token-file", token.to_str().unwrap()]);
    assert_eq!(run(command).code, 0);
}

#[test]
fn the_command_line_goes_before_the_environment() {
    let server = empty_tree();
    let dir = tempfile::tempdir().unwrap();
    write_access(dir.path(), &server.url, TOKEN);
    let mut command = enginehouse(&["tree", "--data", dir.path().to_str().unwrap()]);
    command
        .env("ENGINEHOUSE_SERVER", "http://127.0.0.1:1")
        .env("ENGINEHOUSE_TOKEN", "another");
    assert_eq!(run(command).code, 0);
}

#[test]
fn a_server_that_is_not_there_is_said_with_the_way_out() {
    let mut command = enginehouse(&["tree"]);
    command
        .env("ENGINEHOUSE_SERVER", "http://127.0.0.1:1")
        .env("ENGINEHOUSE_TOKEN", TOKEN);
    insta::assert_snapshot!(run(command).all());
}

#[test]
fn a_data_directory_that_nobody_serves_is_said_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let ran = run(enginehouse(&["tree", "--data", path])).with(path, "[DATA]");
    insta::assert_snapshot!(ran.all());
}

#[test]
fn a_wrong_token_is_said_with_where_the_right_one_is() {
    let server = empty_tree();
    let mut command = enginehouse(&["tree"]);
    command
        .env("ENGINEHOUSE_SERVER", &server.url)
        .env("ENGINEHOUSE_TOKEN", "wrong-token");
    let ran = run(command);
    assert!(!ran.all().contains("wrong-token"));
    insta::assert_snapshot!(ran.all());
}

#[test]
fn a_server_without_a_token_is_not_asked() {
    let server = empty_tree();
    let ran = run(enginehouse(&["tree", "--server", &server.url])).with(&server.url, "[SERVER]");
    assert_eq!(server.seen(), []);
    insta::assert_snapshot!(ran.all());
}

#[test]
fn another_kind_of_server_is_recognised() {
    let server = Scripted::new().on_foreign(TREE, 502, "<html>Bad gateway</html>");
    insta::assert_snapshot!(server.run(&["tree"]).all());
    let server = Scripted::new().on_foreign(TREE, 200, "<html>Welcome</html>");
    let ran = server.run(&["tree"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["127.0.0.1:7878", "ftp://x", "http://", "unix:/x"] {
        let mut command = enginehouse(&["tree", "--server", url]);
        command.env("ENGINEHOUSE_TOKEN", TOKEN);
        let ran = run(command);
        assert_eq!(ran.code, 2, "{url}: {}", ran.err);
        assert!(ran.err.contains("is no address of a server"), "{}", ran.err);
    }
}

//! What a start makes of what it finds stored.

use std::path::Path;

use enginehouse_api::{Access, Client, ClientError, SecretValue};
use enginehouse_model::{HypervisorUid, InstallationId, NodeUid};
use enginehouse_server::{Running, ServeConfig, Server};
use enginehouse_store::{Commit, Document, Loaded, Opening, Store, Table};
use enginehouse_tree::{Definition, Node};
use serde_json::json;
use uuid::Uuid;

const PASSWORD: &str = "hunter2-in-plain-text";

fn open(dir: &Path) -> (Store, Loaded) {
    let opening = Opening {
        host: "test".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(1)),
        max_pages: None,
    };
    Store::open(dir, &opening).unwrap()
}

async fn start(dir: &Path) -> (Running, Client) {
    let mut config = ServeConfig::new(dir.to_owned());
    config.listen.set_port(0);
    let running = Server::start(config).await.unwrap();
    let access = Access {
        url: running.url().to_owned(),
        token: running.token().to_owned(),
    };
    let client = Client::new(&access).unwrap();
    (running, client)
}

/// The store is there again once the host has let go of it.
async fn stop(running: Running) {
    running.stop().await;
}

#[tokio::test]
async fn plain_passwords_of_an_older_version_are_sealed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut root = Node::root(NodeUid::from_uuid(Uuid::from_u128(2)));
    root.local = Definition::from_json(&json!({
        "hypervisors": {"h": {"host": "a", "password": PASSWORD}},
        "settings": {"cipassword": PASSWORD},
        "prototypes": {"p": {"guest": {"users": [{"name": "a", "password": PASSWORD}]}}},
    }))
    .unwrap();
    let uid = HypervisorUid::from_uuid(Uuid::from_u128(3));
    root.hypervisor_uids.insert("h".to_owned(), uid);
    {
        let (store, loaded) = open(dir.path());
        let document = Document::of(1, &root).unwrap();
        assert!(document.body.contains(PASSWORD));
        let commit = Commit::new(loaded.fence).put(Table::Node, root.uid.to_string(), document);
        store.commit(commit).await.unwrap();
    }
    for life in 0..2 {
        let (running, client) = start(dir.path()).await;
        let node = client.node(&"/".parse().unwrap()).await.unwrap();
        let shown = serde_json::to_string(&node.local_definition).unwrap();
        assert!(
            shown.contains(r#""password":{"secret":"h.password"}"#),
            "{shown}"
        );
        assert!(!shown.contains(PASSWORD), "{shown}");
        let secrets = client.secrets().await.unwrap().secrets;
        let names: Vec<_> = secrets.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(
            names,
            [
                "h.password",
                "prototypes.p.guest.users.0.password",
                "settings.cipassword"
            ],
            "life {life}"
        );
        assert!(secrets.iter().all(|s| s.generated && s.by == "upgrade"));
        stop(running).await;
    }
    let (_store, loaded) = open(dir.path());
    assert!(
        loaded
            .nodes
            .iter()
            .all(|row| !row.document.body.contains(PASSWORD))
    );
    assert!(
        loaded
            .secrets
            .iter()
            .all(|row| !row.document.body.contains(PASSWORD))
    );
}

#[tokio::test]
async fn swapped_rows_do_not_open_and_the_way_out_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    for name in ["a", "b"] {
        let value = SecretValue {
            value: name.repeat(9),
        };
        let operation = client
            .set_secret(&name.parse().unwrap(), &value)
            .await
            .unwrap();
        assert_eq!(operation.secret, Some(name.parse().unwrap()));
        assert!(
            !serde_json::to_string(&operation)
                .unwrap()
                .contains(&name.repeat(9))
        );
    }
    stop(running).await;
    {
        let (store, loaded) = open(dir.path());
        let [a, b] = loaded.secrets.as_slice() else {
            panic!("{} secrets", loaded.secrets.len());
        };
        let commit = Commit::new(loaded.fence)
            .put(Table::Secret, "a", b.document.clone())
            .put(Table::Secret, "b", a.document.clone());
        store.commit(commit).await.unwrap();
    }
    // The host starts: what needs them says so, and everything else works.
    let (running, client) = start(dir.path()).await;
    let Err(ClientError::Refused(problem)) = client.rotate_key().await else {
        panic!("the key was exchanged");
    };
    assert!(
        problem.detail.contains("`a` cannot be opened"),
        "{problem:?}"
    );
    let hint = problem.hint.unwrap_or_default();
    assert!(hint.contains("enginehouse secret set a"), "{hint}");
    for name in ["a", "b"] {
        let value = SecretValue {
            value: "anew".to_owned(),
        };
        client
            .set_secret(&name.parse().unwrap(), &value)
            .await
            .unwrap();
    }
    client.rotate_key().await.unwrap();
    stop(running).await;
    let (running, client) = start(dir.path()).await;
    assert_eq!(client.secrets().await.unwrap().secrets.len(), 2);
    stop(running).await;
}

//! Imports by who may not govern: a password of a guest is theirs to write, that of a hypervisor not
//! even to guess.

use serde_json::{Value, json};

use crate::site::{Answer, Site};

async fn import(site: &Site, token: &str, path: &str, file: &str, text: &str) -> Answer {
    let body = json!({"path": path, "files": {file: text}});
    site.ask(token, "POST", "/v1/imports", &body).await
}

async fn operator(site: &Site) -> String {
    site.plant().await;
    site.grant("/db", "ann", "operator").await;
    site.make_token("ann", None).await.0
}

#[tokio::test]
async fn a_plain_password_of_a_guest_needs_no_more_than_operate() {
    let site = Site::start().await;
    let ann = operator(&site).await;
    let text = "guest:\n  domain:\n    domain: d\n    password: typed-in\n";
    for file in ["vm2.yaml", "new.yaml"] {
        let done = import(&site, &ann, "/db", file, text).await;
        assert_eq!(done.status, 200, "{file}: {done:?}");
        let again = import(&site, &ann, "/db", file, text).await;
        assert_eq!(again.body["operation"], Value::Null, "{file}: {again:?}");
    }
    // A reference may lead to what is not theirs.
    let text = "guest:\n  domain:\n    password: {secret: db/own.password}\n";
    let refused = import(&site, &ann, "/db", "vm2.yaml", text).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(
        refused.said().contains("guest.domain.password"),
        "{}",
        refused.said()
    );
}

#[tokio::test]
async fn whether_a_password_is_the_one_that_is_kept_is_not_told() {
    let site = Site::start().await;
    let ann = operator(&site).await;
    let mut answers: Vec<String> = Vec::new();
    for guess in ["hidden", "wrong"] {
        let text = format!(
            "hypervisors:\n  own: {{type: fake, host: 'http://127.0.0.1:2', password: {guess}}}\n"
        );
        let answer = import(&site, &ann, "/db", "_folder.yaml", &text).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        answers.push(answer.said());
    }
    assert_eq!(answers[0], answers[1]);
    // Who governs may send a file again that has the password in it: nothing changes.
    let text = "hypervisors:\n  own: {type: fake, host: 'http://127.0.0.1:2', password: hidden}\n";
    let same = import(&site, &site.token(), "/db", "_folder.yaml", text).await;
    assert_eq!(
        (same.status, &same.body["unchanged"]),
        (200, &json!(1)),
        "{same:?}"
    );
    assert_eq!(same.body["operation"], Value::Null);
}

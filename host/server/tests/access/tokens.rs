//! The life of a token.

use std::os::unix::fs::PermissionsExt;

use enginehouse_model::{InstallationId, Timestamp};
use enginehouse_store::{Commit, Document, Opening, Store, Table, Write};
use serde_json::{Value, json};

use crate::site::{BEGIN_MS, Site};

const DAY_MS: u64 = 86_400_000;

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_hash() {
    let mut site = Site::start().await;
    let request = json!({"subject": "ann", "expires_in_s": 3600, "note": " for her laptop "});
    let made = site
        .ask(&site.token(), "POST", "/v1/tokens", &request)
        .await;
    let token = made.body["token"].as_str().unwrap().to_owned();
    let secret = token.rsplit('_').next().unwrap().to_owned();
    assert_eq!(
        token,
        format!("eh_{}_{secret}", made.body["id"].as_str().unwrap())
    );
    assert_eq!(made.body["note"], "for her laptop");
    assert_eq!(made.body["created_by"], "admin");
    assert_eq!(
        made.body["expires_at"],
        json!(Timestamp(BEGIN_MS + 3_600_000))
    );

    let list = site.get(&site.token(), "/v1/tokens").await.body;
    assert_eq!(list["tokens"].as_array().unwrap().len(), 1);
    assert!(!list.to_string().contains(&secret));
    let me = site.get(&token, "/v1/whoami").await;
    assert_eq!(me.body["subject"], "ann");
    assert!(!me.body.to_string().contains(&secret));

    // It is good after a restart, and nowhere on the disk.
    site.restart().await;
    assert_eq!(site.get(&token, "/v1/whoami").await.status, 200);
    site.stop().await;
    for file in std::fs::read_dir(site.data_dir()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "the secret is in {}", path.display());
        }
    }
}

#[tokio::test]
async fn expired_and_revoked_are_said_to_who_has_the_token_and_to_nobody_else() {
    let site = Site::start().await;
    let (expiring, id) = site.make_token("ann", Some(60)).await;
    site.pass(59_999);
    assert_eq!(site.get(&expiring, "/v1/whoami").await.status, 200);
    site.pass(1);
    let said = site.get(&expiring, "/v1/whoami").await.said();
    assert!(
        said.starts_with("401 the bearer token has expired"),
        "{said}"
    );
    let guess = format!("eh_{id}_{}", "0".repeat(64));
    let said = site.get(&guess, "/v1/whoami").await.said();
    assert!(
        said.starts_with("401 the bearer token is not one of this"),
        "{said}"
    );

    let (revoked, id) = site.make_token("ann", None).await;
    let path = format!("/v1/tokens/{id}");
    for _ in 0..2 {
        let answer = site.ask(&site.token(), "DELETE", &path, &Value::Null).await;
        assert_eq!(
            (answer.status, &answer.body["state"]),
            (200, &json!("revoked"))
        );
        assert_eq!(answer.body["revoked_by"], "admin");
    }
    let said = site.get(&revoked, "/v1/whoami").await.said();
    assert!(
        said.starts_with("401 the bearer token was revoked"),
        "{said}"
    );
}

#[tokio::test]
async fn a_subject_lists_and_revokes_its_own_tokens_and_no_others() {
    let site = Site::start().await;
    let (ann, ann_id) = site.make_token("ann", None).await;
    let (bob, bob_id) = site.make_token("bob", None).await;
    let list = site.get(&ann, "/v1/tokens").await.body;
    let subjects: Vec<&str> = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects, ["ann"]);
    let revoke = |token: &str, id: &str| {
        let (token, path) = (token.to_owned(), format!("/v1/tokens/{id}"));
        let site = &site;
        async move { site.ask(&token, "DELETE", &path, &Value::Null).await }
    };
    // A token that is there and one that is not look the same to who may not see it.
    let others = revoke(&ann, &bob_id).await;
    let nobodys = revoke(&ann, "0123456789ab").await;
    assert_eq!((others.status, others.said()), (404, nobodys.said()));
    let itself = revoke(&ann, &bob).await;
    assert!(
        !itself.body.to_string().contains(&bob),
        "a token must not come back in an error"
    );
    assert_eq!(revoke(&ann, &ann_id).await.status, 200);
    assert_eq!(site.get(&ann, "/v1/whoami").await.status, 401);
    assert_eq!(site.get(&bob, "/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn wrong_requests_for_tokens_say_what_is_wrong() {
    let site = Site::start().await;
    for (body, says) in [
        (json!({"subject": "Ann"}), "lower case"),
        (json!({"subject": ""}), "1 to 128"),
        (json!({"subject": "a/b"}), "cannot be the name"),
        (json!({"subject": "reconciler"}), "by itself"),
        (json!({"subject": "ann\u{1b}[31m"}), "cannot be the name"),
        (json!({"subject": "ann", "expires_in_s": 0}), "between 1"),
        (
            json!({"subject": "ann", "expires_in_s": u64::MAX}),
            "between 1",
        ),
        (json!({"subject": "ann", "note": "a\nb"}), "one line"),
        (json!({"subject": "ann", "note": "x".repeat(501)}), "500"),
        (json!({"subject": "ann", "role": "admin"}), "unknown field"),
        (json!({}), "missing field"),
    ] {
        let answer = site.ask(&site.token(), "POST", "/v1/tokens", &body).await;
        assert!((400..=422).contains(&answer.status), "{answer:?}");
        assert!(answer.said().contains(says), "{}", answer.said());
        assert!(!answer.said().chars().any(char::is_control));
    }
    assert_eq!(
        site.get(&site.token(), "/v1/tokens").await.body["tokens"],
        json!([])
    );
}

#[tokio::test]
async fn the_last_use_is_kept_by_the_day() {
    let site = Site::start().await;
    let (token, _) = site.make_token("ann", None).await;
    let today = BEGIN_MS - BEGIN_MS % DAY_MS;
    for (passes, day) in [(0, today), (1000, today), (DAY_MS, today + DAY_MS)] {
        site.pass(passes);
        assert_eq!(site.get(&token, "/v1/whoami").await.status, 200);
        let list = site.get(&site.token(), "/v1/tokens").await.body;
        assert_eq!(list["tokens"][0]["last_used_day"], json!(Timestamp(day)));
    }
}

#[tokio::test]
async fn the_installations_token_is_exchanged_at_once_and_is_always_admin() {
    let mut site = Site::start().await;
    let old = site.token();
    assert!(old.starts_with("eh_admin_"), "a scanner must know it");
    let rotated = site
        .ask(&old, "POST", "/v1/tokens/rotate", &Value::Null)
        .await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let new = site.token();
    assert!(new != old && !rotated.body.to_string().contains(&new));
    let file = site.data_dir().join("token");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(site.get(&old, "/v1/info").await.status, 401);
    assert_eq!(site.get(&new, "/v1/info").await.status, 200);

    // Lost: the file goes, the host starts again, and nothing else has changed.
    let (ann, _) = site.make_token("ann", None).await;
    std::fs::remove_file(&file).unwrap();
    site.restart().await;
    let newest = site.token();
    assert_eq!(site.get(&new, "/v1/info").await.status, 401);
    assert_eq!(site.get(&newest, "/v1/info").await.status, 200);
    assert_eq!(site.get(&ann, "/v1/whoami").await.status, 200);

    // Nobody can take its rights away, or give them to another by its name.
    let grants = json!({"grants": [{"op": "remove", "subject": "admin"}]});
    let answer = site.order_as(&newest, "set-grants", "/", grants).await;
    assert_eq!(answer.status, 422, "{answer:?}");
}

#[tokio::test]
async fn a_token_file_of_an_older_version_is_good_as_it_is() {
    let mut site = Site::start().await;
    site.stop().await;
    let old = "5".repeat(64);
    std::fs::write(site.data_dir().join("token"), format!("{old}\n")).unwrap();
    site.restart().await;
    assert_eq!(site.token(), old);
    assert_eq!(site.get(&old, "/v1/whoami").await.body["subject"], "admin");
}

#[tokio::test]
async fn ten_thousand_tokens_are_loaded_listed_and_told_apart() {
    let mut site = Site::start().await;
    site.grant("/", "user42", "viewer").await;
    site.stop().await;
    let text = |n: u64| format!("eh_{n:012x}_{n:064x}");
    let opening = Opening {
        host: "test".to_owned(),
        first_installation: InstallationId::from_uuid(uuid::Uuid::from_u128(1)),
        max_pages: None,
    };
    {
        let (store, loaded) = Store::open(site.data_dir(), &opening).unwrap();
        let mut commit = Commit::new(loaded.fence);
        for n in 0..10_000_u64 {
            let hash = blake3::hash(text(n).as_bytes()).to_hex().to_string();
            let token = json!({
                "hash": hash, "subject": format!("user{}", n % 100),
                "created_at": Timestamp(BEGIN_MS), "created_by": "admin",
                // The second half ended long ago.
                "expires_at": (n >= 5_000).then_some(Timestamp(1)),
            });
            commit.writes.push(Write::Put {
                table: Table::Token,
                key: format!("{n:012x}"),
                document: Document::of(1, &token).unwrap(),
            });
        }
        store.commit(commit).await.unwrap();
    }
    site.restart().await;
    let count = |answer: &crate::site::Answer| answer.body["tokens"].as_array().unwrap().len();
    assert_eq!(count(&site.get(&site.token(), "/v1/tokens").await), 10_000);
    assert_eq!(site.get(&text(42), "/v1/tree").await.status, 200);
    assert_eq!(site.get(&text(43), "/v1/tree").await.status, 403);
    assert_eq!(site.get(&text(5_042), "/v1/tree").await.status, 401);
    assert_eq!(count(&site.get(&text(42), "/v1/tokens").await), 100);
    // The next that is made takes the place of those that nobody remembers.
    site.make_token("ann", None).await;
    assert_eq!(count(&site.get(&site.token(), "/v1/tokens").await), 5_001);
    site.restart().await;
    assert_eq!(count(&site.get(&site.token(), "/v1/tokens").await), 5_001);
}

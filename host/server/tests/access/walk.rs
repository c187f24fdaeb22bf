//! Every route, as everyone. The table is the truth that people read; a change of it is a change of
//! who may do what.

use std::collections::BTreeSet;
use std::fmt::Write;

use enginehouse_api::OperationKind;
use enginehouse_server::{Need, route_needs};
use serde_json::{Value, json};

use crate::site::Site;

const ROLES: [(&str, &str); 4] = [
    ("viewer", "v"),
    ("operator", "o"),
    ("approver", "a"),
    ("admin", "A"),
];

/// Where a role is granted, and what the table calls it. All probes are about `/web/front`.
const PLACES: [(&str, &str); 4] = [
    ("here", "/web/front"),
    ("above", "/web"),
    ("root", "/"),
    ("elsewhere", "/db"),
];

/// Who has no good token, or no role.
///
/// `own`: the installation's token. `new`: a subject without any role. `---`: no token. `bad`: an id that
/// is there with another secret. `exp`, `rev`: expired, revoked.
const OTHERS: [&str; 6] = ["own", "new", "---", "bad", "exp", "rev"];

/// One request, made as everyone.
struct Probe {
    /// Route as the API's documentation has it.
    route: (&'static str, &'static str),
    title: &'static str,
    path: String,
    body: Value,
    /// What the installation orders before each request: kind and path.
    before: Option<(&'static str, &'static str, Value)>,
}

fn probe(method: &'static str, route: &'static str) -> Probe {
    Probe {
        route: (method, route),
        title: "",
        path: route.to_owned(),
        body: Value::Null,
        before: None,
    }
}

impl Probe {
    fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }
}

/// `$` in a path: another word each time.
fn order(title: &'static str, kind: &str, path: &str, params: Value) -> Probe {
    let mut probe = probe("POST", "/v1/operations");
    probe.title = title;
    probe.body(json!({"kind": kind, "path": path, "params": params}))
}

fn orders() -> Vec<Probe> {
    let define = |definition: Value| json!({ "definition": definition });
    let nothing = || json!({"definition": {}, "confirm_lowered": true});
    let set =
        |key: Value, value: Value| json!({"changes": [{"op": "set", "key": key, "value": value}]});
    let hypervisors = json!({"hypervisors": {"h": {"type": "fake", "host": "http://127.0.0.1:3"}}});
    let grant = json!({"grants": [{"op": "add", "subject": "zoe", "roles": ["viewer"]}]});
    let front = "/web/front";
    let new = "/web/front/$";
    let vm = "/web/front/vm1";
    let mut all = vec![
        order("create-folder", "create-folder", new, json!({})),
        order(
            "create-folder, protect",
            "create-folder",
            new,
            define(json!({"protect": true})),
        ),
        order("provision", "provision", new, json!({})),
        order(
            "provision, hypervisors",
            "provision",
            new,
            define(hypervisors.clone()),
        ),
        order("edit, vcpu", "edit", vm, set(json!(["vcpu"]), json!(2))),
        order(
            "edit, use_hypervisor",
            "edit",
            vm,
            set(json!(["use_hypervisor"]), json!("top")),
        ),
        order(
            "edit, protect",
            "edit",
            vm,
            set(json!(["protect"]), json!(true)),
        ),
        order(
            "edit, policy",
            "edit",
            front,
            set(json!(["policy"]), json!("observe")),
        ),
        order(
            "edit, a file's secret",
            "edit",
            vm,
            set(
                json!(["guest", "domain", "password"]),
                json!({"file": "/etc/shadow"}),
            ),
        ),
        order("reconfigure", "reconfigure", vm, json!({})),
        order(
            "reconfigure, follow",
            "reconfigure",
            vm,
            set(json!(["follow"]), json!(true)),
        ),
        order("deploy", "deploy", new, json!({})),
        order("undeploy", "undeploy", vm, json!({})),
        order("start", "start", vm, json!({})),
        order("stop", "stop", vm, json!({})),
        order("restart", "restart", vm, json!({})),
        order("rollback", "rollback", vm, json!({})),
        order("protect", "protect", vm, json!({})),
        order(
            "unprotect",
            "unprotect",
            vm,
            json!({"confirm_lowered": true}),
        ),
        // The host orders it, nobody else.
        order("undo", "undo", vm, json!({})),
        order("set-grants", "set-grants", front, grant),
        // They have routes of their own: an order would keep the value.
        order("set-secret", "set-secret", "/", json!({})),
        order("remove-secret", "remove-secret", "/", json!({})),
        order("rotate-key", "rotate-key", "/", json!({})),
        order("import", "import", front, json!({})),
        order("adopt", "adopt", front, json!({})),
    ];
    for (title, kind, makes, definition) in [
        ("remove-folder", "remove-folder", "create-folder", json!({})),
        (
            "remove-folder, protect",
            "remove-folder",
            "create-folder",
            json!({"protect": true}),
        ),
        ("deprovision", "deprovision", "provision", json!({})),
        (
            "deprovision, hypervisors",
            "deprovision",
            "provision",
            hypervisors,
        ),
    ] {
        let mut removes = order(title, kind, new, json!({"confirm_lowered": true}));
        removes.before = Some((makes, new, define(definition)));
        all.push(removes);
    }
    for (title, to, definition) in [
        ("move", "/web/front/$-moved", json!({})),
        (
            "move, protect",
            "/web/front/$-moved",
            json!({"protect": true}),
        ),
        // Other people have rights there.
        ("move, rights", "/db/$", json!({})),
    ] {
        let mut moves = order(title, "move", new, json!({ "to": to }));
        moves.before = Some(("provision", new, define(definition)));
        all.push(moves);
    }
    for probe in &mut all {
        probe.before = match probe.title {
            // Without a hypervisor it is refused for what it is, not for who asks.
            "deploy" => Some(("provision", new, json!({}))),
            // What others have changed is put back: what is there already is no change.
            title if title.starts_with("edit") && probe.body["path"] == front => {
                Some(("edit", front, nothing()))
            }
            title if title.starts_with("edit") => Some(("edit", vm, nothing())),
            _ => probe.before.take(),
        };
    }
    all
}

const HYPERVISORS: &str = "hypervisors: {h: {type: fake, host: \"http://127.0.0.1:3\"}}\n";

/// One file below `/web/front`.
fn import(title: &'static str, file: &str, text: &str, dry_run: bool) -> Probe {
    let mut probe = probe("POST", "/v1/imports");
    probe.title = title;
    let nothing = json!({"definition": {}, "confirm_lowered": true});
    probe.before = Some(("edit", "/web/front/vm1", nothing));
    probe.body(json!({"path": "/web/front", "files": {file: text}, "dry_run": dry_run}))
}

fn probes(number: u64, plan: &str) -> Vec<Probe> {
    let operation = |method, route: &'static str| {
        probe(method, route).at(&route.replace("{number}", &number.to_string()))
    };
    let mut all = vec![
        probe("GET", "/healthz"),
        probe("GET", "/v1/info"),
        probe("GET", "/v1/whoami"),
        probe("GET", "/v1/engines"),
        probe("GET", "/v1/engines/{name}").at("/v1/engines/none"),
        probe("GET", "/v1/tree"),
        probe("GET", "/v1/tree").at("/v1/tree?path=/web"),
        probe("GET", "/v1/tree").at("/v1/tree?path=/web/front"),
        probe("GET", "/v1/tree").at("/v1/tree?path=/web/nothing"),
        probe("GET", "/v1/nodes").at("/v1/nodes?path=/web/front/vm1"),
        probe("GET", "/v1/nodes").at("/v1/nodes?path=/web/front/vm9"),
        probe("GET", "/v1/nodes/history").at("/v1/nodes/history?path=/web/front/vm1"),
        probe("GET", "/v1/nodes/history").at("/v1/nodes/history?path=/web/front/vm9"),
        probe("POST", "/v1/previews").body(json!({
            "kind": "edit", "path": "/web/front/vm1",
            "params": {"changes": [{"op": "set", "key": ["vcpu"], "value": 7}]}
        })),
        probe("GET", "/v1/operations"),
        probe("GET", "/v1/operations").at("/v1/operations?path=/web/front/vm1"),
        operation("GET", "/v1/operations/{number}"),
        operation("GET", "/v1/operations/{number}/wait"),
        operation("GET", "/v1/operations/{number}/log"),
        operation("GET", "/v1/operations/{number}/requests"),
        operation("GET", "/v1/operations/{number}/events"),
        probe("GET", "/v1/events").at("/v1/events?timeout_ms=0"),
        operation("POST", "/v1/operations/{number}/cancel"),
        operation("POST", "/v1/operations/{number}/move").body(json!("last")),
        operation("POST", "/v1/operations/{number}/resolve").body(json!({"as": "failed"})),
        operation("GET", "/v1/operations/{number}/approval"),
        operation("POST", "/v1/operations/{number}/approve").body(json!({"signature": "none"})),
        operation("POST", "/v1/operations/{number}/refuse").body(json!({"reason": "no"})),
        probe("GET", "/v1/approvals"),
        probe("GET", "/v1/approvals").at("/v1/approvals?path=/web/front"),
        probe("GET", "/v1/results"),
        probe("GET", "/v1/executed").at("/v1/executed?path=/web/front"),
        probe("GET", "/v1/audit"),
        probe("GET", "/v1/audit").at("/v1/audit?path=/web/front"),
        probe("GET", "/v1/audit/head"),
        probe("GET", "/v1/export").at("/v1/export?path=/web/front"),
        probe("GET", "/v1/export"),
        import("import, vcpu", "vm1.yaml", "vcpu: 3\n", false),
        import("import, a new folder", "$/_folder.yaml", "", false),
        import("import, hypervisors", "_folder.yaml", HYPERVISORS, true),
        probe("POST", "/v1/adoptions").body(json!({
            "hypervisor": "top", "into": "/web/front", "dry_run": true
        })),
        probe("POST", "/v1/plans").body(json!({"kind": "stop", "path": "/web/front"})),
        probe("GET", "/v1/plans/{id}").at(&format!("/v1/plans/{plan}")),
        probe("GET", "/v1/hypervisors"),
        probe("GET", "/v1/hypervisors").at("/v1/hypervisors?path=/web/front"),
        probe("POST", "/v1/hypervisors/check").body(json!({"path": "/web/front"})),
        probe("POST", "/v1/hypervisors/refresh").body(json!({"path": "/web/front"})),
        probe("POST", "/v1/nodes/missing").body(json!({"path": "/web/front"})),
        probe("POST", "/v1/nodes/link").body(json!({"path": "/web/front"})),
        probe("POST", "/v1/nodes/pause").body(json!({"path": "/web/front"})),
        probe("POST", "/v1/nodes/resume").body(json!({"path": "/web/front"})),
        probe("GET", "/v1/drift").at("/v1/drift?path=/web/front"),
        probe("POST", "/v1/hypervisors/missing").body(json!({"path": "/web/front", "name": "top"})),
        probe("GET", "/v1/hypervisors/machines").at("/v1/hypervisors/machines?name=top"),
        probe("GET", "/v1/grants"),
        probe("GET", "/v1/grants").at("/v1/grants?path=/web/front"),
        probe("GET", "/v1/tokens"),
        probe("POST", "/v1/tokens").body(json!({"subject": "new"})),
        probe("DELETE", "/v1/tokens/{id}"),
        probe("GET", "/v1/secrets"),
        probe("PUT", "/v1/secrets/{name}")
            .at("/v1/secrets/web%2Fpve")
            .body(json!({"value": "hunter2"})),
        probe("DELETE", "/v1/secrets/{name}").at("/v1/secrets/none"),
        probe("POST", "/v1/secret-key/rotate"),
        probe("GET", "/v1/backup"),
        probe("POST", "/v1/resume"),
        probe("GET", "/v1/nowhere"),
        probe("PATCH", "/v1/tree"),
    ];
    all.extend(orders());
    // Last: it takes the installation's token away from under the others.
    all.push(probe("POST", "/v1/tokens/rotate"));
    all
}

/// Column and token of everyone but those without a good one.
async fn everyone(site: &Site) -> Vec<(String, Option<String>)> {
    let mut columns = Vec::new();
    for (place, path) in PLACES {
        for (role, _) in ROLES {
            let subject = format!("{role}-{place}");
            site.grant(path, &subject, role).await;
            let (token, _) = site.make_token(&subject, None).await;
            columns.push((subject, Some(token)));
        }
    }
    let (expired, _) = site.make_token("admin-root", Some(60)).await;
    site.pass(60_000);
    let (revoked, id) = site.make_token("admin-root", None).await;
    let path = format!("/v1/tokens/{id}");
    assert_eq!(
        site.ask(&site.token(), "DELETE", &path, &Value::Null)
            .await
            .status,
        200
    );
    let (nobody, _) = site.make_token("nobody", None).await;
    let wrong = format!("eh_{id}_{}", "0".repeat(64));
    let tokens = [
        None,
        Some(nobody),
        None,
        Some(wrong),
        Some(expired),
        Some(revoked),
    ];
    for (name, token) in OTHERS.into_iter().zip(tokens) {
        columns.push((name.to_owned(), token));
    }
    columns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_everyone_as_the_table_says() {
    let site = Site::start().await;
    site.plant().await;
    let made = site
        .order(
            "edit",
            "/web/front/vm1",
            json!({"changes": [
                {"op": "set", "key": ["memory"], "value": "1GiB"}
            ]}),
        )
        .await;
    let number = made["number"].as_u64().unwrap();
    let stop = json!({"kind": "stop", "path": "/web/front"});
    let plan = site.ask(&site.token(), "POST", "/v1/plans", &stop).await;
    let plan = plan.body["id"].as_str().unwrap().to_owned();
    let columns = everyone(&site).await;
    let all = probes(number, &plan);
    let mut table = String::new();
    head(&mut table);
    let mut words = 0;
    for probe in &all {
        let shown = if probe.title.is_empty() {
            &probe.path
        } else {
            probe.title
        };
        let shown = match probe.route.1 {
            route if route.contains('{') => route,
            _ => shown,
        };
        let _ = write!(table, "{:<6} {shown:<36}", probe.route.0);
        for (at, (name, token)) in columns.iter().enumerate() {
            words += 1;
            let word = format!("x{words}");
            if let Some((kind, path, params)) = &probe.before {
                site.order(kind, &path.replace('$', &word), params.clone())
                    .await;
            }
            let mut path = probe.path.clone();
            if probe.route == ("DELETE", "/v1/tokens/{id}") {
                let (_, id) = site.make_token("victim", None).await;
                path = path.replace("{id}", &id);
            }
            let body: Value =
                serde_json::from_str(&probe.body.to_string().replace('$', &word)).unwrap();
            let mut request = site.request(probe.route.0, &path);
            if !body.is_null() {
                request = request.json(&body);
            }
            let token = if name == "own" {
                Some(site.token())
            } else {
                token.clone()
            };
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = site.send(request).await;
            assert!(
                answer.status < 500,
                "{} {path} as {name}: {answer:?}",
                probe.route.0
            );
            let gap = if at % 4 == 0 && at <= 16 { " " } else { "" };
            let _ = write!(table, "{gap} {}", answer.status);
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

fn head(table: &mut String) {
    let _ = write!(table, "{:<43}", "");
    for (place, path) in PLACES {
        let _ = write!(table, "  {:<15}", format!("{place} {path}"));
    }
    let _ = write!(table, "\n{:<43}", "");
    for _ in PLACES {
        table.push(' ');
        for (_, letter) in ROLES {
            let _ = write!(table, " {letter:<3}");
        }
    }
    table.push(' ');
    for name in OTHERS {
        let _ = write!(table, " {name:<3}");
    }
    table.push('\n');
}

#[test]
fn the_walk_the_router_and_the_documentation_have_the_same_routes() {
    let router: BTreeSet<(String, String)> = route_needs()
        .into_iter()
        .map(|route| (route.method, route.path.to_owned()))
        .collect();
    assert_eq!(router.len(), route_needs().len(), "a route is there twice");
    let documented: BTreeSet<(String, String)> = include_str!("../../../api/src/routes.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
        .filter_map(|(route, _)| route.split_once(' '))
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(documented, router);
    let off_the_map = [("GET", "/v1/nowhere"), ("PATCH", "/v1/tree")];
    let walked: BTreeSet<(String, String)> = probes(1, "p")
        .into_iter()
        .map(|probe| probe.route)
        .filter(|route| !off_the_map.contains(route))
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(walked, router);
    let open = route_needs()
        .into_iter()
        .filter(|route| route.need == Need::Nothing);
    assert_eq!(
        open.map(|route| route.path).collect::<Vec<_>>(),
        ["/healthz"]
    );
}

#[test]
fn the_walk_orders_every_kind() {
    let kinds: BTreeSet<String> = OperationKind::ALL.iter().map(ToString::to_string).collect();
    let walked: BTreeSet<String> = orders()
        .iter()
        .map(|probe| probe.body["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(walked, kinds);
}

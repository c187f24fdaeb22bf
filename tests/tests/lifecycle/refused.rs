//! Every pair of state and event that an operator can reach and that is no edge, through the API and
//! the command line: the error names the state, the event, and what to do instead.

use anyhow::{Result, ensure};
use enginehouse_api::{ErrorCode, OperationKind, OperationState, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::{confirmed, defined};
use enginehouse_tree::{Event, Next, Status, next};
use serde_json::json;

use enginehouse_tests::{Stage, to_name};

/// The order that asks for an event. What the host alone finds out has none.
fn order(event: Event) -> Option<(OperationKind, Params)> {
    match event {
        Event::Provision => Some((OperationKind::Provision, Params::default())),
        Event::Deprovision => Some((OperationKind::Deprovision, Params::default())),
        Event::Deploy => Some((OperationKind::Deploy, Params::default())),
        Event::Undeploy => Some((OperationKind::Undeploy, confirmed())),
        Event::ConnectionLost | Event::Reconnected | Event::MachineMissing => None,
    }
}

/// Descriptors in every state that commands alone can bring about.
async fn estate(stage: &Stage) -> Result<Vec<(&'static str, Status, bool)>> {
    for path in ["/fresh", "/half", "/up"] {
        stage.provision(path, json!({})).await?;
    }
    stage.deploy("/up").await?;
    stage.sim.tune(|knobs| {
        knobs.faults.push(Fault::once(
            Call::MachineStart,
            FaultEffect::TaskError {
                message: "no".to_owned(),
                leave_half: false,
            },
        ));
    })?;
    let failed = stage
        .begin(OperationKind::Deploy, "/half", Params::default())
        .await?;
    let failed = stage.ended(failed.number).await?;
    ensure!(failed.state == OperationState::Failed, "{failed:#?}");
    ensure!(stage.node("/half").await?.machine_id.is_some());
    Ok(vec![
        ("/fresh", Status::Provisioned, false),
        ("/half", Status::Provisioned, true),
        ("/up", Status::Deployed, true),
    ])
}

#[tokio::test]
async fn every_pair_that_is_no_edge_is_refused_with_state_event_and_the_way_out() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let estate = estate(&stage).await?;
    let mut refused = Vec::new();
    for (path, status, machine) in estate {
        for event in Event::ALL {
            let Some((kind, params)) = order(event) else {
                continue;
            };
            let Err(pair) = next(status, machine, event) else {
                continue;
            };
            let problem = stage.refused(kind, path, params).await?;
            let text = format!(
                "{} {}",
                problem.detail,
                problem.hint.clone().unwrap_or_default()
            );
            if event == Event::Provision {
                // Who provisions names a place, not a descriptor: the place is taken.
                assert_eq!(problem.code, ErrorCode::Conflict, "{problem:#?}");
                ensure!(text.contains("exists already"), "{problem:#?}");
            } else {
                assert_eq!(problem.code, ErrorCode::WrongState, "{problem:#?}");
                for part in [path, &status.to_string(), &event.to_string(), pair.instead] {
                    ensure!(
                        text.contains(part),
                        "{path} {event}: `{part}` in {problem:#?}"
                    );
                }
            }
            refused.push(format!("{path} {event}"));
            // The same by the command line: no success, and the same words.
            if event != Event::Provision {
                let name = event.to_string();
                let mut arguments = vec![name.as_str(), path];
                if event == Event::Undeploy {
                    arguments.push("--yes");
                }
                let ran = stage.run(&arguments).await?;
                assert_eq!(ran.code, 1, "{}", ran.err);
                ensure!(ran.err.contains(&problem.detail), "{}", ran.err);
                ensure!(ran.err.contains(pair.instead), "{}", ran.err);
            }
        }
    }
    assert_eq!(
        refused,
        [
            "/fresh provision",
            "/fresh undeploy",
            "/half provision",
            "/half deprovision",
            "/up provision",
            "/up deprovision",
            "/up deploy",
        ]
    );
    for path in ["/fresh", "/half", "/up"] {
        ensure!(stage.is_there(path).await?, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_definition_and_the_name_allow_follows_the_state() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    estate(&stage).await?;
    let edit = || defined(json!({"vcpu": 2}));
    let problem = stage.refused(OperationKind::Edit, "/up", edit()).await?;
    assert_eq!(problem.code, ErrorCode::WrongState);
    for part in ["/up", "deployed", "reconfigure", "undeploy"] {
        ensure!(problem.detail.contains(part), "{part}: {problem:#?}");
    }
    let problem = stage
        .refused(OperationKind::Move, "/up", to_name("/down")?)
        .await?;
    assert_eq!(problem.code, ErrorCode::WrongState);
    ensure!(problem.detail.contains("deployed") && problem.detail.contains("undeploy"));
    for kind in [
        OperationKind::Reconfigure,
        OperationKind::Start,
        OperationKind::Stop,
        OperationKind::Restart,
    ] {
        let problem = stage.refused(kind, "/fresh", Params::default()).await?;
        assert_eq!(problem.code, ErrorCode::WrongState, "{problem:#?}");
        let text = format!("{} {}", problem.detail, problem.hint.unwrap_or_default());
        for part in ["/fresh", "provisioned", kind.as_str(), "deploy"] {
            ensure!(text.contains(part), "{part}: {text}");
        }
    }
    // The half-made one goes on, one way or the other.
    stage.deploy("/half").await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_is_removed_only_when_it_is_empty_and_the_root_never() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    stage.folder("/web/a", json!({})).await?;
    stage.provision("/web/a/vm", json!({})).await?;
    let kind = OperationKind::RemoveFolder;
    for (path, first) in [("/web", "`a`"), ("/web/a", "`vm`"), ("/", "root")] {
        let problem = stage.refused(kind, path, Params::default()).await?;
        assert_eq!(problem.code, ErrorCode::Conflict, "{problem:#?}");
        ensure!(problem.detail.contains(first), "{problem:#?}");
    }
    let problem = stage.refused(kind, "/web/a/vm", Params::default()).await?;
    ensure!(problem.detail.contains("descriptor"), "{problem:#?}");
    let ran = stage.run(&["folder", "remove", "/web"]).await?;
    ensure!(
        ran.code == 1 && ran.err.contains("not empty"),
        "{}",
        ran.err
    );
    stage
        .order(OperationKind::Deprovision, "/web/a/vm", Params::default())
        .await?;
    stage.order(kind, "/web/a", Params::default()).await?;
    stage.order(kind, "/web", Params::default()).await?;
    ensure!(!stage.is_there("/web").await?);
    Ok(())
}

#[tokio::test]
async fn an_order_is_checked_against_what_the_ones_before_it_will_leave() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm", json!({})).await?;
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("create".to_owned(), 60_000);
    })?;
    stage
        .begin(OperationKind::Deploy, "/vm", Params::default())
        .await?;
    // It is provisioned still, and will be deployed.
    for (kind, params) in [
        (OperationKind::Deploy, Params::default()),
        (OperationKind::Deprovision, Params::default()),
        (OperationKind::Edit, defined(json!({"vcpu": 2}))),
        (OperationKind::Move, to_name("/vm2")?),
    ] {
        let problem = stage.refused(kind, "/vm", params).await?;
        assert_eq!(problem.code, ErrorCode::WrongState, "{kind}: {problem:#?}");
        ensure!(problem.detail.contains("deployed"), "{kind}: {problem:#?}");
        ensure!(problem.hint.is_some(), "{kind}: {problem:#?}");
    }
    Ok(())
}

/// The table of the page is the code's.
#[test]
fn the_transition_table_of_the_page_is_that_of_the_code() -> Result<()> {
    let page =
        std::fs::read_to_string(enginehouse_tests::workspace_dir().join("docs/lifecycle.md"))?;
    let mut rows = vec![
        "| event | provisioned | provisioned, machine on record | deployed | unreachable |"
            .to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
    ];
    for event in Event::ALL {
        let cells = [
            (Status::Provisioned, false),
            (Status::Provisioned, true),
            (Status::Deployed, true),
            (Status::Unreachable, true),
        ]
        .map(|(status, machine)| match next(status, machine, event) {
            Ok(Next::Is(to)) => format!("**{to}**"),
            Ok(Next::Gone) => "**gone**".to_owned(),
            Err(refused) => refused.instead.to_owned(),
        });
        rows.push(format!("| {event} | {} |", cells.join(" | ")));
    }
    let expected = rows.join("\n");
    ensure!(
        page.contains(&expected),
        "docs/lifecycle.md does not have the table of host/tree/src/state.rs:\n{expected}"
    );
    Ok(())
}

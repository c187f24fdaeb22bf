//! An import: what files say, against what the tree is, in one commit.
//!
//! **Expected flow.** The files are read without the lock. Under it, every node that they speak of is
//! compared ([`decide`]), what that comes to is laid over the tree as one batch and taken back
//! again, which shows what it means for machines; then, and only when nothing at all was wrong, the
//! batch is applied and written in the commit that numbers the import.
//!
//! Definitions of deployed descriptors are not written here: each of them is a `reconfigure` that is
//! queued in the same commit, as a part of the import. The tree must resolve with and without them,
//! since it is unknown when they will run.

mod decide;
mod refusals;

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_api::{
    ErrorCode, ImportAnswer, ImportMachine, ImportRequest, OperationKind, Params, Problem,
};
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_queue::Spec;
use enginehouse_text::{Reading, read_files};
use enginehouse_tree::{BatchErrors, Computed, LastOperation, NodeEdit, Status, Touched};
use uuid::Uuid;

use crate::access::Caller;
use crate::house::{House, Staged, State};
use crate::idempotency::{OrderKey, Taken};
use crate::orders::lowering;
use crate::orders::machine::slot_of;
use crate::orders::{Order, intent, spec};
use crate::plan_view::SHOWN;

use decide::{Decided, Machine, decide};
use refusals::Refusals;

/// An import with its files read.
struct Import<'r> {
    request: &'r ImportRequest,
    reading: Reading,
    /// Node -> its file, for what is wrong with it.
    files: BTreeMap<FullName, String>,
}

impl Import<'_> {
    fn bytes(&self, file: &str) -> &[u8] {
        let content = self.request.files.get(file);
        content.map(String::as_bytes).unwrap_or_default()
    }
}

/// Takes an import in, or looks at what it would do. The answer is durable.
///
/// # Errors
/// With everything that is wrong with it, by file, line and column; and with what the caller may not
/// do. Nothing is changed then.
pub(crate) async fn import(
    caller: &Caller,
    request: ImportRequest,
    key: Option<OrderKey>,
) -> Result<Taken<ImportAnswer>, Problem> {
    let house = Arc::clone(caller.house());
    let caller = caller.clone();
    // Reading and comparing takes a while where there is much; other requests do not wait for it.
    let done = tokio::task::spawn_blocking(move || {
        let import = read(&request)?;
        let house = caller.house();
        tokio::runtime::Handle::current().block_on(house.transact(|state, staged, now| {
            let keep = house.config.keep.keys;
            if let Some(before) = state.taken_before(key.as_ref(), now, keep)? {
                return Ok(Taken::Before(before));
            }
            let done = carry_out(&caller, state, staged, &import, now)?;
            // One that changes nothing is no operation, and may be sent as often as one likes.
            if let Some(operation) = &done.0.operation {
                state.keep_key(staged, key.as_ref(), operation.number, now);
            }
            Ok(Taken::New(done))
        }))
    });
    let done = done
        .await
        .map_err(|_| Problem::new(ErrorCode::Internal, "the import broke off"))??;
    let (mut answer, definitions) = match done {
        Taken::New(done) => done,
        Taken::Before(before) => return Ok(Taken::Before(before)),
    };
    if answer.dry_run && !definitions.is_empty() {
        let intent = intent(OperationKind::Reconfigure, &Params::default());
        match crate::work::plan_definitions(
            &house,
            definitions,
            intent,
            crate::work::Freshness::Kept,
        )
        .await
        {
            Ok(plan) => answer.plan = Some(crate::plan_view::preview(&plan, SHOWN)),
            // What the files would change in the tree is known all the same.
            Err(problem) => answer.not_planned = Some(problem.message),
        }
    }
    Ok(Taken::New(answer))
}

fn read(request: &ImportRequest) -> Result<Import<'_>, Problem> {
    let files = request
        .files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_bytes()));
    let reading = read_files(&request.path, files);
    if !reading.problems.is_empty() {
        let mut refusals = Refusals::default();
        for problem in &reading.problems {
            refusals.of_file(&request.path, problem);
        }
        return Err(refusals.into_problem(reading.more_problems));
    }
    if reading.wanted.is_empty() {
        return Err(Problem::new(
            ErrorCode::Invalid,
            "there is no file of a folder or a descriptor",
        )
        .with_hint(
            "files are called `_folder.yaml` and `NAME.yaml`, as `enginehouse export` writes them",
        ));
    }
    let files = reading
        .wanted
        .iter()
        .filter_map(|wanted| Some((wanted.node.clone(), wanted.file.clone()?)))
        .collect();
    Ok(Import {
        request,
        reading,
        files,
    })
}

/// What a machine would be, were it reconfigured.
type Definition = (NodeUid, Arc<Computed>);

fn carry_out(
    caller: &Caller,
    state: &mut State,
    staged: &mut Staged,
    import: &Import<'_>,
    now: Timestamp,
) -> Result<(ImportAnswer, Vec<Definition>), Problem> {
    let mut decided = decide(caller, state, import, now)?;
    let expected = import.request.digest.as_ref();
    if expected.is_some_and(|digest| *digest != decided.answer.digest) {
        return Err(Problem::new(
            ErrorCode::Stale,
            "the tree has changed since the import was looked at",
        )
        .with_hint("look at it again with `--dry-run`"));
    }
    let touched = look(state, import, &decided)?;
    decided.answer.lowered = lowering::lowered_by(&touched);
    let changed = changed_machines(caller.house(), state, &touched, &decided.machines);
    let definitions;
    (decided.answer.machines, definitions) = changed.into_iter().unzip();
    if import.request.dry_run || decided.answer.is_empty() {
        return Ok((decided.answer, definitions));
    }
    let confirmed = import.request.confirm_lowered;
    if let Some(refused) = lowering::refusal(&decided.answer.lowered, confirmed) {
        return Err(refused);
    }
    if let Some(by) = lowering::approved_by_people(&touched) {
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!("it lowers what protects machines, and {by} asks for approvals of that"),
        )
        .with_hint(
            "lower it first, node by node: `enginehouse edit NODE KEY=VALUE --lower-protection` waits for the approvals",
        ));
    }
    let answer = apply(caller, state, staged, import, decided, now)?;
    Ok((answer, definitions))
}

/// Applies everything and takes it back: what would be computed anew. First without what waits for
/// machines, since the tree will be like that for a while.
fn look(
    state: &mut State,
    import: &Import<'_>,
    decided: &Decided,
) -> Result<Vec<Touched>, Problem> {
    let Decided {
        edits, machines, ..
    } = decided;
    let refused = |BatchErrors(errors)| {
        let mut refusals = Refusals::default();
        for error in &errors {
            refusals.of_edit(import, error);
        }
        refusals.into_problem(0)
    };
    let mut preview = |edits: Vec<NodeEdit>| {
        state
            .tree
            .preview(|tree| tree.apply_all(edits, &mut Uuid::now_v7))
            .map_err(refused)
    };
    let seen = preview(edits.clone())?;
    if machines.is_empty() {
        return Ok(seen.touched);
    }
    let reconfigures = machines.iter().map(|machine| NodeEdit::Reconfigure {
        node: machine.node,
        definition: machine.definition.clone(),
    });
    let all = edits.iter().cloned().chain(reconfigures).collect();
    Ok(preview(all)?.touched)
}

/// The machines that it means something for, each with what it would be.
fn changed_machines(
    house: &House,
    state: &State,
    touched: &[Touched],
    machines: &[Machine],
) -> Vec<(ImportMachine, Definition)> {
    let reconfigured: std::collections::HashSet<NodeUid> =
        machines.iter().map(|machine| machine.node).collect();
    touched
        .iter()
        .filter(|touched| {
            let body = touched.node.body();
            body.is_some_and(|body| body.status != Status::Provisioned)
        })
        .filter_map(|touched| {
            let (before, after) = (touched.before.as_ref()?, touched.after.as_ref()?);
            let changes = crate::rest::pending_of(house, state, touched.uid, after);
            let reconfigured = reconfigured.contains(&touched.uid);
            // What was pending before is not of the import's making.
            let others = !reconfigured
                && changes == crate::rest::pending_of(house, state, touched.uid, before);
            (!changes.is_empty() && !others).then(|| {
                let machine = ImportMachine {
                    path: after.full_name().clone(),
                    reconfigured,
                    changes,
                };
                (machine, (touched.uid, Arc::clone(after)))
            })
        })
        .collect()
}

fn apply(
    caller: &Caller,
    state: &mut State,
    staged: &mut Staged,
    import: &Import<'_>,
    decided: Decided,
    now: Timestamp,
) -> Result<ImportAnswer, Problem> {
    let Decided {
        edits,
        machines,
        mut answer,
        secrets,
    } = decided;
    let change = state
        .tree
        .apply_all(edits, &mut Uuid::now_v7)
        .map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
    staged.secrets = secrets;
    let number = state.number();
    note_on_nodes(state, &change.written, number, caller.who(), now);
    staged.because(Some(number), caller.who(), OperationKind::Import);
    staged.nodes(&state.tree, &change);
    let top = crate::orders::find(state, &import.request.path)?;
    let order = Order {
        kind: OperationKind::Import,
        node: top,
        path: import.request.path.clone(),
        params: Params {
            confirm_lowered: import.request.confirm_lowered,
            confirm_destructive: import.request.confirm_destructive,
            import: Some(answer.counts()),
            ..Params::default()
        },
    };
    if machines.is_empty() {
        let operation = crate::view::quick(number, &order, caller.who(), now);
        crate::conclude::quick(state, staged, &operation, &order, now);
        answer.operation = Some(operation);
        return Ok(answer);
    }
    let children: Vec<Spec> = machines
        .into_iter()
        .map(|machine| {
            let child = state.number();
            let hypervisor = slot_of(caller.house(), state, machine.node);
            let part = machine.into_order(
                import.request.confirm_lowered,
                import.request.confirm_destructive,
            );
            let mut spec = spec(child, &part, caller.who(), now, hypervisor);
            spec.parent = Some(number);
            spec
        })
        .collect();
    let mut whole = spec(number, &order, caller.who(), now, None);
    whole.children = children.iter().map(|child| child.number).collect();
    let specs = std::iter::once(whole).chain(children).collect();
    staged.output = state.queue.submit(specs, now);
    answer.operation = Some(crate::view::of_number(state, number)?);
    Ok(answer)
}

/// Every descriptor that was written has the import for its last operation.
fn note_on_nodes(
    state: &mut State,
    written: &[NodeUid],
    number: OperationId,
    who: &str,
    now: Timestamp,
) {
    for uid in written {
        if state.tree.descriptor(*uid).is_err() {
            continue;
        }
        let last = LastOperation {
            number,
            kind: OperationKind::Import.as_str().to_owned(),
            who: who.to_owned(),
            when: now,
            outcome: enginehouse_api::OperationState::Succeeded
                .as_str()
                .to_owned(),
        };
        // It is written to the store with the definition.
        if let Err(error) = state.tree.set_last_operation(*uid, last, None) {
            tracing::error!(%error, "the last operation was not noted");
        }
    }
}

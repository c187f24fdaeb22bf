//! What clients order about secrets: set, remove, exchange the key. Each is an operation with a
//! number, done in the commit that numbers it. The value is in no part of the operation.

use enginehouse_api::{
    ErrorCode, Operation, OperationKind, Params, Problem, SecretInfo, SecretList,
};
use enginehouse_model::{FullName, SecretName, Timestamp};
use enginehouse_secrets::Zeroizing;
use enginehouse_tree::SECRET_MAX;

use crate::access::Caller;
use crate::house::{Staged, State};
use crate::idempotency::{OrderKey, Taken};
use crate::orders::Order;
use crate::secrets::Kept;
use crate::secrets::kept::waiting;
use crate::secrets::unlock::key_file;

/// All secrets, without their values.
///
/// # Errors
/// `forbidden` for who does not govern the root.
pub(crate) fn list(caller: &Caller) -> Result<SecretList, Problem> {
    let state = caller.house().state.lock();
    let state = &*state;
    caller.must_govern_all(state)?;
    let secrets = state
        .secrets
        .iter()
        .map(|(name, kept)| SecretInfo {
            name: name.clone(),
            generated: kept.generated,
            created_at: kept.created_at,
            changed_at: kept.changed_at,
            by: kept.by.clone(),
            used_by: users(state, name),
        })
        .collect();
    Ok(SecretList {
        key: state.secrets.keys.current().to_string(),
        secrets,
    })
}

fn users(state: &State, name: &SecretName) -> Vec<FullName> {
    let mut users: Vec<FullName> = state
        .secrets
        .users(name)
        .filter_map(|node| state.tree.full_name(node).ok().cloned())
        .collect();
    users.sort();
    users
}

/// Gives a secret a value.
pub(crate) async fn set(
    caller: &Caller,
    name: SecretName,
    value: Zeroizing<String>,
    key: Option<OrderKey>,
) -> Result<Taken<Operation>, Problem> {
    let (house, who) = (caller.house(), caller.who());
    caller.must_govern_all(&house.state.lock())?;
    if value.is_empty() {
        return Err(Problem::new(
            ErrorCode::Invalid,
            format!("the value for the secret `{name}` is empty"),
        )
        .with_hint("send the secret as `value` (command line: on standard input)"));
    }
    if value.len() > SECRET_MAX {
        return Err(Problem::new(
            ErrorCode::TooLarge,
            format!(
                "the value for the secret `{name}` has {} bytes; at most {SECRET_MAX} are kept",
                value.len()
            ),
        )
        .with_hint("name a file with {\"file\": PATH} if it is no password"));
    }
    house
        .transact(|state, staged, now| {
            // Asked again: what was so before this lock may not be so under it.
            caller.must_govern_all(state)?;
            let keep = house.config.keep.keys;
            if let Some(before) = state.taken_before(key.as_ref(), now, keep)? {
                return Ok(Taken::Before(before));
            }
            let sealed = state.secrets.keys.seal(&name, &value).map_err(|error| {
                Problem::new(
                    ErrorCode::Internal,
                    format!("the secret cannot be encrypted: {error}"),
                )
            })?;
            let before = state.secrets.get(&name);
            let kept = Kept {
                sealed,
                generated: before.is_some_and(|kept| kept.generated),
                created_at: before.map_or(now, |kept| kept.created_at),
                changed_at: now,
                by: who.to_owned(),
            };
            staged.secrets.kept.insert(name.clone(), Some(kept));
            let kind = OperationKind::SetSecret;
            let operation = done(state, staged, kind, Some(name.clone()), who, now);
            state.keep_key(staged, key.as_ref(), operation.number, now);
            Ok(Taken::New(operation))
        })
        .await
}

/// Removes a secret that nothing refers to.
pub(crate) async fn remove(
    caller: &Caller,
    name: SecretName,
    key: Option<OrderKey>,
) -> Result<Taken<Operation>, Problem> {
    let (house, who) = (caller.house(), caller.who());
    house
        .transact(|state, staged, now| {
            caller.must_govern_all(state)?;
            let keep = house.config.keep.keys;
            if let Some(before) = state.taken_before(key.as_ref(), now, keep)? {
                return Ok(Taken::Before(before));
            }
            if state.secrets.get(&name).is_none() {
                return Err(Problem::new(
                    ErrorCode::NotFound,
                    format!("there is no secret `{name}`"),
                )
                .with_hint("see `enginehouse secret list`"));
            }
            let users: Vec<String> = users(state, &name)
                .iter()
                .map(ToString::to_string)
                .collect();
            if !users.is_empty() {
                let more = users.len().saturating_sub(5);
                let mut named = users[..users.len() - more].join(", ");
                if more > 0 {
                    named.push_str(&format!(" and {more} more"));
                }
                return Err(Problem::new(
                    ErrorCode::Conflict,
                    format!("the secret `{name}` is used by {named}"),
                )
                .with_hint("write another password there first"));
            }
            if waiting(state).contains(&name) {
                return Err(Problem::new(
                    ErrorCode::Conflict,
                    format!("an operation that is still to run refers to the secret `{name}`"),
                )
                .with_hint("see `enginehouse ops list`; wait for it, or cancel it"));
            }
            staged.secrets.kept.insert(name.clone(), None);
            let kind = OperationKind::RemoveSecret;
            let operation = done(state, staged, kind, Some(name.clone()), who, now);
            state.keep_key(staged, key.as_ref(), operation.number, now);
            Ok(Taken::New(operation))
        })
        .await
}

/// Makes a new key, encrypts all secrets with it, and drops the old one.
pub(crate) async fn rotate_key(
    caller: &Caller,
    key: Option<OrderKey>,
) -> Result<Taken<Operation>, Problem> {
    let (house, who) = (caller.house(), caller.who());
    caller.must_govern_all(&house.state.lock())?;
    let _one_at_a_time = house.rotating.lock().await;
    // Whoever sent it before has held that lock until it was done.
    let keep = house.config.keep.keys;
    let before = house
        .state
        .lock()
        .taken_before(key.as_ref(), house.now(), keep)?;
    if let Some(before) = before {
        return Ok(Taken::Before(before));
    }
    let file = key_file(&house.config);
    if !file.is_ours() {
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!(
                "the key comes from {}, which the host does not write",
                file.path().display()
            ),
        )
        .with_hint(
            "keep the old key beside it with `.old` at its end, put a new one in its place (`enginehouse secret new-key FILE`), and start the host again",
        ));
    }
    let io = |error: &dyn std::error::Error| {
        Problem::new(ErrorCode::Internal, crate::problem::with_sources(error))
    };
    let next = file.next().map_err(|error| io(&error))?;
    let operation = house
        .transact(|state, staged, now| {
            caller.must_govern_all(state)?;
            let keys = state.secrets.keys.with_current(next);
            for (name, kept) in state.secrets.iter() {
                let text = state.secrets.open(name).map_err(|error| {
                    Problem::new(ErrorCode::Conflict, crate::problem::with_sources(&error))
                        .with_hint(format!("{}, or remove it", error.hint()))
                })?;
                let mut kept = kept.clone();
                kept.sealed = keys.seal(name, &text).map_err(|error| io(&error))?;
                staged.secrets.kept.insert(name.clone(), Some(kept));
            }
            let sealed = state.idempotency.seal(&keys, &mut staged.writes);
            sealed.map_err(|error| io(&error))?;
            staged.secrets.keys = Some(keys);
            let operation = done(state, staged, OperationKind::RotateKey, None, who, now);
            state.keep_key(staged, key.as_ref(), operation.number, now);
            Ok(operation)
        })
        .await?;
    // Not done, it is done at the next start.
    file.finish().map_err(|error| {
        io(&error).with_hint("the secrets are encrypted with the new key; start the host again")
    })?;
    Ok(Taken::New(operation))
}

/// The ended operation.
fn done(
    state: &mut State,
    staged: &mut Staged,
    kind: OperationKind,
    secret: Option<SecretName>,
    who: &str,
    now: Timestamp,
) -> Operation {
    let number = state.number();
    let order = Order {
        kind,
        node: state.tree.root(),
        path: FullName::root(),
        params: Params::default(),
    };
    let mut view = crate::view::quick(number, &order, who, now);
    view.secret = secret;
    crate::conclude::quick(state, staged, &view, &order, now);
    view
}

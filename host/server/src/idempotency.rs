//! Orders that are sent twice: which operation a client's key became.
//!
//! **Expected flow.** A client that is not sure whether its order arrived sends it again with the
//! same `Idempotency-Key`. The key is kept in the commit that numbers the order, so an order that is
//! on disk has its key there, too, and whoever comes second gets the operation of the first, as it
//! is then. Two at once are two decisions under one lock: the second finds what the first has left,
//! and is answered only after the commit of the first ([`House::settled`]).
//!
//! **What is kept** is the hash of the key and its owner, and the hash of the order: a body may hold a
//! password, so the hashes are keyed with 256 bits that are in the database only encrypted, with the
//! key of the secrets. Who has the database alone cannot try passwords on them.
//!
//! **How long**: as `ServeConfig::keep` says. A key that was forgotten is a new one.

use std::collections::{BTreeMap, HashMap};
use std::io;

use axum::http::HeaderMap;
use enginehouse_api::{ErrorCode, Operation, Problem, routes};
use enginehouse_model::{OperationId, SecretName, Timestamp};
use enginehouse_secrets::{Keyring, RandomError, Sealed, Zeroizing};
use enginehouse_store::{Document, Fence, IdempotencyRow, Row, Table, Write};
use enginehouse_tree::Permission;
use serde::Serialize;

use crate::access::Caller;
use crate::config::Kept;
use crate::house::{Staged, State};

/// Name of the row of [`Table::Meta`], and what the key in it is sealed for.
const ROW: &str = "idempotency-key";
/// Version of that row.
const ROW_VERSION: u16 = 1;

type Hash = [u8; 32];

/// What the hashes are made with.
#[derive(Clone)]
struct HashKey(Zeroizing<Hash>);

/// The keys that are known.
pub(crate) struct Idempotency {
    hash_key: HashKey,
    by_name: HashMap<Hash, Known>,
    /// In the order in which they are forgotten.
    by_operation: BTreeMap<OperationId, (Hash, Timestamp)>,
}

struct Known {
    digest: Hash,
    operation: OperationId,
    at: Timestamp,
}

/// A key that a request shows, with the order that it stands for.
pub(crate) struct OrderKey {
    name: Hash,
    digest: Hash,
}

/// What an order came to.
pub(crate) enum Taken<T> {
    New(T),
    /// Taken in before. Certain only once [`House::settled`] said so.
    Before(Before),
}

/// An operation that was ordered before with the same key.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    pub operation: OperationId,
    fence: Fence,
}

fn sealed_for() -> Option<SecretName> {
    ROW.parse().ok()
}

/// The stored row, for who must know which key of the secrets it needs.
pub(crate) fn sealed(meta: &[Row]) -> Option<Sealed> {
    let row = meta.iter().find(|row| row.key == ROW)?;
    row.document.read().ok()
}

impl Idempotency {
    /// The keys of `rows`. Where the hashes' key is missing or cannot be opened any more, there is a
    /// new one and all keys are forgotten; `writes` gets what is to be stored for that.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn load(
        meta: &[Row],
        rows: Vec<IdempotencyRow>,
        keys: &Keyring,
        writes: &mut Vec<Write>,
    ) -> Result<Self, RandomError> {
        let stored = sealed(meta);
        let opened = stored.as_ref().and_then(|sealed| {
            let text = keys.open(&sealed_for()?, sealed).ok()?;
            HashKey::parse(&text)
        });
        let is_current = stored.is_some_and(|sealed| sealed.key == keys.current());
        let is_stored = is_current && opened.is_some();
        let loaded = match opened {
            Some(hash_key) => Self::new(hash_key, rows),
            None => {
                if let Some(last) = rows.last() {
                    tracing::warn!(
                        keys = rows.len(),
                        "idempotency keys are forgotten: the key of their hashes cannot be opened"
                    );
                    let through = last.operation;
                    writes.push(Write::Prune(enginehouse_store::Prune::Idempotency {
                        through,
                    }));
                }
                Self::new(HashKey::random()?, Vec::new())
            }
        };
        if !is_stored {
            loaded.seal(keys, writes)?;
        }
        Ok(loaded)
    }

    fn new(hash_key: HashKey, rows: Vec<IdempotencyRow>) -> Self {
        let mut all = Self {
            hash_key,
            by_name: HashMap::with_capacity(rows.len()),
            by_operation: BTreeMap::new(),
        };
        for row in rows {
            all.insert(&row);
        }
        all
    }

    fn insert(&mut self, row: &IdempotencyRow) {
        let known = Known {
            digest: row.digest,
            operation: row.operation,
            at: row.at,
        };
        self.by_name.insert(row.name, known);
        self.by_operation.insert(row.operation, (row.name, row.at));
    }

    /// Stores the hashes' key, encrypted with the present key of the secrets.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn seal(&self, keys: &Keyring, writes: &mut Vec<Write>) -> Result<(), RandomError> {
        let Some(name) = sealed_for() else {
            return Ok(());
        };
        let sealed = keys.seal(&name, &self.hash_key.text())?;
        match Document::of(ROW_VERSION, &sealed) {
            Ok(document) => writes.push(Write::Put {
                table: Table::Meta,
                key: ROW.to_owned(),
                document,
            }),
            Err(error) => {
                tracing::error!(%error, "the key of the idempotency hashes was not written")
            }
        }
        Ok(())
    }

    /// The operation that the same order became before; `None`: it is a new one.
    ///
    /// # Errors
    /// `key-reused`, when the key was used for another order.
    fn find(
        &self,
        key: &OrderKey,
        now: Timestamp,
        keep: Kept,
    ) -> Result<Option<OperationId>, Problem> {
        let known = self.by_name.get(&key.name);
        let age = |known: &Known| u128::from(now.since(known.at));
        let is_kept = |known: &Known| keep.age.is_none_or(|keep| age(known) < keep.as_millis());
        let Some(known) = known.filter(|known| is_kept(known)) else {
            return Ok(None);
        };
        // Who can make the same name has the key; nothing is told by the time that this takes.
        if known.digest == key.digest {
            return Ok(Some(known.operation));
        }
        Err(Problem::new(
            ErrorCode::KeyReused,
            format!(
                "the idempotency key was used for another order, which became operation {}",
                known.operation
            ),
        )
        .with_hint("send each order with a key of its own; an order is sent again with the same route, `If-Match` and body"))
    }

    /// The keys to forget: `through` which operation, those before `before` and those beyond the
    /// newest `most`.
    pub(crate) fn old(&self, before: Timestamp, most: usize) -> Option<OperationId> {
        let beyond = self.by_operation.len().saturating_sub(most);
        self.by_operation
            .iter()
            .enumerate()
            .take_while(|(at, (_, (_, known_at)))| *at < beyond || *known_at < before)
            .last()
            .map(|(_, (operation, _))| *operation)
    }

    pub(crate) fn forget(&mut self, through: OperationId) {
        let Some(first_kept) = through.0.checked_add(1) else {
            return;
        };
        let kept = self.by_operation.split_off(&OperationId(first_kept));
        let forgotten = std::mem::replace(&mut self.by_operation, kept);
        for (operation, (name, _)) in forgotten {
            // A key that was used again after its time belongs to the later operation.
            if self
                .by_name
                .get(&name)
                .is_some_and(|known| known.operation == operation)
            {
                self.by_name.remove(&name);
            }
        }
    }
}

impl State {
    /// The operation that the same order became before.
    ///
    /// # Errors
    /// `key-reused`, when the key was used for another order.
    pub(crate) fn taken_before(
        &self,
        key: Option<&OrderKey>,
        now: Timestamp,
        keep: Kept,
    ) -> Result<Option<Before>, Problem> {
        let Some(key) = key else {
            return Ok(None);
        };
        let operation = self.idempotency.find(key, now, keep)?;
        Ok(operation.map(|operation| Before {
            operation,
            fence: self.fence,
        }))
    }

    /// Keeps the key of an order in the commit that takes it in.
    pub(crate) fn keep_key(
        &mut self,
        staged: &mut Staged,
        key: Option<&OrderKey>,
        operation: OperationId,
        now: Timestamp,
    ) {
        let Some(key) = key else {
            return;
        };
        let row = IdempotencyRow {
            operation,
            at: now,
            name: key.name,
            digest: key.digest,
        };
        self.idempotency.insert(&row);
        staged.writes.push(Write::Idempotency(row));
    }
}

impl OrderKey {
    /// The key that the headers show, if any, for this order: its route, what it is conditional on,
    /// and its body.
    ///
    /// # Errors
    /// `bad-request`, when it is no key.
    pub(crate) fn of(
        caller: &Caller,
        headers: &HeaderMap,
        route: &str,
        body: &impl Serialize,
    ) -> Result<Option<Self>, Problem> {
        let Some(key) = key_of(headers)? else {
            return Ok(None);
        };
        let hash_key = caller.house().state.lock().idempotency.hash_key.clone();
        let if_match = headers
            .get(axum::http::header::IF_MATCH)
            .map(axum::http::HeaderValue::as_bytes);
        let order = (route, if_match, body);
        let digest = hash_key.hash("order", &order);
        let name = hash_key.hash("key", &(caller.who(), key));
        match (name, digest) {
            (Ok(name), Ok(digest)) => Ok(Some(Self { name, digest })),
            (Err(error), _) | (_, Err(error)) => {
                Err(Problem::new(ErrorCode::Internal, error.to_string()))
            }
        }
    }
}

/// A key is 1 to [`routes::IDEMPOTENCY_KEY_MAX`] visible ASCII characters.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut shown = headers.get_all(routes::IDEMPOTENCY_KEY).iter();
    let Some(first) = shown.next() else {
        return Ok(None);
    };
    let wrong = |detail: String| {
        Problem::new(ErrorCode::BadRequest, detail)
            .with_hint("draw a key for each order, a UUID for instance")
    };
    if shown.next().is_some() {
        return Err(wrong(
            "the request has more than one `Idempotency-Key` header".to_owned(),
        ));
    }
    let max = routes::IDEMPOTENCY_KEY_MAX;
    match first.to_str() {
        Ok(key)
            if (1..=max).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(key))
        }
        _ => Err(wrong(format!(
            "an `Idempotency-Key` is 1 to {max} visible ASCII characters without spaces"
        ))),
    }
}

impl HashKey {
    fn random() -> Result<Self, RandomError> {
        // As long and as random as a key of the secrets, so it is drawn like one.
        let drawn = enginehouse_secrets::SecretKey::random()?;
        let hash = blake3::derive_key("enginehouse idempotency v1", drawn.text().as_bytes());
        Ok(Self(Zeroizing::new(hash)))
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(blake3::Hash::from_bytes(*self.0).to_hex().to_string())
    }

    fn parse(text: &str) -> Option<Self> {
        let hash = blake3::Hash::from_hex(text).ok()?;
        Some(Self(Zeroizing::new(*hash.as_bytes())))
    }

    /// Of the value's JSON, which is not put together in memory: an import is large.
    fn hash(&self, what: &str, value: &impl Serialize) -> io::Result<Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(what.as_bytes());
        hasher.update(&[0]);
        serde_json::to_writer(&mut hasher, value)?;
        Ok(*hasher.finalize().as_bytes())
    }
}

/// The operation that an order became before, as it is now, for who may still order it.
///
/// # Errors
/// When the commit that took it in has failed, when the caller may not any more, and `gone` when the
/// operation is not kept any more: it is not carried out again.
pub(crate) async fn replayed(
    caller: &Caller,
    before: Before,
    permission: Permission,
) -> Result<Operation, Problem> {
    caller.house().settled(before.fence).await?;
    let operation = crate::rest::find_operation(caller, before.operation).await?;
    let state = caller.house().state.lock();
    match operation.node.filter(|node| state.tree.node(*node).is_ok()) {
        Some(node) => caller.must(&state, node, permission)?,
        // What it was about is gone; that it may be seen was asked.
        None => caller.asks_of_each(permission),
    }
    drop(state);
    Ok(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_key(byte: u8) -> HashKey {
        HashKey(Zeroizing::new([byte; 32]))
    }

    fn row(operation: u64, name: u8, at: u64) -> IdempotencyRow {
        IdempotencyRow {
            operation: OperationId(operation),
            at: Timestamp(at),
            name: [name; 32],
            digest: [1; 32],
        }
    }

    fn key(name: u8, digest: u8) -> OrderKey {
        OrderKey {
            name: [name; 32],
            digest: [digest; 32],
        }
    }

    fn kept(ms: u64) -> Kept {
        Kept::new(std::time::Duration::from_millis(ms), 9)
    }

    #[test]
    fn a_key_is_known_for_its_time_and_for_its_order_alone() {
        let keys = Idempotency::new(hash_key(1), vec![row(7, 1, 1000)]);
        let keep = kept(500);
        let find = |name, digest, now| keys.find(&key(name, digest), Timestamp(now), keep);
        assert_eq!(find(1, 1, 1499).unwrap(), Some(OperationId(7)));
        assert_eq!(find(1, 1, 1500).unwrap(), None);
        // A clock that was set back forgets nothing.
        assert_eq!(find(1, 1, 10).unwrap(), Some(OperationId(7)));
        assert_eq!(find(2, 1, 1000).unwrap(), None);
        let problem = find(1, 2, 1000).unwrap_err();
        assert_eq!(problem.status, 422);
        assert!(problem.detail.contains("operation 7"), "{}", problem.detail);
    }

    #[test]
    fn the_oldest_keys_are_forgotten_by_age_and_by_count() {
        let rows = vec![row(3, 1, 10), row(5, 2, 20), row(9, 3, 30), row(11, 1, 40)];
        let mut keys = Idempotency::new(hash_key(1), rows);
        let old = |keys: &Idempotency, before, most| keys.old(Timestamp(before), most).map(|o| o.0);
        assert_eq!(old(&keys, 0, 9), None);
        assert_eq!(old(&keys, 25, 9), Some(5));
        assert_eq!(old(&keys, 0, 1), Some(9));
        assert_eq!(old(&keys, 11, 2), Some(5));
        keys.forget(OperationId(5));
        let find =
            |keys: &Idempotency, name| keys.find(&key(name, 1), Timestamp(50), kept(1000)).unwrap();
        // The first name was used again, after its time.
        assert_eq!(find(&keys, 1), Some(OperationId(11)));
        assert_eq!(find(&keys, 2), None);
        assert_eq!(old(&keys, 99, 0), Some(11));
        keys.forget(OperationId(11));
        assert!(keys.by_name.is_empty() && keys.by_operation.is_empty());
    }

    #[test]
    fn the_same_order_has_another_hash_under_another_key() {
        let order = (
            "POST /v1/operations",
            serde_json::json!({"password": "hunter2"}),
        );
        let hash = |byte| hash_key(byte).hash("order", &order).unwrap();
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
        assert_ne!(hash(1), hash_key(1).hash("key", &order).unwrap());
        assert_ne!(
            hash(1),
            *blake3::hash(&serde_json::to_vec(&order).unwrap()).as_bytes()
        );
        let parsed = HashKey::parse(&hash_key(1).text()).unwrap();
        assert_eq!(parsed.hash("order", &order).unwrap(), hash(1));
    }

    #[test]
    fn the_hashes_key_outlives_an_exchange_of_the_secrets_key_and_not_its_loss() {
        let secret = || enginehouse_secrets::SecretKey::random().unwrap();
        let (first, second) = (secret(), secret());
        let ring = Keyring::new(first.clone(), Vec::new());
        let meta = |writes: &[Write]| -> Vec<Row> {
            writes
                .iter()
                .filter_map(|write| match write {
                    Write::Put { key, document, .. } => Some(Row {
                        key: key.clone(),
                        revision: 1,
                        document: document.clone(),
                    }),
                    _ => None,
                })
                .collect()
        };
        let mut writes = Vec::new();
        let made = Idempotency::load(&[], Vec::new(), &ring, &mut writes).unwrap();
        let stored = meta(&writes);
        assert_eq!(stored.len(), 1);
        assert!(!format!("{:?}", stored[0].document.body).contains(made.hash_key.text().as_str()));

        let (next, mut writes) = (ring.with_current(second.clone()), Vec::new());
        let rows = vec![row(7, 1, 10)];
        let read = Idempotency::load(&stored, rows.clone(), &next, &mut writes).unwrap();
        assert_eq!(*read.hash_key.0, *made.hash_key.0);
        let resealed = meta(&writes);
        let alone = Keyring::new(second, Vec::new());
        let mut writes = Vec::new();
        let read = Idempotency::load(&resealed, rows.clone(), &alone, &mut writes).unwrap();
        assert_eq!(*read.hash_key.0, *made.hash_key.0);
        assert!(writes.is_empty() && read.by_name.len() == 1);

        let lost = Keyring::new(secret(), Vec::new());
        let read = Idempotency::load(&resealed, rows, &lost, &mut writes).unwrap();
        assert_ne!(*read.hash_key.0, *made.hash_key.0);
        assert!(read.by_name.is_empty());
        assert_eq!(
            writes.len(),
            2,
            "all keys are forgotten, and there is a new one"
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let name = routes::IDEMPOTENCY_KEY
                    .parse::<axum::http::HeaderName>()
                    .unwrap();
                headers.append(name, value.parse().unwrap());
            }
            headers
        };
        let long = "k".repeat(routes::IDEMPOTENCY_KEY_MAX);
        assert_eq!(key_of(&headers(&[&long])).unwrap(), Some(long.as_str()));
        assert_eq!(key_of(&headers(&[])).unwrap(), None);
        for wrong in [
            &["a b"][..],
            &[""],
            &["a", "b"],
            &[&format!("{long}k")],
            &["kéy"],
        ] {
            let problem = key_of(&headers(wrong)).unwrap_err();
            assert_eq!(problem.status, 400, "{wrong:?}");
        }
    }
}

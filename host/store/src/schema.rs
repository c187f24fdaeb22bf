//! The tables: what each is for and how it is pruned.
//!
//! | table | is | holds | pruned |
//! | --- | --- | --- | --- |
//! | `installation` | truth | one row: installation id, epoch, last sequence | never |
//! | `meta` | truth | settings of the installation by name | never |
//! | `node` | truth | folders and descriptors | with the node |
//! | `machine` | truth | machine records | with the machine, once its destruction is confirmed |
//! | `token` | truth | API access tokens, the secret hashed | 90 days after it expired or was revoked |
//! | `reservation` | truth | numbers reserved on a hypervisor | when the operation that holds it ends |
//! | `operation` | truth while unfinished, then evidence | operations, with what lists filter by | `Prune::Operations` |
//! | `operation_target` | with `operation` | which operations a UID has | with its operation |
//! | `journal` | truth while its operation is unfinished, then evidence | intents and outcomes of steps | `Prune::Journal` |
//! | `plan` | truth while an unfinished operation carries it out, then evidence | plans by digest | `Prune::Plans` |
//! | `executed` | evidence | one line for each ended operation, in the order in which they ended, with its result | `Prune::Executed` |
//! | `idempotency` | truth | which operation an order became, by hashes of its key and of itself | `Prune::Idempotency` |
//! | `secret` | truth | secrets by name, encrypted by their owner | with the secret |
//! | `history` | evidence | what each node, its deployed config and its machine became, by whom; it outlives the node | kept: only `Prune::History`, which leaves the newest row of each node |
//! | `audit` | evidence | who ordered, allowed or changed what, each row hashed with the one before | never |
//! | `provider` | cache | what the last check of a hypervisor found | with its hypervisor entry |
//!
//! Numbers of operations, of journal rows and of lines of the executed log come from `AUTOINCREMENT`
//! tables, which remember the highest number also when its row is pruned: no number is used twice.
//! The executed log loses its oldest lines only, and always all up to one: what is left has no gaps.

use rusqlite::Connection;

use crate::Table;

/// Marks the file as ours: `engh`.
pub(crate) const APPLICATION_ID: i32 = 0x656e_6768;

/// Version of the schema that this program writes: `user_version` of the database.
pub const VERSION: u32 = 4;

/// The tables that are not documents by key, as version 1 had them; `executed` is another one now.
const TABLES: &str = "
CREATE TABLE installation (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    id       TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL
);

CREATE TABLE operation (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    revision  INTEGER NOT NULL,
    state     TEXT    NOT NULL,
    queued_at INTEGER NOT NULL,
    ended_at  INTEGER,
    plan      TEXT,
    version   INTEGER NOT NULL,
    body      TEXT    NOT NULL
);
CREATE INDEX operation_unfinished ON operation (number) WHERE ended_at IS NULL;
CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX operation_state ON operation (state, number);

CREATE TABLE operation_target (
    target TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (target, number)
) WITHOUT ROWID;
CREATE INDEX operation_target_number ON operation_target (number);

CREATE TABLE journal (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    operation INTEGER NOT NULL,
    host      TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT    NOT NULL
);
CREATE INDEX journal_operation ON journal (operation, seq);

CREATE TABLE plan (
    id      TEXT    PRIMARY KEY,
    used_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX plan_used ON plan (used_at);
";

/// Since version 2. `name` is the full name that the node had then: it leads to nodes that are gone.
const HISTORY: &str = "
CREATE TABLE history (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    node      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    operation INTEGER,
    who       TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT    NOT NULL
);
CREATE INDEX history_node ON history (node, seq);
CREATE INDEX history_name ON history (name, seq);
";

/// Since version 3. `seq` is the order in which operations ended; `path` is the first of `targets`, and
/// `node` its UID where there is one. `body` is the result.
const EXECUTED: &str = "
CREATE TABLE executed (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    operation  INTEGER NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    node       TEXT,
    path       TEXT    NOT NULL,
    targets    TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    queued_at  INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    message    TEXT,
    version    INTEGER,
    body       TEXT
);
CREATE INDEX executed_path ON executed (path, seq);
CREATE INDEX executed_node ON executed (node, seq) WHERE node IS NOT NULL;
";

/// Since version 3. An operation is ordered once, so it has one key; rows are written and forgotten
/// in the order of their numbers.
const IDEMPOTENCY: &str = "
CREATE TABLE idempotency (
    operation INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    name      BLOB    NOT NULL,
    digest    BLOB    NOT NULL
);
";

/// Since version 4. Rows are added and never touched again, whoever asks.
const AUDIT: &str = "
CREATE TABLE audit (
    number    INTEGER PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    who       TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    node      TEXT,
    path      TEXT,
    operation INTEGER,
    detail    TEXT    NOT NULL,
    hash      BLOB    NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_path ON audit (path, number) WHERE path IS NOT NULL;
CREATE INDEX audit_node ON audit (node, number) WHERE node IS NOT NULL;
CREATE INDEX audit_operation ON audit (operation) WHERE operation IS NOT NULL;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
";

/// Lines that were written before there was an order get that of their times.
const EXECUTED_FROM_2: &str = "
INSERT INTO executed
    (operation, kind, node, path, targets, who, queued_at, started_at, ended_at, outcome, message)
SELECT operation, kind,
       (SELECT min(target) FROM operation_target WHERE number = operation),
       CASE WHEN json_valid(targets) THEN coalesce(json_extract(targets, '$[0]'), '/') ELSE '/' END,
       targets, who, queued_at, started_at, ended_at, outcome, message
FROM executed_2 ORDER BY ended_at, operation;
DROP TABLE executed_2;
";

/// Makes the tables of [`VERSION`] in an empty database. The caller holds the transaction.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(HISTORY)?;
    connection.execute_batch(EXECUTED)?;
    connection.execute_batch(IDEMPOTENCY)?;
    connection.execute_batch(AUDIT)?;
    for table in Table::ALL {
        documents(connection, table)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Brings the tables of an older version to [`VERSION`], one version after the other; what they
/// hold stays. The caller holds the transaction.
pub(crate) fn migrate(connection: &Connection, from: u32) -> rusqlite::Result<()> {
    if from < 2 {
        connection.execute_batch(HISTORY)?;
        documents(connection, Table::Secret)?;
    }
    if from < 3 {
        connection.execute_batch(
            "DROP INDEX executed_ended; ALTER TABLE executed RENAME TO executed_2;",
        )?;
        connection.execute_batch(EXECUTED)?;
        connection.execute_batch(EXECUTED_FROM_2)?;
        connection.execute_batch(IDEMPOTENCY)?;
    }
    if from < 4 {
        connection.execute_batch(AUDIT)?;
    }
    connection.pragma_update(None, "user_version", VERSION)
}

/// A table of documents by key.
fn documents(connection: &Connection, table: Table) -> rusqlite::Result<()> {
    let name = table.name();
    connection.execute_batch(&format!(
        "CREATE TABLE {name} (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;"
    ))
}

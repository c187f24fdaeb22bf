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
CREATE TABLE idempotency (
    operation INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    name      BLOB    NOT NULL,
    digest    BLOB    NOT NULL
);
CREATE TABLE meta (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE node (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE machine (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE reservation (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE token (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE provider (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE secret (
            key      TEXT    PRIMARY KEY,
            revision INTEGER NOT NULL,
            version  INTEGER NOT NULL,
            body     TEXT    NOT NULL
        ) WITHOUT ROWID;

-- Policies and what they did. Rules are JSON that was checked when it was written; times are milliseconds since 1970.

CREATE TABLE policies (
    id          TEXT PRIMARY KEY,
    body        TEXT NOT NULL,               -- JSON: name, priority, scope, rules, …
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE policy_sets (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    is_default  INTEGER NOT NULL,            -- at most one: new sessions get it
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE policy_set_members (
    set_id    TEXT NOT NULL REFERENCES policy_sets (id) ON DELETE CASCADE,
    policy_id TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    PRIMARY KEY (set_id, policy_id)
) STRICT;

CREATE TABLE session_policy_sets (
    session TEXT NOT NULL,
    set_id  TEXT NOT NULL REFERENCES policy_sets (id) ON DELETE CASCADE,
    PRIMARY KEY (session, set_id)
) STRICT;

CREATE TABLE approvals (
    session    TEXT NOT NULL,
    number     INTEGER NOT NULL,             -- within the session
    standing   TEXT NOT NULL,
    digest     TEXT NOT NULL,                -- of tool and arguments: what an answer is bound to
    body       TEXT NOT NULL,                -- JSON: what is asked, by which rule, how it was answered
    asked_at   INTEGER NOT NULL,
    expires_at INTEGER,
    closed_at  INTEGER,
    PRIMARY KEY (session, number)
) STRICT;

CREATE INDEX approvals_open ON approvals (standing) WHERE standing = 'open';

-- Append-only, and each entry carries the hash of the one before. It outlives sessions and policies.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    session   TEXT,
    kind      TEXT NOT NULL,                 -- decision, answer, change
    tool      TEXT,
    decision  TEXT,
    body      TEXT NOT NULL,                 -- JSON, secrets masked
    hash      TEXT NOT NULL                  -- SHA-256 of the hash before and everything above
) STRICT;

CREATE INDEX audit_by_session ON audit (session, seq);

-- Where the chain begins, once its oldest entries were dropped by their own retention.
CREATE TABLE audit_start (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq  INTEGER NOT NULL,                   -- the last dropped entry
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

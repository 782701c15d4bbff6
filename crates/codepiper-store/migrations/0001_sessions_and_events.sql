-- Times are milliseconds since 1970 in UTC. Nothing here cascades: what happened in a session (events) stays
-- when the session leaves the list.

CREATE TABLE sessions (
    id               TEXT PRIMARY KEY,
    name             TEXT,
    provider         TEXT NOT NULL,
    cwd              TEXT NOT NULL,
    state            TEXT NOT NULL,          -- the word of the state, for filters
    standing         TEXT NOT NULL,          -- JSON: state with its data, since, reason
    launch           TEXT NOT NULL,          -- JSON: how it was asked to start, for the next start
    provider_session TEXT,                   -- the agent's own id of the conversation
    transcript_path  TEXT,
    model            TEXT,
    process          TEXT,                   -- JSON: pane and pids of the running process
    end_requested    TEXT,                   -- who asked for the end, until it came
    cols             INTEGER NOT NULL,
    rows             INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    removed_at       INTEGER                 -- left the list: by retention or `rm`
) STRICT;

CREATE UNIQUE INDEX sessions_by_name ON sessions (name) WHERE name IS NOT NULL AND removed_at IS NULL;

CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- one sequence over all sessions
    session  TEXT NOT NULL,
    at       INTEGER NOT NULL,
    source   TEXT NOT NULL,
    type     TEXT NOT NULL,
    payload  TEXT NOT NULL,
    uid      TEXT                                -- the sender's own key: the same event sent twice counts once
) STRICT;

CREATE INDEX events_by_session ON events (session, seq);
CREATE UNIQUE INDEX events_by_uid ON events (uid) WHERE uid IS NOT NULL;

CREATE TABLE settings (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL                         -- JSON
) STRICT;

-- What a person was told, what they want to be told, and what has yet to be delivered to their handlers.

CREATE TABLE notifications (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,            -- what it is told by once
    session     TEXT,                            -- none: it is about no single session
    provider    TEXT,
    kind        TEXT NOT NULL,
    event       INTEGER,                         -- the entry of the log that it comes from
    title       TEXT NOT NULL,
    body        TEXT NOT NULL,
    payload     TEXT NOT NULL,                   -- JSON
    created_at  INTEGER NOT NULL,
    read_at     INTEGER,
    read_source TEXT                             -- what read it: a click, the command, the session that went on
) STRICT;

CREATE INDEX notifications_by_session ON notifications (session, id);
CREATE INDEX notifications_unread ON notifications (session) WHERE read_at IS NULL;

CREATE TABLE notification_wishes (
    session    TEXT PRIMARY KEY,
    wishes     TEXT NOT NULL,                    -- JSON
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far the event log was looked through. `settled`: everything up to it has come out. `seen`: everything up to it
-- was given to the handlers that want the log itself.
CREATE TABLE notification_cursor (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    settled INTEGER NOT NULL,
    seen    INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    handler    TEXT NOT NULL,
    message    TEXT NOT NULL,                    -- JSON
    created_at INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER,                          -- none: it was given up
    error      TEXT
) STRICT;

CREATE INDEX deliveries_by_handler ON deliveries (handler, id);

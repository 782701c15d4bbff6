-- Env sets are sealed before they come here: the key is in a file, and no value and no name of a variable is in
-- the database.

CREATE TABLE env_sets (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    key         TEXT NOT NULL,               -- the id of the key that it is sealed with
    nonce       BLOB NOT NULL,
    sealed      BLOB NOT NULL,
    var_count   INTEGER NOT NULL,            -- to be told when the key is lost
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

-- The key for what is sealed from now on: at most one row.
CREATE TABLE env_set_key (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    key  TEXT NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    path        TEXT NOT NULL,
    defaults    TEXT NOT NULL,               -- JSON: what a start there takes when nothing else is said
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

-- What agents tell of themselves while they work.

CREATE TABLE figures (
    session TEXT PRIMARY KEY,
    figures TEXT NOT NULL,                       -- JSON
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The limits of a provider's service, as last told.
CREATE TABLE limits (
    provider  TEXT NOT NULL,
    minutes   INTEGER NOT NULL,
    used      REAL NOT NULL,                     -- percent
    resets_at INTEGER,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (provider, minutes)
) STRICT, WITHOUT ROWID;

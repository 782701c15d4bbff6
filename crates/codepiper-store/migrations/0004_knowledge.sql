-- What agents wrote down: conversations, what was said in them, what it took. Times are milliseconds since 1970 in UTC,
-- quarters are quarter hours since 1970 in UTC (every time zone is a whole number of them away), money is billionths of a
-- US dollar. Nothing here cascades from sessions.

-- Where an agent worked.
CREATE TABLE places (
    id     INTEGER PRIMARY KEY,
    cwd    TEXT NOT NULL,
    branch TEXT NOT NULL DEFAULT '',
    repo   TEXT,                             -- the repository's root, where there is one
    UNIQUE (cwd, branch)
) STRICT;

CREATE TABLE conversations (
    id          INTEGER PRIMARY KEY,
    provider    TEXT NOT NULL,
    provider_id TEXT NOT NULL,               -- the agent's own id of it
    parent      TEXT,                        -- the agent's id of the one it was forked from, where it is known
    session     TEXT,                        -- ours, the last that went on with it
    title       TEXT,
    place       INTEGER REFERENCES places (id),
    model       TEXT,
    born_at     INTEGER NOT NULL,            -- when its file was made: the older of two copies is the original
    first_at    INTEGER,
    last_at     INTEGER,
    UNIQUE (provider, provider_id)
) STRICT;

CREATE INDEX conversations_by_session ON conversations (session) WHERE session IS NOT NULL;
CREATE INDEX conversations_by_time ON conversations (last_at);

-- Files that are read. The place in a file is stored with what was read up to there.
CREATE TABLE transcripts (
    id           INTEGER PRIMARY KEY,
    path         TEXT NOT NULL UNIQUE,
    provider     TEXT NOT NULL,
    conversation INTEGER REFERENCES conversations (id),
    device       INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    fingerprint  TEXT NOT NULL,              -- of the file's first bytes: the same name may be another file
    offset       INTEGER NOT NULL,           -- behind the last whole line that was taken
    context      TEXT NOT NULL,              -- JSON: what the reader remembers
    counted      INTEGER,                    -- behind the last whole line of which the usage is counted, where that is farther
    counted_context TEXT,                    -- JSON: what the reader remembers there
    lines        INTEGER NOT NULL DEFAULT 0,
    broken       INTEGER NOT NULL DEFAULT 0,
    unknown      TEXT NOT NULL DEFAULT '{}', -- JSON: kinds of records that this version does not know, with their numbers
    problem      TEXT,                       -- what happened to the file that was not growth
    read_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX transcripts_by_conversation ON transcripts (conversation);

CREATE TABLE entries (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    uid          TEXT NOT NULL,              -- the same in every copy of a conversation
    agent        TEXT,                       -- the sub-agent
    at           INTEGER NOT NULL,
    role         TEXT NOT NULL,              -- user, assistant, thinking, tool, system
    body         TEXT NOT NULL,              -- JSON: what it is
    text         TEXT NOT NULL,
    UNIQUE (conversation, uid)
) STRICT;

CREATE INDEX entries_by_conversation ON entries (conversation, id);
-- To count a message once over all copies of its conversation.
CREATE INDEX entries_by_message ON entries (uid) WHERE role IN ('user', 'assistant') AND agent IS NULL;

-- Identifiers and paths fall into words at their separators; a search puts them together again as phrases.
CREATE VIRTUAL TABLE search USING fts5 (
    text, content = 'entries', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);

-- Entries up to this one are in the search.
CREATE TABLE search_progress (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    entry INTEGER NOT NULL
) STRICT;
INSERT INTO search_progress VALUES (1, 0);

-- One row a reply of a model, however often it is repeated in however many files.
CREATE TABLE usage (
    key            TEXT PRIMARY KEY,
    at             INTEGER NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    conversation   INTEGER NOT NULL REFERENCES conversations (id),
    session        TEXT NOT NULL DEFAULT '',
    place          INTEGER NOT NULL REFERENCES places (id),
    input          INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    tier           TEXT NOT NULL DEFAULT '{}', -- JSON: how it was billed
    vendor_cost    REAL,                       -- what the record says, in dollars
    cost           INTEGER                     -- by our prices; none where the model has no price
) STRICT, WITHOUT ROWID;

-- The sums of `usage`, kept by triggers: no way of writing can miss them.
CREATE TABLE usage_by_model (
    quarter        INTEGER NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    requests       INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cost           INTEGER NOT NULL,
    unpriced       INTEGER NOT NULL,         -- tokens of replies without a price
    PRIMARY KEY (quarter, provider, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_by_work (
    quarter        INTEGER NOT NULL,
    conversation   INTEGER NOT NULL,
    session        TEXT NOT NULL,
    place          INTEGER NOT NULL,
    model          TEXT NOT NULL,
    requests       INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cost           INTEGER NOT NULL,
    unpriced       INTEGER NOT NULL,
    PRIMARY KEY (quarter, conversation, session, place, model)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_by_session ON usage_by_work (session, quarter) WHERE session <> '';
CREATE INDEX usage_by_conversation ON usage_by_work (conversation);

CREATE TRIGGER usage_added AFTER INSERT ON usage BEGIN
    INSERT INTO usage_by_model VALUES (
        new.at / 900000, new.provider, new.model, 1, new.input, new.output, new.reasoning, new.cache_read,
        new.cache_write_5m, new.cache_write_1h, coalesce(new.cost, 0),
        iif(new.cost IS NULL, new.input + new.output + new.cache_read + new.cache_write_5m + new.cache_write_1h, 0))
    ON CONFLICT DO UPDATE SET
        requests = requests + 1, input = input + excluded.input, output = output + excluded.output,
        reasoning = reasoning + excluded.reasoning, cache_read = cache_read + excluded.cache_read,
        cache_write_5m = cache_write_5m + excluded.cache_write_5m,
        cache_write_1h = cache_write_1h + excluded.cache_write_1h,
        cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced;
    INSERT INTO usage_by_work VALUES (
        new.at / 900000, new.conversation, new.session, new.place, new.model, 1, new.input, new.output, new.reasoning,
        new.cache_read, new.cache_write_5m, new.cache_write_1h, coalesce(new.cost, 0),
        iif(new.cost IS NULL, new.input + new.output + new.cache_read + new.cache_write_5m + new.cache_write_1h, 0))
    ON CONFLICT DO UPDATE SET
        requests = requests + 1, input = input + excluded.input, output = output + excluded.output,
        reasoning = reasoning + excluded.reasoning, cache_read = cache_read + excluded.cache_read,
        cache_write_5m = cache_write_5m + excluded.cache_write_5m,
        cache_write_1h = cache_write_1h + excluded.cache_write_1h,
        cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced;
END;

CREATE TRIGGER usage_removed AFTER DELETE ON usage BEGIN
    UPDATE usage_by_model SET
        requests = requests - 1, input = input - old.input, output = output - old.output,
        reasoning = reasoning - old.reasoning, cache_read = cache_read - old.cache_read,
        cache_write_5m = cache_write_5m - old.cache_write_5m, cache_write_1h = cache_write_1h - old.cache_write_1h,
        cost = cost - coalesce(old.cost, 0),
        unpriced = unpriced - iif(old.cost IS NULL,
            old.input + old.output + old.cache_read + old.cache_write_5m + old.cache_write_1h, 0)
    WHERE quarter = old.at / 900000 AND provider = old.provider AND model = old.model;
    UPDATE usage_by_work SET
        requests = requests - 1, input = input - old.input, output = output - old.output,
        reasoning = reasoning - old.reasoning, cache_read = cache_read - old.cache_read,
        cache_write_5m = cache_write_5m - old.cache_write_5m, cache_write_1h = cache_write_1h - old.cache_write_1h,
        cost = cost - coalesce(old.cost, 0),
        unpriced = unpriced - iif(old.cost IS NULL,
            old.input + old.output + old.cache_read + old.cache_write_5m + old.cache_write_1h, 0)
    WHERE quarter = old.at / 900000 AND conversation = old.conversation AND session = old.session
        AND place = old.place AND model = old.model;
    DELETE FROM usage_by_model
    WHERE quarter = old.at / 900000 AND provider = old.provider AND model = old.model AND requests = 0;
    DELETE FROM usage_by_work
    WHERE quarter = old.at / 900000 AND conversation = old.conversation AND session = old.session
        AND place = old.place AND model = old.model AND requests = 0;
END;

-- A correction is a removal and an addition: see `usage::put`. Nothing may change a row in another way.
CREATE TRIGGER usage_is_replaced BEFORE UPDATE ON usage
BEGIN SELECT raise(ABORT, 'usage is replaced, not updated'); END;

-- Tool calls, once each over all copies of a conversation.
CREATE TABLE tool_calls (
    call         TEXT PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    tool         TEXT,                       -- unknown while only the result was seen
    at           INTEGER NOT NULL,
    outcome      TEXT,                       -- ok, failed, refused, interrupted; none while it runs
    duration_ms  INTEGER
) STRICT, WITHOUT ROWID;

-- Of one conversation's calls, and so of one session's.
CREATE INDEX tool_calls_by_conversation ON tool_calls (conversation, at);

-- The calls of tools summed, kept by triggers as those of `usage` are. `longest_ms` only grows.
CREATE TABLE tools_by_quarter (
    quarter     INTEGER NOT NULL,
    tool        TEXT NOT NULL,
    calls       INTEGER NOT NULL,
    ok          INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    refused     INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    timed       INTEGER NOT NULL,            -- calls of which the duration is known
    duration_ms INTEGER NOT NULL,            -- theirs
    longest_ms  INTEGER,
    PRIMARY KEY (quarter, tool)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tool_call_added AFTER INSERT ON tool_calls WHEN new.tool IS NOT NULL BEGIN
    INSERT INTO tools_by_quarter VALUES (new.at / 900000, new.tool, 1, new.outcome IS 'ok', new.outcome IS 'failed',
        new.outcome IS 'refused', new.outcome IS 'interrupted', new.duration_ms IS NOT NULL,
        coalesce(new.duration_ms, 0), new.duration_ms)
    ON CONFLICT DO UPDATE SET calls = calls + 1, ok = ok + excluded.ok, failed = failed + excluded.failed,
        refused = refused + excluded.refused, interrupted = interrupted + excluded.interrupted,
        timed = timed + excluded.timed, duration_ms = duration_ms + excluded.duration_ms,
        longest_ms = nullif(max(coalesce(longest_ms, -1), coalesce(excluded.longest_ms, -1)), -1);
END;

CREATE TRIGGER tool_call_removed AFTER DELETE ON tool_calls WHEN old.tool IS NOT NULL BEGIN
    UPDATE tools_by_quarter SET calls = calls - 1, ok = ok - (old.outcome IS 'ok'),
        failed = failed - (old.outcome IS 'failed'), refused = refused - (old.outcome IS 'refused'),
        interrupted = interrupted - (old.outcome IS 'interrupted'), timed = timed - (old.duration_ms IS NOT NULL),
        duration_ms = duration_ms - coalesce(old.duration_ms, 0)
    WHERE quarter = old.at / 900000 AND tool = old.tool;
    DELETE FROM tools_by_quarter WHERE quarter = old.at / 900000 AND tool = old.tool AND calls = 0;
END;

-- The result of a call, or its tool, is learned later: the call is taken out and put in again.
CREATE TRIGGER tool_call_changed AFTER UPDATE ON tool_calls BEGIN
    UPDATE tools_by_quarter SET calls = calls - 1, ok = ok - (old.outcome IS 'ok'),
        failed = failed - (old.outcome IS 'failed'), refused = refused - (old.outcome IS 'refused'),
        interrupted = interrupted - (old.outcome IS 'interrupted'), timed = timed - (old.duration_ms IS NOT NULL),
        duration_ms = duration_ms - coalesce(old.duration_ms, 0)
    WHERE quarter = old.at / 900000 AND tool = old.tool;
    DELETE FROM tools_by_quarter WHERE quarter = old.at / 900000 AND tool = old.tool AND calls = 0;
    INSERT INTO tools_by_quarter
    SELECT new.at / 900000, new.tool, 1, new.outcome IS 'ok', new.outcome IS 'failed', new.outcome IS 'refused',
        new.outcome IS 'interrupted', new.duration_ms IS NOT NULL, coalesce(new.duration_ms, 0), new.duration_ms
    WHERE new.tool IS NOT NULL
    ON CONFLICT DO UPDATE SET calls = calls + 1, ok = ok + excluded.ok, failed = failed + excluded.failed,
        refused = refused + excluded.refused, interrupted = interrupted + excluded.interrupted,
        timed = timed + excluded.timed, duration_ms = duration_ms + excluded.duration_ms,
        longest_ms = nullif(max(coalesce(longest_ms, -1), coalesce(excluded.longest_ms, -1)), -1);
END;

-- Decisions over time. The log is large, and its entries are long.
CREATE INDEX audit_decisions ON audit (at, decision) WHERE kind = 'decision';

-- Messages, once each over all copies of a conversation.
CREATE TABLE messages_by_quarter (
    quarter   INTEGER PRIMARY KEY,
    person    INTEGER NOT NULL,
    assistant INTEGER NOT NULL
) STRICT;

CREATE TRIGGER message_added AFTER INSERT ON entries
WHEN new.role IN ('user', 'assistant') AND new.agent IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM entries
        WHERE uid = new.uid AND role IN ('user', 'assistant') AND agent IS NULL AND id <> new.id)
BEGIN
    INSERT INTO messages_by_quarter
    VALUES (new.at / 900000, iif(new.role = 'user', 1, 0), iif(new.role = 'assistant', 1, 0))
    ON CONFLICT DO UPDATE SET person = person + excluded.person, assistant = assistant + excluded.assistant;
END;

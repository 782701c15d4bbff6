//! A small database for the tests of what is read, its sums known by heart. All times are of 28 to 30 March 2026: in
//! Berlin the clock was put forward in the night to the 29th, at 01:00 UTC.

use super::Connection;
use crate::migrate::migrate;
use codepiper_core::search_query::SearchQuery;
use jiff::Timestamp;

/// The database, and the folder it is in.
pub(crate) fn sample() -> (tempfile::TempDir, Connection) {
    let (folder, connection) = empty();
    connection.execute_batch(ROWS).unwrap();
    (folder, connection)
}

pub(crate) fn empty() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.db");
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &path).unwrap();
    (folder, connection)
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn query(typed: &str) -> SearchQuery {
    SearchQuery::parse(typed).unwrap()
}

/// Two conversations of session 0000000a, the second a copy of the first that goes on; one of a removed session; one
/// that was never ours.
const ROWS: &str = r#"
INSERT INTO sessions (id, name, provider, cwd, state, standing, launch, provider_session, cols, rows, created_at, updated_at, removed_at)
VALUES ('0000000a', 'api', 'claude-code', '/w/api', 'idle', '{}', '{}', 'c-fork', 80, 24, unixepoch('2026-03-28 09:00') * 1000, 0, NULL),
       ('0000000b', NULL, 'codex', '/w/web', 'stopped', '{}', '{}', NULL, 80, 24, unixepoch('2026-03-29 09:00') * 1000, 0, 1);

INSERT INTO places (id, cwd, branch, repo) VALUES
    (1, '/w/api', 'main', '/w/api'), (2, '/trees/api-1', 'fix', '/w/api'), (3, '/w/apis', '', NULL);

INSERT INTO conversations (id, provider, provider_id, parent, session, title, place, model, born_at, first_at, last_at) VALUES
    (1, 'claude-code', 'c-first', NULL, NULL, 'The flaky test', 1, 'opus', 100,
        unixepoch('2026-03-28 22:00') * 1000, unixepoch('2026-03-28 23:30') * 1000),
    (2, 'claude-code', 'c-fork', 'c-first', '0000000a', 'The flaky test, again', 2, 'opus', 200,
        unixepoch('2026-03-28 22:00') * 1000, unixepoch('2026-03-29 10:00') * 1000),
    (3, 'codex', 'x-1', NULL, '0000000b', NULL, 3, 'gpt', 300,
        unixepoch('2026-03-29 22:30') * 1000, unixepoch('2026-03-29 22:40') * 1000),
    (4, 'codex', 'c-first', NULL, NULL, NULL, NULL, NULL, 400, NULL, NULL);

-- 22:50 UTC is 23:50 on the 28th in Berlin, 23:10 is 00:10 on the 29th.
INSERT INTO usage (key, at, provider, model, conversation, session, place, input, output, reasoning, cache_read, cache_write_5m, cache_write_1h, cost) VALUES
    ('k1', unixepoch('2026-03-28 22:50') * 1000, 'claude-code', 'opus', 1, '0000000a', 1, 10, 5, 2, 100, 20, 0, 1000000000),
    ('k2', unixepoch('2026-03-28 23:10') * 1000, 'claude-code', 'opus', 1, '0000000a', 1, 20, 5, 0, 300, 0, 40, 2000000000),
    ('k3', unixepoch('2026-03-29 10:00') * 1000, 'claude-code', 'haiku', 2, '0000000a', 2, 1, 1, 0, 0, 0, 0, 500000000),
    ('k4', unixepoch('2026-03-29 22:30') * 1000, 'codex', 'gpt', 3, '0000000b', 3, 1000, 200, 50, 0, 0, 0, NULL),
    ('k5', unixepoch('2026-03-29 22:40') * 1000, 'claude-code', 'opus', 4, '', 3, 7, 3, 0, 0, 0, 0, 250000000);

INSERT INTO entries (id, conversation, uid, agent, at, role, body, text) VALUES
    (1, 1, 'u1', NULL, unixepoch('2026-03-28 22:00') * 1000, 'user', '{"kind":"user"}', 'why is read_transcript_line in src/lib.rs so flaky?'),
    (2, 1, 'u2', NULL, unixepoch('2026-03-28 22:50') * 1000, 'assistant', '{"kind":"assistant","model":"opus"}', 'Because of the Größe: no space left on device'),
    (3, 1, 'u3', 's1', unixepoch('2026-03-28 23:30') * 1000, 'assistant', '{"kind":"assistant","model":"haiku"}', 'a sub-agent says flaky'),
    (4, 2, 'u1', NULL, unixepoch('2026-03-28 22:00') * 1000, 'user', '{"kind":"user"}', 'why is read_transcript_line in src/lib.rs so flaky?'),
    (5, 2, 'u2', NULL, unixepoch('2026-03-28 22:50') * 1000, 'assistant', '{"kind":"assistant","model":"opus"}', 'Because of the Größe: no space left on device'),
    (6, 2, 'u4', NULL, unixepoch('2026-03-29 10:00') * 1000, 'tool', '{"kind":"tool_call","call":"t1","tool":"Bash","input":{}}', 'cargo test --workspace'),
    (7, 3, 'u5', NULL, unixepoch('2026-03-29 22:30') * 1000, 'user', '{"kind":"future"}', 'flaky flaky flaky, and the space is left'),
    (8, 3, 'u6', NULL, unixepoch('2026-03-29 22:40') * 1000, 'assistant', '{"kind":"assistant","model":null}', 'transcript of the line, in lib and src');
INSERT INTO search (rowid, text) SELECT id, text FROM entries;
UPDATE search_progress SET entry = 7;

INSERT INTO tool_calls (call, conversation, tool, at, outcome, duration_ms) VALUES
    ('t1', 2, 'Bash', unixepoch('2026-03-29 10:00') * 1000, 'ok', 100),
    ('t2', 2, 'Bash', unixepoch('2026-03-29 10:01') * 1000, 'failed', 300),
    ('t3', 2, 'Bash', unixepoch('2026-03-29 10:02') * 1000, 'refused', NULL),
    ('t4', 2, 'Read', unixepoch('2026-03-29 10:02') * 1000, 'interrupted', NULL),
    ('t5', 3, 'shell', unixepoch('2026-03-29 22:30') * 1000, NULL, NULL),
    ('t6', 3, NULL, unixepoch('2026-03-29 22:30') * 1000, 'ok', 1);

INSERT INTO audit (at, session, kind, tool, decision, body, hash) VALUES
    (unixepoch('2026-03-28 22:50') * 1000, '0000000a', 'decision', 'Bash', 'allow', '{}', ''),
    (unixepoch('2026-03-28 23:10') * 1000, '0000000a', 'decision', 'Bash', 'allow', '{}', ''),
    (unixepoch('2026-03-28 23:20') * 1000, '0000000b', 'decision', 'Bash', 'none', '{}', ''),
    (unixepoch('2026-03-28 23:20') * 1000, '0000000a', 'answer', 'Bash', 'denied', '{}', '');
"#;

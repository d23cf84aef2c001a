CREATE TABLE lesson (
    id         TEXT PRIMARY KEY,
    title      TEXT NOT NULL,
    teacher    TEXT,
    subject    TEXT,
    grade      TEXT,
    state      TEXT NOT NULL CHECK (state IN ('scheduled', 'live', 'ended')),
    starts_at  INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    join_code  TEXT NOT NULL CHECK (length(join_code) = 6)
) STRICT;

-- A code may come again once its lesson has ended.
CREATE UNIQUE INDEX lesson_join_code ON lesson (join_code) WHERE state <> 'ended';
CREATE INDEX lesson_time ON lesson (coalesce(starts_at, created_at));

-- Only the hash of a key is kept; at most one key is not retired.
CREATE TABLE operator_key (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

CREATE UNIQUE INDEX operator_key_in_use ON operator_key (retired_at IS NULL) WHERE retired_at IS NULL;

CREATE TABLE secret (
    name       TEXT PRIMARY KEY,
    value      BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

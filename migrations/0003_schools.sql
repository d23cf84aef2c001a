-- Schools and their lines. What an operator didn't say is NULL; rates are in bits per second.
CREATE TABLE school (
    id            TEXT PRIMARY KEY,
    -- Tokens may name a school by it, so it names one only.
    name          TEXT NOT NULL UNIQUE,
    county        TEXT,
    tier          TEXT,
    nominal_rate  INTEGER CHECK (nominal_rate > 0),
    share         REAL CHECK (share > 0 AND share <= 1),
    measured_rate INTEGER CHECK (measured_rate > 0),
    measured_at   INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE classroom (
    id     TEXT PRIMARY KEY,
    school TEXT NOT NULL REFERENCES school (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    UNIQUE (school, name)
) STRICT;

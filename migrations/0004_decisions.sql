-- Why slots got what they got, in the order in which it was decided; of each lesson the latest are kept.
CREATE TABLE decision (
    lesson      TEXT NOT NULL REFERENCES lesson (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    participant TEXT NOT NULL,
    -- As it was called then.
    name        TEXT,
    school      TEXT,
    slot        TEXT NOT NULL,
    place       INTEGER NOT NULL,
    -- Places up the ladder; NULL = nothing.
    before      INTEGER,
    after       INTEGER,
    reason      TEXT NOT NULL,
    -- In bits per second.
    budget      INTEGER,
    estimate    INTEGER,
    allocated   INTEGER NOT NULL,
    members     INTEGER NOT NULL,
    PRIMARY KEY (lesson, number)
) STRICT, WITHOUT ROWID;

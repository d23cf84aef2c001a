-- Who is on stage in a lesson on air, by the places of the stage.
CREATE TABLE stage (
    lesson      TEXT NOT NULL REFERENCES lesson (id) ON DELETE CASCADE,
    place       INTEGER NOT NULL,
    participant TEXT NOT NULL,
    name        TEXT,
    school      TEXT,
    PRIMARY KEY (lesson, place)
) STRICT;

-- One row, written again and again: whether anything can be written.
CREATE TABLE written (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;

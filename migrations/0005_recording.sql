-- The school of a lesson's studio, as it is to be shown.
ALTER TABLE lesson ADD COLUMN school TEXT;

-- What is kept of a lesson: one recording at most, which goes with it. Lengths and places in it are milliseconds from its
-- zero, sizes are octets.
CREATE TABLE recording (
    lesson    TEXT PRIMARY KEY REFERENCES lesson (id) ON DELETE CASCADE,
    state     TEXT NOT NULL CHECK (state IN ('recording', 'finishing', 'ready', 'repaired', 'failed')),
    -- Why it isn't further, in words.
    reason_zh TEXT,
    reason_en TEXT,
    begun_at  INTEGER NOT NULL,
    -- The instant of its zero; NULL until anything was recorded.
    zero      INTEGER,
    duration  INTEGER NOT NULL DEFAULT 0 CHECK (duration >= 0),
    octets    INTEGER NOT NULL DEFAULT 0 CHECK (octets >= 0),
    -- Whether all its files are there, those that are made afterwards too.
    complete  INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    -- Whether somebody wants it kept, whatever the rules say.
    kept      INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),
    poster    TEXT,
    -- When its files were verified.
    ready_at  INTEGER,
    -- When they were verified in the object store, from where they are served since; NULL = from the data folder.
    stored_at INTEGER
) STRICT;

CREATE INDEX recording_time ON recording (begun_at, lesson);

CREATE TABLE recording_file (
    lesson   TEXT NOT NULL REFERENCES recording (lesson) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    name     TEXT NOT NULL,
    -- NULL for the poster and the pictures of slides.
    track    TEXT,
    variant  TEXT,
    -- Whether it has all that was recorded of its track.
    whole    INTEGER NOT NULL CHECK (whole IN (0, 1)),
    video    TEXT,
    width    INTEGER,
    height   INTEGER,
    audio    TEXT,
    octets   INTEGER NOT NULL,
    sha256   TEXT NOT NULL,
    duration INTEGER NOT NULL,
    PRIMARY KEY (lesson, number),
    UNIQUE (lesson, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE recording_slide (
    lesson  TEXT NOT NULL REFERENCES recording (lesson) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    picture TEXT,
    PRIMARY KEY (lesson, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE recording_gap (
    lesson TEXT NOT NULL REFERENCES recording (lesson) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    begins INTEGER NOT NULL,
    ends   INTEGER NOT NULL,
    -- NULL = all tracks.
    track  TEXT,
    why    TEXT NOT NULL,
    PRIMARY KEY (lesson, number)
) STRICT, WITHOUT ROWID;

-- What the recording lacks, in words.
CREATE TABLE recording_lack (
    lesson TEXT NOT NULL REFERENCES recording (lesson) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    zh     TEXT NOT NULL,
    en     TEXT NOT NULL,
    PRIMARY KEY (lesson, number)
) STRICT, WITHOUT ROWID;

-- Who watched how much of it.
CREATE TABLE recording_view (
    lesson   TEXT NOT NULL REFERENCES recording (lesson) ON DELETE CASCADE,
    -- Chosen by the page, one for each time that the player is opened.
    view     TEXT NOT NULL,
    viewer   TEXT NOT NULL,
    role     TEXT NOT NULL,
    name     TEXT,
    school   TEXT,
    began_at INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL,
    -- Of the recording, and the time that it took to watch it.
    watched  INTEGER NOT NULL,
    took     INTEGER NOT NULL,
    -- How far it came.
    furthest INTEGER NOT NULL,
    PRIMARY KEY (lesson, view, viewer)
) STRICT, WITHOUT ROWID;

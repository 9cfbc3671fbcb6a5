-- Times are milliseconds since 1970 in UTC. Files lie beside the database under the SHA-256 of what they hold.

CREATE TABLE inspections (
    n             INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of arrival
    id            TEXT NOT NULL UNIQUE,
    received_ms   INTEGER NOT NULL,
    model         TEXT NOT NULL,
    model_sha256  TEXT NOT NULL,
    category      TEXT,
    serial        TEXT,
    verdict       TEXT NOT NULL CHECK (verdict IN ('good', 'rejected', 'not-judged')),
    score         REAL,
    threshold     REAL,
    p_value       REAL,
    reason        TEXT,
    warnings      INTEGER NOT NULL,
    regions       INTEGER NOT NULL,
    feedback      TEXT,                              -- the newest, of the table below
    record        TEXT NOT NULL                      -- everything, as JSON
) STRICT;
CREATE INDEX inspections_by_model ON inspections (model, n);
CREATE INDEX inspections_by_verdict ON inspections (verdict, n);
CREATE INDEX inspections_by_serial ON inspections (serial, n) WHERE serial IS NOT NULL;
CREATE INDEX inspections_by_feedback ON inspections (model, feedback, n) WHERE feedback IS NOT NULL;
CREATE INDEX inspections_by_time ON inspections (received_ms);

CREATE TABLE blobs (
    sha256        TEXT PRIMARY KEY,
    bytes         INTEGER NOT NULL,
    uses          INTEGER NOT NULL CHECK (uses >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_without_use ON blobs (sha256) WHERE uses = 0;

CREATE TABLE inspection_files (
    inspection    INTEGER NOT NULL REFERENCES inspections (n) ON DELETE CASCADE,
    role          TEXT NOT NULL CHECK (role IN ('cloud', 'rgb', 'intrinsics', 'maps', 'thumbnail')),
    sha256        TEXT NOT NULL REFERENCES blobs (sha256),
    PRIMARY KEY (inspection, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    n             INTEGER PRIMARY KEY,
    inspection    INTEGER NOT NULL REFERENCES inspections (n) ON DELETE CASCADE,
    at_ms         INTEGER NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('false-reject', 'missed', 'confirmed')),
    comment       TEXT,
    given_by      TEXT
) STRICT;
CREATE INDEX feedback_by_inspection ON feedback (inspection);

CREATE TABLE model_versions (
    n               INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    sha256          TEXT NOT NULL REFERENCES blobs (sha256),
    added_ms        INTEGER NOT NULL,
    origin          TEXT NOT NULL CHECK (origin IN ('folder', 'upload', 'fit')),
    program_version TEXT NOT NULL,
    UNIQUE (name, sha256)
) STRICT;

-- The active version of a model is that of its last activation that was not undone.
CREATE TABLE activations (
    n             INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    sha256        TEXT NOT NULL,
    at_ms         INTEGER NOT NULL,
    undone_ms     INTEGER
) STRICT;
CREATE INDEX activations_by_name ON activations (name, n);

CREATE TABLE tokens (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL CHECK (role IN ('inspect', 'manage')),
    sha256        TEXT NOT NULL UNIQUE,
    created_ms    INTEGER NOT NULL
) STRICT;

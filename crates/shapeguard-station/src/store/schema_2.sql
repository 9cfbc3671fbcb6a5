-- What was seen in watched folders: each scan is inspected once, whatever happens in between.
CREATE TABLE watched (
    folder        TEXT NOT NULL,
    scan          TEXT NOT NULL,     -- the file of its cloud, relative to the folder
    stamp         TEXT NOT NULL,     -- sizes and times of its files
    content       TEXT NOT NULL,     -- hash of what they held
    seen_ms       INTEGER NOT NULL,  -- when it last lay there
    PRIMARY KEY (folder, scan)
) STRICT, WITHOUT ROWID;

-- Results that a sink is still to be told.
CREATE TABLE outbox (
    sink          TEXT NOT NULL,
    inspection    INTEGER NOT NULL REFERENCES inspections (n) ON DELETE CASCADE,
    PRIMARY KEY (sink, inspection)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_by_inspection ON outbox (inspection);

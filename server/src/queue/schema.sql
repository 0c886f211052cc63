-- Jobs, who wants them, and what happened to them. Times are milliseconds since 1970.

CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    client      TEXT    NOT NULL,
    key         TEXT,                       -- idempotency key, the client's own
    wish        TEXT    NOT NULL,           -- NewJob as JSON, its seed settled
    model       TEXT,
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'finished', 'failed', 'cancelled')),
    priority    INTEGER NOT NULL,
    place       REAL    NOT NULL,           -- order among jobs of one priority
    not_before  INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    claims      INTEGER NOT NULL DEFAULT 0, -- the fencing number: rises with every claim
    device      TEXT,
    lease_until INTEGER,
    is_cancelled INTEGER NOT NULL DEFAULT 0, -- its worker is asked to stop
    created     INTEGER NOT NULL,
    started     INTEGER,
    ended       INTEGER,
    failure     TEXT,                       -- Failure as JSON
    images      TEXT    NOT NULL DEFAULT '[]',
    log         TEXT    NOT NULL DEFAULT '[]'
) STRICT;

CREATE UNIQUE INDEX jobs_by_key ON jobs (client, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_in_order ON jobs (priority DESC, place) WHERE state = 'waiting';
CREATE INDEX jobs_by_state ON jobs (state, id);

CREATE TABLE events (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    job  INTEGER,
    news TEXT NOT NULL                      -- News as JSON
) STRICT;

CREATE INDEX events_by_job ON events (job, seq);

-- What lasts over a restart: whether the queue is paused.
CREATE TABLE standing (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

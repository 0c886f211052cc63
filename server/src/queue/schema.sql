-- Jobs, who wants them, and what happened to them. Times are milliseconds since 1970.

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    client       TEXT    NOT NULL,
    wish         TEXT    NOT NULL,           -- NewJob as JSON, its seed settled
    model        TEXT    NOT NULL,           -- the wish's, or the usual one: what a worker that has it loaded looks for
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'finished', 'failed', 'cancelled')),
    priority     INTEGER NOT NULL,
    is_ready     INTEGER NOT NULL,           -- it has its place in the line: its moment has come
    place        REAL    NOT NULL,           -- its round: order among jobs of one priority
    passed       INTEGER NOT NULL DEFAULT 0, -- how many jobs from behind it were begun before it, for their model's sake
    not_before   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    crashes      INTEGER NOT NULL DEFAULT 0, -- how many of the attempts ended with their worker's death
    claims       INTEGER NOT NULL DEFAULT 0, -- the fencing number: rises with every claim
    device       TEXT,
    lease_until  INTEGER,
    is_cancelled INTEGER NOT NULL DEFAULT 0, -- its worker is asked to stop
    created      INTEGER NOT NULL,
    started      INTEGER,
    ended        INTEGER,
    failure      TEXT,                       -- Failure as JSON
    images       TEXT    NOT NULL DEFAULT '[]',
    log          TEXT    NOT NULL DEFAULT '[]',
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('finished', 'failed', 'cancelled')) = (ended IS NOT NULL))
) STRICT;

-- The line; what a claim looks at is all in the index.
CREATE INDEX jobs_in_line ON jobs (priority DESC, place, id, model, passed, crashes) WHERE state = 'waiting' AND is_ready = 1;
CREATE INDEX jobs_in_line_of_client ON jobs (client, priority, place) WHERE state = 'waiting' AND is_ready = 1;
CREATE INDEX jobs_to_come ON jobs (not_before, id) WHERE state = 'waiting' AND is_ready = 0;
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_client ON jobs (client, state, id);
CREATE INDEX jobs_by_end ON jobs (ended) WHERE ended IS NOT NULL;

-- The round in which a client was served last, per priority; of the client '' the latest of all.
CREATE TABLE turns (
    client   TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    place    REAL    NOT NULL,
    PRIMARY KEY (client, priority)
) STRICT, WITHOUT ROWID;

-- Which job a client's idempotency key stands for.
CREATE TABLE idempotency (
    client TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    digest BLOB    NOT NULL,                 -- SHA-256 of the wish as it came
    job    INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    PRIMARY KEY (client, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_job ON idempotency (job);
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    job     INTEGER,
    is_last INTEGER NOT NULL,                -- the job's last one
    news    TEXT    NOT NULL                 -- News as JSON
) STRICT;

CREATE INDEX events_by_job ON events (job, seq);
CREATE UNIQUE INDEX events_one_last ON events (job) WHERE is_last = 1;
CREATE INDEX events_of_no_job ON events (at) WHERE job IS NULL;

-- What lasts over a restart: whether the queue is paused.
CREATE TABLE standing (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

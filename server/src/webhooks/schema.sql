-- Messages about jobs that have ended, to those who wanted to be told. Times are milliseconds since 1970.

CREATE TABLE webhooks (
    id       TEXT    PRIMARY KEY,           -- the same in every try, so that a receiver knows what it has had
    job      INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    url      TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    state    TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    due      INTEGER NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0,
    tried    INTEGER,                       -- when it was tried last
    status   INTEGER,                       -- what was answered to the last try
    problem  TEXT                           -- why the last try failed
) STRICT;

CREATE INDEX webhooks_due ON webhooks (due) WHERE state = 'waiting';
CREATE INDEX webhooks_by_job ON webhooks (job);

-- What the server signs with.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

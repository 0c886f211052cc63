-- API keys, who is signed in with them, and what they have used of their quotas. Times are milliseconds since 1970.

CREATE TABLE keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL UNIQUE,  -- SHA-256 of the key; the key itself is nowhere
    hint       TEXT    NOT NULL,         -- its first characters, by which its owner knows it
    scopes     TEXT    NOT NULL,         -- with commas between them
    per_minute INTEGER,                  -- requests; the server's setting if it is open
    per_day    INTEGER,                  -- pictures; no limit if it is open
    created    INTEGER NOT NULL,
    last_used  INTEGER,
    revoked    INTEGER
) STRICT;

CREATE UNIQUE INDEX keys_by_name ON keys (name) WHERE revoked IS NULL;

CREATE TABLE sessions (
    hash    BLOB    PRIMARY KEY,         -- SHA-256 of what the cookie says
    key     INTEGER NOT NULL REFERENCES keys (id),
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE usage (
    client   TEXT    NOT NULL,
    day      INTEGER NOT NULL,           -- days since 1970, UTC
    pictures INTEGER NOT NULL,
    PRIMARY KEY (client, day)
) STRICT;

-- Settings that were changed while the server ran.
CREATE TABLE settings (
    id    TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    over  TEXT NOT NULL                  -- what the configuration said then
) STRICT;

-- What clients have chosen for all of their requests, through interfaces that remember it.

CREATE TABLE preferences (
    client TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (client, name)
) STRICT, WITHOUT ROWID;

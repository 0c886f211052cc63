-- Pictures and collections of them. Times are milliseconds since 1970. What lists are made of stands before what is long.

CREATE TABLE images (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    created      INTEGER NOT NULL,
    is_favourite INTEGER NOT NULL DEFAULT 0,
    model        TEXT    NOT NULL,
    client       TEXT    NOT NULL,
    job          INTEGER,                    -- NULL if it was uploaded
    sha256       TEXT    NOT NULL,           -- of the file; several rows may share one
    mime         TEXT    NOT NULL,
    bytes        INTEGER NOT NULL,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    seed         TEXT    NOT NULL,           -- up to 2^64 - 1, more than SQLite's integers hold
    title        TEXT    NOT NULL DEFAULT '',
    prompt       TEXT    NOT NULL,
    negative     TEXT    NOT NULL,
    notes        TEXT    NOT NULL DEFAULT '',
    settings     TEXT    NOT NULL,           -- Request as JSON
    parameters   TEXT    NOT NULL
) STRICT;

CREATE INDEX images_by_file ON images (sha256);
CREATE INDEX images_by_favourite ON images (is_favourite, id);
CREATE INDEX images_by_model ON images (model, id);
CREATE INDEX images_by_client ON images (client, id);
CREATE INDEX images_by_job ON images (job, id) WHERE job IS NOT NULL;
CREATE INDEX images_by_time ON images (created, id);
CREATE INDEX images_by_bytes ON images (bytes); -- their sum is asked for every few seconds

-- The words of a picture. The prefix index is for the word that is being typed.
CREATE VIRTUAL TABLE images_words USING fts5 (
    prompt, negative, model, title, notes, seed,
    content = 'images', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);

CREATE TRIGGER images_words_insert AFTER INSERT ON images BEGIN
    INSERT INTO images_words (rowid, prompt, negative, model, title, notes, seed)
    VALUES (new.id, new.prompt, new.negative, new.model, new.title, new.notes, new.seed);
END;
CREATE TRIGGER images_words_delete AFTER DELETE ON images BEGIN
    INSERT INTO images_words (images_words, rowid, prompt, negative, model, title, notes, seed)
    VALUES ('delete', old.id, old.prompt, old.negative, old.model, old.title, old.notes, old.seed);
END;
CREATE TRIGGER images_words_update AFTER UPDATE OF prompt, negative, model, title, notes ON images BEGIN
    INSERT INTO images_words (images_words, rowid, prompt, negative, model, title, notes, seed)
    VALUES ('delete', old.id, old.prompt, old.negative, old.model, old.title, old.notes, old.seed);
    INSERT INTO images_words (rowid, prompt, negative, model, title, notes, seed)
    VALUES (new.id, new.prompt, new.negative, new.model, new.title, new.notes, new.seed);
END;

CREATE TABLE collections (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT    NOT NULL UNIQUE,
    place   REAL    NOT NULL,                -- order among collections
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE collected (
    collection INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    image      INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (collection, image)
) STRICT, WITHOUT ROWID;

CREATE INDEX collected_by_image ON collected (image);

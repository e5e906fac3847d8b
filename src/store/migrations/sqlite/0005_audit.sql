-- What operators changed, or were refused to change: a row each, written with the change in one transaction. Never a
-- secret. Times are Unix seconds.

CREATE TABLE audit (
    -- AUTOINCREMENT: a number that was told is never given to another row.
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    -- The admin token, by a part of its digest, or the Unix user of a command.
    who       TEXT    NOT NULL,
    -- By the name that the admin API has for it.
    operation TEXT    NOT NULL,
    -- 'account 1', 'key 2f8k1m0qXYZ0'
    object    TEXT    NOT NULL,
    -- 'done', or why not.
    outcome   TEXT    NOT NULL,
    -- What was changed of it, as JSON.
    details   TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_object ON audit (object, id);
CREATE INDEX audit_by_time ON audit (at);

-- Accounts, access keys, and a counter by which a running gateway sees that they changed.
-- Times are Unix seconds.

CREATE TABLE tollgate_schema (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO tollgate_schema (version) VALUES (1);

CREATE TABLE accounts (
    -- AUTOINCREMENT: the number of an account that is gone is never given to another.
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT    NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE access_keys (
    id      TEXT    NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    name    TEXT    NOT NULL,
    -- SHA-256 of the whole key; the key itself is kept nowhere.
    digest  BLOB    NOT NULL CHECK (length(digest) = 32),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created INTEGER NOT NULL,
    expires INTEGER,
    -- A PolicyEntry as JSON.
    policy  TEXT    NOT NULL,
    -- Revoked keys stay, so that what they used can still be named.
    revoked INTEGER
) STRICT;
CREATE INDEX access_keys_by_account ON access_keys (account);

-- Triggers rather than statements of ours: a change made by hand is seen too.
CREATE TABLE keyring_revision (
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO keyring_revision (revision) VALUES (1);

CREATE TRIGGER access_keys_inserted AFTER INSERT ON access_keys
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

CREATE TRIGGER access_keys_updated AFTER UPDATE ON access_keys
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

CREATE TRIGGER access_keys_deleted AFTER DELETE ON access_keys
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

CREATE TRIGGER accounts_renamed AFTER UPDATE OF name ON accounts
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

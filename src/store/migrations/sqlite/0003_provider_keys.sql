-- Provider keys that accounts have stored, each sealed under a master key that is not in here, and a counter by which a
-- running gateway sees that they changed; and a limit of accounts. Times are Unix seconds.

CREATE TABLE provider_keys (
    id       TEXT    NOT NULL PRIMARY KEY,
    account  INTEGER NOT NULL REFERENCES accounts (id),
    -- The catalog's id.
    provider TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    -- Smallest first among those of an account and provider.
    position INTEGER NOT NULL,
    -- NULL: used in its turn only.
    weight   INTEGER CHECK (weight BETWEEN 1 AND 1000),
    enabled  INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    -- Whether requests may go on with credit where this key does not serve.
    fallback INTEGER NOT NULL CHECK (fallback IN (0, 1)),
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    -- What may be shown of the key.
    hint     TEXT    NOT NULL,
    -- Which master key opens it, by a part of that key's digest.
    master   TEXT    NOT NULL,
    nonce    BLOB    NOT NULL CHECK (length(nonce) = 12),
    sealed   BLOB    NOT NULL,
    UNIQUE (account, provider, name)
) STRICT;

CREATE TABLE provider_keys_revision (
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO provider_keys_revision (revision) VALUES (1);

CREATE TRIGGER provider_keys_inserted AFTER INSERT ON provider_keys
BEGIN UPDATE provider_keys_revision SET revision = revision + 1; END;

CREATE TRIGGER provider_keys_updated AFTER UPDATE ON provider_keys
BEGIN UPDATE provider_keys_revision SET revision = revision + 1; END;

CREATE TRIGGER provider_keys_deleted AFTER DELETE ON provider_keys
BEGIN UPDATE provider_keys_revision SET revision = revision + 1; END;

-- Requests of the account under way at one time at the most, over all its access keys; NULL: any number.
ALTER TABLE accounts ADD COLUMN in_flight INTEGER CHECK (in_flight BETWEEN 1 AND 1000000);

CREATE TRIGGER accounts_limited AFTER UPDATE OF in_flight ON accounts
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

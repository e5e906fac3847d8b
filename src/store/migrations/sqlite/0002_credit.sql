-- Credit: how accounts pay, grants, the books that money moves between, and one usage row an attempt.
-- Amounts are whole nano-dollars. Times are Unix seconds, in `usage` Unix milliseconds.

-- What was there before this version goes on as it did: used without limit, and written down.
ALTER TABLE accounts ADD COLUMN billing TEXT NOT NULL DEFAULT 'prepaid'
    CHECK (billing IN ('prepaid', 'postpaid'));
-- How far below zero a postpaid account may go; NULL: without end.
ALTER TABLE accounts ADD COLUMN credit_limit INTEGER CHECK (credit_limit >= 0);
ALTER TABLE accounts ADD COLUMN closed INTEGER;
-- The revision below of its last change, its grants' included.
ALTER TABLE accounts ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX accounts_by_change ON accounts (changed);
UPDATE accounts SET billing = 'postpaid';

-- A book's number is that of its account, or one of these:
--   -1 granted    what was given to accounts (below zero)
--   -2 expired    what of it was taken back
--   -3 cost       what models cost
--   -4 fees       what was earned by fees
--   -5 operator   what the operator paid in place of an account (below zero)
-- Money only moves from one book to another: all amounts together are always 0.
CREATE TABLE balances (
    book   INTEGER PRIMARY KEY,
    amount INTEGER NOT NULL
) STRICT;
INSERT INTO balances (book, amount) VALUES (-1, 0), (-2, 0), (-3, 0), (-4, 0), (-5, 0);
INSERT INTO balances (book, amount) SELECT id, 0 FROM accounts;

CREATE TABLE grants (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account     INTEGER NOT NULL REFERENCES accounts (id),
    amount      INTEGER NOT NULL CHECK (amount > 0),
    -- What is neither spent nor expired. That of all grants of an account is its balance, or 0 below zero.
    remaining   INTEGER NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    created     INTEGER NOT NULL,
    expires     INTEGER,
    note        TEXT    NOT NULL,
    -- Given by whoever grants, so that asking twice grants once.
    idempotency TEXT UNIQUE
) STRICT;
CREATE INDEX grants_by_account ON grants (account);
CREATE INDEX grants_left ON grants (account) WHERE remaining > 0;

-- Grants and what expired of them. What attempts cost stands in their usage rows.
CREATE TABLE transfers (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    debit    INTEGER NOT NULL REFERENCES balances (book),
    credit   INTEGER NOT NULL REFERENCES balances (book),
    amount   INTEGER NOT NULL CHECK (amount > 0),
    of_grant INTEGER NOT NULL REFERENCES grants (id),
    at       INTEGER NOT NULL,
    CHECK (debit <> credit)
) STRICT;
CREATE INDEX transfers_by_grant ON transfers (of_grant);

-- One row an attempt. While `state` is 0 it is a hold. What was charged moved, in the transaction that wrote it, from
-- the account to `cost` (`charged`) and to `fees` (`fee`), and from `operator` to `cost` (`absorbed`).
CREATE TABLE usage (
    id             INTEGER PRIMARY KEY,
    -- 0 held, 1 settled, 2 void
    state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    request        TEXT    NOT NULL,
    attempt        INTEGER NOT NULL,
    account        INTEGER NOT NULL,
    access_key     TEXT    NOT NULL,
    provider       TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    surface        TEXT    NOT NULL,
    -- 'gateway', 'byok', 'request', 'none'
    credential     TEXT    NOT NULL,
    -- The version of the catalog whose prices were used.
    catalog        TEXT    NOT NULL,
    held           INTEGER NOT NULL,
    -- What it is taken to have cost if nobody can say.
    estimate       INTEGER NOT NULL,
    started        INTEGER NOT NULL,
    ended          INTEGER,
    outcome        TEXT,
    status         INTEGER,
    upstream_id    TEXT,
    input          INTEGER,
    cached         INTEGER,
    cache_write    INTEGER,
    cache_write_1h INTEGER,
    audio_input    INTEGER,
    image_input    INTEGER,
    output         INTEGER,
    reasoning      INTEGER,
    audio_output   INTEGER,
    image_output   INTEGER,
    searches       INTEGER,
    tier           TEXT,
    charged        INTEGER NOT NULL DEFAULT 0,
    fee            INTEGER NOT NULL DEFAULT 0,
    absorbed       INTEGER NOT NULL DEFAULT 0,
    -- Why the counts are estimates; NULL: the provider told them.
    estimated      TEXT,
    -- 1 bounded, 2 absurd, 4 unpriced, 8 given up
    flags          INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX usage_held ON usage (id) WHERE state = 0;
CREATE INDEX usage_by_request ON usage (request);
CREATE INDEX usage_by_account ON usage (account, id);
CREATE INDEX usage_by_end ON usage (ended) WHERE ended IS NOT NULL;

-- What each access key was charged for requests that began on a day (days since 1970-01-01, UTC).
CREATE TABLE key_spend (
    day        INTEGER NOT NULL,
    access_key TEXT    NOT NULL,
    amount     INTEGER NOT NULL,
    PRIMARY KEY (day, access_key)
) STRICT, WITHOUT ROWID;

-- Who holds the ledger, and the last batch it wrote: so that one whose end is not known is not written twice, and none
-- is written by a process that has lost the ledger to another.
CREATE TABLE ledger_state (
    owner INTEGER NOT NULL,
    batch INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_state (owner, batch) VALUES (0, 0);

-- By this a running gateway sees what an operator changed. Triggers, so that a change made by hand is seen too.
CREATE TABLE credit_revision (
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO credit_revision (revision) VALUES (1);

CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts
BEGIN
    INSERT INTO balances (book, amount) VALUES (new.id, 0);
    UPDATE credit_revision SET revision = revision + 1;
    UPDATE accounts SET changed = (SELECT revision FROM credit_revision) WHERE id = new.id;
END;

CREATE TRIGGER accounts_billed AFTER UPDATE OF billing, credit_limit, closed ON accounts
BEGIN
    UPDATE credit_revision SET revision = revision + 1;
    UPDATE accounts SET changed = (SELECT revision FROM credit_revision) WHERE id = new.id;
END;

CREATE TRIGGER accounts_closed AFTER UPDATE OF closed ON accounts
BEGIN UPDATE keyring_revision SET revision = revision + 1; END;

CREATE TRIGGER grants_inserted AFTER INSERT ON grants
BEGIN
    UPDATE credit_revision SET revision = revision + 1;
    UPDATE accounts SET changed = (SELECT revision FROM credit_revision) WHERE id = new.account;
END;

CREATE TRIGGER grants_ended AFTER UPDATE OF expires ON grants
BEGIN
    UPDATE credit_revision SET revision = revision + 1;
    UPDATE accounts SET changed = (SELECT revision FROM credit_revision) WHERE id = new.account;
END;

-- Processes that have had the ledger, and what those that have handed it over while requests of theirs were under way
-- have still to tell its owner.

CREATE TABLE ledger_generations (
    -- The random number by which `ledger_state` knows its owner.
    generation INTEGER PRIMARY KEY,
    -- The first usage row that is its own.
    first      INTEGER NOT NULL,
    -- The last; NULL: it has not handed the ledger over.
    last       INTEGER,
    -- Transactions in which it has told something since, so that one whose end is not known is not written twice.
    told       INTEGER NOT NULL DEFAULT 0
) STRICT;

-- In the order in which each told it. What the owner has taken over is deleted, but for what was asked.
CREATE TABLE ledger_told (
    generation INTEGER NOT NULL REFERENCES ledger_generations (generation),
    serial     INTEGER NOT NULL,
    usage_row  INTEGER NOT NULL,
    -- 0 the row is to be held, 1 it is settled, 2 it is void
    what       INTEGER NOT NULL CHECK (what BETWEEN 0 AND 2),
    -- What the access key may be charged in a day and a month, in nano-dollars; NULL: without end.
    cap_day    INTEGER,
    cap_month  INTEGER,
    -- The owner's answer to 0; NULL: none yet.
    -- 0 held, 1 insufficient credit, 2 and 3 the cap of the day and of the month is reached, 4 closed, 5 unknown
    answer     INTEGER CHECK (answer BETWEEN 0 AND 5),
    -- To 1 what is available, in nano-dollars; to 2 and 3 the Unix second at which the next time begins.
    number     INTEGER,
    PRIMARY KEY (generation, serial)
) STRICT, WITHOUT ROWID;

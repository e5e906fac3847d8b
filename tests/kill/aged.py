"""A store with the usage of a long time in it, and many holds that a killed gateway has left open."""

import sqlite3

ROWS, HELD = 1_000_000, 5_000

# Nano-dollars.
HOLD, ESTIMATE = 2_000, 1_000

# Copies of a row of the account. They have cost nothing, so that the books stay right; the last of them are holds.
FILL = """
WITH RECURSIVE turn (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM turn WHERE at < :rows),
    one AS (SELECT u.* FROM usage u JOIN accounts a ON a.id = u.account WHERE a.name = :account LIMIT 1)
INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, catalog, held,
    estimate, started, ended, outcome, status, input, output)
SELECT IIF(at > :rows - :held, 0, 1), 'req_of_before_' || at, 1, one.account, one.access_key, one.provider, one.model,
    one.surface, one.credential, one.catalog, :hold, :estimate, one.started - :rows + at,
    IIF(at > :rows - :held, NULL, one.started), 'success', 200, 0, 0
FROM turn CROSS JOIN one
"""


def fill(store, account):
    """Adds that usage of an account to the store, which nobody has open."""
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA synchronous = OFF")
    values = {"rows": ROWS, "held": HELD, "hold": HOLD, "estimate": ESTIMATE, "account": account}
    with connection:
        connection.execute(FILL, values)
    connection.close()

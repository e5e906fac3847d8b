"""The gateway's rows beside the books of the provider and of the clients."""

import collections
import dataclasses

import load
import provider

# Nano-dollars a token, as the catalog file of `kill` says.
INPUT, OUTPUT = 1_000, 2_000
# Tokens that a strict hold takes for the provider's own frame (docs/credit.md, "Holds").
FRAME = 512

# Seconds before a kill of which the rows may not be on the disk yet: some 25 ms, the time for which another process
# writes, and what a busy machine adds.
LAG = 1.5

ROWS = """
SELECT u.id, u.state, u.request, u.attempt, a.name, u.provider, u.held, u.estimate, u.charged + u.fee, u.absorbed,
       u.estimated, u.input, u.output, u.outcome, u.status
FROM usage u JOIN accounts a ON a.id = u.account WHERE u.id > ? ORDER BY u.id
"""


@dataclasses.dataclass
class Row:
    """A usage row. Amounts are nano-dollars."""

    id: int
    state: int
    request: str
    attempt: int
    account: str
    provider: str
    held: int
    estimate: int
    charged: int
    absorbed: int
    estimated: str | None
    input: int | None
    output: int | None
    outcome: str | None
    status: int | None

    def number(self):
        """Which request it is of, by what is held for it: every body is as long, and every bound of the output another.
        `None`: nothing like that can have been held."""
        bound, rest = divmod(self.held - (load.BODY + FRAME) * INPUT, OUTPUT)
        return bound - provider.BOUND_ABOVE if rest == 0 else None

    def is_recovered(self):
        return self.estimated == "recovered"


class Comparison:
    """What was found, counted; and what must not be, said."""

    def __init__(self):
        self.faults = []
        self.counts = collections.Counter()
        # The longest time before a kill of which something was not on the disk, in seconds.
        self.unheld = self.unsettled = 0.0

    def fault(self, words):
        self.faults.append(words)

    def rows(self, rows, sent, book, killed):
        """All rows of some lives beside all that was sent in them. `killed` is when each life has ended."""
        found = collections.defaultdict(list)
        for row in rows:
            found[row.number(), row.provider].append(row)
        ids = collections.Counter((row.request, row.attempt) for row in rows)
        self.faults += [f"{twice} is there {count} times" for twice, count in ids.items() if count > 1]
        for number in {number for number, _ in found} - {one.number for one in sent}:
            self.fault(f"nobody has asked for what was held as number {number}")
        for one in sent:
            of_one = []
            for who in provider.PROVIDERS:
                served = book.get((one.number, who))
                row = self._only(found.get((one.number, who), []), served, one)
                self._attempt(one, served, row, killed[one.life])
                of_one += [row] if row else []
            self._request(one, of_one)

    def _only(self, rows, served, one):
        """The row of an attempt, if there is one."""
        if len(rows) > 1:
            self.fault(f"{one} has {len(rows)} rows: {rows}")
        if served is not None and served.times > 1:
            self.fault(f"{one} was sent {served.times} times")
        return rows[0] if rows else None

    def _request(self, one, rows):
        """All attempts of a request together."""
        charged = sum(1 for row in rows if row.charged)
        if charged > 1:
            self.fault(f"charged {charged} times: {rows}, {one}")
        if one.status == 200 and charged == 0:
            self.fault(f"an answer for nothing: {rows}, {one}")

    def _attempt(self, one, served, row, killed):
        if row is None:
            self._without_row(one, served, killed)
            return
        self.counts["rows"] += 1
        self.counts["rows of second attempts"] += row.attempt == 2
        if row.state == 0:
            self.fault(f"still held: {row}")
        if row.account != one.account or (one.request is not None and row.request != one.request):
            self.fault(f"{row} is not that of {one}")
        if row.charged > row.held or row.absorbed:
            self.fault(f"{row} is more than was held")
        if row.is_recovered():
            self._recovered(one, served, row, killed)
        else:
            self._ended(one, served, row)

    def _without_row(self, one, served, killed):
        if served is not None:
            # Its hold was on the way to the disk, and so no answer that is charged on the way to the client.
            self.counts["sent, and killed before the hold was written; nothing seen but errors"] += 1
            self.unheld = max(self.unheld, killed - served.arrived)
            if killed - served.arrived > LAG:
                self.fault(f"sent long before the kill, and without a row: {one}, {served}")

    def _recovered(self, one, served, row, killed):
        self.counts["recovered"] += 1
        if row.charged != row.estimate:
            self.fault(f"{row} is not its estimate")
        if served is None:
            self.counts["recovered, of which the provider has seen nothing"] += 1
        if one.whole is not None:
            self.counts["recovered, of which the client had the whole answer"] += 1
            self.unsettled = max(self.unsettled, killed - one.whole)
            if killed - one.whole > LAG:
                self.fault(f"answered long before the kill, and not settled: {row}, {one}")

    def _ended(self, one, served, row):
        if served is None and row.charged:
            self.fault(f"charged for what was never sent: {row}, {one}")
        if served is None or one.whole is None or served.whole is None:
            self.counts["ended before the client had it all"] += 1
            return
        if served.failed:
            self.counts["errors, for nothing"] += 1
            if row.charged or row.state != 2:
                self.fault(f"charged for an error: {row}")
            return
        if one.kind in ("stream", "untold") and not one.body.endswith(b"data: [DONE]\n\n"):
            self.fault(f"not a whole stream: {one}")
        if not served.told:
            self.counts["whole, usage estimated"] += 1
            if row.estimated != "unsent":
                self.fault(f"no estimate: {row}")
            return
        self.counts["whole, charged exactly"] += 1
        exact = served.input * INPUT + served.output * OUTPUT
        if (row.charged, row.input, row.output, row.estimated) != (exact, served.input, served.output, None):
            self.fault(f"{row} should be charged {exact} for {served}")


def rows_after(store, last):
    """The rows behind number `last`."""
    return [Row(*row) for row in store.execute(ROWS, (last,))]


def books(store, granted, rows):
    """Faults of the accounts: a balance is what was granted without what was charged, and not below zero."""
    charged = collections.Counter()
    for row in rows:
        charged[row.account] += row.charged
    balances = store.execute("SELECT a.name, b.amount FROM accounts a JOIN balances b ON b.book = a.id")
    for account, balance in balances:
        due = granted.get(account, 0) - charged[account]
        if balance != due:
            yield f"the balance of {account} is {balance} and should be {due}"
        if balance < 0:
            yield f"the balance of {account} is {balance}"

#!/usr/bin/env python3
"""Proof by force: the gateway is killed again and again while 200 requests are under way, at random moments and at
every step that a request goes through, and started again on the same store. Then its rows are compared with what two
fake providers have served and what the clients have got:

* an answer of which a client has seen anything has a row that is charged, unless it is an error;
* what was served as a whole is charged once, and exactly, unless the kill came before that was on the disk: then it is
  charged by its estimate (`recovered`);
* what the provider has never seen is not charged, unless a kill came between its hold and its dispatch (`recovered`);
* no attempt is there twice, of those of one request one is charged at the most, and no charge is above its hold;
* nothing is held after a start;
* every balance is what was granted without what was charged, never below zero; `tollgate credit check` agrees;
* the gateway is ready soon after each start, also with a million rows and thousands of open holds in its store.

Among the moments are those of an upgrade: another process takes over, and the old one, the new one or both are killed at
any moment of it; who is left serves for a while, and is killed, too.

    TOLLGATE_BIN=target/debug/tollgate tests/kill/kill.py [--kills 200] [--seed 1] [--only STEP]

`--only upgrading --kills 200` is the long form for upgrades.

Needs Python 3.11 and nothing else. Ends with 1 when something is not as it must be; all its processes end with it.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import re
import signal
import statistics
import sys
import tempfile
import time

import aged
import compare
import load
from gateway import Gateway, binary
from lock import Lock
from provider import Provider

# Where the gateway is killed: while it starts; at any moment; at a step of a request, as its client or the provider
# sees it. `held`: up to 4 ms after it was sent; `waiting`: a time after it was dispatched; `settled`: up to 60 ms after
# its end.
STEPS = ["starting", "any", "uploading", "held", "dispatched", "waiting", "header", "header seen"]
STEPS += ["mid-stream", "last byte", "ended", "settled", "upgrading"]

# Seconds. What a start takes at the median, and what one may take on a slow machine with other work.
READY_AIM, READY_LIMIT = 1.0, 5.0
# A step that does not come in this time has been missed, and the gateway is killed where it is.
STEP_LIMIT = 5
# Kills at any moment are within this time after the gateway is ready, those at the start within this after it.
ANY_WITHIN, START_WITHIN = 2.0, 0.3
# In so many lives another process writes in the store, from a moment within so many seconds on.
LOCKED_SHARE, LOCKED_WITHIN = 0.3, 0.3
# A kill in an upgrade is within so many seconds after that was asked for, and who is left is killed within so many after it.
UPGRADE_WITHIN, LEFT_WITHIN = 1.0, 0.5
VICTIMS = ["old", "new", "both"]
# A step is not taken the first time that it comes, but within so many.
TURNS = 40

# Accounts with credit for everything, and one that is short of it all the time and granted more now and then.
ACCOUNTS = {"acme": "10000", "globex": "10000", "initech": "10000", "tight": "0.5"}
KEYS = {"acme": 3, "globex": 2, "initech": 2, "tight": 1}
TIGHT_GRANT, TIGHT_EVERY = "0.05", 10

NANOS = 1_000_000_000
SHOWN = 20


class Trigger:
    """Kills the gateway at the step for which it is armed."""

    def __init__(self):
        self.gateway = None
        self.load = None
        self.killed = {}
        self.under_way = []
        self._step, self._turns = None, 0
        self._life = 0

    def begin(self, life):
        self._life, self._step = life, None

    def arm(self, step, turns):
        self._step, self._turns = step, turns

    def at(self, step):
        if step == self._step:
            self._turns -= 1
            if self._turns <= 0:
                self.kill()

    def kill(self, victim="old"):
        self._step = None
        if self._life not in self.killed:
            if victim != "new":
                self.gateway.signal(signal.SIGKILL)
            if victim != "old":
                self.gateway.kill_successors()
            self.killed[self._life] = time.monotonic()
            self.under_way.append(self.load.under_way)


class Proof:
    """The lives of the gateway, and what was found."""

    def __init__(self, kills, seed, only):
        self.kills = kills
        self.moments = [only] if only else STEPS
        self.chance = random.Random(seed)
        self.trigger = Trigger()
        self.found = compare.Comparison()
        self.granted = {name: int(float(amount) * NANOS) for name, amount in ACCOUNTS.items()}
        self.steps = collections.Counter()
        self.upgrades = collections.Counter()
        self.ready = []
        self.missed = 0
        self.locked = 0
        self._lock = None
        self._row, self._request = 0, 0

    async def run(self, gateway, provider):
        self.gateway, self.provider = gateway, provider
        self.load = load.Load(await self._accounts(), self.chance, self.trigger.at)
        self.trigger.gateway, self.trigger.load = gateway, self.load
        for life in range(1, self.kills + 1):
            self.trigger.begin(life)
            step = self.moments[(life - 1) % len(self.moments)]
            self.steps[step] += 1
            await self._start(killed_within=START_WITHIN if step == "starting" else None)
            if step != "starting":
                await self._life(life, step)
        await self._end()

    async def _accounts(self):
        keys = []
        for account, amount in ACCOUNTS.items():
            await self.gateway.command("accounts", "create", account)
            await self.gateway.command("credit", "grant", account, amount)
            for at in range(KEYS[account]):
                name = f"{account}-{at}"
                said = await self.gateway.command("keys", "create", "--account", account, "--name", name)
                keys.append((account, re.search(r"\btg-\w+", said)[0]))
        return keys

    async def _start(self, killed_within):
        began = time.monotonic()
        await self.gateway.spawn()
        if killed_within is not None:
            await asyncio.sleep(self.chance.uniform(0, killed_within))
            self.trigger.kill()
            await self.gateway.ended()
            return
        self.port = await self.gateway.ready()
        self.ready.append(time.monotonic() - began)
        self._unlock()
        self._compare_last()

    async def _life(self, life, step):
        """From when the gateway is ready until it is gone, and all its clients have noticed."""
        self.load.begin(life)
        full = asyncio.Event()
        running = asyncio.ensure_future(self.load.run(self.port, full))
        granting = asyncio.ensure_future(self._grant(life)) if life % TIGHT_EVERY == 0 else None
        if self.chance.random() < LOCKED_SHARE:
            self.locked += 1
            self._lock = Lock(self.gateway.file(), self.chance.uniform(0, LOCKED_WITHIN))
        if step == "upgrading":
            await full.wait()
            await self._upgrade()
        elif step == "any":
            asyncio.get_running_loop().call_later(self.chance.uniform(0, ANY_WITHIN), self.trigger.kill)
        else:
            await full.wait()
            self.trigger.arm(step, self.chance.randint(1, TURNS))
        try:
            async with asyncio.timeout(STEP_LIMIT):
                await self.gateway.ended()
        except TimeoutError:
            self.missed += 1
            self.trigger.kill()
            await self.gateway.ended()
        if life not in self.trigger.killed:
            raise RuntimeError("the gateway has ended by itself:\n" + "\n".join(self.gateway.said[-SHOWN:]))
        if self._lock is not None:
            self._lock.end()
        await running
        if granting is not None:
            await granting

    async def _upgrade(self):
        """Another process is to take over; one of the two is killed meanwhile, or both, and who is left some time later."""
        self.gateway.signal(signal.SIGUSR2)
        await asyncio.sleep(self.chance.uniform(0, UPGRADE_WITHIN))
        victim = self.chance.choice(VICTIMS)
        self.upgrades[f"{victim}, {'after' if self.gateway.has_upgraded() else 'before'} it served"] += 1
        self.trigger.kill(victim)
        await asyncio.sleep(self.chance.uniform(0, LEFT_WITHIN))
        await self.gateway.kill_all()

    def _unlock(self):
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _grant(self, life):
        """Asks twice, as one does who did not see the answer."""
        words = ["credit", "grant", "tight", TIGHT_GRANT, "--idempotency-key", f"life {life}"]
        await asyncio.gather(self.gateway.command(*words), self.gateway.command(*words))
        self.granted["tight"] += int(float(TIGHT_GRANT) * NANOS)

    def _compare_last(self):
        """The rows that were written since the last look, and the balances, while nothing is under way."""
        store = self.gateway.store()
        rows = compare.rows_after(store, self._row)
        sent = [self.load.sent[number] for number in range(self._request, len(self.load.sent))]
        part = compare.Comparison()
        part.rows(rows, sent, self.provider.book, self.trigger.killed)
        self.found.faults += part.faults
        self._row = rows[-1].id if rows else self._row
        self._request = len(self.load.sent)
        store.close()

    async def _end(self):
        """Once more from the beginning: what was right after each kill is so still."""
        await self._start(killed_within=None)
        self.gateway.signal(signal.SIGTERM)
        await self.gateway.ended()
        checked = await self._check()
        store = self.gateway.store()
        self.rows = compare.rows_after(store, 0)
        self.found.rows(self.rows, self.load.sent.values(), self.provider.book, self.trigger.killed)
        self.found.faults += compare.books(store, self.granted, self.rows)
        store.close()
        if checked["rows"] != len(self.rows):
            self.found.fault(f"{checked['rows']} rows and not {len(self.rows)}")
        await self._age()
        usual, longest = statistics.median(self.ready), max(self.ready)
        if usual > READY_AIM or longest > READY_LIMIT:
            self.found.fault(f"ready after {usual:.2f} s, at the longest {longest:.2f} s")

    async def _age(self):
        """Starts once more, with the usage of a long time in the store."""
        aged.fill(self.gateway.file(), "acme")
        began = time.monotonic()
        await self.gateway.spawn()
        await self.gateway.ready()
        self.ready.append(time.monotonic() - began)
        self.gateway.signal(signal.SIGKILL)
        await self.gateway.ended()
        checked = await self._check()
        if checked["rows"] != len(self.rows) + aged.ROWS:
            self.found.fault(f"{checked['rows']} rows, after {aged.ROWS} were added to {len(self.rows)}")
        store = self.gateway.store()
        (recovered,) = store.execute("SELECT COUNT(*) FROM usage WHERE estimated = 'recovered'").fetchone()
        store.close()
        if recovered != aged.HELD + sum(1 for row in self.rows if row.is_recovered()):
            self.found.fault(f"{recovered} rows are recovered, after {aged.HELD} holds were added")

    async def _check(self):
        """What `tollgate credit check` has counted; what it found is noted."""
        # Ends with 2 where something does not agree.
        checked = json.loads(await self.gateway.command("credit", "check", "--json", codes=(0, 3)))
        self.found.faults += checked["faults"]
        if checked["open"]:
            self.found.fault(f"{checked['open']} open holds")
        return checked

    def report(self, seconds, seed):
        under_way = self.trigger.under_way
        loaded = [count for count in under_way if count]
        statuses = collections.Counter(one.status for one in self.load.sent.values())
        charged = sum(row.charged for row in self.rows)
        say(f"{len(under_way)} kills in {seconds:.0f} s, seed {seed}: {counted(self.steps)}")
        say(f"{self.locked} while or after another process wrote; {self.missed} at a step that did not come in time")
        if self.upgrades:
            say(f"killed in an upgrade: {counted(self.upgrades)}")
        say(
            f"requests under way at a kill: median {statistics.median(loaded):.0f}, most {max(loaded)}; "
            f"none at {len(under_way) - len(loaded)}"
        )
        say(
            f"ready after: median {statistics.median(self.ready):.2f} s, longest {max(self.ready):.2f} s, "
            f"above {READY_AIM:.0f} s: {sum(1 for took in self.ready if took > READY_AIM)} of {len(self.ready)}; "
            f"with {aged.ROWS} more rows and {aged.HELD} open holds {self.ready[-1]:.2f} s"
        )
        say(f"{len(self.load.sent)} requests, by status: {counted(statuses)}")
        say(f"charged {charged} nano-dollars in {len(self.rows)} rows:")
        for what, count in sorted(self.found.counts.items()):
            say(f"{count:8} {what}")
        say(
            f"not on the disk were holds of the last {1_000 * self.found.unheld:.0f} ms before a kill, "
            f"and ends of the last {1_000 * self.found.unsettled:.0f} ms"
        )
        for fault in self.found.faults[:SHOWN]:
            say(f"FAULT: {fault}")
        say(f"{len(self.found.faults)} faults")


def say(words):
    print(f"kill: {words}")


def counted(counter):
    return "; ".join(f"{what or 'none'} {count}" for what, count in counter.items())


async def prove(kills, seed, only):
    proof = Proof(kills, seed, only)
    with tempfile.TemporaryDirectory(prefix="tollgate-kill-") as home:
        async with Provider(proof.trigger.at) as provider:
            gateway = Gateway(binary(), pathlib.Path(home), provider.port)
            began = time.monotonic()
            try:
                await proof.run(gateway, provider)
            finally:
                await gateway.stop()
            proof.report(time.monotonic() - began, seed)
    return proof.found.faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=STEPS, help="kill at this step only")
    asked = parser.parse_args()
    sys.exit(1 if asyncio.run(prove(asked.kills, asked.seed, asked.only)) else 0)


if __name__ == "__main__":
    main()

"""Another process that writes in the store for a while: nothing of the gateway's comes to the disk meanwhile."""

import asyncio
import sqlite3

# Seconds: how long it writes (the gateway waits for two), and the pause until it asks again while the gateway writes.
TIME, AGAIN = 0.3, 0.002


class Lock:
    """The lock on the store's file, taken once after a time. The kill may come before, under it, or after."""

    def __init__(self, file, after):
        self._connection = sqlite3.connect(file, timeout=0, isolation_level=None)
        self._next = asyncio.get_running_loop().call_later(after, self._take)

    def _take(self):
        loop = asyncio.get_running_loop()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._next = loop.call_later(AGAIN, self._take)
        else:
            self._next = loop.call_later(TIME, self._release)

    def _release(self):
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def end(self):
        """Lets go of it, if it is held; the file stays open."""
        self._next.cancel()
        self._release()

    def close(self):
        """Who closes the file as the last one tidies it up. That is not to be done for the gateway after a kill, so
        this is for when the next one runs."""
        self._connection.close()

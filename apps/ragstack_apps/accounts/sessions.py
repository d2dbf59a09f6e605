"""Sessions of users in records: a random token goes out, its digest and its end stay here."""

from __future__ import annotations

from datetime import datetime, timedelta

from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts.periods import Clock, now, past
from ragstack_apps.accounts.tokens import digest, drawn
from ragstack_apps.accounts.users import MOST

__all__ = ["KIND", "Sessions"]

KIND = "session"
PREFIX = "rss_"


class Sessions:
    """Who is signed in. Safe to use from many threads.

    Args:
        hours: A session ends after them, used or not.
    """

    def __init__(self, records: Records, *, hours: float = 12.0, clock: Clock = now) -> None:
        self._records = records
        self._hours = hours
        self._clock = clock

    def begin(self, user: str) -> tuple[str, datetime]:
        """Return a new session's token, and when it ends."""
        token, at = PREFIX + drawn(), self._clock()
        ends = at + timedelta(hours=self._hours)
        body = {"expires": ends.isoformat(timespec="seconds")}
        self._records.put_record(Record(KIND, digest(token), body, at, user))
        return token, ends

    def user_of(self, token: str) -> str | None:
        """Return the name of the user whose session a token is; None once it has ended."""
        if not token.startswith(PREFIX):
            return None
        # What is looked up is a digest: how long it takes tells nothing of the token.
        found = self._records.record(KIND, digest(token))
        if found is None or past(found.body["expires"], self._clock):
            return None
        return found.owner

    def end(self, token: str) -> bool:
        """End a session; return whether there was one."""
        return self._records.remove_records(KIND, [digest(token)]) > 0

    def end_all(self, user: str) -> int:
        """End every session of a user; return how many there were."""
        ids = [each.id for each in self._records.records(KIND, owner=user, limit=MOST)]
        return self._records.remove_records(KIND, ids) if ids else 0

"""What a page is given: the server, the words, who asks, and what this browser's tab remembers.

What is worth keeping is on the server; here stands only what is open at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Api, Json
from ragstack_apps.chat.follow import Follower
from ragstack_apps.chat.words import Words

__all__ = ["Page", "Session"]

T = TypeVar("T")
_MOST_KEPT = 200  # runs that ended, kept so that a redrawn page asks the server nothing


@dataclass(frozen=True, slots=True)
class Page:
    """How a page is named in the menu: ``PAGE`` of its module.

    Attributes:
        title: By language; English where there is no other.
        icon: A Streamlit icon: ``:material/chat:``.
        place: Pages stand in the menu by this number.
        right: What one must be allowed to see it: ``read``, ``admin``.
    """

    title: dict[str, str]
    icon: str = ":material/article:"
    place: int = 100
    right: str = "read"

    def named(self, language: str) -> str:
        """Return the title in a language."""
        return self.title.get(language) or self.title["en"]


@dataclass
class Session:
    """One tab of a browser.

    Attributes:
        me: Who asks, as ``/api/me`` says it.
        state: What the tab remembers between two drawings of a page.
    """

    api: Api
    words: Words
    me: Json
    state: MutableMapping[str, Any]
    kept: dict[str, Json] = field(default_factory=dict)

    def may(self, right: str) -> bool:
        """Return whether who asks has a right; a server that names none allows all."""
        rights = self.me.get("rights")
        return rights is None or right in rights or "admin" in rights

    def following(self, run: str) -> Follower:
        """Return what is known of a run, reading it from its first event where nothing is."""
        followers: dict[str, Follower] = self.state.setdefault("followers", {})
        if run not in followers:
            followers[run] = Follower(run, self.api).start()
        return followers[run]

    def run(self, run: str) -> Json | None:
        """Return a run, or None where the server has none of that name for this person."""
        kept: dict[str, Json] = self.state.setdefault("runs", {})
        if run not in kept:
            try:
                found: Json = self.api.get("runs", run)
            except RagstackError:
                return None
            if found.get("state") == "running":
                return found
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[run] = found
        return kept[run]

    def forget(self, run: str) -> None:
        """Have a run read anew: something about it has changed."""
        self.state.setdefault("runs", {}).pop(run, None)

    def tried(self, call: Callable[[], T], show: Callable[[RagstackError], object]) -> T | None:
        """Return what a call gives; where it fails, show why and return None."""
        try:
            return call()
        except RagstackError as error:
            show(error)
            return None

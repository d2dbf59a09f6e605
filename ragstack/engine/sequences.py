"""Prompts in, sequences out that already hold as much of them as was ever read.

What a request leaves behind is kept, and the next one that begins alike starts from there; the one
that was not used for longest goes first. A little of it stays in the cache, the rest is put on a
shelf in plain memory. Knows no requests and no logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from ragstack.engine.shelf import Shelf, Shelved, State, begins, common_prefix
from ragstack.errors import RagstackError

__all__ = ["Sequences", "common_prefix"]


_SAVES = 32  # a token is brought back from the shelf in a thirtieth of the time of reading it
_APART = "\0"  # the key of what nobody may begin with; no adapter can be named so


class Cache(Protocol):
    """The part of a Context that is needed here."""

    @property
    def can_cut(self) -> bool:
        """Whether the end of a sequence can be dropped."""
        ...

    def copy(self, source: int, target: int, upto: int) -> None:
        """Let an empty sequence begin with the first tokens of another."""
        ...

    def cut(self, sequence: int, keep: int) -> bool:
        """Drop all after the first ``keep`` tokens."""
        ...

    def state(self, sequence: int, into: State | None = None) -> State:
        """Return what a sequence holds, in the memory of a state that nobody needs any more."""
        ...

    def restore(self, sequence: int, state: State, count: int) -> bool:
        """Fill an empty sequence with a state of so many tokens; False if there is no room."""
        ...


@dataclass(slots=True)
class _Held:
    tokens: list[int]
    key: str
    busy: bool
    used: int
    least: int = 0  # nobody can begin with fewer of its tokens


class Sequences:
    """The sequences of one context: which are at work, and what the others hold.

    Not safe to use from two threads at once.
    """

    def __init__(
        self,
        cache: Cache,
        total: int,
        *,
        near: int | None = None,
        shelf: int = 0,
        at_leisure: bool = False,
    ) -> None:
        """Begin with empty sequences.

        Args:
            total: How many there are, and how many may lie on the shelf.
            near: Tokens that idle sequences may hold in the cache before they are put on the shelf;
                None is all, and no shelf.
            shelf: Tokens that the shelf may hold.
            at_leisure: They are put there when the caller has time and evicts, while there are
                ``too_many``; not whenever a sequence is taken.
        """
        self._cache = cache
        self._near = near if cache.can_cut else None
        self._at_leisure = at_leisure
        self._shelf = Shelf(total, tokens=shelf)
        self._free = list(range(total))
        self._held: dict[int, _Held] = {}
        self._clock = count()

    @property
    def idle(self) -> int:
        """How many sequences are in the cache and not at work."""
        return sum(not held.busy for held in self._held.values())

    @property
    def kept(self) -> int:
        """How many there are to begin with, in the cache or on the shelf."""
        return self.idle + len(self._shelf)

    @property
    def busy(self) -> int:
        """How many sequences are at work."""
        return sum(held.busy for held in self._held.values())

    def take(self, tokens: Sequence[int], *, key: str = "", reuse: bool = True) -> tuple[int, int]:
        """Return a sequence for a prompt and how many of its tokens it holds: never all of them.

        Args:
            key: What else the cached values depend on, such as an adapter.
            reuse: Begin from what is held; without it the sequence is empty.
        """
        prompt = list(tokens)
        source, common = self._nearest(prompt, key) if reuse else (-1, 0)
        if reuse and self._near is not None:
            source, common = self._from_shelf(prompt, key, source, common)
        least = self._held[source].least if common else 0
        whole = source >= 0 and self._extends(source, common)
        if whole and self._cache.can_cut:
            target = source  # it goes on where that one ended
        else:
            # A state that goes on is not to be had again where it was: what is kept is copied.
            target = self._empty(spare=source)
            if source >= 0 and target != source:
                self._cache.copy(source, target, common)
            elif source >= 0 and not whole and not self._cache.cut(target, common):
                self._cache.cut(target, 0)
                common = 0
        self._held[target] = _Held(prompt[:common], key, True, next(self._clock), least)
        while not self._at_leisure and self.too_many:
            self.evict()
        return target, common

    def cut(self, sequence: int, keep: int) -> int:
        """Drop all after the first ``keep`` tokens, or all of them; return how many are left."""
        if not self._cache.cut(sequence, keep):
            self._cache.cut(sequence, 0)
            keep = 0
        # At once, and not with the next ``read``: in between another may begin with what is held.
        del self._held[sequence].tokens[keep:]
        return keep

    def give_back(self, sequence: int, tokens: Sequence[int]) -> None:
        """Keep a sequence that is done with, holding these tokens, for who begins alike."""
        held = self._held.pop(sequence)
        if not tokens:
            self._cache.cut(sequence, 0)
            self._free.append(sequence)
            return
        for other, kept in list(self._held.items()):
            # What it holds is the beginning of this: no request could gain by it, unless this
            # one cannot be cut back to there.
            bound = not self._cache.can_cut or len(kept.tokens) < held.least
            gains = bound and len(kept.tokens) < len(tokens)
            same = kept.key == held.key and not gains
            if not kept.busy and same and begins(tokens, kept.tokens):
                self._drop(other)
        self._shelf.forget_beginnings(tokens, held.key)
        self._held[sequence] = _Held(list(tokens), held.key, False, next(self._clock), held.least)

    @property
    def too_many(self) -> bool:
        """Whether idle sequences hold more tokens in the cache than they may."""
        if self._near is None:
            return False
        return sum(len(held.tokens) for held in self._held.values() if not held.busy) > self._near

    def evict(self) -> bool:
        """Empty the idle sequence that was not used for longest; False when there is none."""
        idle = [(held.used, sequence) for sequence, held in self._held.items() if not held.busy]
        if not idle:
            return False
        self._put_away(min(idle)[1])
        return True

    def forget_all(self) -> None:
        """Take note that the cache was cleared; nobody is at work."""
        self._free += list(self._held)
        self._held.clear()

    def holding(self, tokens: Sequence[int], *, key: str = "") -> int | None:
        """Return a sequence that holds these tokens and no others, None where there is none."""
        wanted = list(tokens)
        for sequence, held in self._held.items():
            if held.key == key and held.tokens == wanted:
                return sequence
        shelved = self._shelf.holding(wanted, key)
        return None if shelved is None else self._fetch(shelved)

    def adopt(self, tokens: Sequence[int], *, key: str = "", least: int = 0) -> int:
        """Return an empty sequence that the caller fills with these tokens and gives back.

        Args:
            least: As it will be filled, it cannot be cut to fewer tokens.
        """
        sequence = self._empty(spare=-1)
        self._held[sequence] = _Held(list(tokens), key, True, next(self._clock), least)
        return sequence

    def set_apart(self, sequence: int) -> None:
        """Let no other begin with what a sequence at work holds: it is not what it was read as."""
        self._held[sequence].key = _APART

    def read(self, sequence: int, tokens: Sequence[int], at: int) -> None:
        """Take note of what a sequence at work has read, so that others may begin with it."""
        held = self._held[sequence]
        del held.tokens[at:]
        held.tokens += tokens

    def _nearest(self, tokens: list[int], key: str) -> tuple[int, int]:
        best, common = -1, 0
        for sequence, held in self._held.items():
            if held.key != key:
                continue
            shared = min(common_prefix(held.tokens, tokens), len(tokens) - 1)
            if not self._cache.can_cut and shared < len(held.tokens):
                continue  # a state that runs through it all cannot be had at an earlier point
            if shared < held.least:
                continue
            if shared > common:
                best, common = sequence, shared
        if best >= 0 and not self._held[best].busy:
            self._held[best].used = next(self._clock)
        return best, common

    def _extends(self, source: int, common: int) -> bool:
        held = self._held[source]
        return not held.busy and common == len(held.tokens)

    def _empty(self, *, spare: int) -> int:
        """Return a sequence that is free, if need be by dropping one; ``spare`` last of all."""
        if self._free:
            return self._free.pop()
        idle = [(held.used, s) for s, held in self._held.items() if not held.busy and s != spare]
        if not idle:
            return spare  # the caller cuts it
        self._put_away(min(idle)[1])
        return self._free.pop()

    def _from_shelf(self, prompt: list[int], key: str, source: int, common: int) -> tuple[int, int]:
        """Return the sequence to begin from: one of the shelf where that has more of the prompt."""
        shelved, shared = self._shelf.nearest(prompt, key)
        if shelved is None or (shared - common) * _SAVES < len(shelved.tokens):
            return source, common
        fetched = self._fetch(shelved)
        # Making room for it may have emptied the other.
        return (fetched, shared) if fetched is not None else self._nearest(prompt, key)

    def _fetch(self, shelved: Shelved) -> int | None:
        """Bring what lies on the shelf back into the cache; None where there is no room."""
        # Off the shelf first: what makes room for it is put there, and must not be written over it.
        self._shelf.take(shelved)
        sequence = self._empty(spare=-1)
        if sequence < 0:
            self._shelf.put(shelved)
            return None
        try:
            while not self._cache.restore(sequence, shelved.state, len(shelved.tokens)):
                if not self.evict():
                    self._free.append(sequence)
                    self._shelf.put(shelved)
                    return None
        except RagstackError:  # it is lost: who wants it reads it anew
            self._free.append(sequence)
            return None
        self._shelf.reuse(shelved.state)
        self._held[sequence] = _Held(shelved.tokens, shelved.key, False, next(self._clock))
        return sequence

    def _put_away(self, sequence: int) -> None:
        held = self._held[sequence]
        if self._near is not None and held.tokens:
            try:
                state = self._cache.state(sequence, self._shelf.spare())
                self._shelf.put(Shelved(held.tokens, held.key, held.used, state))
            except (RagstackError, MemoryError):
                pass  # what cannot be kept is read anew
        self._drop(sequence)

    def _drop(self, sequence: int) -> None:
        del self._held[sequence]
        self._cache.cut(sequence, 0)
        self._free.append(sequence)

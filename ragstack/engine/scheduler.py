"""Jobs in, steps of the model out: who reads or writes next, in which company. One thread's own.

Every step reads the next token of those that write and a stretch of the prompts that are still to
be read, so that requests join and leave while others run. How many share a step, how long a stretch
is and how much is guessed follow what steps were measured to cost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context
from ragstack.engine.costs import Costs, Room
from ragstack.engine.entry import Entry, Totals
from ragstack.engine.sequences import Sequences, common_prefix
from ragstack.errors import GenerationError, UnsupportedCapability

__all__ = ["Scheduler"]

_STALL_S = 0.65  # how long those that write should wait for others to read, a step
_PATIENCE_S = 3.0  # and how long at most, where reading less at once would be slow
_TOGETHER_S = 1.5  # the same where they write a token meanwhile
_WASTED = 0.015  # of the time of reading that may go to steps in which few write
_NEAR = 1024  # tokens of what nobody works on that may lie in the cache where each slows every step
_TURN = 8  # steps between two adapters: bringing one to bear costs about half a step
_MOST_GUESSED = 63
_WORTH_WAITING = 32  # tokens of a common beginning that another is about to have read


class Scheduler:
    """The jobs at work on one context."""

    def __init__(
        self,
        context: Context,
        *,
        streams: int,
        costs: Costs,
        adapt: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Begin with nothing to do.

        Args:
            streams: Jobs at work at once.
            costs: What steps cost; learnt here.
            adapt: Brings an adapter to bear on the context.
        """
        self.totals = Totals()
        half = context.limits.context // 2
        near = max(half, _NEAR) if context.passes_over else _NEAR
        self.sequences = Sequences(
            context,
            context.limits.sequences,
            near=near if context.quick_states and context.whole_states else None,
            shelf=half,
            at_leisure=context.passes_over,
        )
        self._context = context
        self._streams = streams
        self._costs = costs
        self._adapt = adapt
        self._adapter = ""
        self._switched = False  # in the step at hand
        self._turn = 0  # steps for which the adapter stays though others wait
        self._read = False  # the last step, while others waited to write
        self._looked = False  # the last step, at an image
        self._entries: deque[Entry] = deque()

    @property
    def busy(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._entries)

    @property
    def active(self) -> int:
        """Jobs at work."""
        return len(self._entries)

    @property
    def alone(self) -> bool:
        """Whether the job at work is one that must see nothing of others."""
        return any(entry.alone for entry in self._entries)

    def admits(self, entry: Entry) -> bool | None:
        """Return whether a job can start now; None if it had better wait for another's reading."""
        entries = self._entries
        if entry.alone:
            return not entries
        if self.alone:
            return False
        if entry.background and sum(e.background for e in entries) >= max(1, self._streams - 1):
            return None
        if len(entries) >= self._streams:
            return False
        if sum(each.need for each in entries) + entry.need > self._context.limits.context:
            return False
        return None if self._soon_read(entry) else True

    def add(self, entry: Entry) -> None:
        """Put a job to work."""
        prompt = list(entry.job.prompt)
        if entry.alone:
            while self.sequences.evict():
                pass
            self._context.clear()
        entry.sequence, cached = self.sequences.take(
            prompt, key=entry.adapter, reuse=not entry.alone
        )
        entry.held, entry.pending, entry.rows = prompt[:cached], prompt[cached:], 1
        self.totals.cached += entry.rows_before(cached)
        self._entries.append(entry)
        if entry.job.hole is not None:
            entry.apart = True
            self.sequences.set_apart(entry.sequence)
        self._guarded(entry, lambda: entry.job.begin(cached))
        if entry.apart and entry.writes:
            self._forget(entry)

    def step(self) -> None:
        """Let the model take one step for those whose turn it is."""
        began = time.perf_counter()
        for entry in [each for each in self._entries if not each.wanted()]:
            self._end(entry, None)
        self._switch()
        looking = self._looking()
        if looking is not None:
            self._look(looking)
            return
        chosen = self._chosen()
        if not chosen:
            if self._entries:
                self.fail_all(GenerationError("no request at work fits a step of the engine"))
            return
        pieces = [
            Piece(entry.sequence, len(entry.held), entry.pending[:size], rows)
            for entry, size, rows in chosen
        ]
        self.totals.own_s += time.perf_counter() - began
        if self._taken(lambda: self._context.decode(pieces), sum(len(p.tokens) for p in pieces)):
            self._hand_out(chosen, pieces)

    def fail_all(self, error: BaseException) -> None:
        """End every job with an error; what was cached is gone."""
        while self._entries:
            entry = self._entries.popleft()
            entry.done(error)
        self.sequences.forget_all()

    def end_all(self) -> None:
        """End every job as one that is not wanted any more."""
        for entry in list(self._entries):
            self._end(entry, None)

    def _chosen(self) -> list[tuple[Entry, int, int]]:
        """Return who takes part in the next step: with how many tokens, and rows of logits."""
        limits = self._context.limits
        mine = [e for e in self._entries if e.adapter == self._adapter and e.image is None]
        writing = [entry for entry in mine if entry.writes]
        reading = sorted((e for e in mine if not e.writes), key=lambda e: e.background)
        writing, reading, room = self._in_turns(writing, reading)
        rows = limits.outputs
        chosen: list[tuple[Entry, int, int]] = []
        # Those who read pay for the step, so all who write may join it.
        together = len(writing) if reading else self._costs.group(len(writing))
        for entry in writing[:together]:
            if len(entry.pending) <= room and entry.rows <= rows:
                chosen.append((entry, len(entry.pending), entry.rows))
                room, rows = room - len(entry.pending), rows - entry.rows
        for entry in reading:
            # The rows of a feed come from one step, so its last tokens are not torn apart.
            plain = min(len(entry.pending) - entry.rows, entry.text)
            # What is forgotten must be so before the last of them is read.
            torn = entry.apart and not entry.writes
            torn = torn or entry.text < len(entry.pending)
            whole = len(entry.pending) <= room and entry.rows <= rows and not torn
            size = len(entry.pending) if whole else min(plain, room)
            if size > 0:
                wanted = entry.rows if whole else 0
                chosen.append((entry, size, wanted))
                room, rows = room - size, rows - wanted
        return chosen

    def _in_turns(
        self, writing: list[Entry], reading: list[Entry]
    ) -> tuple[list[Entry], list[Entry], int]:
        """Return who writes and who reads in the next step, and how many tokens it has room for.

        One of the two only, by turns, where both in one would cost more than one after the other.
        """
        most = self._context.limits.batch
        if not (writing and reading):
            self._read = False
            return writing, reading, most
        fed = sum(len(entry.pending) for entry in writing)
        if min(most, fed + sum(len(e.pending) for e in reading)) < self._context.alike:
            # All tokens together are a round number: llama.cpp multiplies rows by fours, and each
            # that is left over costs as much as a step of its own.
            size = self._costs.reading(most, within=_STALL_S, patience=_TOGETHER_S)
            return writing, reading, min(most, max(size, fed + 1))
        if all(entry.background for entry in writing):
            # Nobody looks on while they write: they wait until they write in company.
            within = _PATIENCE_S
            return [], reading, self._costs.reading(most, within=within, patience=within)
        self._read = not self._read
        if not self._read:
            return writing, [], most
        # A step in which few write takes longer for each: so the fewer, the longer they wait.
        waste = self._costs.waste(len(writing), len(self._entries))
        within = min(max(_STALL_S, waste / _WASTED), _PATIENCE_S)
        return [], reading, self._costs.reading(most, within=within, patience=_PATIENCE_S)

    def _switch(self) -> None:
        """Bring the adapter to bear whose turn it is."""
        self._switched = False
        names = [entry.adapter for entry in self._entries]
        if self._turn > 0 and self._adapter in names:
            self._turn -= 1
            return
        # Whoever waits longest stands in front, but for those who read on without a row.
        adapter = next((name for name in names if name != self._adapter), self._adapter)
        if adapter != self._adapter:
            self._adapt(adapter)
            self._switched = True
        self._adapter, self._turn = adapter, _TURN - 1

    def _looking(self) -> Entry | None:
        """Return who reads of an image in the next step: alone, for rows and tokens do not mix."""
        mine = [entry for entry in self._entries if entry.adapter == self._adapter]
        looking = sorted((e for e in mine if e.image is not None), key=lambda e: e.background)
        # With others at work every second step is theirs.
        self._looked = bool(looking) and not (self._looked and len(looking) < len(mine))
        return looking[0] if self._looked else None

    def _look(self, entry: Entry) -> None:
        """Let the model read the next rows of an image."""
        image, seen = entry.image, entry.seen
        assert image is not None
        most = self._context.limits.batch
        if len(self._entries) > 1 and not image.whole:
            most = self._costs.reading(most, within=_STALL_S, patience=_TOGETHER_S)
        end = min(seen + most, image.cells)
        if not self._taken(
            lambda: self._context.look(entry.sequence, image, seen, end), end - seen
        ):
            return
        entry.seen = end
        if end < image.cells:
            return
        entry.seen = 0
        self.sequences.read(entry.sequence, image.ids, image.at)
        entry.held += image.ids
        del entry.pending[: len(image.ids)]
        self.totals.read += image.cells
        if entry.apart and entry.writes:
            self._forget(entry)

    def _taken(self, step: Callable[[], bool], tokens: int) -> bool:
        """Take a step and its time; what is kept gives way to what is at work."""
        began = time.perf_counter()
        try:
            while not step():
                if not self.sequences.evict():
                    raise GenerationError("the cache of the engine is full")
        except GenerationError as error:
            self._context.clear()
            self.fail_all(error)
            return False
        took = time.perf_counter() - began
        if not self._switched:  # else the step also laid the model's graph out anew
            self._costs.learn(tokens, took)
        self.totals.steps += 1
        self.totals.busy_s += took
        return True

    def _hand_out(self, chosen: list[tuple[Entry, int, int]], pieces: list[Piece]) -> None:
        """Give each job its rows, and note what its sequence holds now."""
        end = 0
        writers = sum(rows > 0 for _, _, rows in chosen)
        for (entry, size, rows), piece in zip(chosen, pieces, strict=True):
            end += size
            self.sequences.read(entry.sequence, piece.tokens, piece.at)
            entry.held += piece.tokens
            del entry.pending[:size]
            if not rows:
                self.totals.read += size
                if entry.apart and entry.writes:
                    self._forget(entry)
                continue
            self.totals.read += size - rows
            # Its turn is over: whoever waits longest stands in front.
            self._entries.remove(entry)
            self._entries.append(entry)
            self._advance(entry, range(end - rows, end), writers)

    def _forget(self, entry: Entry) -> None:
        """Make the hole that a job wants in what its sequence has read."""
        hole = entry.job.hole
        if hole is not None and not self._context.drop(entry.sequence, *hole):
            self._end(entry, UnsupportedCapability("this model cannot forget part of a prompt"))

    def _advance(self, entry: Entry, rows: range, writers: int) -> None:
        try:
            logits = [self._context.logits(row) for row in rows]
            feed = entry.job.advance(logits, self._room(entry, writers))
        except BaseException as error:  # its caller's thread raises it; the others go on
            self._end(entry, error)
            return
        if feed is None:
            self._end(entry, None)
            return
        if feed.at < len(entry.held):
            left = self.sequences.cut(entry.sequence, feed.at)
            again = entry.held[left : feed.at]
            del entry.held[left:]
        else:
            again = []
        entry.pending, entry.rows = [*again, *feed.tokens], len(feed.tokens)

    def _room(self, entry: Entry, writers: int) -> Room:
        """Return how many tokens a job may guess."""
        rows = self._context.limits.outputs // max(1, writers) - 1
        most = 0 if entry.alone or not self._context.can_cut else min(rows, _MOST_GUESSED)
        return Room(self._costs, writers, max(0, most), len(self._entries))

    def _guarded(self, entry: Entry, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            self._end(entry, error)

    def _end(self, entry: Entry, error: BaseException | None) -> None:
        self._entries.remove(entry)
        done = entry.job.tally
        self.totals.written += done.written
        self.totals.guessed += done.guessed
        self.totals.right += done.right
        self.totals.near_ties += done.near_ties
        if entry.seen:  # of an image that nobody can begin within
            del entry.held[self.sequences.cut(entry.sequence, len(entry.held)) :]
        self.sequences.give_back(entry.sequence, [] if entry.apart else entry.held)
        entry.done(error)

    def _soon_read(self, entry: Entry) -> bool:
        """Return whether another job is about to read much of what this one begins with."""
        if not self._context.can_cut:
            return False  # of what that one reads, the beginning alone is not to be had
        prompt = list(entry.job.prompt)
        for other in self._entries:
            if other.writes or other.apart or other.adapter != entry.adapter:
                continue
            shared = common_prefix(list(other.job.prompt), prompt)
            if shared - len(other.held) >= _WORTH_WAITING:
                return True
        return False

"""A language of bytes, what is left of it behind each byte, and its shortest text.

Expressions are derived by the byte (Brzozowski 1964; Might, Darais and Spiewak 2011 for recursion),
so where a text stands in a grammar is one expression, and how far it is from an end is a number.
Knows no tokens. Recursion on the left is refused: behind no byte nothing would have changed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from ragstack.errors import GrammarError

__all__ = ["FAIL", "NOTHING", "TOKEN", "Language"]

FAIL, NOTHING = 0, 1
"""The expression that no text is in; the one that only the empty text is in."""
TOKEN = 256
"""Symbols from here on are not bytes but the special tokens of id ``symbol - TOKEN``."""

_MAX_SEARCH = 20_000  # expressions looked at for one shortest text of an intersection
_LIKED = [*b'a0 "-,:{}[]', *range(0x21, 0x7F)]  # what a shortest text is spelled with, if it may

Key = tuple[object, ...]


class Language:
    """Expressions by number; equal ones have one number. Not safe to share between threads.

    ``seq``, ``alt``, ``rep``, ``both`` and ``without`` build; ``define`` names one, ``ref`` uses a
    name before or after it is defined.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = [("alt", ()), ("nothing",)]
        self._ids: dict[Key, int] = {key: i for i, key in enumerate(self._keys)}
        self._rules: dict[str, int] = {}
        self._rule_least: dict[str, float] = {}
        self._least: dict[int, float] = {}
        self._derived: dict[tuple[int, int], int] = {}
        self._busy: set[str] = set()
        self._searched: dict[int, bytes] = {}
        self._texts: list[_Text] = []
        self._behind: dict[int, dict[int, list[int]]] = {}  # of a span: places behind each byte

    # -- building ----------------------------------------------------------------------------

    def bytes_of(self, allowed: Iterable[int]) -> int:
        """Return the expression of one byte of these."""
        found = frozenset(allowed)
        return self._id(("class", found)) if found else FAIL

    def literal(self, data: bytes) -> int:
        """Return the expression of these bytes."""
        return self._id(("literal", bytes(data))) if data else NOTHING

    def token(self, token: int) -> int:
        """Return the expression of one special token."""
        return self._id(("class", frozenset([TOKEN + token])))

    def seq(self, *parts: int) -> int:
        """Return one behind the other."""
        node = NOTHING
        for part in reversed(parts):
            node = self._pair(part, node)
        return node

    def _pair(self, first: int, then: int) -> int:
        if FAIL in (first, then):
            return FAIL
        if first == NOTHING or then == NOTHING:
            return then if first == NOTHING else first
        key = self._keys[first]
        if key[0] == "seq":  # kept nested to the right, so that equal ones are found equal
            return self._pair(_int(key[1]), self._pair(_int(key[2]), then))
        return self._id(("seq", first, then))

    def alt(self, *choices: int) -> int:
        """Return any of these."""
        flat: dict[int, None] = {}
        for choice in choices:
            key = self._keys[choice]
            flat.update(dict.fromkeys(_ints(key[1]) if key[0] == "alt" else (choice,)))
        if len(flat) == 1:
            return next(iter(flat))
        return self._id(("alt", tuple(sorted(flat))))

    def rep(self, part: int, least: int = 0, most: int | None = None) -> int:
        """Return a part ``least`` to ``most`` times, without end if None."""
        if most == 0 or part == NOTHING:
            return NOTHING
        if part == FAIL:
            return FAIL if least else NOTHING
        return part if (least, most) == (1, 1) else self._id(("rep", part, least, most))

    def both(self, left: int, right: int) -> int:
        """Return what is in both."""
        if left == right or FAIL in (left, right):
            return FAIL if FAIL in (left, right) else left
        for one, other in ((left, right), (right, left)):
            if self._keys[one] == ("not", FAIL):
                return other
        return self._id(("both", min(left, right), max(left, right)))

    def without(self, part: int) -> int:
        """Return every text that is not in the part."""
        return self._id(("not", part))

    def span(
        self, data: bytes, starts: Sequence[int], ends: Iterable[int], most: int | None = None
    ) -> int:
        """Return the expression of a contiguous piece of the data, empty ones left out.

        Args:
            starts: Where a piece may begin, in bytes.
            ends: Where it may end.
            most: Its bytes at most.
        """
        text = _Text(data, frozenset(ends))
        far = math.inf if most is None else most
        near = tuple(at for at in starts if text.to_end(at, True) <= far)
        self._texts.append(text)
        return self._id(("span", len(self._texts) - 1, near, most, True)) if near else FAIL

    def ref(self, name: str) -> int:
        """Return the expression of this name."""
        return self._id(("ref", name))

    def define(self, name: str, node: int) -> None:
        """Say what a name stands for."""
        self._rules[name] = node

    def seal(self) -> None:
        """End the definitions: lengths are known from here on.

        Raises:
            GrammarError: A name is not defined.
        """
        for key in self._keys:
            if key[0] == "ref" and key[1] not in self._rules:
                raise GrammarError(f"the grammar uses {key[1]!r}, which it does not define")
        self._rule_least = dict.fromkeys(self._rules, math.inf)
        changed = True
        while changed:
            changed = False
            self._least.clear()
            self._searched.clear()
            for name, node in self._rules.items():
                least = self.least(node)
                if least < self._rule_least[name]:
                    self._rule_least[name], changed = least, True
        self._least.clear()

    def _id(self, key: Key) -> int:
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._keys)
            self._keys.append(key)
        return found

    # -- asking ------------------------------------------------------------------------------

    def least(self, node: int) -> float:
        """Return the symbols of the shortest text; infinite if there is none."""
        found = self._least.get(node)
        if found is None:
            found = self._least[node] = self._measured(node)
        return found

    def _measured(self, node: int) -> float:
        match self._keys[node]:
            case ("nothing",):
                return 0
            case ("class", _):
                return 1
            case ("literal", bytes(data)):
                return len(data)
            case ("seq", int(first), int(then)):
                return self.least(first) + self.least(then)
            case ("alt", choices):
                return min((self.least(choice) for choice in _ints(choices)), default=math.inf)
            case ("rep", int(part), int(least), _):
                return least * self.least(part) if least else 0
            case ("ref", str(name)):
                return self._rule_least[name]
            case ("span", int(text), positions, _, bool(fresh)):
                return min(self._texts[text].to_end(at, fresh) for at in _ints(positions))
        found = self._search(node)
        return math.inf if found is None else len(found)

    def ends(self, node: int) -> bool:
        """Return whether the empty text is in it."""
        match self._keys[node]:
            case ("both", int(left), int(right)):
                return self.ends(left) and self.ends(right)
            case ("not", int(part)):
                return not self.ends(part)
        return self.least(node) == 0

    def derive(self, node: int, symbol: int) -> int:
        """Return what may follow a symbol; FAIL if it cannot come here."""
        found = self._derived.get((node, symbol))
        if found is None:
            found = self._derived[node, symbol] = self._step(node, symbol)
        return found

    def _step(self, node: int, symbol: int) -> int:
        match self._keys[node]:
            case ("class", frozenset() as allowed):
                return NOTHING if symbol in allowed else FAIL
            case ("literal", bytes(data)):
                return self.literal(data[1:]) if data[0] == symbol else FAIL
            case ("seq", int(first), int(then)):
                found = self._pair(self.derive(first, symbol), then)
                return self.alt(found, self.derive(then, symbol)) if self.ends(first) else found
            case ("alt", choices):
                return self.alt(*(self.derive(choice, symbol) for choice in _ints(choices)))
            case ("rep", int(part), int(least), most):
                left = None if most is None else _int(most) - 1
                rest = self.rep(part, max(least - 1, 0), left)
                return self._pair(self.derive(part, symbol), rest)
            case ("ref", str(name)):
                return self._entered(name, symbol)
            case ("both", int(left_), int(right)):
                return self.both(self.derive(left_, symbol), self.derive(right, symbol))
            case ("not", int(part)):
                return self.without(self.derive(part, symbol)) if symbol < TOKEN else FAIL
            case ("span", *_):
                return self._along(node, symbol)
        return FAIL

    def _entered(self, name: str, symbol: int) -> int:
        if name in self._busy:
            raise GrammarError(f"the rule {name!r} begins with itself", hint="recur on the right")
        self._busy.add(name)
        try:
            return self.derive(self._rules[name], symbol)
        finally:
            self._busy.discard(name)

    def _along(self, node: int, symbol: int) -> int:
        _, text, positions, left, _ = self._keys[node]
        text, positions = _int(text), _ints(positions)
        left = None if left is None else _int(left) - 1
        source = self._texts[text]
        most = math.inf if left is None else left
        behind = self._behind.get(node)
        if behind is None:  # for all bytes at once: of where a span begins, most are asked for
            behind = self._behind[node] = source.behind(positions)
        after = behind.get(symbol, ())
        near = tuple(at for at in after if source.to_end(at, False) <= most)
        return self._id(("span", text, near, left, False)) if near else FAIL

    def shortest(self, node: int) -> list[int]:  # noqa: C901  # one case a kind
        """Return the symbols of a shortest text.

        Raises:
            GrammarError: There is none.
        """
        if math.isinf(self.least(node)):
            raise GrammarError("no text is in the grammar")
        found: list[int] = []
        todo = [node]
        while todo:
            match self._keys[node := todo.pop()]:
                case ("class", frozenset() as allowed):
                    found.append(next((b for b in _LIKED if b in allowed), min(allowed)))
                case ("literal", bytes(data)):
                    found += data
                case ("seq", int(first), int(then)):
                    todo += (then, first)
                case ("alt", choices):
                    todo.append(min(_ints(choices), key=self.least))
                case ("rep", int(part), int(least), _):
                    todo += [part] * (least if self.least(part) else 0)
                case ("ref", str(name)):
                    todo.append(self._rules[name])
                case ("span", int(text), positions, _, bool(fresh)):
                    source = self._texts[text]
                    at = min(_ints(positions), key=lambda at: source.to_end(at, fresh))
                    found += source.data[at : at + int(source.to_end(at, fresh))]
                case ("both" | "not", *_):
                    found += self._search(node) or b""
        return found

    def _search(self, node: int) -> bytes | None:
        """Return a shortest text of an intersection or a complement, the best first (A*)."""
        if node in self._searched:
            return self._searched[node]
        queue: list[tuple[float, int, int, bytes]] = [(self._at_least(node), 0, node, b"")]
        seen = {node}
        count = 0
        while queue:
            _, _, here, text = heapq.heappop(queue)
            if self.ends(here):
                self._searched[node] = text
                return text
            for byte in self._firsts(here):
                there = self.derive(here, byte)
                ahead = self._at_least(there)
                if there in seen or math.isinf(ahead):
                    continue
                seen.add(there)
                count += 1
                if count > _MAX_SEARCH:
                    raise GrammarError("the shortest text of an intersection was not found")
                heapq.heappush(queue, (len(text) + 1 + ahead, count, there, text + bytes([byte])))
        return None

    def _at_least(self, node: int) -> float:
        """Return a number of symbols that no text of it is shorter than."""
        match self._keys[node]:
            case ("both", int(left), int(right)):
                return max(self._at_least(left), self._at_least(right))
            case ("not", _):
                return 0
            case ("seq", int(first), int(then)):
                return self._at_least(first) + self._at_least(then)
            case ("alt", choices):
                return min((self._at_least(c) for c in _ints(choices)), default=math.inf)
        return self.least(node)

    def _firsts(self, node: int) -> list[int]:
        """Return bytes, one of each set of those that the node does not tell apart."""
        kinds: list[frozenset[int]] = []
        self._gather(node, kinds)
        apart: dict[tuple[bool, ...], int] = {}
        for byte in (*_LIKED, *range(256)):
            apart.setdefault(tuple(byte in kind for kind in kinds), byte)
        return list(apart.values())

    def _gather(self, node: int, kinds: list[frozenset[int]]) -> None:  # noqa: C901  # one case a kind
        match self._keys[node]:
            case ("class", frozenset() as allowed):
                kinds.append(allowed)
            case ("literal", bytes(data)):
                kinds.append(frozenset(data[:1]))
            case ("seq", int(first), int(then)):
                self._gather(first, kinds)
                if self.ends(first):
                    self._gather(then, kinds)
            case ("alt", choices):
                for choice in _ints(choices):
                    self._gather(choice, kinds)
            case ("rep" | "not", int(part), *_):
                self._gather(part, kinds)
            case ("both", int(left), int(right)):
                self._gather(left, kinds)
                self._gather(right, kinds)
            case ("ref", str(name)):
                self._gather(self._rules[name], kinds)
            case ("span", int(text), positions, *_):
                source = self._texts[text].data
                kinds += [frozenset([source[at]]) for at in _ints(positions) if at < len(source)]


class _Text:
    """The bytes of passages, and how far it is from each to where a piece may end."""

    def __init__(self, data: bytes, ends: frozenset[int]) -> None:
        self.data = data
        self._far = [math.inf] * (len(data) + 2)
        for at in range(len(data), -1, -1):
            self._far[at] = 0 if at in ends else self._far[at + 1] + 1

    def behind(self, positions: Sequence[int]) -> dict[int, list[int]]:
        """Return the places behind each byte that stands at one of the positions."""
        found: dict[int, list[int]] = {}
        for at in positions:
            if at < len(self.data):
                found.setdefault(self.data[at], []).append(at + 1)
        return found

    def to_end(self, at: int, fresh: bool) -> float:
        """Return the bytes to the nearest end; a piece that is not begun has one at least."""
        return self._far[at + 1] + 1 if fresh else self._far[at]


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _ints(value: object) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value

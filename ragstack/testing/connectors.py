"""The promises of a connector, as tests: subclass ``ConnectorSuite`` and write ``make``."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ragstack.protocols import Connector
from ragstack.types import Gone, Source

__all__ = ["ConnectorSuite"]


class ConnectorSuite(ABC):
    """What every connector promises.

    Attributes:
        secrets: Credentials that ``make`` gives the connector; they are looked for in what it says.
    """

    secrets: tuple[str, ...] = ()

    @abstractmethod
    def make(self) -> Connector:
        """Return a new connector to one and the same place, which holds two sources or more."""

    def change(self) -> str:
        """Remove one source from the place, and return its address."""
        pytest.skip("this place cannot be changed in a test")

    def spoil(self) -> str:
        """Make one source unreadable, and return its address."""
        pytest.skip("no source of this place can be made unreadable")

    @pytest.fixture
    def sources(self) -> list[Source]:
        """What is there."""
        return _sources(self.make().fetch())

    def test_everything_is_there_once(self, sources: list[Source]) -> None:
        """An address names one source: yield each once, even where two paths lead to it."""
        uris = [source.uri for source in sources]
        assert len(uris) > 1
        assert all(uris)
        assert len(set(uris)) == len(uris)

    def test_order_and_addresses_are_the_same_each_time(self, sources: list[Source]) -> None:
        """Sort what the place gives in no order; nothing of the moment may be in an address."""
        connector = self.make()
        assert [source.uri for source in _sources(connector.fetch())] == [s.uri for s in sources]
        assert [source.uri for source in _sources(connector.fetch())] == [s.uri for s in sources]

    def test_what_is_yielded_is_typed(self, sources: list[Source]) -> None:
        """Bytes as bytes, scalars as metadata, readers as a tuple, moments with a time zone."""
        for source in sources:
            assert isinstance(source.data, bytes)
            assert isinstance(source.media_type, str)
            assert isinstance(source.readers, tuple)
            assert source.modified is None or source.modified.tzinfo is not None
            for value in source.meta.values():
                assert value is None or isinstance(value, (str, int, float, bool))

    def test_since_long_ago_is_everything(self, sources: list[Source]) -> None:
        """``since`` only leaves out what is known to be older."""
        found = _sources(self.make().fetch(since=datetime(1990, 1, 1, tzinfo=UTC)))
        assert [source.uri for source in found] == [source.uri for source in sources]

    def test_since_the_future_is_what_has_no_date(self, sources: list[Source]) -> None:
        """What the place dates before ``since`` is left out; what it does not date is kept."""
        future = datetime.now(UTC) + timedelta(days=3650)
        undated = [source.uri for source in sources if source.modified is None]
        assert [source.uri for source in _sources(self.make().fetch(since=future))] == undated

    def test_an_iteration_may_be_left(self) -> None:
        """A caller that has enough closes the iterator; the next fetch starts anew."""
        connector = self.make()
        iterator = iter(connector.fetch())
        first = next(iterator)
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
        assert next(iter(connector.fetch())) == first

    def test_what_is_there_is_told(self, sources: list[Source]) -> None:
        """``present``, where there is such a thing, names what a full fetch yields, after each."""
        connector: Any = self.make()
        if not hasattr(connector, "present"):
            pytest.skip("it does not say what is there: sync asks it for everything each time")
        assert connector.present is None
        uris = {source.uri for source in sources}
        for since in (None, datetime.now(UTC) + timedelta(days=3650)):
            list(connector.fetch(since=since))
            present = getattr(connector, "present")  # noqa: B009 (it changed since it was None)
            assert present is None or set(present) == uris

    def test_what_the_caller_has_not_is_yielded_whatever_its_date(
        self, sources: list[Source]
    ) -> None:
        """An old file that was moved into a folder today is new there."""
        connector: Any = self.make()
        if not hasattr(connector, "known"):
            pytest.skip("it takes no list of what the caller has")
        connector.known = frozenset(source.uri for source in sources[1:])
        future = datetime.now(UTC) + timedelta(days=3650)
        found = [source.uri for source in _sources(connector.fetch(since=future))]
        assert sources[0].uri in found
        dated = {source.uri for source in sources[1:] if source.modified}
        assert dated.isdisjoint(found)

    def test_what_it_remembers_can_be_kept(self, sources: list[Source]) -> None:
        """``state`` is JSON, and with it a second connector goes on where the first one stopped."""
        first: Any = self.make()
        if not hasattr(first, "state"):
            pytest.skip("it remembers nothing")
        list(first.fetch())
        second: Any = self.make()
        second.state = json.loads(json.dumps(dict(first.state)))
        found = _sources(second.fetch(since=datetime.now(UTC)))
        dated = {source.uri for source in sources if source.modified}
        assert dated.isdisjoint(source.uri for source in found)
        again: Any = self.make()
        again.state = dict(first.state)
        assert [s.uri for s in _sources(again.fetch())] == [s.uri for s in sources]

    def test_what_went_is_noticed(self, sources: list[Source]) -> None:
        """By a Gone, or by no longer being in ``present``, or in what a full fetch yields."""
        before: Any = self.make()
        list(before.fetch())
        gone = self.change()
        assert gone in {source.uri for source in sources}
        after: Any = self.make()
        if hasattr(after, "state"):
            after.state = dict(before.state)
        found = list(after.fetch(since=datetime.now(UTC) - timedelta(minutes=2)))
        told = {each.uri for each in found if isinstance(each, Gone)}
        if getattr(after, "present", None) is None:
            there = {source.uri for source in _sources(self.make().fetch())}
        else:
            there = set(after.present)
        assert gone in told or gone not in there
        assert {source.uri for source in sources} - {gone} <= there

    def test_a_bad_source_is_named_and_ends_nothing(self, sources: list[Source]) -> None:
        """``failures`` names it with a reason; the others are yielded, and it is not gone."""
        bad = self.spoil()
        connector: Any = self.make()
        found = list(connector.fetch())
        assert [f.source for f in connector.failures] == [bad]
        assert connector.failures[0].reason.strip()
        uris = [source.uri for source in sources]
        assert [each.uri for each in found] == [uri for uri in uris if uri != bad]
        assert not any(isinstance(each, Gone) for each in found)

    def test_no_secret_is_shown(self, sources: list[Source]) -> None:
        """Not by the connector itself, an address, metadata, a failure or what it remembers."""
        if not self.secrets:
            pytest.skip("this place takes no credentials")
        connector: Any = self.make()
        found = list(connector.fetch())
        shown = [repr(connector), str(connector), repr(getattr(connector, "failures", ""))]
        shown += [repr(getattr(connector, "state", "")), *(repr(source) for source in found)]
        for secret in self.secrets:
            assert not any(secret in text for text in shown)


def _sources(found: Iterable[Source | Gone]) -> list[Source]:
    return [each for each in found if isinstance(each, Source)]

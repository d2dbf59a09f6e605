"""The promises of a connector, as tests: subclass ``ConnectorSuite`` and write ``make``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from ragstack.protocols import Connector
from ragstack.types import Gone, Source

__all__ = ["ConnectorSuite"]


class ConnectorSuite(ABC):
    """What every connector promises."""

    @abstractmethod
    def make(self) -> Connector:
        """Return a new connector to one and the same place, which holds two sources or more."""

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


def _sources(found: Iterable[Source | Gone]) -> list[Source]:
    return [each for each in found if isinstance(each, Source)]

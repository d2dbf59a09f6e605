"""A question in, what a service of the web answers to it out: asked live, cited like any source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragstack.errors import ConfigError, RemoteError
from ragstack.types import READ_TEXT, Scalar, Source
from ragstack_connectors.credentials import Env, plain_url
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.listed import field_of, moment_of
from ragstack_connectors.rest import token_header
from ragstack_connectors.template import Template

__all__ = ["ApiLive"]


class ApiLive:
    """Asks a search service that answers with JSON; the name ``api`` of kind ``live``.

    Paths and templates are those of the connector ``rest``.

    Args:
        url: Of the search.
        params: Of the query; in its values ``{question}`` and ``{k}`` are put in.
        template: The text of one result.
        address: Template of a result's address, which citations show.
        items: Path of the list of results.
        title: Path of a result's title.
        modified: Path of the moment of its last change.
        fields: Metadata, by name, as paths.
        token: ``{ env = "NAME" }``; sent as ``header``.
        timeout_s: Seconds; a person is waiting. Nothing is tried again.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        url: str,
        *,
        template: str,
        address: str,
        params: Mapping[str, Any] | None = None,
        items: str = "",
        title: str = "",
        modified: str = "",
        fields: Mapping[str, str] | None = None,
        token: Env | None = None,
        header: str = "Authorization: Bearer",
        timeout_s: float = 5.0,
        allow_private: bool = False,
    ) -> None:
        self._url = plain_url(url)
        self._params = {name: _asked(value) for name, value in (params or {}).items()}
        if not any("question" in t.paths for t in self._params.values() if isinstance(t, Template)):
            raise ConfigError(
                "params have no place for the question",
                hint='params = { q = "{question}", limit = "{k}" }',
            )
        self._template, self._address = Template(template), Template(address)
        self._items, self._modified = items, modified
        self._fields = {**(fields or {}), **({"title": title} if title else {})}
        limits = Limits(
            max_bytes=5_000_000,
            connect_s=timeout_s,
            silence_s=timeout_s,
            total_s=timeout_s,
            retries=0,
        )
        self._api = Fetcher(limits, token_header(token, header), allow_private, origin=self._url)

    def ask(self, question: str, *, k: int) -> list[Source]:
        """Return what the service finds, in its order, at most ``k``.

        Raises:
            RemoteError: It cannot be reached, takes too long, or answers something else.
        """
        given = {"question": question, "k": k}
        params = {
            name: value.filled(given) if isinstance(value, Template) else value
            for name, value in self._params.items()
        }
        found = field_of(self._api.json(self._url, params), self._items)
        if not isinstance(found, list):
            raise RemoteError(
                f"{self._url!r} answered no list at {self._items or 'its top'!r}",
                hint="items is the path of the list in the answer",
            )
        return [self._source(item) for item in found[:k]]

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._api.close()

    def _source(self, item: Any) -> Source:
        values = {name: field_of(item, path) for name, path in self._fields.items()}
        meta: dict[str, Scalar] = {
            name: value
            for name, value in values.items()
            if isinstance(value, (str, int, float, bool))
        }
        data = self._template.filled(item).encode("utf-8", "replace")
        modified = moment_of(field_of(item, self._modified)) if self._modified else None
        return Source(self._address.filled(item), data, READ_TEXT, modified, meta)


def _asked(value: Any) -> Any:
    return Template(value) if isinstance(value, str) else value

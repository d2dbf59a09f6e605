"""``Client``: a base behind a ragstack server, with the methods and the values of ``Stack``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ragstack.client.asking import asked, named, nobody_else, question_json
from ragstack.client.chats import RemoteChat
from ragstack.client.connection import Connection
from ragstack.client.ingesting import Ingesting
from ragstack.client.keeping import Keeping
from ragstack.errors import NotFound
from ragstack.filters import Where, written
from ragstack.pipeline.chat import last_answer
from ragstack.pipeline.facets import Facet
from ragstack.pipeline.find import DEFAULT, Search
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.retrieve import MinScore, above, check_questions
from ragstack.pipeline.sources import is_named, names_of
from ragstack.pipeline.transforms.run import Found
from ragstack.pipeline.wire import facet_of, found_of, search_json
from ragstack.protocols import Connector
from ragstack.types import Answer, Document, DocumentInfo, Event, IngestReport, Meta, Passage
from ragstack.types.wire import document_of, info_of, parsed, passage_of

__all__ = ["Client"]

_SENT = "upload:"
_PAGE = 500  # documents asked for at once


class Client(Keeping):
    """A base behind a server. Safe to use from many threads.

    It has the methods of ``Stack``, which take the same arguments, return the same values and raise
    the same errors, but for ``asker``: who asks is whose key is shown.

    Example:
        >>> with Client("http://127.0.0.1:8000", api_key=key) as client:
        ...     client.ingest("docs/")
        ...     answer = client.ask("Who pays?")
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 120.0) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            url: Of the server: ``http://127.0.0.1:8000``.
            api_key: Shown with each request. A server on this machine may want none.
            timeout_s: Seconds of silence after which the server is given up; while it works on an
                answer it sends a sign of life every ten.

        Raises:
            InputError: The address is none of http.
        """
        self.connection = Connection(url, (api_key or "").strip(), timeout_s)
        self._ingesting = Ingesting(self.connection)

    @property
    def url(self) -> str:
        """Of the server."""
        return self.connection.url

    def ingest(
        self,
        *sources: str | Path | Connector,
        collection: str = DEFAULT,
        meta: Meta | None = None,
        readers: Sequence[str] = (),
        progress: Callable[[Step], None] | None = None,
    ) -> IngestReport:
        """Send files, folders and what connectors yield up, and return what happened to each.

        A document is named by its path from the given folder on. What has gone from a folder stays
        in the base: a server sees what is sent and nothing else.

        Args:
            meta: As of ``Stack``.
            readers: As of ``Stack``.
            progress: Called after every step. An error it raises stops the ingest at the server.

        Raises:
            NotFound: A path that is not there.
            Cancelled: Somebody stopped it at the server.
        """
        report, gone = self._ingesting.uploaded(
            sources, collection=collection, meta=meta, readers=readers, progress=progress
        )
        if gone:
            self.delete(*gone, collection=collection)
        return report

    def ingest_there(
        self,
        *paths: str,
        connector: Mapping[str, Any] | None = None,
        collection: str = DEFAULT,
        progress: Callable[[Step], None] | None = None,
    ) -> IngestReport:
        """Take in files of the server's own machine, or what a connector there yields.

        Args:
            connector: ``{"use": NAME, …options}``.

        Raises:
            NotAllowed: It needs the right ``admin``.
        """
        return self._ingesting.there(
            paths, connector=connector, collection=collection, progress=progress
        )

    def ingests(self) -> list[dict[str, Any]]:
        """Return the ingests at the server, waiting, running and ended."""
        return self._list("/api/ingest", "jobs")

    def cancel_ingest(self, job: str) -> None:
        """Stop an ingest between two documents."""
        self._ingesting.cancel(job)

    def search(  # noqa: PLR0913 (keyword arguments, of every search)
        self,
        question: str,
        *,
        k: int | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        min_score: MinScore | None = None,
        transforms: Sequence[str] | None = None,
    ) -> list[Passage]:
        """Return the best passages for a question, best first; see ``Stack.search``."""
        body = _searching(Search(k, where, asker, collection, transforms), question)
        found = self.connection.post("/api/search", body | _least(min_score), again=True)
        return parsed(_passages, found["passages"])

    def find(self, question: str, search: Search | None = None) -> Found:
        """Return what is found for a question, with the plan, a verdict and the trace.

        Raises:
            UnknownPlugin: No transform has one of the names.
        """
        body = _searching(search or Search(), question)
        return parsed(found_of, self.connection.post("/api/find", body, again=True))

    def search_many(
        self,
        questions: Sequence[str],
        *,
        k: int | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        min_score: MinScore | None = None,
    ) -> list[list[Passage]]:
        """Return the best passages for each question; the batch is searched together."""
        check_questions(questions)
        nobody_else(asker)
        body = search_json(Search(k, where, (), collection)) | {"questions": list(questions)}
        found = self.connection.post("/api/search_many", body | _least(min_score), again=True)
        return parsed(lambda rows: [_passages(row) for row in rows], found["passages"])

    def ask(  # noqa: PLR0913 (keyword arguments, of every answer)
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        quotes: bool | None = None,
        transforms: Sequence[str] | None = None,
    ) -> Answer:
        """Return an answer with its checked citations; see ``Stack.ask``."""
        return last_answer(
            self.stream(
                question,
                style=style,
                where=where,
                asker=asker,
                collection=collection,
                quotes=quotes,
                transforms=transforms,
            )
        )

    def stream(  # noqa: PLR0913 (keyword arguments, of every answer)
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        quotes: bool | None = None,
        transforms: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        """Yield what was found (Retrieved), the text as it comes (Delta), the checked Answer.

        Closing the iterator stops the work at the server.
        """
        nobody_else(asker)
        Search(transforms=transforms)  # which says what is wrong with it
        body = question_json(
            question,
            where,
            style=style,
            collection=collection,
            quotes=quotes,
            transforms=None if transforms is None else list(transforms),
        )
        return asked(self.connection, body)

    def chat(
        self,
        chat_id: str,
        *,
        collection: str = DEFAULT,
        asker: Sequence[str] = (),
        transforms: Sequence[str] | None = None,
    ) -> RemoteChat:
        """Return a conversation stored under this id; a new one when there is none."""
        nobody_else(asker)
        named(chat_id)
        return RemoteChat(self.connection, chat_id, collection=collection, transforms=transforms)

    def chats(self, *, asker: Sequence[str] | None = None) -> list[str]:
        """Return the ids of one's own stored conversations, the latest first."""
        nobody_else(asker or ())
        return [str(chat["id"]) for chat in self.conversations()]

    def facets(
        self,
        field: str,
        *,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
    ) -> list[Facet]:
        """Return the values of a metadata field and how many documents hold each."""
        nobody_else(asker)
        condition = written(where)
        found = self.connection.call(
            "GET",
            f"/api/facets/{named(field)}",
            params={
                "collection": collection,
                "where": None if condition is None else json.dumps(condition),
            },
            again=True,
        )
        return parsed(lambda rows: [facet_of(row) for row in rows["facets"]], found)

    def delete(self, *sources: str | Path, collection: str = DEFAULT) -> int:
        """Remove documents by source address, path, folder or document id; return how many went."""
        # What was sent up is named by its path from the folder that was given on.
        wanted = [names_of(source) | {f"{_SENT}{source}"} for source in sources]
        removed = 0
        for info in self.documents(collection=collection):
            if any(is_named(info, names) for names in wanted):
                path = f"/api/documents/{named(info.id)}"
                found = self.connection.call("DELETE", path, params={"collection": collection})
                removed += int(found["removed"])
        return removed

    def document(self, document_id: str, *, collection: str = DEFAULT) -> Document | None:
        """Return a document with its text and marks, or None."""
        try:
            found = self.connection.get(
                f"/api/documents/{named(document_id)}", collection=collection
            )
        except NotFound:
            return None
        return parsed(document_of, found)

    def documents(self, *, collection: str = DEFAULT) -> list[DocumentInfo]:
        """Return what is known of each document, by source."""
        rows: list[DocumentInfo] = []
        while True:
            found = self.connection.get(
                "/api/documents", collection=collection, offset=len(rows), limit=_PAGE
            )
            page = parsed(lambda data: [info_of(row) for row in data["documents"]], found)
            rows += page
            if not page or len(rows) >= int(found["total"]):
                return rows

    def chunks(self, document_id: str, *, collection: str = DEFAULT) -> list[dict[str, Any]]:
        """Return the chunks a document was cut into, in order."""
        path = f"/api/documents/{named(document_id)}/chunks"
        return self._list(path, "chunks", collection=collection)

    def file(self, document_id: str, *, collection: str = DEFAULT) -> bytes:
        """Return the bytes a document was read from.

        Raises:
            NotFound: The server does not have them.
        """
        path = f"/api/documents/{named(document_id)}/file"
        return self.connection.download(path, collection=collection)

    def page_image(
        self,
        document_id: str,
        page: int,
        *,
        span: tuple[int, int] | None = None,
        collection: str = DEFAULT,
    ) -> bytes:
        """Return a page of a PDF as a PNG.

        Args:
            page: From 1.
            span: Characters of the document's text that are highlighted.
        """
        start, end = span or (None, None)
        path = f"/api/documents/{named(document_id)}/pages/{page}.png"
        return self.connection.download(path, collection=collection, start=start, end=end)

    def reingest(self, document_id: str, *, collection: str = DEFAULT) -> dict[str, Any]:
        """Read a document anew from what the server has of it."""
        path = f"/api/documents/{named(document_id)}/reingest"
        found: dict[str, Any] = self.connection.call(
            "POST", path, body={}, params={"collection": collection}
        )
        return found

    def stats(self, *, collection: str = DEFAULT) -> dict[str, Any]:
        """Return counts, sizes and what the base was made with."""
        return self._object("/api/stats", collection=collection)

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self.connection.close()

    def __enter__(self) -> Client:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()


def _searching(search: Search, question: str) -> dict[str, Any]:
    nobody_else(search.asker)
    return question_json(question, None) | search_json(search)


def _least(min_score: MinScore | None) -> dict[str, Any]:
    above((), min_score)  # which says what is wrong with it
    return {} if min_score is None else {"min_score": min_score}


def _passages(rows: Sequence[Any]) -> list[Passage]:
    return [passage_of(row) for row in rows]

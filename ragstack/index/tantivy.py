"""Chunks in, BM25 hits out: the lexical index, on tantivy. Knows nothing of vectors.

Scores are tantivy's BM25 (k1 1.2, b 0.75) over context and text together. Its statistics count
deleted chunks until segments merge, and it rounds lengths over 40 terms.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from tantivy import Occur, Query

from ragstack.errors import BaseError, IndexStateError
from ragstack.filters import Filter
from ragstack.index.analysis import AnalyserOptions, Analysis, Wanted
from ragstack.index.folder import IndexFolder, check_position, check_search, refuse_text
from ragstack.index.rows import LogState, RowTable
from ragstack.index.segments import publish, revive
from ragstack.index.tantivy_view import View, found
from ragstack.types import Chunk, Hit

__all__ = ["TantivyIndex"]

_SPARE = 16  # candidates beyond k, so that ties at the end are seen
_COMPARED = 64  # words of a chunk that are looked for when it is compared
_MAX_WORDS = 1_024  # of one query; more are a document, and take seconds
_HEAP_BYTES = 64_000_000
_REWRITE = 4  # a log with so many times more rows than chunks is written anew
_LIVE = "live-"


def _schema() -> tantivy.Schema:
    return (
        tantivy.SchemaBuilder()
        .add_text_field("text", tokenizer_name="whitespace", index_option="freq")
        # signed: the binding deletes by a signed term, which an unsigned field does not hold
        .add_integer_field("row", indexed=True, fast=True)
        .build()
    )


class TantivyIndex:
    """Implements ``protocols.Index`` over words.

    Args:
        folder: Where it keeps its files; made when first written to.
        languages: Codes of the languages whose words are stemmed (``Chunk.meta["language"]``); a
            chunk that names none is taken as the first, one that names another is only folded.
        analyser: How texts and queries become terms; see ``AnalyserOptions``.

    Raises:
        ConfigError: A language without a stemmer, or an option of the analyser that cannot be.
        IndexStateError: Its files do not hold together, or were made with other languages or
            another analyser; delete the folder, then build it anew.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        languages: Sequence[str] = ("en", "fr"),
        analyser: Mapping[str, Any] | None = None,
    ) -> None:
        self._analysis = Analysis(languages, AnalyserOptions.of(analyser))
        self._made_with = dict(self._analysis.made_with)
        self._folder = IndexFolder(folder, kind="tantivy")
        self._guard = threading.RLock()
        self._schema = _schema()
        self._closed = False
        self._writer: tantivy.IndexWriter | None = None
        self._unseen = False  # changes that tantivy's searcher does not see yet
        self._changed = False  # tantivy's state since the last commit of ours
        self._rows = RowTable(reuse=True)
        self._log_number = self._generation = self._position = 0
        self._languages: set[str] = set()
        self._index: tantivy.Index | None = None
        self._live: Path | None = None  # where tantivy writes
        self._stamp: tuple[int, int, int] | None = None
        self._refresh()

    @property
    def position(self) -> int:
        """Journal position of the last commit; 0 for a new index."""
        with self._guard:
            self._refresh()
            return self._position

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Index the chunks; one whose id is there is replaced."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        languages = [self._analysis.language(chunk.meta.get("language")) for chunk in fresh]
        texts = [
            " ".join(
                [
                    *self._analysis.terms(chunk.indexed_text, language),
                    *self._analysis.views(chunk.indexed_text, language),
                ]
            )
            for chunk, language in zip(fresh, languages, strict=True)
        ]
        with self._guard:
            writer = self._begin()
            self._forget(writer, [chunk.id for chunk in fresh])
            for text, row in zip(texts, self._rows.add(fresh), strict=True):
                entry = tantivy.Document()
                entry.add_text("text", text)
                entry.add_integer("row", int(row))
                writer.add_document(entry)
            self._languages |= set(languages)
            self._unseen = True

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget these chunks; the unknown are ignored."""
        refuse_text(chunk_ids, "chunk_ids")
        if not chunk_ids:
            return
        with self._guard:
            self._forget(self._begin(), chunk_ids)

    def commit(self, position: int) -> None:
        """Make everything so far durable, together with the journal position it reaches."""
        check_position(position)
        with self._guard:
            try:
                self._commit(position)
            except BaseException:
                self._reset()  # what counts is the last commit that was whole
                raise
            finally:
                # Others may write now; what is searched next is read as any reader reads it.
                self._let_go()
                self._stamp = None

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        view = self._view(where)
        if view is None or not k or not view.count:
            return [[] for _ in queries]
        with self._translated():
            return [self._search(view, query, k) for query in queries]

    def ids(self) -> list[str]:
        """Return the id of every chunk that is indexed, in any order."""
        with self._guard:
            self._refresh()
            return list(self._rows.held())

    def damaged(self, chunks: Sequence[Chunk]) -> list[str]:
        """Return those chunks whose words are not found in the row that is theirs."""
        view = self._view(None)
        with self._guard:
            held = dict(self._rows.held())
        known = [chunk for chunk in chunks if chunk.id in held]
        if view is None:
            return [chunk.id for chunk in known]
        with self._translated():
            return [chunk.id for chunk in known if not self._holds(view, chunk, held[chunk.id])]

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        with self._guard:
            self._refresh()
            return len(self._rows)

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        with self._guard:
            self._closed = True
            self._let_go()
            self._reset()

    @property
    def _log(self) -> Path:
        return self._folder.path / f"rows-{self._log_number}.log"

    @property
    def _snapshot(self) -> Path:
        return self._folder.path / f"segments-{self._generation}"

    def _reset(self) -> None:
        self._rows = RowTable(reuse=True)
        self._log_number = self._generation = self._position = 0
        self._languages = set()
        self._index = None
        self._changed = False

    def _refresh(self) -> None:
        """Take in what another process committed, unless this object writes."""
        if self._closed:
            raise BaseError(f"the index in {str(self._folder.path)!r} is closed")
        if self._folder.locked or self._folder.stamp() == self._stamp:
            return
        self._stamp = self._folder.consistently(self._load)

    def _load(self) -> tuple[int, int, int] | None:
        stamp, manifest = self._folder.stamp(), self._folder.read()
        if manifest is None:
            self._reset()
            return stamp
        if manifest["made_with"] != self._made_with:
            raise self._folder.broken(
                f"it was made with {manifest['made_with']!r}, now it is {self._made_with!r}"
            )
        self._read_rows(manifest)
        self._generation = int(manifest["generation"])
        self._position = int(manifest["position"])
        self._languages = set(manifest["languages"])
        self._index = self._open(self._snapshot) if self._generation else None
        return stamp

    def _read_rows(self, manifest: Mapping[str, Any]) -> None:
        state, number = LogState(**manifest["log"]), int(manifest["log_number"])
        try:
            if number != self._log_number:
                raise IndexStateError("another log")
            self._rows.read(self._log, state)
        except IndexStateError:
            self._reset()
            self._log_number = number
            self._rows.read(self._log, state)

    def _open(self, path: Path) -> tantivy.Index:
        if not path.exists():
            raise FileNotFoundError(2, "no such folder", str(path))
        with self._translated():
            index = tantivy.Index.open(str(path))
            index.config_reader(reload_policy="manual")
            index.reload()
            return index

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn tantivy's errors into ours; on damaged files it may also panic."""
        try:
            yield
        except (ValueError, OSError, TypeError) as error:
            raise self._folder.broken(f"tantivy says: {error}") from error
        except BaseException as error:
            # PanicException is no Exception, and pyo3 gives no name to import it by.
            if type(error).__name__ != "PanicException":
                raise
            raise self._folder.broken(f"tantivy stopped: {error}") from error

    def _begin(self) -> tantivy.IndexWriter:
        """Return tantivy's writer, having become the writer of this folder."""
        if self._writer is not None:
            return self._writer
        self._refresh()
        self._folder.lock()
        try:
            self._stamp = self._folder.consistently(self._load)
            # A name of its own: threads of a writer that was given up may still write to theirs.
            live = self._live = Path(tempfile.mkdtemp(prefix=_LIVE, dir=self._folder.path))
            if self._generation:
                revive(self._snapshot, live)
                self._index = self._open(live)
            else:
                self._index = tantivy.Index(self._schema, str(live))
                self._index.config_reader(reload_policy="manual")
            with self._translated():
                self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        except BaseException:
            self._let_go()
            raise
        return self._writer

    def _let_go(self) -> None:
        self._writer = self._index = None
        self._unseen = False
        if self._live is not None:
            shutil.rmtree(self._live, ignore_errors=True)  # what stays, the next commit sweeps
            self._live = None
        self._folder.unlock()

    def _commit(self, position: int) -> None:
        writer = self._begin()
        self._show()
        if self._changed and self._live is not None:
            self._generation += 1
            writer.wait_merging_threads()  # dropped, it would merge on, for nobody
            publish(self._live, self._snapshot)
        if self._rows.state.written > _REWRITE * max(len(self._rows), 1_000):
            self._log_number += 1
            self._rows = self._rows.rewritten()
            self._log.unlink(missing_ok=True)
        self._rows.append_to(self._log)
        self._folder.write(
            {
                "position": position,
                "generation": self._generation,
                "log_number": self._log_number,
                "log": asdict(self._rows.state),
                "languages": sorted(self._languages),
                "made_with": self._made_with,
            }
        )
        self._folder.sweep([self._log.name, self._snapshot.name])
        self._position = position
        self._changed = False

    def _forget(self, writer: tantivy.IndexWriter, chunk_ids: Sequence[str]) -> None:
        for row in self._rows.kill(chunk_ids):
            writer.delete_documents_by_term("row", row)
            self._unseen = True

    def _show(self) -> None:
        """Make what was added and deleted visible to this object's searches."""
        if self._unseen and self._writer is not None and self._index is not None:
            with self._translated():
                self._writer.commit()
                self._index.reload()
            self._unseen, self._changed = False, True

    def _view(self, where: Filter | None) -> View | None:
        with self._guard:
            self._refresh()
            self._show()
            if self._index is None:
                return None
            count = len(self._rows)
            passing = None
            if where is not None:
                passing = self._rows.alive(where)
                count = int(np.count_nonzero(passing))
            return View(
                self._index.searcher(), self._rows.ids, passing, count, frozenset(self._languages)
            )

    def _search(self, view: View, query: str, k: int) -> list[Hit]:
        words = self._analysis.wanted(query, view.languages)[:_MAX_WORDS]
        if not words:
            return []
        wanted = self._query(words)
        total = view.searcher.num_docs
        depth = min(total, k + _SPARE)
        if view.passing is not None and view.count < total:
            expected = (k + _SPARE) * total // view.count
            if view.count < expected:
                # Few pass: ask for them by name, and all that comes back passes.
                wanted = self._among(wanted, np.flatnonzero(view.passing).tolist())
            else:
                depth = min(total, expected)
        while True:
            hits, done = found(view, wanted, depth, k)
            if done or depth >= total:
                return hits[:k]
            depth = min(total, 4 * depth)

    def _query(self, words: Sequence[Wanted]) -> Query:
        parts = []
        for forms, weights in words:
            each = [self._term(*form) for form in zip(forms, weights, strict=True)]
            parts.append(each[0] if len(each) == 1 else Query.disjunction_max_query(each))
        return Query.boolean_query([(Occur.Should, part) for part in parts])

    def _holds(self, view: View, chunk: Chunk, row: int) -> bool:
        """Return whether a row holds the words of a chunk."""
        language = self._analysis.language(chunk.meta.get("language"))
        terms = sorted(set(self._analysis.terms(chunk.indexed_text, language)))[:_COMPARED]
        wanted = [Query.term_query(self._schema, "text", term, "freq") for term in terms]
        wanted.append(Query.term_query(self._schema, "row", row))
        query = Query.boolean_query([(Occur.Must, each) for each in wanted])
        return bool(view.searcher.search(query, limit=1, count=False).hits)

    def _term(self, form: str, weight: float) -> Query:
        query = Query.term_query(self._schema, "text", form, "freq")
        return query if weight == 1.0 else Query.boost_query(query, weight)

    def _among(self, wanted: Query, rows: list[int]) -> Query:
        allowed = Query.const_score_query(Query.term_set_query(self._schema, "row", rows), 0.0)
        return Query.boolean_query([(Occur.Must, wanted), (Occur.Must, allowed)])

"""What the base holds, and what is loaded: collections, counts, facets, models, a map of chunks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from ragstack import registry
from ragstack.errors import BaseLocked, GenerationError
from ragstack.filters import matches
from ragstack.pipeline.retrieve import visible
from ragstack.types import Chunk
from ragstack.types.plain import plain
from ragstack_apps.server.caller import Administers, Caller, Reads, known_collection
from ragstack_apps.server.codec import title_of
from ragstack_apps.server.house import House
from ragstack_apps.server.projection import clusters
from ragstack_apps.server.schemas import parsed

__all__ = ["router"]

_CLUSTERS = 8


def router(house: House) -> APIRouter:
    """Return ``/api/collections``, ``stats``, ``facets``, ``models`` and ``map``."""
    routes = APIRouter(prefix="/api", tags=["base"])
    stack = house.stack
    catalog = stack.parts.catalog

    @routes.get("/collections", summary="Collections, and how much is in each")
    def collections(caller: Reads) -> dict[str, Any]:
        rows = []
        for name in catalog.collections():
            if caller.sees(name):
                documents, chunks = catalog.counts(collection=name)
                rows.append({"name": name, "documents": documents, "chunks": chunks})
        return {"collections": rows}

    @routes.delete("/collections/{name}", summary="Delete a collection with all that is in it")
    def drop(name: str, caller: Administers) -> dict[str, Any]:
        known_collection(stack, caller, name)
        if not stack.writer.acquire(blocking=False):
            raise BaseLocked("documents are being taken in", hint="wait, or cancel the ingest")
        try:
            with stack.writing():
                ids = [info.id for info in catalog.documents(collection=name)]
                removed = stack.delete(*ids, collection=name)
                house.jobs.uploads.forget(name, ids)
        finally:
            stack.writer.release()
        return {"removed": removed}

    @routes.get("/stats", summary="Counts, sizes, and what the base was made with")
    def stats(caller: Reads, collection: str = "default") -> dict[str, Any]:
        found = stack.stats(collection=known_collection(stack, caller, collection))
        found["collections"] = [name for name in found["collections"] if caller.sees(name)]
        if not caller.may("admin"):
            found["base"] = Path(found["base"]).name
        return dict(plain(found))

    @routes.get("/facets/{field}", summary="The values of a field of metadata")
    def facets(
        field: str,
        caller: Reads,
        collection: str = "default",
        where: Annotated[str | None, Query(description="A filter, as JSON.")] = None,
    ) -> dict[str, Any]:
        known_collection(stack, caller, collection)
        condition = None if where is None else parsed(where.encode("utf-8", "replace"))
        found = stack.facets(field, where=condition, asker=caller.asker, collection=collection)
        return {"facets": [plain(one) for one in found]}

    @routes.get("/models", summary="What is loaded, how fast it is, what it takes")
    def models(caller: Reads) -> dict[str, Any]:
        config = stack.config
        named = {name: {"use": one.use} for name, one in config.generators.items()}
        return {
            "models": [_model(house)],
            "generators": named,
            "embedder": {"use": config.embed.use, **_embedder(house)},
            "reranker": {"use": config.rerank.use},
        }

    @routes.get("/map", summary="Chunks on a plane, near ones near each other")
    def map_(
        caller: Reads,
        collection: str = "default",
        method: Literal["pca", "tsne"] = "pca",
        question: Annotated[str, Query(max_length=4000)] = "",
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
        groups: Annotated[int, Query(ge=1, le=50)] = _CLUSTERS,
    ) -> dict[str, Any]:
        known_collection(stack, caller, collection)
        place = registry.load("projections", method)
        rows, total = _chunks(house, caller, collection, limit)
        if not rows:
            return {"points": [], "question": None, "total": 0}
        embedder = stack.parts.embedder
        vectors = embedder.embed_documents([chunk.indexed_text for chunk, _ in rows])
        asked = embedder.embed_queries([question])[0] if question.strip() else None
        placed, there = place(vectors, asked)
        labels = clusters(vectors, groups)
        points = [
            {
                "chunk_id": chunk.id,
                "document_id": chunk.document_id,
                "title": title,
                "text": chunk.text[:160],
                "x": float(x),
                "y": float(y),
                "cluster": label,
            }
            for (chunk, title), (x, y), label in zip(rows, placed, labels, strict=True)
        ]
        spot = None if there is None else {"x": float(there[0]), "y": float(there[1])}
        return {"points": points, "question": spot, "total": total}

    return routes


def _chunks(
    house: House, caller: Caller, collection: str, limit: int
) -> tuple[list[tuple[Chunk, str]], int]:
    """Return chunks that the caller may see, evenly from all of them, with their titles."""
    catalog, condition = house.stack.parts.catalog, visible(None, caller.asker)
    known = [
        info
        for info in catalog.documents(collection=collection)
        if matches(condition, info.meta, info.readers)
    ]
    total = sum(info.chunks for info in known)
    every = max(1, -(-total // limit))
    rows: list[tuple[Chunk, str]] = []
    at = 0
    for info in known:
        wanted = [i for i in range(info.chunks) if (at + i) % every == 0]
        at += info.chunks
        if wanted:
            chunks = catalog.chunks_of(info.id, collection=collection)
            title = title_of(info.meta, info.source)
            rows += [(chunks[i], title) for i in wanted if i < len(chunks)]
    return rows, total


def _model(house: House) -> dict[str, Any]:
    generator: Any = house.service.generator.itself
    capabilities = generator.capabilities
    found: dict[str, Any] = {
        "name": generator.name,
        "use": house.stack.config.generate.use,
        "loaded": _loaded(generator),
        "tokens_per_second": None,
        "prompt_tokens_per_second": None,
        "memory_bytes": None,
        "streams": getattr(generator, "streams", None),
        "context": None,
        "capabilities": plain(capabilities),
        "active": 0,
        "waiting": 0,
    }
    if not found["loaded"]:
        return found
    found["context"] = generator.context_size
    try:
        stats = generator.stats() if hasattr(generator, "stats") else None
    except GenerationError:
        return found
    if stats is not None:
        totals: Mapping[str, Any] = plain(stats.totals)
        found |= {"active": stats.active, "waiting": stats.waiting, "totals": totals}
        found["memory_bytes"] = _resident_bytes(getattr(generator, "pid", os.getpid()))
    found |= house.service.speeds()
    return found


def _loaded(generator: Any) -> bool:
    """Return whether a model is in memory; what has no weights of its own always is.

    Nothing is loaded for an answer to this.
    """
    if hasattr(generator, "pid"):  # it has a process of its own, while it has one
        return generator.pid is not None
    return bool(getattr(generator, "_loaded", True))


def _resident_bytes(pid: int | None) -> int | None:
    """Return the memory that a process holds, where the system says so (Linux does)."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _embedder(house: House) -> dict[str, Any]:
    embedder = house.stack.parts.raw_embedder
    return {"fingerprint": embedder.fingerprint, "dimensions": embedder.dimensions}

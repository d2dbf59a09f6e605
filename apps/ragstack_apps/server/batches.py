"""OpenAI's batches: a file of requests in, a file of answers out, behind everything else.

Files are kept like uploads. A batch that a stop cut off goes on at the next start.
"""

from __future__ import annotations

import io
import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ragstack.errors import InputError, NotFound, RagstackError
from ragstack.types import Record
from ragstack_apps.accounts.caller import OPERATOR, Caller
from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import failure_of
from ragstack_apps.server.replies import Reply
from ragstack_apps.server.schemas import chat_request, parsed
from ragstack_apps.server.service import Service
from ragstack_apps.server.uploads import Uploads

__all__ = ["CHAT", "Batches"]

CHAT = "/v1/chat/completions"
_FILE, _BATCH = "upload", "batch"
_MOST = 50_000  # requests of one batch
_OPEN = frozenset({"validating", "in_progress"})


class Batches:
    """The files and batches of one base. Safe to use from many threads."""

    def __init__(self, service: Service, uploads: Uploads) -> None:
        self._service = service
        self._uploads = uploads
        self._catalog = service.stack.parts.catalog
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._gone = threading.Event()
        self._cancelled: set[str] = set()
        for record in reversed(self._catalog.records(_BATCH)):
            if record.body["status"] in _OPEN:
                self._queue.put(record.id)
        self._thread = threading.Thread(target=self._serve, name="ragstack-batch", daemon=True)
        self._thread.start()

    def keep_file(self, data: bytes, name: str, purpose: str, caller: Caller) -> dict[str, Any]:
        """Keep a file; return it as OpenAI shows it."""
        sha256, size = self._uploads.take(io.BytesIO(data))
        body = {
            "id": f"file-{secrets.token_hex(12)}",
            "object": "file",
            "bytes": size,
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "sha256": sha256,
        }
        self._put(_FILE, body, caller.user)
        return _shown(body)

    def file(self, file_id: str, caller: Caller) -> dict[str, Any]:
        """Return a file as OpenAI shows it."""
        return _shown(self._get(_FILE, file_id, caller).body)

    def files(self, caller: Caller) -> list[dict[str, Any]]:
        """Return the caller's files."""
        found = self._catalog.records(_FILE, owner=caller.user, limit=10_000)
        return [_shown(record.body) for record in found if record.body.get("object") == "file"]

    def content(self, file_id: str, caller: Caller) -> bytes:
        """Return what a file holds."""
        record = self._get(_FILE, file_id, caller)
        return self._uploads.path(str(record.body["sha256"])).read_bytes()

    def forget_file(self, file_id: str, caller: Caller) -> None:
        """Forget a file."""
        record = self._get(_FILE, file_id, caller)
        self._catalog.remove_records(_FILE, [file_id])
        left = self._catalog.records(_FILE, limit=1_000_000)
        if record.body["sha256"] not in {one.body.get("sha256") for one in left}:
            with suppress(FileNotFoundError):
                self._uploads.path(str(record.body["sha256"])).unlink()

    def start(self, body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Queue a batch.

        Raises:
            InputError: It asks for what there is not, or its file is no list of requests.
            NotFound: There is no such file.
        """
        endpoint, file_id = body.get("endpoint"), body.get("input_file_id")
        if endpoint != CHAT or not isinstance(file_id, str):
            raise InputError(f"expected endpoint {CHAT!r} and an input_file_id")
        metadata = body.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise InputError("metadata is an object")
        total = sum(1 for _ in _requests(self.content(file_id, caller)))
        now = int(time.time())
        batch = {
            "id": f"batch_{secrets.token_hex(12)}",
            "object": "batch",
            "endpoint": endpoint,
            "errors": None,
            "input_file_id": file_id,
            "completion_window": body.get("completion_window") or "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "in_progress_at": None,
            "completed_at": None,
            "cancelled_at": None,
            "expires_at": now + 86_400,
            "request_counts": {"total": total, "completed": 0, "failed": 0},
            "metadata": metadata,
            "caller": {"groups": list(caller.groups), "collections": caller.collections},
        }
        self._put(_BATCH, batch, caller.user)
        self._queue.put(str(batch["id"]))
        return _shown(batch)

    def get(self, batch_id: str, caller: Caller) -> dict[str, Any]:
        """Return a batch as OpenAI shows it."""
        return _shown(self._get(_BATCH, batch_id, caller).body)

    def list(self, caller: Caller, limit: int) -> list[dict[str, Any]]:
        """Return the caller's batches, the latest first."""
        found = self._catalog.records(_BATCH, owner=caller.user, limit=limit)
        return [_shown(record.body) for record in found]

    def cancel(self, batch_id: str, caller: Caller) -> dict[str, Any]:
        """Stop a batch between two requests."""
        record = self._get(_BATCH, batch_id, caller)
        if record.body["status"] in _OPEN:
            self._cancelled.add(batch_id)
        return {**_shown(record.body), "status": "cancelling"}

    def close(self) -> None:
        """Stop at once; what is not done is done after the next start."""
        self._gone.set()
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (batch_id := self._queue.get()) is not None and not self._gone.is_set():
            record = self._catalog.record(_BATCH, batch_id)
            if record is None or record.body["status"] not in _OPEN:
                continue
            try:
                self._work(record)
            except RagstackError as error:
                body = {**record.body, "status": "failed"}
                body["errors"] = {"object": "list", "data": [failure_of(error).body["error"]]}
                self._put(_BATCH, body, record.owner)

    def _work(self, record: Record) -> None:
        who = record.body["caller"]
        some = who["collections"]
        caller = Caller(
            record.owner,
            tuple(who["groups"]),
            collections=None if some is None else tuple(some),
            key_id=OPERATOR,  # one at a time, behind all others: it is the server's own pace
        )
        data = self.content(record.body["input_file_id"], caller)
        body = {**record.body, "status": "in_progress", "in_progress_at": int(time.time())}
        self._put(_BATCH, body, record.owner)
        lines, failed = [], 0
        for request in _requests(data):
            if self._gone.is_set():
                return
            if record.id in self._cancelled:
                self._cancelled.discard(record.id)
                body |= {"status": "cancelled", "cancelled_at": int(time.time())}
                break
            status, answer = self._answered(request["body"], caller)
            if self._gone.is_set():
                return
            failed += status != 200
            lines.append(_line(request["custom_id"], status, answer))
            counts = {"completed": len(lines) - failed, "failed": failed}
            body["request_counts"] = {**record.body["request_counts"], **counts}
            self._put(_BATCH, body, record.owner)
        name = f"{record.id}_output.jsonl"
        file = self.keep_file("".join(lines).encode(), name, "batch_output", caller)
        if body["status"] == "in_progress":
            body |= {"status": "completed", "completed_at": int(time.time())}
        self._put(_BATCH, {**body, "output_file_id": file["id"]}, record.owner)

    def _answered(self, body: dict[str, Any], caller: Caller) -> tuple[int, Any]:
        try:
            wanted = chat_request({**body, "service_tier": "flex", "stream": False})
            reply = Reply(wanted.model, wanted.choices, wanted.alternatives, self._service.pieces)
            events = self._service.events(wanted, Call("batch", self._gone), caller)
            return 200, reply.whole(events)
        except Exception as error:
            failure = failure_of(error)
            return failure.status, failure.body

    def _put(self, kind: str, body: Mapping[str, Any], owner: str) -> None:
        self._catalog.put_record(Record(kind, str(body["id"]), body, datetime.now(UTC), owner))

    def _get(self, kind: str, record_id: str, caller: Caller) -> Record:
        record = self._catalog.record(kind, record_id)
        mine = record is not None and record.owner == caller.user and "object" in record.body
        if record is None or not mine:
            raise NotFound(f"there is no {'file' if kind == _FILE else 'batch'} {record_id!r}")
        return record


def _requests(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the requests of a file.

    Raises:
        InputError: A line is no request; the error says which.
    """
    lines = [line for line in data.splitlines() if line.strip()]
    if not 1 <= len(lines) <= _MOST:
        raise InputError(f"the file has {len(lines)} requests, expected 1 to {_MOST}")
    for number, line in enumerate(lines, 1):
        try:
            one = parsed(line)
        except InputError as error:
            raise InputError(f"line {number}: {error.message}") from error
        fits = isinstance(one.get("custom_id"), str) and isinstance(one.get("body"), dict)
        if not fits or one.get("url") != CHAT:
            raise InputError(f"line {number} has no custom_id, body and url {CHAT!r}")
        yield one


def _line(custom_id: str, status: int, answer: Any) -> str:
    response = {"status_code": status, "request_id": secrets.token_hex(8), "body": answer}
    line = {"id": f"resp_{secrets.token_hex(8)}", "custom_id": custom_id, "response": response}
    return json.dumps({**line, "error": None}) + "\n"


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("sha256", "caller")}

"""Models from the Hugging Face hub, at a pinned commit, resumed where a pull broke off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub

from ragstack.errors import HashMismatch, ModelUnavailable
from ragstack.models.stream import Progress, blocks, store
from ragstack.models.table import HubSource, ModelPart

__all__ = ["DEFAULT_ENDPOINT", "endpoint_in_use", "fetch", "hub_folder"]

DEFAULT_ENDPOINT = "https://huggingface.co"
# Short: without a hub in reach, the next source should be tried at once.
_CONNECT_S = 4.0
_ANSWER_S = 10.0


def endpoint_in_use() -> str:
    """Return the hub's address: ``HF_ENDPOINT``, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def hub_folder(folder: Path) -> Path:
    """Return where unfinished files wait, so that an interrupted pull goes on."""
    return folder / "hub"


def fetch(
    source: HubSource,
    parts: Sequence[ModelPart],
    folder: Path,
    progress: Progress,
    *,
    endpoint: str | None = None,
) -> None:
    """Put a model's files into a folder.

    Raises:
        ModelUnavailable: The hub is out of reach, or has no such file; what came so far is kept.
        HashMismatch: The bytes are not the publisher's; they are removed.
    """
    address = (endpoint or endpoint_in_use()).rstrip("/")
    _reach(f"{address}/{source.repository}/resolve/{source.revision}/{parts[0].hub_path}")
    place = hub_folder(folder)
    size, done = sum(part.bytes for part in parts), 0
    for part in parts:
        if not (folder / part.filename).exists():
            fresh = _download(source, part, place, address, _Watch(progress, part, done, size))
            progress(f"checking {part.filename}", done + part.bytes, size)
            try:
                store(blocks(fresh), part, folder / part.filename, origin=address)
            except HashMismatch:
                shutil.rmtree(place)
                raise
            fresh.unlink()
        done += part.bytes
    shutil.rmtree(place, ignore_errors=True)


def _reach(url: str) -> None:
    """Find out in seconds whether the hub answers; huggingface_hub would retry for minutes."""
    try:
        answer = httpx.head(url, timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ModelUnavailable(
            f"{url} cannot be reached: {error or type(error).__name__}"
        ) from error
    if answer.status_code == httpx.codes.NOT_FOUND or answer.status_code >= 500:
        raise ModelUnavailable(f"{url} answers {answer.status_code}")


def _download(source: HubSource, part: ModelPart, place: Path, address: str, watch: _Watch) -> Path:
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                source.repository,
                part.hub_path,
                revision=source.revision,
                local_dir=place,
                endpoint=address,
                etag_timeout=_ANSWER_S,
                tqdm_class=watch.bar(),
            )
        )
    except Exception as error:
        # huggingface_hub raises its own, httpx's, requests' and plain OSErrors, by version.
        raise ModelUnavailable(
            f"the hub at {address} did not deliver {source.repository}/{part.hub_path}: "
            f"{str(error).partition(chr(10))[0] or type(error).__name__}"
        ) from error


class _Watch:
    """Passes huggingface_hub's progress on, without its bar."""

    def __init__(self, progress: Progress, part: ModelPart, before: int, size: int) -> None:
        self._progress = progress
        self._what = f"fetching {part.filename} from the hub"
        self._before = before
        self._size = size

    def tell(self, done: int) -> None:
        """Report bytes of the file in work."""
        self._progress(self._what, min(self._before + done, self._size), self._size)

    def bar(self) -> type[Any]:
        """Return a class that huggingface_hub can use for tqdm's."""
        tell = self.tell

        class Bar:
            """Takes tqdm's calls and draws nothing."""

            def __init__(
                self, *_: object, initial: int = 0, total: int | None = None, **__: object
            ) -> None:
                self.n = initial
                self.total = total
                self.disable = False

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def update(self, count: float | None = 1) -> None:
                self.n += int(count or 0)
                tell(self.n)

            def __getattr__(self, _name: str) -> Any:
                return lambda *_, **__: None

        return Bar

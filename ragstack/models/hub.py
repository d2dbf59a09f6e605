"""Models from the Hugging Face hub, at a pinned commit, resumed where a pull broke off.

``huggingface_hub`` finds the file (names, redirects, tokens); its own download no longer goes on
after the process that began it has ended, so the bytes are fetched here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import huggingface_hub

from ragstack.errors import ModelUnavailable
from ragstack.models.stream import Progress, adopt
from ragstack.models.table import HubSource, ModelPart

__all__ = ["DEFAULT_ENDPOINT", "answers", "endpoint_in_use", "fetch"]

DEFAULT_ENDPOINT = "https://huggingface.co"
# Short: without a hub in reach, the next source should be tried at once.
_CONNECT_S = 4.0
_ANSWER_S = 10.0
_GLANCE_S = 2.0
_SILENCE_S = 60.0
_PAUSE_S = 1.0
# How often a line that dropped is taken up again without a byte in between.
_TRIES = 5


def endpoint_in_use() -> str:
    """Return the hub's address: ``HF_ENDPOINT``, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def answers() -> bool:
    """Return whether a hub can be reached; takes two seconds at most where there is none."""
    try:
        httpx.head(endpoint_in_use(), timeout=_GLANCE_S)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


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
    size, done = sum(part.bytes for part in parts), 0
    for part in parts:
        target = folder / part.filename
        if not target.exists():
            what = f"fetching {part.filename} from the hub"

            def tell(count: int, what: str = what, before: int = done) -> None:
                progress(what, min(before + count, size), size)

            # Named by what it will be: half of another version is never taken for half of this one.
            fresh = folder / f"{part.filename}.{part.sha256[:16]}.partial"
            _download(source, part, address, fresh, tell)
            progress(f"checking {part.filename}", done + part.bytes, size)
            adopt(fresh, part, target, origin=address)
        done += part.bytes


def _download(
    source: HubSource, part: ModelPart, address: str, target: Path, tell: Callable[[int], None]
) -> None:
    """Bring a file to its full length.

    Raises:
        ModelUnavailable: It could not be had, or not to its end.
    """
    url = huggingface_hub.hf_hub_url(
        source.repository, part.hub_path, revision=source.revision, endpoint=address
    )
    left = _TRIES
    while (have := _length(target)) < part.bytes:
        tell(have)
        try:
            _append(_located(url, address), target, part.bytes, tell)
            return  # the server says that this is all; whether it is right, the hash tells
        except httpx.HTTPStatusError as error:
            raise ModelUnavailable(f"{url} answers {error.response.status_code}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            left = _TRIES if _length(target) > have else left - 1
            if left == 0 or have == 0 == _length(target):
                raise ModelUnavailable(
                    f"{url} cannot be reached: {error or type(error).__name__}",
                    hint="what has come is kept; pull again to go on",
                ) from error
            time.sleep(_PAUSE_S)


def _located(url: str, address: str) -> tuple[str, dict[str, str]]:
    """Return where a file's bytes are, and the headers to ask for them with.

    Raises:
        ModelUnavailable: The hub has no such file, or wants a token.
        httpx.HTTPError: There is no hub.
    """
    # First by ourselves, in seconds: huggingface_hub would try an absent hub for a minute.
    answer = httpx.head(url, timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S))
    if answer.status_code == httpx.codes.NOT_FOUND or answer.is_server_error:
        answer.raise_for_status()
    try:
        found = huggingface_hub.get_hf_file_metadata(url, timeout=_ANSWER_S, endpoint=address)
    except Exception as error:
        # It raises its own errors, those of two HTTP libraries and plain OSErrors, by version.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelUnavailable(f"the hub does not deliver {url}: {reason}") from error
    headers = {"Accept-Encoding": "identity"}
    token = huggingface_hub.get_token()
    if token and urlsplit(found.location).netloc == urlsplit(address).netloc:
        # A token is for the hub alone, never for where it redirects to.
        headers["Authorization"] = f"Bearer {token}"
    return found.location, headers


def _append(
    place: tuple[str, dict[str, str]], target: Path, most: int, tell: Callable[[int], None]
) -> None:
    """Add to a file what is missing at its end, one block over what is due at most."""
    location, headers = place
    have = _length(target)
    asked = {**headers, "Range": f"bytes={have}-"} if have else headers
    timeout = httpx.Timeout(_SILENCE_S, connect=_CONNECT_S)
    with httpx.stream(
        "GET", location, headers=asked, timeout=timeout, follow_redirects=True
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            target.unlink()  # it is longer than the hub's file: begin anew
        response.raise_for_status()
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        with target.open("ab" if goes_on else "wb") as file:
            for block in response.iter_bytes():
                file.write(block)
                tell(file.tell())
                if file.tell() > most:
                    break


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

"""Any encoder of the Hugging Face hub in, its folder in the cache out: graph, tokenizer, settings.

Nothing here has a hash of its publisher to be held against, as the models of the table have; what
came is named by its commit and bytes in the embedder's fingerprint, so that a base notices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import huggingface_hub

from ragstack.errors import ModelUnavailable
from ragstack.models.hub import endpoint_in_use
from ragstack.models.places import cache_folder, locked, require_space

__all__ = ["encoder_folder"]

_CONNECT_S = 4.0
_ANSWER_S = 10.0
_LOCK_S = 3600.0
_MARK = "fetched.json"
_SETTINGS = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def encoder_folder(
    name: str, *, revision: str, pull: bool, choose: Callable[[list[str]], str]
) -> Path:
    """Return the folder of a repository's encoder, fetched once.

    A branch is followed no further after that: remove the folder to fetch its newest commit.

    Args:
        name: ``owner/name``.
        revision: A commit, a tag or a branch.
        pull: Fetch it if it is not here.
        choose: Says which of the repository's ONNX files is wanted.

    Raises:
        ModelUnavailable: It is not here, or the hub does not deliver it.
        NotEnoughSpace: The disk is too full; nothing was fetched.
    """
    label = f"{name}@{revision}".replace("/", "--")
    folder = cache_folder() / "models" / "hub" / label
    if _holds(folder, choose):
        return folder
    if not pull:
        raise ModelUnavailable(
            f"the encoder {name!r} is not on this machine", hint="allow it: pull = true"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, timeout_s=_LOCK_S):
        if not _holds(folder, choose):  # another process may have fetched it meanwhile
            _fetch(name, revision, folder, choose)
    return folder


def _holds(folder: Path, choose: Callable[[list[str]], str]) -> bool:
    mark = folder / _MARK
    if not mark.is_file():
        return False
    graphs: list[str] = json.loads(mark.read_text("utf-8"))["there"]
    return (folder / choose(graphs)).is_file()


def _fetch(name: str, revision: str, folder: Path, choose: Callable[[list[str]], str]) -> None:
    endpoint = endpoint_in_use()
    _require_answer(endpoint, name)
    try:
        api = huggingface_hub.HfApi(endpoint=endpoint)
        info = api.model_info(name, revision=revision, files_metadata=True, timeout=_ANSWER_S)
    except Exception as error:
        raise _refused(name, error) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    graphs = sorted(path for path in sizes if path.endswith(".onnx"))
    wanted = _wanted(list(sizes), choose(graphs))
    require_space(folder, sum(sizes[path] for path in wanted))
    try:
        for path in wanted:
            huggingface_hub.hf_hub_download(
                name, path, revision=info.sha, local_dir=folder, endpoint=endpoint
            )
    except Exception as error:
        raise _refused(name, error) from error
    mark = {"repository": name, "commit": info.sha, "there": graphs}
    (folder / _MARK).write_text(json.dumps(mark, indent=1), "utf-8")


def _wanted(there: Sequence[str], graph: str) -> list[str]:
    """Return the files to fetch: a graph, its weights beside it, and all that says how to read."""
    beside = graph.rpartition("/")[0]
    return [
        path
        for path in there
        if path in _SETTINGS
        or path == graph
        or path.startswith((f"{graph}_data", f"{graph}.data"))
        or path.endswith("_Pooling/config.json")
        or (beside and path == f"{beside}/tokenizer.json" and "tokenizer.json" not in there)
    ]


def _require_answer(endpoint: str, name: str) -> None:
    # First by ourselves, in seconds: huggingface_hub would try an absent hub for a minute.
    try:
        httpx.head(endpoint, timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelUnavailable(
            f"the hub cannot be reached for {name!r}: {error or type(error).__name__}",
            hint="fetch the repository elsewhere and name its folder as the model",
        ) from error


def _refused(name: str, error: Exception) -> ModelUnavailable:
    # The library raises its own errors, those of two HTTP libraries and plain OSErrors, by version.
    reason = str(error).partition("\n")[0] or type(error).__name__
    return ModelUnavailable(
        f"the hub does not deliver {name!r}: {reason}",
        hint="look at its name and revision; a gated model needs `hf auth login`",
    )

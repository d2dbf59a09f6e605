"""What is tried on a model in a process of its own: a job on the command line, JSON lines out.

llama.cpp may abort over any file; then this process goes, and who asked goes on. The jobs are
functions of ``JOBS``; ``ragstack.engine.tools.workbench`` starts them.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragstack.engine.library import llama, start, take_error
from ragstack.engine.tools.build import describe
from ragstack.engine.tools.forward import Forward
from ragstack.engine.tools.perplexity import WINDOW, Likelihood, agreement, likelihood
from ragstack.errors import InputError, ModelError, RagstackError

__all__ = ["JOBS"]

Progress = Callable[[int, int], None]

_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_QUANT_SIZE = re.compile(r"quant size\s*=\s*([\d.]+) MiB")


def _quantize(job: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Write a model in another format; ``dry`` only says how large it would be, in bytes."""
    start()
    first_error: list[str] = []
    size = [0]

    def heard(level: int, text: bytes | None, _data: object) -> None:
        line = (text or b"").decode("utf-8", "replace")
        if found := _TENSOR.match(line.strip()):
            progress(int(found[1]), int(found[2]))
        if found := _QUANT_SIZE.search(line):
            size[0] = int(float(found[1]) * 1024 * 1024)
        if level == _LOG_ERROR and line.strip(" =\n"):
            first_error.append(line.strip())

    callback = llama.llama_log_callback(heard)
    llama.llama_log_set(callback, None)
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = job["ftype"]
    parameters.nthread = job["threads"]
    parameters.allow_requantize = True
    parameters.dry_run = job["dry"]
    status = llama.llama_model_quantize(
        job["path"].encode(), job["out"].encode(), ctypes.byref(parameters)
    )
    if status != 0:
        said = first_error[0] if first_error else "it gives no reason"
        raise ModelError(f"llama.cpp cannot write it in that format: {said}")
    return {"bytes": size[0]}


def _measure(job: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Return speed and, where asked for, the likelihood of a text."""
    text, rounds = job["text"], job["rounds"]
    steps = rounds + 1
    with Forward(
        Path(job["path"]), window=2 * WINDOW, threads=job["threads"], batch=job["batch"]
    ) as forward:
        tokens = forward.model.vocabulary.tokenize(text, begins=True)
        if not tokens:
            raise InputError("the text has no tokens")
        progress(1, steps)
        answer: dict[str, Any] = {"load_s": forward.model.load_s}
        if job["score"]:
            answer["likelihood"] = _likelihood(forward, tokens, text)
        # The read-in text repeated to a prompt's length, so that models of any vocabulary read
        # as much.
        prompt = (tokens * (job["read"] // len(tokens) + 1))[: job["read"]]
        forward.speed(prompt[:16], written=2)  # the first steps wake threads and touch weights
        prefill, decode = 0.0, 0.0
        for done in range(rounds):
            speeds = forward.speed(prompt, written=job["written"])
            # The best of the rounds: whatever else ran on the machine only slows.
            prefill, decode = max(prefill, speeds[0]), max(decode, speeds[1])
            progress(done + 2, steps)
        return {**answer, "prefill": prefill, "decode": decode}


def _compare(job: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Return the likelihoods of a text to two models, and their agreement if they share tokens."""
    text = job["text"]
    with (
        Forward(Path(job["path"]), window=WINDOW) as forward,
        Forward(Path(job["other"]), window=WINDOW) as other,
    ):
        tokens = forward.model.vocabulary.tokenize(text, begins=True)
        others = other.model.vocabulary.tokenize(text, begins=True)
        shared = tokens == others and (forward.model.vocabulary.size == other.model.vocabulary.size)
        if not shared:
            answer = {"first": _likelihood(forward, tokens, text)}
            progress(1, 2)
            return answer | {"second": _likelihood(other, others, text)}
        found = agreement(
            forward.rows, other.rows, tokens, characters=len(text), begin=forward.begin
        )
        return {
            "first": _score(found.first),
            "second": _score(found.second),
            "agreement": {"divergence": found.divergence, "top_1": found.top_1},
        }


def _likelihood(forward: Forward, tokens: list[int], text: str) -> dict[str, float]:
    return _score(likelihood(forward.rows, tokens, characters=len(text), begin=forward.begin))


def _score(found: Likelihood) -> dict[str, float]:
    return {
        "perplexity": found.perplexity,
        "bits_per_character": found.bits_per_character,
        "tokens": found.tokens,
    }


def _build(_job: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    start()
    return describe()


_LOG_ERROR = 4  # ggml_log_level

JOBS: Mapping[str, Callable[[Mapping[str, Any], Progress], dict[str, Any]]] = {
    "build": _build,
    "compare": _compare,
    "measure": _measure,
    "quantize": _quantize,
}


def _say(**line: object) -> None:
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Who asked is gone. An exception would be lost in llama.cpp's callback, and the work go on.
        os._exit(1)


def main(text: str) -> None:
    """Do one job and say how it went."""
    job = json.loads(text)
    try:
        result = JOBS[job["job"]](job, lambda done, total: _say(done=done, total=total))
    except RagstackError as error:
        said = error.message.partition("\n")[0] or take_error()
        _say(error=type(error).__name__, message=said, hint=error.hint)
    else:
        _say(result=result)


if __name__ == "__main__":
    main(sys.argv[1])

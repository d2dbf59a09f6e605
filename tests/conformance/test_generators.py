"""Every generator and scorer keeps the promises of its protocol."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack import models
from ragstack.errors import UnsupportedCapability
from ragstack.generate.cascade import CascadeGenerator
from ragstack.generate.local import LocalGenerator
from ragstack.generate.presets import PRESETS
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.protocols import Attributor, Generator, Scorer
from ragstack.testing.generators import GeneratorSuite
from ragstack.testing.scorers import AttributorSuite, ScorerSuite
from ragstack.testing.tiny_model import SMOL_TEMPLATE, TinyModel
from ragstack.testing.tiny_projector import write_seeing
from ragstack.types import Delta, Message, Sampling

_REPLY = "The Harbour Trust pays for the roof; le locataire paie pour les vannes du moulin, 24 h."
_KEY = {"env": "KEY_OF_A_TEST"}
_SCORES = {"yes": -0.5, "no": -1.5, "yes, they do": -3.0}


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_KEY["env"], "s3cret")


class TestScripted(GeneratorSuite):
    enforces_grammars = False

    def make(self) -> Generator:
        return ScriptedGenerator(lambda _: _REPLY)


class TestScriptedScorer(ScorerSuite):
    def make(self) -> Scorer:
        return ScriptedGenerator(scores=_SCORES)


class _TinyModels:
    """Tiny models, written once; two of them read images."""

    paths: ClassVar[dict[str, Path]] = {}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def tiny_models(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("tiny")
        _TinyModels.paths["tools"] = TinyModel().write(folder / "tools.gguf")
        plain = TinyModel(template=SMOL_TEMPLATE, sentencepiece=True)
        _TinyModels.paths["plain"] = plain.write(folder / "plain.gguf")
        for kind in ("mlp", "qwen2vl_merger"):
            (folder / kind).mkdir()
            _TinyModels.paths[kind], _ = write_seeing(folder / kind, kind)
        yield


class TestLocal(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["tools"]))


class TestLocalWithoutTools(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["plain"]))


class TestLocalSeeing(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["mlp"]))


class TestLocalSeeingInTwoDimensions(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["qwen2vl_merger"]))


class TestLocalScorer(_TinyModels, ScorerSuite):
    def make(self) -> Scorer:
        return LocalGenerator(model=str(self.paths["tools"]))


class TestLocalAttributor(_TinyModels, AttributorSuite):
    def make(self) -> Attributor:
        return LocalGenerator(model=str(self.paths["tools"]))


class TestLocalAttributorWithoutTools(_TinyModels, AttributorSuite):
    def make(self) -> Attributor:
        return LocalGenerator(model=str(self.paths["plain"]))


@pytest.mark.integration
class TestSmolAttributor(AttributorSuite):
    tolerance = 1.5  # four tokens, the logits of each moving by 0.2 to 0.4

    def make(self) -> Attributor:
        models.path("smollm2-135m-instruct", pull=True)
        return LocalGenerator(model="smollm2-135m-instruct", context_size=2048)


@pytest.mark.integration
class TestSmol(GeneratorSuite):
    def make(self) -> Generator:
        models.path("smollm2-135m-instruct", pull=True)
        return LocalGenerator(model="smollm2-135m-instruct", context_size=2048)


@pytest.mark.integration
class TestSmolScorer(ScorerSuite):
    def make(self) -> Scorer:
        models.path("smollm2-135m-instruct", pull=True)
        return LocalGenerator(model="smollm2-135m-instruct", context_size=2048)


class _Chat(http.server.BaseHTTPRequestHandler):
    """A server of both dialects whose model is a script."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        anthropic = self.path.endswith("/messages")
        allowed = request.get("max_tokens", request.get("max_completion_tokens"))
        stop = request.get("stop_sequences" if anthropic else "stop", ())
        sampling = Sampling(allowed, stop=tuple(stop))
        if sampling.max_tokens < 0 or request["temperature"] < 0 or "" in sampling.stop:
            body = b'{"error": {"message": "a setting is out of range"}}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        form = request.get("response_format") or request.get("output_config")
        model = ScriptedGenerator(['{"yes": true, "n": 3}' if form else _REPLY])
        write = self._anthropic if anthropic else self._openai
        write(model.stream([Message("user", _plain(request))], sampling=sampling))

    def _openai(self, deltas: Iterator[Delta]) -> None:
        for delta in deltas:
            self._event({"choices": [{"delta": {"content": delta.text}}]})
            if delta.finish and delta.usage:
                self._event({"choices": [{"delta": {}, "finish_reason": delta.finish}]})
                usage = {
                    "prompt_tokens": delta.usage.prompt_tokens,
                    "completion_tokens": delta.usage.answer_tokens,
                }
                self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _anthropic(self, deltas: Iterator[Delta]) -> None:
        block = {"type": "text", "text": ""}
        self._event({"type": "message_start", "message": {"usage": {"input_tokens": 1}}})
        self._event({"type": "content_block_start", "index": 0, "content_block": block})
        for delta in deltas:
            piece = {"type": "text_delta", "text": delta.text}
            self._event({"type": "content_block_delta", "index": 0, "delta": piece})
            if delta.finish and delta.usage:
                reason = {"stop": "end_turn", "length": "max_tokens"}[delta.finish]
                usage = {
                    "input_tokens": delta.usage.prompt_tokens,
                    "output_tokens": delta.usage.answer_tokens,
                }
                end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
                self._event(end)
        self._event({"type": "message_stop"})

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _plain(request: dict[str, Any]) -> str:
    """Return the text of a request's messages."""
    texts = [request.get("system", "")]
    for message in request["messages"]:
        content = message["content"]
        blocks = [{"text": content}] if isinstance(content, str) else content
        texts += [block.get("text", "an image") for block in blocks]
    return " ".join(texts)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes in the middle is what is tested."""


class _Served(GeneratorSuite):
    counts_exactly = False
    urls: ClassVar[list[str]] = []

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def chat_server(cls) -> Iterator[None]:
        with ExitStack() as stack:
            for _ in range(2):
                server = _Server(("127.0.0.1", 0), _Chat)
                thread = threading.Thread(
                    target=server.serve_forever, kwargs={"poll_interval": 0.02}
                )
                thread.start()
                stack.callback(server.server_close)
                stack.callback(thread.join)
                stack.callback(server.shutdown)
                _Served.urls.append(f"http://127.0.0.1:{server.server_port}/v1")
            yield
        _Served.urls.clear()


class TestRemote(_Served):
    def make(self) -> Generator:
        return RemoteGenerator(url=self.urls[0], model="script", context_size=4096)


class TestRemoteAtTwoAddresses(_Served):
    def make(self) -> Generator:
        return RemoteGenerator(url=self.urls, model="script", context_size=4096)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "anthropic"])
class TestPresets(_Served):
    @pytest.fixture
    def generator(self, preset: str) -> Iterator[Generator]:
        with RemoteGenerator(
            url=self.urls[0], preset=preset, model="script", context_size=4096, key=_KEY
        ) as generator:
            yield generator

    def make(self) -> Generator:
        """Not called: the fixture above makes one for each preset."""
        raise NotImplementedError


class TestAnthropic(_Served):
    def make(self) -> Generator:
        return RemoteGenerator(
            url=self.urls[0], preset="anthropic", model="script", context_size=4096, key=_KEY
        )


class TestCascade(GeneratorSuite):
    counts_exactly = False
    enforces_grammars = False

    def make(self) -> Generator:
        return CascadeGenerator(
            steps=[
                {"use": "scripted", "replies": lambda _: "No.", "scores": _SCORES, "doubt": 0.0},
                {"use": "scripted", "replies": lambda _: _REPLY, "context_size": 4096},
            ]
        )


class TestCascadeOfRemotes(_Served):
    def make(self) -> Generator:
        remote = {"use": "remote", "model": "script", "context_size": 4096}
        gone = {**remote, "url": "http://127.0.0.1:9/v1", "retries": 0}
        return CascadeGenerator(steps=[gone, {**remote, "url": self.urls[0]}])


def test_a_script_without_scores_is_no_scorer() -> None:
    with pytest.raises(UnsupportedCapability):
        ScriptedGenerator(["yes"]).logprobs([Message("user", "?")], ["yes"])

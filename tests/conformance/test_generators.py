"""Every generator and scorer keeps the promises of its protocol."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack import models
from ragstack.errors import UnsupportedCapability
from ragstack.generate.local import LocalGenerator
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.protocols import Generator, Scorer
from ragstack.testing.generators import GeneratorSuite, ScorerSuite
from ragstack.testing.tiny_model import SMOL_TEMPLATE, TinyModel
from ragstack.types import Message, Sampling

_REPLY = "The Harbour Trust pays for the roof; le locataire paie pour les vannes du moulin, 24 h."
_SCORES = {"yes": -0.5, "no": -1.5, "yes, they do": -3.0}


class TestScripted(GeneratorSuite):
    enforces_grammars = False

    def make(self) -> Generator:
        return ScriptedGenerator(lambda _: _REPLY)


class TestScriptedScorer(ScorerSuite):
    def make(self) -> Scorer:
        return ScriptedGenerator(scores=_SCORES)


class _TinyModels:
    """Tiny models, written once."""

    paths: ClassVar[dict[str, Path]] = {}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def tiny_models(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("tiny")
        _TinyModels.paths["tools"] = TinyModel().write(folder / "tools.gguf")
        plain = TinyModel(template=SMOL_TEMPLATE, sentencepiece=True)
        _TinyModels.paths["plain"] = plain.write(folder / "plain.gguf")
        yield


class TestLocal(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["tools"]))


class TestLocalWithoutTools(_TinyModels, GeneratorSuite):
    def make(self) -> Generator:
        return LocalGenerator(model=str(self.paths["plain"]))


class TestLocalScorer(_TinyModels, ScorerSuite):
    def make(self) -> Scorer:
        return LocalGenerator(model=str(self.paths["tools"]))


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
    """An OpenAI-compatible server whose model is a script."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = ScriptedGenerator([_REPLY])
        sampling = Sampling(request["max_tokens"], stop=tuple(request.get("stop", ())))
        if sampling.max_tokens < 0 or request["temperature"] < 0 or "" in sampling.stop:
            body = b'{"error": {"message": "a setting is out of range"}}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        messages = [Message(m["role"], m["content"]) for m in request["messages"]]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        text = request.get("response_format") and '{"yes": true, "n": 3}'
        replies = ScriptedGenerator([text]) if text else model
        for delta in replies.stream(messages, sampling=sampling):
            self._event({"choices": [{"delta": {"content": delta.text}}]})
            if delta.finish and delta.usage:
                self._event({"choices": [{"delta": {}, "finish_reason": delta.finish}]})
                usage = {
                    "prompt_tokens": delta.usage.prompt_tokens,
                    "completion_tokens": delta.usage.answer_tokens,
                }
                self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes in the middle is what is tested."""


class TestRemote(GeneratorSuite):
    counts_exactly = False
    url = ""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def chat_server(cls) -> Iterator[None]:
        server = _Server(("127.0.0.1", 0), _Chat)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        TestRemote.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield
        server.shutdown()
        thread.join()
        server.server_close()

    def make(self) -> Generator:
        return RemoteGenerator(url=self.url, model="script", context_size=4096)


def test_a_script_without_scores_is_no_scorer() -> None:
    with pytest.raises(UnsupportedCapability):
        ScriptedGenerator(["yes"]).logprobs([Message("user", "?")], ["yes"])

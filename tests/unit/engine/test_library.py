"""What llama.cpp logs reaches who called it; a library that is too old is as good as none."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import llama_cpp.mtmd_cpp as mtmd
import pytest

from ragstack.engine import library

_ERROR, _CONTINUE = 4, 5


def test_each_thread_hears_of_its_own_errors() -> None:
    """One that loads a model does not explain the failure of another that reads an image."""
    turn = threading.Barrier(2, timeout=30)

    def fail(what: str) -> str:
        library.take_error()
        turn.wait()
        library.log_callback(_ERROR, f"{what}: no ".encode(), None)
        turn.wait()  # lines come in pieces
        library.log_callback(_CONTINUE, f"{what} here\n".encode(), None)
        turn.wait()
        return library.take_error()

    library.take_error()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fail, ["one", "two"])) == ["no one here", "no two here"]
    assert library.take_error() == ""


@pytest.mark.parametrize("lacks", ["mtmd_log_set", "mtmd_image_tokens_get_decoder_pos", "text_len"])
def test_an_image_library_that_is_too_old_is_none(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    assert library.image_library() is mtmd
    old = {name: value for name, value in vars(mtmd).items() if name != lacks}
    if lacks == "text_len":
        old["mtmd_input_text"] = SimpleNamespace(text=b"")
    monkeypatch.setattr(library.importlib, "import_module", lambda _: SimpleNamespace(**old))
    assert library.image_library.__wrapped__() is None

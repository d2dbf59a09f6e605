"""LoRA adapters: each request has its own, nothing is shared across, a bad file is only refused."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine import gguf
from ragstack.engine.adapters import check_adapter
from ragstack.engine.beams import beam_search
from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.probe import check_loads
from ragstack.errors import InputError, ModelError
from ragstack.testing.tiny_model import TinyAdapter, TinyModel
from ragstack.types import Sampling

_PROMPT = tuple(b"A prompt of some forty bytes, all of them.")
_NAMES = ("", "one", "two")
_OPTIONS = Options(size=256, cells=2048, batch=32, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    TinyAdapter(seed=1).write(folder / "one.gguf")
    TinyAdapter(seed=2).write(folder / "two.gguf")
    return folder


def _open(tiny_path: Path, folder: Path, **options: object) -> Engine:
    adapters = {name: folder / f"{name}.gguf" for name in _NAMES if name}
    return Engine(tiny_path, _OPTIONS, adapters=adapters)


@pytest.fixture
def engine(tiny_path: Path, folder: Path) -> Iterator[Engine]:
    engine = _open(tiny_path, folder)
    yield engine
    engine.close()


def _request(engine: Engine, adapter: str, prompt: tuple[int, ...] = _PROMPT) -> Request:
    never = dict.fromkeys(engine.model.vocabulary.ends, float("-inf"))
    sampling = Sampling(max_tokens=24, logit_bias=never)
    return Request(prompt, sampling, manner=Manner(adapter=adapter))


def test_adapters_change_what_is_written(engine: Engine, tiny_engine: Engine) -> None:
    texts = {name: tuple(engine.generate(_request(engine, name))) for name in _NAMES}
    assert len(set(texts.values())) == 3
    assert texts[""] == tuple(tiny_engine.generate(_request(engine, "")))


def test_an_adapter_is_what_its_formula_says(
    tiny_path: Path, tmp_path: Path, engine: Engine
) -> None:
    """W + alpha / rank * B A, put into the model's own weights, scores the same."""
    base = gguf.read_header(tiny_path)
    adapter = gguf.read_header(TinyAdapter(seed=1).write(tmp_path / "a.gguf"))

    def read(header: gguf.Header, name: str) -> np.ndarray:  # type: ignore[type-arg]
        tensor = next(each for each in header.tensors if each.name == name)
        raw = header.path.read_bytes()[tensor.start : tensor.start + tensor.bytes]
        return np.frombuffer(raw, np.float32).reshape(tensor.shape[::-1])

    merged = bytearray(tiny_path.read_bytes())
    for tensor in base.tensors:
        if f"{tensor.name}.lora_a" not in {each.name for each in adapter.tensors}:
            continue
        a, b = (read(adapter, f"{tensor.name}.lora_{side}") for side in "ab")
        change = a @ b.T if tensor.name == "token_embd.weight" else b @ a
        weights = (read(base, tensor.name) + 2.0 * change).astype(np.float32)
        merged[tensor.start : tensor.start + tensor.bytes] = weights.tobytes()
    (tmp_path / "merged.gguf").write_bytes(merged)
    expected = Engine(tmp_path / "merged.gguf", _OPTIONS)
    tokens = list(b"and then")
    (wanted,) = expected.score(_PROMPT, [tokens])
    expected.close()
    (found,) = engine.score(_PROMPT, [tokens], manner=Manner(adapter="one"))
    (without,) = engine.score(_PROMPT, [tokens])
    assert found == pytest.approx(wanted, abs=0.3)
    assert without != pytest.approx(wanted, abs=0.3)


def test_mixed_requests_each_get_what_they_get_alone(tiny_path: Path, folder: Path) -> None:
    """Three adapters, nine requests at once; each text is that of an engine with nobody else."""
    engine = _open(tiny_path, folder)
    prompts = [(*_PROMPT, *str(number).encode()) for number in range(3)]
    wanted = {}
    for name in _NAMES:
        for prompt in prompts:
            alone = _open(tiny_path, folder)
            wanted[name, prompt] = list(alone.generate(_request(alone, name, prompt)))
            alone.close()
    found: dict[tuple[str, tuple[int, ...]], list[int]] = {}

    def run(name: str, prompt: tuple[int, ...]) -> None:
        found[name, prompt] = list(engine.generate(_request(engine, name, prompt)))

    threads = [threading.Thread(target=run, args=each) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == wanted
    engine.close()


def test_nothing_cached_is_shared_across_adapters(engine: Engine) -> None:
    cached = {}
    for name in _NAMES:
        for turn in range(2):
            generation = engine.generate(_request(engine, name))
            list(generation)
            cached[name, turn] = generation.cached
    assert all(cached[name, 0] == 0 for name in _NAMES)
    assert all(cached[name, 1] == len(_PROMPT) - 1 for name in _NAMES)


def test_nobody_waits_for_ever_for_another_s_adapter(engine: Engine) -> None:
    """A long prompt under one adapter is read while a text under another is written."""
    long = engine.generate(_request(engine, "one", tuple(b"y" * 230)))
    short = engine.generate(_request(engine, "two"))
    firsts: list[str] = []

    def run(name: str, generation: Iterator[int]) -> None:
        next(generation)
        firsts.append(name)
        list(generation)

    threads = [
        threading.Thread(target=run, args=each) for each in (("long", long), ("short", short))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(firsts) == ["long", "short"]


def test_beams_and_saved_prefixes_know_the_adapter(engine: Engine, tmp_path: Path) -> None:
    sampling = _request(engine, "").sampling
    one, plain = (
        beam_search(engine, _PROMPT, sampling, manner=Manner(adapter=name))[0].tokens
        for name in ("one", "")
    )
    assert one != plain
    engine.save_prefix(_PROMPT, tmp_path / "p", manner=Manner(adapter="one"))
    assert engine.load_prefix(tmp_path / "p", manner=Manner(adapter="one")) == len(_PROMPT)
    for name in ("", "two"):
        with pytest.raises(ModelError, match="its adapter is"):
            engine.load_prefix(tmp_path / "p", manner=Manner(adapter=name))


def test_an_unknown_name_is_refused(engine: Engine, tiny_engine: Engine) -> None:
    with pytest.raises(InputError, match="'three'; there are: 'one', 'two'"):
        engine.generate(_request(engine, "three"))
    with pytest.raises(InputError, match="there are: none"):
        tiny_engine.score(_PROMPT, [[1]], manner=Manner(adapter="one"))
    assert engine.stats().active == 0


_A, _B = "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"


def _zeros(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (TinyAdapter(metadata={"general.type": "model"}), "general.type is 'model'"),
        (TinyAdapter(metadata={"general.type": None}), "general.type is None"),
        (TinyAdapter(metadata={"general.type": 7}), "general.type is 7"),
        (TinyAdapter(metadata={"adapter.type": "control_vector"}), "adapter.type"),
        (TinyAdapter(metadata={"general.architecture": "qwen2"}), "expected 'llama'"),
        (TinyAdapter(metadata={"adapter.lora.alpha": 8}), "alpha is no float"),
        (TinyAdapter(metadata={"adapter.alora.invocation_tokens": [1, 2]}), "certain tokens"),
        (TinyAdapter(tensors={_A: None}), "half of the pair"),
        (TinyAdapter(tensors={_A: _zeros(4, 32)}), "has the shapes"),
        (TinyAdapter(tensors={_B: _zeros(64, 8)}), "has the shapes"),
        (TinyAdapter(tensors={_B: _zeros(64)}), "has the shapes"),
        (TinyAdapter(tensors={_A: _zeros(2, 4, 64), _B: _zeros(2, 64, 4)}), "has the shapes"),
        (TinyAdapter(tensors={"token_embd.weight.lora_a": _zeros(273, 3)}), "has the shapes"),
        (TinyAdapter(tensors={"blk.7.attn_q.weight.lora_a": _zeros(4, 64)}), "has no tensor"),
        (TinyAdapter(tensors={"output.weight": _zeros(4, 64)}), "no part of an adapter"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, tiny_path: Path, adapter: TinyAdapter, message: str
) -> None:
    path = adapter.write(tmp_path / "a.gguf")
    with pytest.raises(ModelError, match=message):
        check_adapter(path, gguf.read_header(tiny_path))
    with pytest.raises(ModelError, match=message):
        Engine(tiny_path, _OPTIONS, adapters={"a": path})


def test_a_model_is_no_adapter(tiny_path: Path, tmp_path: Path) -> None:
    other = TinyModel(seed=3).write(tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="no adapter for this model"):
        check_adapter(other, gguf.read_header(tiny_path))
    with pytest.raises(ModelError, match="cannot be read"):
        check_adapter(tmp_path / "none.gguf", gguf.read_header(tiny_path))


def test_a_damaged_header_is_refused_or_harmless(
    folder: Path, tiny_path: Path, tmp_path: Path
) -> None:
    """Two thousand damaged headers: each is refused, or still describes this model's pairs."""
    whole = (folder / "one.gguf").read_bytes()
    base = gguf.read_header(tiny_path)
    head = min(tensor.start for tensor in gguf.read_header(folder / "one.gguf").tensors)
    rng = random.Random(7)
    path = tmp_path / "damaged.gguf"
    refused = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(head)] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(len(damaged))))])
        try:
            check_adapter(path, base)
        except ModelError:
            refused += 1
    assert refused > 1200


def test_a_file_that_brings_llama_cpp_down_is_found_out_elsewhere(
    tiny_path: Path, folder: Path, tmp_path: Path
) -> None:
    """Alpha as float64 passes for a float here, and is an assert there."""
    check_loads(tiny_path, folder / "one.gguf")
    whole = (folder / "one.gguf").read_bytes()
    key = b"adapter.lora.alpha"
    at = whole.index(key) + len(key)
    wide = whole[:at] + struct.pack("<Id", 12, 8.0) + whole[at + 8 :]
    # four bytes more in the header, whose end is padded: four less of the padding
    start = min(tensor.start for tensor in gguf.read_header(folder / "one.gguf").tensors)
    padding = len(whole[:start]) - len(whole[:start].rstrip(b"\0"))
    assert padding >= 4
    path = tmp_path / "wide.gguf"
    path.write_bytes(wide[: start + 4 - 4] + wide[start + 4 :])
    check_adapter(path, gguf.read_header(tiny_path))
    with pytest.raises(ModelError, match=r"wide\.gguf.* cannot be used: llama.cpp aborts"):
        check_loads(tiny_path, path)


def test_adapters_take_turns_of_several_steps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = engine._worker.context
    switches: list[int | None] = []
    adapt = context.adapt

    def noted(adapter: int | None) -> None:
        switches.append(adapter)
        adapt(adapter)

    monkeypatch.setattr(context, "adapt", noted)
    generations = [engine.generate(_request(engine, name)) for name in ("one", "two")]
    threads = [threading.Thread(target=list, args=(each,)) for each in generations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # 24 tokens each, in turns of eight steps: three turns and the reading, or one after the other
    assert 2 <= len(switches) <= 10

"""Images come to the same as in llama.cpp's own loop, in any company, and are read once."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import llama_cpp.mtmd_cpp as mtmd
import numpy as np
import pytest

from ragstack.engine import projector as projector_module
from ragstack.engine.batch import Piece
from ragstack.engine.beams import beam_search
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.entry import Entry
from ragstack.engine.generation import Generation
from ragstack.engine.images import ids_of, runs, words
from ragstack.engine.model import Model
from ragstack.engine.pictures import Picture, Pixels, check_pixels
from ragstack.engine.probe import check_loads
from ragstack.engine.projector import Projector, Prompt
from ragstack.engine.projector_file import check_projector
from ragstack.engine.visiting import Visiting
from ragstack.errors import (
    Cancelled,
    ContextOverflow,
    DeadlineExceeded,
    EngineBusy,
    GenerationError,
    InputError,
    ModelError,
    UnsupportedCapability,
)
from ragstack.testing.tiny_kinds import ARCHITECTURES, TinyKind
from ragstack.testing.tiny_model import TinyModel
from ragstack.testing.tiny_projector import PROJECTORS, TinyProjector, write_seeing
from ragstack.types import Sampling

_OPTIONS = Options(size=256, cells=512, batch=64, threads=1, streams=4, kept=6)
_BEFORE, _AFTER = "What is shown here: ", ". Say it in a word"
_NEAR = 0.5  # between the two best logits: there the shape of a step may decide
_SIZE = (50, 70)


def _noise(seed: int, size: tuple[int, int] = _SIZE) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _picture(seed: int, size: tuple[int, int] = _SIZE) -> Picture:
    return Picture.of(_noise(seed, size))


@pytest.fixture(scope="module", params=PROJECTORS)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    return write_seeing(tmp_path_factory.mktemp("seeing"), request.param)


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_seeing(tmp_path_factory.mktemp("seeing"), "mlp")


@pytest.fixture
def engine(files: tuple[Path, Path]) -> Iterator[Engine]:
    engine = Engine(files[0], _OPTIONS, projector=files[1])
    yield engine
    engine.close()


@pytest.fixture
def plain(plain_files: tuple[Path, Path]) -> Iterator[Engine]:
    engine = Engine(plain_files[0], _OPTIONS, projector=plain_files[1])
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bare(files: tuple[Path, Path]) -> Iterator[tuple[Model, Projector]]:
    model = Model(files[0], gpu_layers=0)
    projector = Projector(files[1], model, threads=1)
    yield model, projector
    projector.close()
    model.close()


def _prompt(engine: Engine, *seeds: int, after: str = _AFTER) -> tuple[int, ...]:
    vocabulary = engine.model.vocabulary
    seen = [token for seed in seeds for token in engine.see(_picture(seed))]
    return (*vocabulary.tokenize(_BEFORE), *seen, *vocabulary.tokenize(after))


def _request(prompt: Sequence[int], most: int = 12, **settings: object) -> Request:
    """Return a request that goes on to the last token."""
    never = dict.fromkeys(range(266, 273), -np.inf)  # marks and ends, after bytes and merges
    return Request(
        tuple(prompt),
        Sampling(max_tokens=most, logit_bias=never, **settings),  # type: ignore[arg-type]
    )


def _said_by_llama_cpp(
    model: Model, projector: Projector, seeds: Sequence[int], then: Sequence[int]
) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Return the rows that mtmd's own helper and a loop come to: after the prompt, and each token.

    It reads the same prompt as ``_prompt`` in one piece of text, and cuts it for itself.
    """
    context = Context(model, replace(_OPTIONS, streams=1, kept=1))
    chunks = mtmd.mtmd_input_chunks_init()
    text = (_BEFORE + mtmd.mtmd_default_marker().decode() * len(seeds) + _AFTER).encode()
    asked = mtmd.mtmd_input_text(
        text=text, text_len=len(text), add_special=False, parse_special=True
    )
    bitmaps = [
        mtmd.mtmd_bitmap_init(
            _SIZE[1], _SIZE[0], _noise(seed).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        )
        for seed in seeds
    ]
    array = (mtmd.mtmd_bitmap_p_ctypes * len(bitmaps))(*bitmaps)
    end = ctypes.c_int(0)
    try:
        handle = projector.handle
        assert mtmd.mtmd_tokenize(handle, chunks, ctypes.byref(asked), array, len(seeds)) == 0
        done = mtmd.mtmd_helper_eval_chunks(
            handle, context.handle, chunks, 0, 0, 64, True, ctypes.byref(end)
        )
        assert done == 0
        found = projector_module.llama.llama_get_logits_ith(context.handle, -1)
        rows = [np.ctypeslib.as_array(found, (model.vocabulary.size,)).copy()]
        for number, token in enumerate(then):
            context.decode([Piece(0, end.value + number, [token], rows=1)])
            rows.append(context.logits(0).copy())
    finally:
        for bitmap in bitmaps:
            mtmd.mtmd_bitmap_free(bitmap)
        mtmd.mtmd_input_chunks_free(chunks)
        context.close()
    return rows


def _check_greedy(
    bare: tuple[Model, Projector], seeds: Sequence[int], found: Sequence[int]
) -> None:
    """Fail where a token is not llama.cpp's likeliest there, but for near ties."""
    assert len(found) == 12
    for row, token in zip(_said_by_llama_cpp(*bare, seeds, found[:-1]), found, strict=True):
        row[266:273] = -np.inf
        assert row[token] >= row.max() - _NEAR


def test_rows_come_to_the_same_bits_as_in_llama_cpps_own_loop(
    bare: tuple[Model, Projector],
) -> None:
    model, projector = bare
    (expected,) = _said_by_llama_cpp(model, projector, [0], [])
    vocabulary = model.vocabulary
    text = [vocabulary.tokenize(part) for part in (_BEFORE, _AFTER)]
    prompt = [*text[0], *projector.tokens(_picture(0)), *text[1]]
    tiles = dict(projector.find(prompt))
    context = Context(model, replace(_OPTIONS, streams=1, kept=1))
    held: list[int] = []
    pending: list[int] = []

    def read() -> None:
        if pending:
            assert context.decode([Piece(0, len(held), pending, rows=1)])
            held.extend(pending)
            pending.clear()

    at = 0
    while at < len(prompt):
        tile = tiles.get(at)
        if tile is None:
            pending.append(prompt[at])
            at += 1
            continue
        read()
        image = tile.placed(at, lambda: True)
        stride = image.cells if image.whole else 3  # in parts, where it may be
        for start in range(0, image.cells, stride):
            assert context.look(0, image, start, min(start + stride, image.cells))
        held += tile.ids
        at += len(tile.ids)
    last = len(pending)
    read()
    np.testing.assert_array_equal(context.logits(last - 1), expected)
    context.close()


def test_greedy_text_is_that_of_llama_cpps_own_loop(
    engine: Engine, bare: tuple[Model, Projector]
) -> None:
    for seeds in ([0], [1], [0, 1], [1, 1]):
        _check_greedy(bare, seeds, list(engine.generate(_request(_prompt(engine, *seeds)))))


def test_streams_with_and_without_images_write_what_each_writes_alone(
    engine: Engine, bare: tuple[Model, Projector]
) -> None:
    text = engine.model.vocabulary.tokenize("A prompt of some forty bytes, all of them.")
    alone = list(engine.generate(_request(text)))
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda n: list(
                    engine.generate(_request(_prompt(engine, n % 4) if n % 2 else text))
                ),
                range(12),
            )
        )
    for number, tokens in enumerate(found):
        if number % 2:
            _check_greedy(bare, [number % 4], tokens)
        else:
            assert len(tokens) == len(alone)
    assert engine.stats().active == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kinds_of_model_that_read_otherwise_read_images_too(
    tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States that run through, windows, experts: also where an image was given up half-way."""
    path = TinyKind(architecture).write(tmp_path / "kind.gguf")
    projector = TinyProjector().write(tmp_path / "mmproj.gguf")
    model = Model(path, gpu_layers=0)
    eye = Projector(projector, model, threads=1)
    engine = Engine(path, replace(_OPTIONS, batch=10, full_window=False), projector=projector)
    prompt = _prompt(engine, 0)
    _check_greedy((model, eye), [0], list(engine.generate(_request(prompt))))
    context = engine._worker.context
    look = context.look
    for seed in (1, 2):
        given_up = engine.generate(_request(_prompt(engine, seed)))
        with monkeypatch.context() as patch:
            patch.setattr(context, "look", lambda *one, it=given_up: it.close() or look(*one))
            assert not list(given_up)
            assert engine.stats().active == 0
        _check_greedy((model, eye), [seed], list(engine.generate(_request(_prompt(engine, seed)))))
    _check_greedy((model, eye), [0], list(engine.generate(_request(prompt))))
    engine.close()
    eye.close()
    model.close()


def test_what_was_read_of_an_image_is_not_read_again(engine: Engine) -> None:
    prompt = _prompt(engine, 0)
    first = engine.generate(_request(prompt))
    texts = [list(first)]
    assert first.cached == 0
    again = engine.generate(_request(prompt))
    texts.append(list(again))
    assert again.cached == len(prompt) - 1 and texts[0] == texts[1]
    before = len(engine.model.vocabulary.tokenize(_BEFORE))
    other = engine.generate(_request(_prompt(engine, 1)))
    list(other)
    # Marks around an image are alike; not one row of it is.
    shown = next(at for at, token in enumerate(prompt) if token not in words([token]))
    assert before <= shown == other.cached
    asked = engine.generate(_request(_prompt(engine, 0, after=". And the other one?")))
    list(asked)
    assert asked.cached > shown


def test_an_image_that_was_put_away_is_brought_back(
    engine: Engine, bare: tuple[Model, Projector]
) -> None:
    """From the shelf in plain memory, with the conversation that it stands in."""
    prompt = _prompt(engine, 0)
    list(engine.generate(_request(prompt)))
    sequences = engine._worker.scheduler.sequences
    engine._worker.call(lambda: [sequences.evict() for _ in range(4)])
    assert sequences.idle == 0 and sequences.kept == 1
    again = engine.generate(_request(prompt))
    _check_greedy(bare, [0], list(again))
    assert again.cached == len(prompt) - 1


@pytest.mark.parametrize("kind", PROJECTORS)
def test_rows_are_the_same_with_and_without_flash_attention(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vision network runs on the same kernels, with a mask of its own or none."""
    model_path, path = write_seeing(tmp_path, kind)
    model, found = Model(model_path, gpu_layers=0), []
    default = mtmd.mtmd_context_params_default
    for flash in (0, 1):  # LLAMA_FLASH_ATTN_TYPE_DISABLED and _ENABLED

        def parameters(flash: int = flash) -> mtmd.mtmd_context_params:
            made = default()
            made.flash_attn_type = flash
            return made

        monkeypatch.setattr(mtmd, "mtmd_context_params_default", parameters)
        projector = Projector(path, model, threads=2)
        found.append(
            [
                tile.placed(0, lambda: True).rows
                for _, tile in projector.find(projector.tokens(_picture(0)))
            ]
        )
        projector.close()
    model.close()
    for off, on in zip(*found, strict=True):
        np.testing.assert_allclose(on, off, atol=0.01 * float(np.abs(off).max()))


@pytest.mark.parametrize("files", ["mlp", "qwen2vl_merger"], indirect=True)
def test_an_image_given_up_half_way_leaves_nothing_behind(
    files: tuple[Path, Path],
    bare: tuple[Model, Projector],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut in the midst of its rows, its sequence serves the next one all the same."""
    small = Engine(files[0], replace(_OPTIONS, batch=10, streams=1, kept=1), projector=files[1])
    prompt = _prompt(small, 2)
    context, read = small._worker.context, []
    look = context.look
    for _ in range(3):
        generation = small.generate(_request(prompt))
        with monkeypatch.context() as patch:

            def once(*rows: object, generation: Generation = generation) -> bool:
                read.append(rows[2:])
                generation.close()
                return look(*rows)  # type: ignore[arg-type]

            patch.setattr(context, "look", once)
            assert not list(generation)
            assert small.stats().active == 0
    assert read and all(start == 0 for start, _ in read)
    assert read[-1][1] < context.limits.context and len(read) == 3
    _check_greedy(bare, [2], list(small.generate(_request(prompt))))
    _check_greedy(bare, [2], list(small.generate(_request(prompt))))
    small.close()


def test_an_image_that_was_put_away_is_read_anew(plain: Engine) -> None:
    prompt = _prompt(plain, 0)
    expected = list(plain.generate(_request(prompt)))
    for number in range(12):  # more than are kept
        list(plain.generate(_request([*range(65 + number, 90 + number)], most=2)))
    assert list(plain.generate(_request(prompt))) == expected


def test_those_who_write_write_on_while_an_image_is_read(
    plain_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second step is theirs."""
    options = replace(_OPTIONS, batch=5, outputs=5, streams=3, kept=2)
    engine = Engine(plain_files[0], options, projector=plain_files[1])
    context, steps = engine._worker.context, []
    look, decode = context.look, context.decode
    monkeypatch.setattr(context, "look", lambda *one: steps.append("image") or look(*one))
    monkeypatch.setattr(context, "decode", lambda one: steps.append("text") or decode(one))
    quiet = Manner(speculate=False)
    writer = engine.generate(replace(_request([65, 66], most=150), manner=quiet))
    next(writer)
    steps.clear()
    list(engine.generate(replace(_request(_prompt(engine, 0, 1), most=2), manner=quiet)))
    first, last = steps.index("image"), len(steps) - steps[::-1].index("image")
    reading = steps[first:last]
    assert reading.count("image") >= 6
    assert "image" not in [a for a, b in itertools.pairwise(reading) if a == b]
    writer.close()
    engine.close()


def test_scores_beams_and_what_an_answer_hangs_on(engine: Engine) -> None:
    shown, other = _prompt(engine, 0), _prompt(engine, 1)
    answer = engine.model.vocabulary.tokenize("red")
    (scores,), (others,) = (engine.score(prompt, [answer]) for prompt in (shown, other))
    assert len(scores) == len(answer) and scores != others
    best, again = (beam_search(engine, shown, Sampling(max_tokens=4, beams=2)) for _ in "12")
    assert [one.tokens for one in best] == [one.tokens for one in again]
    elsewhere = beam_search(engine, other, Sampling(max_tokens=4, beams=2))
    assert abs(best[0].logprob - elsewhere[0].logprob) > 0.01
    before = len(engine.model.vocabulary.tokenize(_BEFORE))
    whole, without = engine.leave_out(shown, [(2, before - 1)], answer)
    assert np.allclose(whole, scores, atol=0.1) and without != whole
    exact = engine.leave_out(shown, [(2, before - 1)], answer, exact=True)
    assert len(exact[1]) == len(answer)


def test_what_cannot_be_served_is_said_first(plain: Engine, plain_files: tuple[Path, Path]) -> None:
    prompt = _prompt(plain, 0)
    image = [at for at, token in enumerate(prompt) if not words([token])]
    with pytest.raises(InputError, match="ends with an image"):
        plain.generate(_request(prompt[: image[-1] + 1]))
    for torn in (prompt[: image[3]] + prompt[image[-1] + 1 :], (*prompt[: image[3]], 65)):
        with pytest.raises(InputError, match="part of an image"):
            plain.generate(_request(torn))
    with pytest.raises(EngineBusy, match="not kept"):
        plain.generate(_request([65, *ids_of(b"never seen", 16), 66]))
    with pytest.raises(InputError, match="no token"):
        plain.generate(_request([65, 10**6, 66]))
    with pytest.raises(ContextOverflow):
        plain.generate(_request(_prompt(plain, *range(16))))
    with pytest.raises(UnsupportedCapability, match="text alone"):
        plain.save_prefix(prompt, plain_files[0].with_name("saved"))
    blind = Engine(plain_files[0], _OPTIONS)
    with pytest.raises(UnsupportedCapability, match="no projector"):
        blind.see(_picture(0))
    with pytest.raises(InputError, match="no token"):
        blind.generate(_request(prompt))
    blind.close()


@pytest.mark.parametrize("files", ["gemma3"], indirect=True)
def test_an_image_read_whole_must_fit_a_step(files: tuple[Path, Path]) -> None:
    engine = Engine(
        files[0], replace(_OPTIONS, batch=3, outputs=3, streams=1, kept=1), projector=files[1]
    )
    with pytest.raises(InputError, match="read in one step"):
        engine.generate(_request(_prompt(engine, 0)))
    assert len(list(engine.generate(_request([65, 66, 67], most=2)))) == 2
    engine.close()


@pytest.mark.parametrize("files", ["qwen2vl_merger"], indirect=True)
def test_an_image_needs_room_for_all_its_rows(engine: Engine) -> None:
    """It takes 4 positions and 12 cells here."""
    (tile,) = [tile for _, tile in engine.check(_prompt(engine, 0), Sampling(max_tokens=1))]
    assert (len(tile.ids), tile.cells) == (4, 12)
    prompt = _prompt(engine, 0)
    left = _OPTIONS.size - len(prompt)
    engine.generate(_request(prompt, most=left - 8))
    with pytest.raises(ContextOverflow):
        engine.generate(_request(prompt, most=left - 7))
    image = tile.placed(prompt.index(tile.ids[0]), lambda: True)
    entry = Entry(Visiting(prompt, lambda: None), lambda _: None, images=(image, image))
    assert entry.need == len(prompt) + 2 * 8


def test_images_are_kept_up_to_a_size_and_longer_by_who_needs_them(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "_KEPT", 10_000)  # two images of 16 rows of 64 numbers
    prompt = _prompt(plain, 0)
    waiting = plain.generate(_request(prompt))
    for seed in range(1, 5):
        _prompt(plain, seed)
    assert len(list(waiting)) == 12, "who asked for it still has it"
    del waiting
    with pytest.raises(EngineBusy):
        plain.generate(_request(prompt))
    assert len(list(plain.generate(_request(_prompt(plain, 0))))) == 12


def test_a_prompt_may_show_more_than_is_kept(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "_KEPT", 10_000)
    words = plain.model.vocabulary.tokenize
    seen = [plain.see(_picture(seed)) for seed in range(5)]
    prompt = Prompt.joined([words("Five: "), *seen, words(_AFTER)])
    assert len(prompt.tiles) == 5 and prompt.cells == len(prompt)
    del seen
    assert len(list(plain.generate(_request(prompt)))) == 12
    assert plain.score(prompt, [[65, 66]])
    assert plain.leave_out(prompt, [(0, 4)], [65, 66], exact=True)
    assert plain.peek([prompt], 2)
    tile = prompt.tiles[0]
    again = plain.see(_picture(0))
    assert again.tiles == (tile,), "forgotten, but at work: there is one of each"
    del prompt, again, tile
    with pytest.raises(EngineBusy):
        plain.generate(_request([65, *ids_of(_picture(1).digest + bytes(4), 16), 66]))


def test_pixels_are_made_when_they_are_wanted_and_not_held(files: tuple[Path, Path]) -> None:
    engine = Engine(files[0], _OPTIONS, projector=files[1])
    made: list[int] = []

    def pixels() -> Pixels:
        made.append(len(made))
        return _noise(3)

    picture = Picture(b"three", pixels, 40_000_000)
    seen = engine.see(picture)
    projector = engine._worker.projector
    assert projector is not None
    (kept,) = projector._kept.values()
    assert len(made) == 1 and kept.bytes > 40_000_000
    assert engine.see(picture) == seen and len(made) == 1
    words = engine.model.vocabulary.tokenize
    prompt = Prompt.joined([words(_BEFORE), seen, words(_AFTER)])
    assert len(list(engine.generate(_request(prompt)))) == 12
    assert len(made) == 2, "once for all tiles"
    assert projector._open is None and kept.bytes == sum(tile.bytes for tile in seen.tiles)
    assert not any(tile.picture for tile in seen.tiles)
    engine.close()


@pytest.mark.parametrize("files", ["qwen2vl_merger"], indirect=True)
def test_an_image_that_comes_to_other_pixels_is_refused(engine: Engine) -> None:
    """Its rows would be others, or not as many as were reckoned with."""
    sizes = iter([_SIZE, (14, 200)])
    seen = engine.see(Picture(b"odd", lambda: _noise(0, next(sizes)), 1))
    words = engine.model.vocabulary.tokenize
    with pytest.raises(GenerationError, match="other pixels"):
        list(engine.generate(_request(Prompt.joined([seen, words(_AFTER)]))))


@pytest.mark.parametrize(
    ("manner", "queue_limit", "said"),
    [
        (Manner(cancel=threading.Event()), 8, ""),
        (Manner(deadline_s=1e-9), 8, "longer than"),
        (Manner(), 0, "wait for the model already"),
    ],
)
def test_what_nobody_wants_is_not_looked_at(
    plain_files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    manner: Manner,
    queue_limit: int,
    said: str,
) -> None:
    engine = Engine(plain_files[0], _OPTIONS, projector=plain_files[1], queue_limit=queue_limit)
    if manner.cancel is not None:
        manner.cancel.set()
    calls = []
    monkeypatch.setattr(mtmd, "mtmd_encode_chunk", lambda *_: calls.append(1) or 1)
    prompt = _prompt(engine, 0, 1)
    generation = engine.generate(replace(_request(prompt), manner=manner))
    if said:
        with pytest.raises((DeadlineExceeded, EngineBusy), match=said):
            next(generation)
    assert list(generation) == [] and generation.finish == "cancelled"
    with pytest.raises((Cancelled, DeadlineExceeded, EngineBusy)):
        engine.peek([prompt], 1, manner=manner)
    assert not calls and engine.stats().waiting == 0
    engine.close()


def test_who_waits_for_anothers_image_can_give_up(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    encode = mtmd.mtmd_encode_chunk

    def slow(*one: object) -> int:
        begun.set()
        assert go_on.wait(30)
        return encode(*one)  # type: ignore[no-any-return, arg-type]

    monkeypatch.setattr(mtmd, "mtmd_encode_chunk", slow)
    prompts = [_prompt(plain, seed) for seed in (30, 31)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: list(plain.generate(_request(prompts[0]))))
        assert begun.wait(30)
        given_up = plain.generate(replace(_request(prompts[1]), manner=Manner(deadline_s=0.01)))
        with pytest.raises(DeadlineExceeded):
            next(given_up)
        assert not first.done() and plain.stats().waiting == 1
        go_on.set()
        assert len(first.result()) == 12


def test_rows_are_counted_where_images_have_two_dimensions(engine: Engine) -> None:
    words = engine.model.vocabulary.tokenize
    prompt = Prompt.joined([words(_BEFORE), engine.see(_picture(0)), words(_AFTER)])
    for cached in (0, prompt.cells - 1):
        before = engine.stats().totals
        generation = engine.generate(_request(prompt))
        list(generation)
        totals = engine.stats().totals
        assert generation.rows == (prompt.cells, cached)
        assert totals.cached - before.cached == cached
        assert totals.read - before.read == prompt.cells - 1 - cached


@pytest.mark.parametrize("exact", [False, True])
def test_an_image_is_left_out_whole(plain: Engine, exact: bool) -> None:
    prompt = _prompt(plain, 0)
    (at,) = [at for at, _ in runs(prompt)]
    assert len(plain.leave_out(prompt, [(at, at + 16)], [65, 66], exact=exact)) == 2
    for start, end in ((at, at + 4), (at + 4, at + 8), (at + 4, at + 16), (2, at + 1)):
        with pytest.raises(InputError, match="part of an image"):
            plain.leave_out(prompt, [(start, end)], [65, 66], exact=exact)


def test_one_image_is_turned_into_rows_once(plain: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = mtmd.mtmd_encode_chunk
    monkeypatch.setattr(mtmd, "mtmd_encode_chunk", lambda *one: calls.append(one) or encode(*one))
    with ThreadPoolExecutor(4) as pool:
        prompts = list(pool.map(lambda _: _prompt(plain, 7), range(8)))
        list(pool.map(lambda prompt: list(plain.generate(_request(prompt))), prompts))
    assert len(calls) == 1 and len(set(prompts)) == 1


def test_an_image_is_cut_while_another_is_turned_into_rows(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only counts tokens does not wait for the vision network."""
    begun, go_on = threading.Event(), threading.Event()
    encode = mtmd.mtmd_encode_chunk

    def slow(*one: object) -> int:
        begun.set()
        assert go_on.wait(30)
        return encode(*one)  # type: ignore[no-any-return, arg-type]

    monkeypatch.setattr(mtmd, "mtmd_encode_chunk", slow)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: list(plain.generate(_request(_prompt(plain, 20)))))
        assert begun.wait(30)
        assert _prompt(plain, 21) and plain.stats().active == 0
        text = plain.model.vocabulary.tokenize("Text alone.")
        assert len(list(plain.generate(_request(text)))) == 12
        assert not asked.done()
        go_on.set()
        assert len(asked.result()) == 12


def test_what_fails_in_llama_cpp_is_an_error_of_that_request(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = _prompt(plain, 9)
    with monkeypatch.context() as patch:
        patch.setattr(mtmd, "mtmd_encode_chunk", lambda *_: 1)
        with pytest.raises(GenerationError, match="cannot read the image"):
            list(plain.generate(_request(prompt)))
        patch.setattr(mtmd, "mtmd_tokenize", lambda *_: 2)
        with pytest.raises(GenerationError, match="cannot cut the image"):
            _prompt(plain, 10)
    assert len(list(plain.generate(_request(prompt)))) == 12


def test_closing_waits_for_nobody_and_frees_all(plain_files: tuple[Path, Path]) -> None:
    engine = Engine(plain_files[0], _OPTIONS, projector=plain_files[1])
    prompt = _prompt(engine, 0)
    generation = engine.generate(_request(prompt, most=150))
    next(generation)
    engine.close()
    list(generation)
    with pytest.raises(GenerationError, match="closed"):
        engine.see(_picture(0))
    with pytest.raises(GenerationError, match="closed"):
        list(engine.generate(_request(prompt)))
    late = Engine(plain_files[0], _OPTIONS, projector=plain_files[1])
    late.close()
    with pytest.raises(GenerationError, match="closed"):
        late.see(_picture(0))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((2, 129, 3), np.uint8),
        np.zeros((200, 8193, 3), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_pixels_that_no_projector_can_cut_are_refused(pixels: Pixels) -> None:
    with pytest.raises(InputError, match="expected"):
        check_pixels(pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (3, 5), (120, 90)])
def test_images_of_all_shapes_are_cut(engine: Engine, size: tuple[int, int]) -> None:
    tokens = engine.see(_picture(0, size))
    text = engine.model.vocabulary.tokenize(_AFTER)
    assert len(list(engine.generate(_request([*tokens, *text], most=3)))) == 3


def test_files_that_are_no_projector_are_refused(
    tmp_path: Path, plain_files: tuple[Path, Path]
) -> None:
    with pytest.raises(ModelError, match="no vision projector: it is dense"):
        check_projector(plain_files[0])
    for key in ("clip.projector_type", "clip.vision.projector_type"):
        path = TinyProjector(metadata={"clip.projector_type": None, key: "hunyuanvl"}).write(
            tmp_path / "odd.gguf"
        )
        with pytest.raises(ModelError, match="where in the prompt"):
            check_projector(path)
    unknown = TinyProjector(metadata={"clip.projector_type": "odd"}).write(tmp_path / "odd.gguf")
    engine = Engine(plain_files[0], _OPTIONS, projector=unknown)
    with pytest.raises(ModelError, match="cannot use the projector"):
        engine.see(_picture(0))
    assert len(list(engine.generate(_request([65, 66], most=2)))) == 2
    engine.close()


def test_a_vocabulary_without_the_marks_is_refused(tmp_path: Path) -> None:
    model = TinyModel().write(tmp_path / "text.gguf")
    engine = Engine(
        model, _OPTIONS, projector=TinyProjector("idefics3").write(tmp_path / "mmproj.gguf")
    )
    with pytest.raises(ModelError, match="lacks a mark"):
        engine.see(_picture(0))
    engine.close()


@pytest.mark.parametrize(
    ("projector", "said"),
    [
        (TinyProjector(width=128), "mismatch between text model"),
        (TinyProjector(metadata={"clip.vision.image_mean": None}), "image_mean"),
        (TinyProjector(metadata={"clip.vision.patch_size": 0}), "aborts over it|refuses it"),
        (TinyProjector(metadata={"clip.vision.attention.head_count": 0}), "aborts over it|refuses"),
        (TinyProjector(metadata={"clip.vision.image_size": 1 << 30}), "aborts over it|refuses it"),
        (TinyProjector(metadata={"clip.vision.block_count": 9}), "unable to find tensor"),
        (TinyProjector("gemma3", metadata={"clip.vision.projector.scale_factor": 0}), "cannot be"),
    ],
    ids=["width", "mean", "patch", "heads", "size", "layers", "scale"],
)
def test_a_projector_is_tried_in_a_process_of_its_own(
    tmp_path: Path, plain_files: tuple[Path, Path], projector: TinyProjector, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        check_loads(plain_files[0], projector=projector.write(tmp_path / "mmproj.gguf"))


def test_a_sound_one_passes(files: tuple[Path, Path]) -> None:
    check_loads(files[0], projector=files[1])

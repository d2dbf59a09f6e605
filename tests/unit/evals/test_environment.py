from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragstack.errors import InputError
from ragstack_evals.environment import configured, parse_settings, working_folder


def test_settings_are_split_at_the_first_equals() -> None:
    assert parse_settings(["answer.doubt=0.5", "generate.model=a=b"]) == {
        "answer.doubt": "0.5",
        "generate.model": "a=b",
    }
    assert parse_settings([]) == {}


@pytest.mark.parametrize("item", ["answer.doubt", "Answer=1", "=1", "a..b=1"])
def test_what_is_no_setting_is_refused(item: str) -> None:
    with pytest.raises(InputError, match=r"section\.option=value"):
        parse_settings([item])


def test_the_environment_is_set_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTACK_ANSWER__DOUBT", "1")
    monkeypatch.delenv("RAGSTACK_EMBED__USE", raising=False)
    with (
        pytest.raises(KeyError),
        configured({"answer.doubt": "2", "embed.use": "hashing"}),
    ):
        assert os.environ["RAGSTACK_ANSWER__DOUBT"] == "2"
        assert os.environ["RAGSTACK_EMBED__USE"] == "hashing"
        raise KeyError
    assert os.environ["RAGSTACK_ANSWER__DOUBT"] == "1"
    assert "RAGSTACK_EMBED__USE" not in os.environ


def test_a_chosen_folder_stays_and_a_temporary_one_goes(tmp_path: Path) -> None:
    chosen = tmp_path / "new" / "folder"
    with working_folder(chosen) as folder:
        assert folder == chosen
    assert chosen.is_dir()
    with working_folder(None) as folder:
        assert folder.is_dir()
    assert not folder.exists()

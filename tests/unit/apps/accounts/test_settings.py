from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ragstack import config
from ragstack.errors import ConfigError, InputError
from ragstack_apps.accounts.settings import RetainSettings, ServeSettings, serve_settings

OIDC = {"issuer": "https://id.example", "client_id": "rag"}


def test_nothing_is_the_default() -> None:
    assert serve_settings({}) == ServeSettings()


def test_the_file_and_the_environment_say(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[serve]\nrequests_per_minute = 5\n[serve.retain]\nruns_days = 7\n[serve.oidc]\n"
    text += 'issuer = "https://id.example"\nclient_id = "rag"\nclient_secret = { env = "OIDC" }\n'
    (tmp_path / "ragstack.toml").write_text(text, "utf-8")
    monkeypatch.setenv("RAGSTACK_SERVE__MAX_UPLOAD_MB", "9")
    monkeypatch.setenv("OIDC", "s3cret")
    loaded = config.load(tmp_path)
    found = serve_settings(loaded.serve)
    assert (found.requests_per_minute, found.max_upload_mb) == (5, 9)
    assert found.retain.runs_days == 7.0
    assert found.oidc.client_id == "rag"
    assert "s3cret" not in repr(config.masked(loaded))


def test_what_the_guide_shows_is_accepted(tmp_path: Path, repository: Path) -> None:
    text = (repository / "docs" / "guides" / "accounts.md").read_text("utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        (tmp_path / "ragstack.toml").write_text(block, "utf-8")
        assert serve_settings(config.load(tmp_path).serve)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"request_per_minute": 5}, "did you mean 'requests_per_minute'"),
        ({"requests_per_minute": "5"}, "takes int"),
        ({"requests_per_minute": -1}, r"'serve\.requests_per_minute' .* takes 0 or more, got -1"),
        ({"answers_at_once": -1}, r"'serve\.answers_at_once' .* takes 0 or more, got -1"),
        (
            {"retain": {"runs_days": -1}},
            r"'serve\.retain\.runs_days' .* takes 0 or more, got -1\.0",
        ),
        ({"retain": {"chats_days": -1}}, r"'serve\.retain\.chats_days' .* takes 0 or more"),
        ({"retain": {"uploads_days": -1}}, r"'serve\.retain\.uploads_days' .* takes 0 or more"),
        ({"retain": {"audit_days": -1}}, r"'serve\.retain\.audit_days' .* takes 0 or more"),
        ({"logins_per_minute": 0}, r"'serve\.logins_per_minute' .* takes 1 or more, got 0"),
        ({"max_upload_mb": 0}, r"'serve\.max_upload_mb' .* takes 1 or more, got 0"),
        ({"session_hours": 0}, r"'serve\.session_hours' .* takes above 0, at most 8784, got 0"),
        ({"session_hours": 8_785}, r"'serve\.session_hours' .* takes above 0, at most 8784"),
        ({"session_hours": float("nan")}, r"'serve\.session_hours' .* got nan"),
        ({"origins": ["*"]}, "origins"),
        ({"origins": ["https://a.example/x"]}, "origins"),
        ({"origins": ["null"]}, "origins"),
        ({"oidc": {"issuer": "https://id.example"}}, "both issuer and client_id"),
        ({"oidc": OIDC | {"issuer": "http://id.example"}}, "expected https"),
        ({"oidc": OIDC | {"next": ["javascript:alert(1)"]}}, "expected https"),
        ({"oidc": OIDC | {"redirect": "ftp://x"}}, "expected https"),
        ({"oidc": OIDC | {"scopes": ["email"]}}, "openid"),
        ({"oidc": OIDC | {"rights": ["fly"]}}, "rights"),
        ({"oidc": OIDC | {"group_rights": {"a": "admin"}}}, "list of rights"),
        ({"oidc": OIDC | {"group_rights": {"a": ["fly"]}}}, "rights"),
        ({"oidc": OIDC | {"client_secret": {"env": "NOT_SET"}}}, "NOT_SET"),
        ({"oidc": OIDC | {"client_secret": {"value": "x"}}}, "secret stands"),
    ],
)
def test_settings_that_cannot_be(table: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message) as refused:
        serve_settings(table)
    assert str(refused.value)


def test_settings_that_cannot_be_are_not_made_by_a_program_either() -> None:
    with pytest.raises(ConfigError, match=r"'serve\.logins_per_minute' takes 1 or more, got 0"):
        ServeSettings(logins_per_minute=0)
    with pytest.raises(ConfigError, match=r"'serve\.retain\.runs_days' takes 0 or more, got -1"):
        RetainSettings(runs_days=-1)

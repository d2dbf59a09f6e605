from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.types import Record, Turn
from ragstack_apps.accounts import retention
from ragstack_apps.accounts.accounts import Accounts
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.accounts.retention import Sweeper, sweep
from ragstack_apps.accounts.settings import RetainSettings


def fill(catalog: SqliteCatalog, folder: Path, clock: Any, name: str) -> None:
    for kind in ("run", "audit", "chat_info", "upload", "feedback"):
        catalog.put_record(Record(kind, name, {}, clock()))
    catalog.append_turn(name, Turn("q", "a", "q"))
    catalog.set_setting(f"chat.rights:{name}", '["hr"]')
    (folder / "uploads").mkdir(exist_ok=True)
    path = folder / "uploads" / name
    path.write_bytes(b"x")
    os.utime(path, (clock().timestamp(),) * 2)


def left(catalog: SqliteCatalog, kind: str) -> list[str]:
    return [record.id for record in catalog.records(kind)]


def test_what_is_older_goes_and_the_rest_stays(
    catalog: SqliteCatalog, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    for name in ("a", "b", "c"):
        fill(catalog, tmp_path, clock, f"old-{name}")
    clock.move(days=5)
    fill(catalog, tmp_path, clock, "new")
    clock.move(days=5)
    every = RetainSettings(runs_days=7, chats_days=7, uploads_days=7, audit_days=7)
    gone = sweep(catalog, tmp_path, every, clock=clock)
    assert gone == {"runs": 3, "audit": 3, "chats": 3, "uploads": 3, "sessions": 0, "logins": 0}
    for kind in ("run", "audit", "chat_info", "upload"):
        assert left(catalog, kind) == ["new"]
    assert len(left(catalog, "feedback")) == 4
    assert catalog.chats() == ["new"]
    assert catalog.setting("chat.rights:old-a") is None
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["new"]


def test_nothing_goes_where_no_period_is(
    catalog: SqliteCatalog, tmp_path: Path, clock: Any
) -> None:
    fill(catalog, tmp_path, clock, "old")
    clock.move(days=100_000)
    forever = RetainSettings(0, 0, 0, 0)
    assert set(sweep(catalog, tmp_path, forever, clock=clock).values()) == {0}


def test_ended_sessions_go(
    accounts: Accounts, catalog: SqliteCatalog, tmp_path: Path, clock: Any
) -> None:
    accounts.add_user(Caller(), "anna", "correct horse")
    accounts.login("anna", "correct horse")
    clock.move(hours=11)
    kept = accounts.login("anna", "correct horse")
    clock.move(hours=2)
    assert sweep(catalog, tmp_path, RetainSettings(), clock=clock)["sessions"] == 1
    accounts.identify(kept.token)


def test_it_sweeps_again_and_stops(
    catalog: SqliteCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    twice, count = threading.Event(), 0

    def counted(*_given: Any) -> dict[str, int]:
        nonlocal count
        count += 1
        if count == 2:
            twice.set()
        raise OSError("the disk is away")

    monkeypatch.setattr(retention, "sweep", counted)
    sweeper = Sweeper(catalog, tmp_path, RetainSettings(), every_s=0.001)
    sweeper.start()
    assert twice.wait(30)
    sweeper.close()
    sweeper.close()
    assert "the disk is away" in caplog.text

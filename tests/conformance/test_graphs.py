from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.graph.sqlite import SqliteGraphStore
from ragstack.testing.graphs import GraphStoreSuite


class TestSqlite(GraphStoreSuite):
    folder: Path

    @pytest.fixture(autouse=True)
    def _in_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> SqliteGraphStore:
        return SqliteGraphStore(self.folder / "graph.db")

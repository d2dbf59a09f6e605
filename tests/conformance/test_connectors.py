from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.testing.connectors import ConnectorSuite
from ragstack_connectors.files import FilesConnector


class TestFiles(ConnectorSuite):
    folder: Path

    @pytest.fixture(autouse=True)
    def _in_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        (tmp_path / "sub").mkdir()
        for name in ("b.txt", "a.md", "sub/été.txt"):
            (tmp_path / name).write_text(name, "utf-8")

    def make(self) -> FilesConnector:
        # The same file by two paths: it is one source.
        return FilesConnector([self.folder, self.folder / "a.md"], max_bytes=1_000)

    def change(self) -> str:
        (self.folder / "b.txt").unlink()
        return (self.folder / "b.txt").resolve().as_posix()

    def spoil(self) -> str:
        path = self.folder / "b.txt"
        path.write_text("b" * 1_001, "utf-8")
        return path.resolve().as_posix()

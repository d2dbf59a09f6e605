from __future__ import annotations

from pathlib import Path

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.testing.catalogs import CatalogSuite
from ragstack.testing.upkeep import CatalogUpkeepSuite


class TestSqlite(CatalogSuite):
    def make(self, folder: Path) -> SqliteCatalog:
        return SqliteCatalog(folder / "catalog.db")


class TestSqliteUpkeep(CatalogUpkeepSuite):
    def make(self, folder: Path) -> SqliteCatalog:
        return SqliteCatalog(folder / "catalog.db")

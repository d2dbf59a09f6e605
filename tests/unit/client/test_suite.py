from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ragstack.testing.stacks import StackSuite


class TestClient(StackSuite):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _connected(cls, connected: Callable[[Path], AbstractContextManager[Any]]) -> None:
        cls.connect = staticmethod(connected)  # type: ignore[attr-defined]

    @classmethod
    def opened(cls, base: Path) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = cls.connect(base)  # type: ignore[attr-defined]
        return found

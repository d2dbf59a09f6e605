from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.stacks import StackSuite, say, score


class TestStack(StackSuite):
    @classmethod
    def opened(cls, base: Path) -> AbstractContextManager[Any]:
        generator = ScriptedGenerator(say, scores=score)
        return Stack.open(base, overrides={"embed": {"use": "hashing"}}, generator=generator)

from __future__ import annotations

import pytest

from ragstack import registry
from ragstack.testing.transforms import TransformSuite


@pytest.mark.parametrize("name", registry.names("transforms"))
def test_every_transform_is_held_to_the_suite(name: str) -> None:
    """A transform without a suite below would pass unseen."""
    assert f"Test{name.title().replace('_', '')}" in globals()


def _suite(name: str, **options: object) -> type[TransformSuite]:
    class Suite(TransformSuite):
        def make(self) -> object:
            return registry.create("transforms", name, options)

    return Suite


TestRewrite = _suite("rewrite")
TestMultiQuery = _suite("multi_query")
TestHyde = _suite("hyde")
TestDecompose = _suite("decompose")
TestDecomposeByGenerator = _suite("decompose", by="generator")
TestStepBack = _suite("step_back")
TestStepBackByRule = _suite("step_back", by="rule")
TestSelfQuery = _suite("self_query")
TestRoute = _suite("route")
TestRouteByGenerator = _suite("route", by="generator")
TestRecursive = _suite("recursive")
TestCorrective = _suite("corrective")
TestCrossLingual = _suite("cross_lingual")
TestAsOf = _suite("as_of", half_life_days=30.0)

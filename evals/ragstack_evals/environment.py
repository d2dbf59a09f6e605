"""``--set section.option=value`` in, the environment that a Stack is configured by out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ragstack.errors import InputError

__all__ = ["configured", "parse_settings", "working_folder"]

_SETTING = re.compile(r"([a-z_]+(?:\.[a-z_]+)*)=(.*)", re.DOTALL)


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Return the settings by their dotted name.

    Raises:
        InputError: One that is not of the form ``section.option=value``.
    """
    found: dict[str, str] = {}
    for item in settings:
        match = _SETTING.fullmatch(item)
        if match is None:
            raise InputError(f"a setting is 'section.option=value', got {item!r}")
        found[match[1]] = match[2]
    return found


@contextmanager
def configured(settings: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that the configuration reads, and put back what was there.

    The environment is the one door to the configuration that is the same in process and served.
    """
    variables = {f"RAGSTACK_{name.replace('.', '__').upper()}": v for name, v in settings.items()}
    before = {variable: os.environ.get(variable) for variable in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


@contextmanager
def working_folder(chosen: Path | None) -> Iterator[Path]:
    """Yield the folder that was chosen, which stays, or a temporary one, which goes."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="ragstack-eval-") as folder:
        yield Path(folder)

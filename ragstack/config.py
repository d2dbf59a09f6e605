"""``ragstack.toml`` and environment in, a frozen Config out. Makes nothing itself.

Order: argument, environment (``RAGSTACK_GENERATE__MODEL``), file (the base's own
``ragstack.toml``, else the one found upwards from the current folder), default.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from ragstack.errors import ConfigError
from ragstack.types.ranges import Range, check_range, check_ranges

__all__ = [
    "AnswerConfig",
    "CacheConfig",
    "Config",
    "IngestConfig",
    "Plugin",
    "RetrieveConfig",
    "base_folder",
    "find_file",
    "load",
    "masked",
    "secret",
    "section",
]

FILE_NAME = "ragstack.toml"
_PREFIX = "RAGSTACK_"
_NOT_OPTIONS = frozenset({"RAGSTACK_API_KEY", "RAGSTACK_BASE", "RAGSTACK_CACHE", "RAGSTACK_DATA"})


@dataclass(frozen=True, slots=True)
class Plugin:
    """A registered name and the options its constructor is given."""

    use: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """How documents come in.

    Attributes:
        max_bytes: A larger source is refused.
        max_pages: Pages of one document.
        max_seconds: Time to read one document.
        batch: Chunks indexed between two commits.
        ignore_file: Name of the files that list what to pass over, in gitignore's syntax.
        near_duplicates: Of a document that says nearly what another one says: ``keep`` it, and do
            not look; ``report`` it; or ``skip`` it, where it is new.
    """

    max_bytes: Annotated[int, Range(above=0)] = 200_000_000
    max_pages: Annotated[int, Range(above=0)] = 5_000
    max_seconds: Annotated[float, Range(above=0)] = 120.0
    batch: Annotated[int, Range(least=1)] = 512
    ignore_file: str = ".ragignore"
    near_duplicates: str = "keep"

    def __post_init__(self) -> None:
        check_ranges(self, where="ingest")


@dataclass(frozen=True, slots=True)
class RetrieveConfig:
    """How passages are found.

    Attributes:
        k: Passages returned.
        depth: Candidates taken from each index.
        fusion: ``weighted`` (sum of scores made comparable), ``rrf`` (reciprocal ranks) or
            ``calibrated`` (how likely a passage is right, as fitted on judged questions).
        constant: The constant of reciprocal rank fusion.
        weights: Weight of each index by its slot; none are those that were measured best, for the
            embedder that is used.
        transforms: What is done with a question before and after it is searched, by name and in
            order; options stand under ``[transform.NAME]``. See ``docs/concepts/queries.md``.
        calibration: File of a fitted fusion (``ragstack eval fusion --fit FILE``), for
            ``calibrated``; a relative path is of the base's folder.
        rerank_depth: Passages a reranker is given; 0 is four times as many as are returned.
        rerank_ms: Time a reranker may take for a question, by what its passages took before; those
            there is no time for keep their order behind the others, and their trail says so. 0 is
            any time.
    """

    k: Annotated[int, Range(least=0)] = 5
    depth: Annotated[int, Range(least=1)] = 100
    fusion: str = "weighted"
    constant: Annotated[int, Range(least=0)] = 60
    weights: Mapping[str, Any] = field(default_factory=dict)
    transforms: tuple[str, ...] = ()
    calibration: str = ""
    rerank_depth: Annotated[int, Range(least=0)] = 0
    rerank_ms: Annotated[float, Range(least=0)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, where="retrieve")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Whether an answer is given again to the same question in other words.

    Attributes:
        enabled: Off by default. See ``docs/concepts/queries.md``.
        threshold: Cosine of two questions from which they may be the same; 0 is what was measured
            for the embedder.
        strict: Their content words must be the same too; without it synonyms may share an answer,
            and some questions that are not the same will.
        size: Answers kept; the least lately used goes first.
    """

    enabled: bool = False
    threshold: Annotated[float, Range(least=0, most=1)] = 0.0
    strict: bool = True
    size: Annotated[int, Range(least=1)] = 1_000

    def __post_init__(self) -> None:
        check_ranges(self, where="cache")


@dataclass(frozen=True, slots=True)
class AnswerConfig:
    """How answers are made.

    Attributes:
        style: ``brief``, ``normal`` or ``detailed``.
        k: Passages found for the generator; what packing leaves out of them it never reads.
        floor: A passage whose fused score is under this share of the best one's is left out (with
            ``weighted`` fusion; ``detailed`` answers read all).
        most: Of the others at most so many are read (``detailed`` answers read all); 0 is what the
            default model reads best in the question's language: all in English, 3 in French.
        context_tokens: Budget for passages, in the generator's tokens.
        keep: Share of a passage's sentences that the generator reads, those nearest to the question
            first; 1 is all.
        neighbours: What stands before a passage is read too where the passage begins mid-thought.
        per_document: At most so many passages of one document.
        doubt: The trust that an answer needs, in nats above the fitted default; higher refuses
            more. See ``docs/concepts/citations.md``.
        language: ``auto`` answers in the language of the question; else ``en`` or ``fr``.
        quotes: Answers begin with quotes that can only be copied from the passages, and are held
            against these alone; needs a generator with the grammar ``quoted``.
        history_turns: Turns of a conversation kept word for word; older ones are summarised.
    """

    style: str = "normal"
    k: Annotated[int, Range(least=0)] = 8
    floor: Annotated[float, Range(least=0, most=1)] = 0.6
    most: Annotated[int, Range(least=0)] = 0
    context_tokens: Annotated[int, Range(least=1)] = 2_000
    keep: Annotated[float, Range(above=0, most=1)] = 1.0
    neighbours: bool = False
    per_document: Annotated[int, Range(least=1)] = 4
    doubt: float = 0.0
    language: str = "auto"
    quotes: bool = False
    history_turns: Annotated[int, Range(least=0)] = 6

    def __post_init__(self) -> None:
        check_ranges(self, where="answer")


def _indexes() -> Mapping[str, Plugin]:
    return {"lexical": Plugin("bm25"), "vector": Plugin("faiss")}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be chosen. Each plug-in is a registered name with its options.

    Attributes:
        transform: Options of transforms, a table for each by its name.
        generators: Further generators by a name of your own, which ``route`` can choose from.
        sync: Places that ``ragstack sync`` keeps up with, a table for each by a name of your own.
            See ``docs/guides/connectors.md``.
        serve: Of ``ragstack serve``, which checks it: limits, single sign-on, retention, traces.
            See ``docs/guides/accounts.md``.
    """

    catalog: Plugin = field(default_factory=lambda: Plugin("sqlite"))
    chunk: Plugin = field(default_factory=lambda: Plugin("markdown"))
    embed: Plugin = field(default_factory=lambda: Plugin("onnx"))
    index: Mapping[str, Plugin] = field(default_factory=_indexes)
    sparse: Plugin = field(default_factory=lambda: Plugin("splade"))
    rerank: Plugin = field(default_factory=lambda: Plugin("none"))
    generate: Plugin = field(default_factory=lambda: Plugin("local"))
    ingest: IngestConfig = field(default_factory=IngestConfig)
    retrieve: RetrieveConfig = field(default_factory=RetrieveConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    transform: Mapping[str, Any] = field(default_factory=dict)
    generators: Mapping[str, Plugin] = field(default_factory=dict)
    serve: Mapping[str, Any] = field(default_factory=dict)
    sync: Mapping[str, Any] = field(default_factory=dict)


def base_folder(base: str | Path | None = None) -> Path:
    """Return the base's folder: the argument, else ``RAGSTACK_BASE``, else ``.ragstack`` here."""
    return Path(base or os.environ.get("RAGSTACK_BASE") or ".ragstack").expanduser()


def find_file(base: Path) -> Path | None:
    """Return the file in force: the base's own, else the nearest one upwards from here."""
    here = Path.cwd()
    for folder in (base, here, *here.parents):
        if (candidate := folder / FILE_NAME).is_file():
            return candidate
    return None


def load(
    base: Path, *, overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> Config:
    """Return the configuration in force for a base.

    Args:
        overrides: Nested like the file: ``{"generate": {"model": "…"}}``.
        file: Read this file, and search for none.

    Raises:
        ConfigError: A file that is not TOML, an unknown key, a value of the wrong type or out of
            its range.
    """
    found = file or find_file(base)
    data = _read(found) if found else {}
    data = _merge(data, _environment())
    data = _merge(data, overrides or {})
    origin = str(found) if found else "the environment"
    config: Config = section(Config(), data, where="", origin=origin)
    return config


def secret(value: object) -> str | None:
    """Return the secret an option names as ``{ env = "NAME" }``.

    Raises:
        ConfigError: A secret written out, or a variable that is not set.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != {"env"}:
        raise ConfigError(
            "a secret stands in the configuration itself",
            hint='name an environment variable instead: key = { env = "NAME" }',
        )
    name = str(value["env"])
    found = os.environ.get(name)
    if found is None:
        raise ConfigError(f"the environment variable {name!r} is not set")
    return found


def masked(config: Config) -> dict[str, Any]:
    """Return the configuration as plain data to show: secrets are only ever variable names."""
    return dataclasses.asdict(config)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def _environment() -> dict[str, Any]:
    data: dict[str, Any] = {}
    sections = {f.name for f in dataclasses.fields(Config)}
    for name, text in sorted(os.environ.items()):
        path = name.removeprefix(_PREFIX).lower().split("__")
        if not name.startswith(_PREFIX) or name in _NOT_OPTIONS or len(path) < 2:
            continue
        if path[0] not in sections:
            raise ConfigError(
                f"the environment variable {name!r} names no section; "
                f"known: {', '.join(sorted(sections))}"
            )
        place = data
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = _scalar(text)
    return data


def _scalar(text: str) -> object:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        held = merged.get(key)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            # Another plug-in's options mean nothing to this one.
            replaced = "use" in value and value["use"] != held.get("use", value["use"])
            merged[key] = dict(value) if replaced else _merge(held, value)
        else:
            merged[key] = value
    return merged


def section(default: Any, data: Mapping[str, Any], *, where: str, origin: str) -> Any:
    """Return ``default``, a dataclass, with the values of ``data``: keys, types, ranges checked.

    Args:
        where: Its place in the file, for messages: ``serve``.

    Raises:
        ConfigError: An unknown key, a value of another type, a number out of its range.
    """
    hints = get_type_hints(type(default), include_extras=True)
    changes: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{where}.{key}" if where else key
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            raise ConfigError(
                f"unknown key {path!r} in {origin}; known: {', '.join(sorted(hints))}",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
        changes[key] = _value(getattr(default, key), value, path=path, origin=origin)
        check_range(hints[key], changes[key], what=f"{path!r} in {origin}")
    return dataclasses.replace(default, **changes)


def _value(default: Any, value: Any, *, path: str, origin: str) -> Any:
    if path in ("index", "generators"):
        table = _table(value, path, origin)
        wanted = {slot: table.get(slot, {}) for slot in (*default, *table)}
        return {
            slot: _plugin(default.get(slot), _table(part, f"{path}.{slot}", origin), slot)
            for slot, part in wanted.items()
            if not (isinstance(part, Mapping) and part.get("use") == "none")
        }
    if isinstance(default, Plugin):
        return _plugin(default, _table(value, path, origin), path)
    if dataclasses.is_dataclass(default):
        return section(default, _table(value, path, origin), where=path, origin=origin)
    if path in ("transform", "sync"):
        tables = _table(value, path, origin)
        return {name: _table(table, f"{path}.{name}", origin) for name, table in tables.items()}
    if isinstance(default, Mapping):
        return _table(value, path, origin)
    if isinstance(default, tuple):
        return _names(value, path, origin)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        expected = type(default).__name__
        raise ConfigError(f"{path!r} in {origin} takes {expected}, got {value!r}")
    return value


def _names(value: Any, path: str, origin: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{path!r} in {origin} is a list of names, got {value!r}")
    return tuple(value)


def _table(value: Any, path: str, origin: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path!r} in {origin} is a table, got {value!r}")
    return value


def _plugin(default: Plugin | None, table: Mapping[str, Any], path: str) -> Plugin:
    options = {key: value for key, value in table.items() if key != "use"}
    use = table.get("use", default.use if default else None)
    if not isinstance(use, str):
        raise ConfigError(f'{path!r} names no plug-in: write use = "name"')
    kept = default.options if default and use == default.use else {}
    return Plugin(use, {**kept, **options})

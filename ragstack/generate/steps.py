"""The parts of a cascade as values: a step, a ceiling of cost, and what was chosen and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, runtime_checkable

from ragstack import registry
from ragstack.errors import ConfigError
from ragstack.generate.doubt import Calibration, Measure
from ragstack.protocols import Closeable, Generator
from ragstack.types import Money, Usage

__all__ = ["Ceiling", "Choice", "Step", "Tried", "Watcher", "read_steps"]

_HERE = ("local", "scripted")  # names whose generators run in this process
_OF_A_STEP = ("doubt", "measure", "calibration", "stays_here")


@runtime_checkable
class _Placed(Protocol):
    """A generator that knows whether what it is asked stays on this machine."""

    @property
    def stays_here(self) -> bool: ...


@runtime_checkable
class _Priced(Protocol):
    """A generator whose answers cost money."""

    def cost(self, usage: Usage) -> Money | None: ...


@dataclass(frozen=True, eq=False)
class Step:
    """A generator and when its answer stands.

    Attributes:
        doubt: An answer doubted more than this (0 to 1) goes on; None: every answer stands.
        stays_here: What it is asked stays on this machine; None asks the generator, and one that
            does not say is taken to be elsewhere.
    """

    generator: Generator
    doubt: float | None = None
    measure: Measure = "verdict"
    calibration: Calibration = field(default_factory=Calibration)
    stays_here: bool | None = None

    def __post_init__(self) -> None:
        """Check the step.

        Raises:
            ConfigError: A doubt nobody can measure, or a place that the generator contradicts.
        """
        name = self.generator.name
        if self.doubt is not None and not 0.0 <= self.doubt <= 1.0:
            raise ConfigError(f"the step {name!r} has doubt {self.doubt!r}, expected 0 to 1")
        if self.measure not in ("verdict", "logprob"):
            raise ConfigError(f"measure is {self.measure!r}, expected verdict or logprob")
        if self.doubt is not None and not self.generator.capabilities.logprobs:
            raise ConfigError(
                f"the step {name!r} has a doubt, but its generator gives no log-probabilities",
                hint="put it last, or take its doubt away: then every answer of its stands",
            )
        known = self.generator.stays_here if isinstance(self.generator, _Placed) else None
        if self.stays_here and known is False:
            raise ConfigError(
                f"the step {name!r} is said to stay on this machine, its address is elsewhere"
            )
        if self.stays_here is None:
            object.__setattr__(self, "stays_here", bool(known))

    @property
    def free(self) -> bool:
        """It costs nothing: it runs here."""
        return bool(self.stays_here)

    def cost(self, usage: Usage | None) -> Money | None:
        """Return the money a usage takes, None where it is none or not known."""
        if self.free or usage is None or not isinstance(self.generator, _Priced):
            return None
        return self.generator.cost(usage)


@dataclass(frozen=True, slots=True)
class Tried:
    """A step that did not give the answer: ``doubted``, ``failed`` or ``passed over``."""

    name: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which step gave an answer.

    Attributes:
        doubt: None where it was not measured.
        tried: The other steps, in order.
        usage: Of this step and of those whose answers were doubted, together.
        cost: The same in money, as far as prices are known; None: none are.
    """

    name: str
    doubt: float | None
    tried: tuple[Tried, ...]
    usage: Usage
    cost: Money | None


Watcher = Callable[[Choice], None]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most an answer may cost, all steps together."""

    money: Money

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Ceiling:
        """Return the ceiling that a configuration names.

        Raises:
            ConfigError: It names none.
        """
        try:
            amount = Decimal(str(given["amount"]))
        except (KeyError, TypeError, InvalidOperation):
            amount = Decimal(-1)
        currency = given.get("currency", "USD") if isinstance(given, Mapping) else None
        if not amount.is_finite() or amount < 0 or not isinstance(currency, str):
            raise ConfigError(
                f"ceiling is {given!r}, expected an amount of 0 or more and a currency"
            )
        return cls(Money(amount, currency.upper()))

    def broken_by(self, worst: Money | None, spent: Money | None) -> str:
        """Return why a step could cost too much, or an empty string."""
        if worst is None:
            return "its price is not known, and there is a ceiling"
        if worst.currency != self.money.currency:
            return f"its price is in {worst.currency}, the ceiling in {self.money.currency}"
        total = worst if spent is None else worst + spent
        return f"it may cost {total}, the ceiling is {self.money}" * (
            total.amount > self.money.amount
        )


def read_steps(
    given: Sequence[Step | Mapping[str, Any]],
) -> tuple[tuple[Step, ...], tuple[Generator, ...]]:
    """Return the steps, and the generators made for them, which are the caller's to close.

    Raises:
        ConfigError: One cannot be made; those made before it are closed.
    """
    if not given or isinstance(given, (str, Mapping)):
        raise ConfigError(f"steps is {given!r}, expected a list of at least one step")
    steps: list[Step] = []
    own: list[Generator] = []
    try:
        for one in given:
            steps.append(one if isinstance(one, Step) else _made(one, own))
    except BaseException:
        for generator in own:
            if isinstance(generator, Closeable):
                generator.close()
        raise
    return tuple(steps), tuple(own)


def _made(table: Mapping[str, Any], own: list[Generator]) -> Step:
    if not isinstance(table, Mapping) or not isinstance(table.get("use"), str):
        raise ConfigError(f'a step is {table!r}, expected a table with use = "name"')
    options = {k: v for k, v in table.items() if k != "use" and k not in _OF_A_STEP}
    generator: Generator = registry.create("generators", table["use"], options)
    own.append(generator)
    calibration = table.get("calibration", {})
    if not isinstance(calibration, Mapping):
        raise ConfigError(f"calibration is {calibration!r}, expected slope and offset")
    return Step(
        generator,
        table.get("doubt"),
        table.get("measure", "verdict"),
        Calibration.read(calibration),
        table.get("stays_here", True if table["use"] in _HERE else None),
    )

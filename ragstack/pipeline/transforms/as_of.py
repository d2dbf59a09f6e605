"""``as_of``: documents by their dates: none too late, the newest version, conflicts shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ragstack.errors import ConfigError
from ragstack.filters import AnyOf, Compare, Exists, Filter, Not, both
from ragstack.pipeline.transforms.dates import Moment, day_after, moment_of
from ragstack.pipeline.transforms.versions import conflicts, superseded
from ragstack.protocols import Desk, Plan
from ragstack.types import DocumentInfo, Passage

__all__ = ["AsOf"]

_HALF_LIFE = 365.0  # days, where the question asks for what holds now and no other is configured


class AsOf:
    """Bounds the search by the date that a question names, and weighs what is found by its date.

    A document without a date passes every bound and loses no weight.

    Args:
        date: ISO date, month or year taken where the question names none.
        half_life_days: After so many days a document's score counts half; 0: only where the
            question asks for what holds now, and then a year.
        field: The metadata field that holds a document's date as ISO text.
        series: The field whose value versions of one document share. Beside it the address counts:
            ``policy-v2.md`` is a newer ``policy-v1.md``.

    Raises:
        ConfigError: A date or a number of days that cannot be.
    """

    def __init__(
        self,
        *,
        date: str = "",
        half_life_days: float = 0.0,
        field: str = "date",
        series: str = "series",
    ) -> None:
        if date and not day_after(date):
            raise ConfigError(f"as_of takes a date such as 2024-05-31 or 2024, got {date!r}")
        if not half_life_days >= 0:
            raise ConfigError(f"half_life_days is 0 or more, got {half_life_days!r}")
        self._before = day_after(date) if date else ""
        self._half_life = half_life_days
        self._field = field
        self._series = series

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the bound."""
        moment = self._moment(plan)
        if not moment.before:
            return plan
        desk.note(f"documents before {moment.before}, and those without a date")
        undated = Not(Exists(self._field))
        bound: Filter = AnyOf((undated, Compare(self._field, "lt", moment.before)))
        return replace(plan, where=both(plan.where, bound))

    def arrange(self, plan: Plan, passages: Sequence[Passage], desk: Desk) -> list[Passage]:
        """Return the passages without old versions, weighed by date; tell of contradictions."""
        moment = self._moment(plan)
        in_time = [info for info in desk.documents() if self._in_time(info, moment)]
        old = superseded(in_time, series=self._series, field=self._field)
        for document_id in dict.fromkeys(p.chunk.document_id for p in passages):
            if document_id in old:
                source = next(p.source for p in passages if p.chunk.document_id == document_id)
                desk.note(
                    f"left out, there is a newer version: {source} (newest: {old[document_id]})"
                )
        kept = [passage for passage in passages if passage.chunk.document_id not in old]
        weighed = self._weighed(kept, moment, desk.today)
        for found in conflicts(plan.question, weighed):
            desk.tell(
                desk.say(
                    "disagree",
                    one=found.one,
                    other=found.other,
                    one_source=found.one_source,
                    other_source=found.other_source,
                )
            )
        return weighed

    def _moment(self, plan: Plan) -> Moment:
        found = moment_of(plan.question)
        return found if found.before else replace(found, before=self._before)

    def _in_time(self, info: DocumentInfo, moment: Moment) -> bool:
        dated = info.meta.get(self._field)
        return not moment.before or not isinstance(dated, str) or dated < moment.before

    def _weighed(self, passages: Sequence[Passage], moment: Moment, today: date) -> list[Passage]:
        half_life = self._half_life or (_HALF_LIFE if moment.latest else 0.0)
        if not half_life:
            return list(passages)
        end = _day(moment.before) or today
        weighed = []
        for passage in passages:
            written = _day(passage.chunk.meta.get(self._field))
            age = max(0, (end - written).days) if written else 0
            weight = 0.5 ** (age / half_life)
            # A score under 0 would rise.
            score = passage.score * weight if passage.score > 0 else passage.score
            trail = {**passage.trail, "as_of": weight}
            weighed.append(replace(passage, score=score, trail=trail))
        return sorted(weighed, key=lambda passage: (-passage.score, passage.chunk.id))


def _day(value: object) -> date | None:
    if not isinstance(value, str):
        return None
    whole = value[:10] + {4: "-01-01", 7: "-01"}.get(len(value), "")
    try:
        return date.fromisoformat(whole)
    except ValueError:
        return None

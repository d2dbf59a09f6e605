"""Several rankings in, one out: how likely each hit is right, by what judged questions taught.

A logistic regression over what each ranking says of a hit (Platt 1999 for one score; here for
several at once). The numbers live in a small JSON file that ``ragstack eval fusion --fit`` writes.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ragstack.errors import ConfigError
from ragstack.index.fusion import NORMALISERS
from ragstack.index.ranking import ranked
from ragstack.types import Hit

__all__ = ["FEATURES", "Calibration", "calibrated", "features"]

FEATURES = ("found", "share", "spread", "rank")
"""What a ranking says of a hit: that it found it, its score as a share of the best one's, how far
its score stands above the worst one's, and ``1 / rank``. All 0 for what it did not find."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted.

    Attributes:
        intercept: Log-odds of a hit that no ranking says anything of.
        weights: Log-odds added for each unit of a feature, by ranking and feature.
        fitted_on: Collections and questions, for who reads the file.
    """

    intercept: float
    weights: Mapping[str, Mapping[str, float]]
    fitted_on: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Return what a file holds.

        Raises:
            ConfigError: It is not there, or no calibration.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            found = cls(
                float(data["intercept"]),
                {
                    str(name): {str(key): float(value) for key, value in row.items()}
                    for name, row in data["weights"].items()
                },
                {str(name): int(count) for name, count in data.get("fitted_on", {}).items()},
            )
        except OSError as error:
            raise ConfigError(
                f"the calibration {str(path)!r} cannot be read: {error.strerror}",
                hint="ragstack eval fusion --fit FILE writes one",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{str(path)!r} is no calibration: {error!r}") from error
        unknown = {key for row in found.weights.values() for key in row} - set(FEATURES)
        numbers = [found.intercept, *(v for row in found.weights.values() for v in row.values())]
        if unknown or not all(map(math.isfinite, numbers)):
            raise ConfigError(
                f"{str(path)!r} is no calibration: expected finite numbers for "
                f"{', '.join(FEATURES)}"
            )
        return found

    def write(self, path: Path) -> None:
        """Write it as JSON, sorted, so that two fits can be compared line by line."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", "utf-8")


def features(rankings: Mapping[str, Sequence[Hit]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return what each ranking says of each hit: chunk id to ranking to feature to number."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for name, hits in rankings.items():
        scores = [hit.score for hit in hits]
        columns = zip(hits, NORMALISERS["max"](scores), NORMALISERS["spread"](scores), strict=True)
        for rank, (hit, share, spread) in enumerate(columns, start=1):
            row = {"found": 1.0, "share": share, "spread": spread, "rank": 1.0 / rank}
            found[hit.chunk_id][name] = row
    return dict(found)


def calibrated(
    rankings: Mapping[str, Sequence[Hit]], calibration: Calibration, *, k: int | None = None
) -> list[Hit]:
    """Return the best ``k`` hits by how likely they are right, from 0 to 1, ties by chunk id.

    Raises:
        ConfigError: A ranking that it was not fitted for.
    """
    strange = [name for name in rankings if name not in calibration.weights]
    if strange:
        raise ConfigError(
            f"the calibration knows no index {strange[0]!r}; "
            f"it was fitted for: {', '.join(calibration.weights)}",
            hint="fit it anew with the indexes of this base: ragstack eval fusion --fit FILE",
        )
    hits = [
        (
            math.fsum(
                [
                    calibration.intercept,
                    *(
                        calibration.weights[name].get(key, 0.0) * value
                        for name, row in said.items()
                        for key, value in row.items()
                    ),
                ]
            ),
            chunk_id,
        )
        for chunk_id, said in features(rankings).items()
    ]
    return ranked(((_probability(odds), chunk_id) for odds, chunk_id in hits), k)


def _probability(odds: float) -> float:
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-odds))
    return math.exp(odds) / (1.0 + math.exp(odds)) if odds > -700 else 0.0

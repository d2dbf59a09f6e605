"""Parts of messages in, the tokens they became out, and what those did for a reply.

Knows templates and text; the engine leaves tokens out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.engine.engine import Manner
from ragstack.errors import InputError, UnsupportedCapability
from ragstack.generate.local_model import Loaded
from ragstack.generate.template import Piece
from ragstack.types import Influence, Message, PromptPart, Span

__all__ = ["Weighing", "influence", "spans_of", "token_spans"]


@dataclass(frozen=True, slots=True)
class Weighing:
    """How parts are left out, and how that is served among other requests."""

    exact: bool
    manner: Manner


def influence(
    loaded: Loaded,
    messages: Sequence[Message],
    parts: Sequence[PromptPart],
    answer: str,
    weighing: Weighing,
) -> Influence:
    """Return how likely a reply is with and without parts; see ``LocalGenerator.attribute``."""
    tokens = loaded.vocabulary.tokenize(answer)
    if not tokens:
        raise InputError("there is no answer: expected the text of a reply")
    exact = weighing.exact or not loaded.engine.can_forget
    read = loaded.pieces(messages, ())
    rows = loaded.engine.leave_out(
        [token for _, piece in read for token in piece],
        token_spans(loaded, read, messages, parts),
        tokens,
        exact=exact,
        manner=weighing.manner,
    )
    whole, *without = (sum(row) for row in rows)
    return Influence(whole, tuple(without), exact)


def token_spans(
    loaded: Loaded,
    read: Sequence[tuple[Piece, list[int]]],
    messages: Sequence[Message],
    parts: Sequence[PromptPart],
) -> list[Span]:
    """Return which tokens of a prompt each part of its messages became.

    A token that a part shares with what stands before it is not the part's.

    Raises:
        InputError: A part is empty, or out of range.
        UnsupportedCapability: The template changes the message, so that the part has no place.
    """
    places = _places([piece for piece, _ in read], messages)
    starts = [0]
    for _, tokens in read:
        starts.append(starts[-1] + len(tokens))
    found: list[Span] = []
    for part in parts:
        if not 0 <= part.message < len(messages):
            raise InputError(f"{part!r} is of no message; there are {len(messages)}")
        text = messages[part.message].text
        if not 0 <= part.start < part.end <= len(text):
            raise InputError(f"{part!r} is no stretch of a message of {len(text)} characters")
        place = places[part.message]
        if place is None:
            raise UnsupportedCapability(
                "the message that holds the part does not stand in the prompt as one text: this "
                "model's chat template moves it, or an image stands within it"
            )
        number, shift = place
        piece, tokens = read[number]
        spans = spans_of(piece.text, [loaded.vocabulary.piece(token) for token in tokens])
        inside = [i for i, (start, _) in enumerate(spans) if part.start <= start - shift < part.end]
        if not inside:
            raise InputError(f"{part!r} is less than a token")
        found.append((starts[number] + inside[0], starts[number] + inside[-1] + 1))
    return found


def spans_of(text: str, pieces: Sequence[bytes]) -> list[Span]:
    """Return the characters of each piece of a text's UTF-8."""
    starts: list[int] = []  # for each byte, the character it belongs to
    for i, character in enumerate(text):
        starts += [i] * len(character.encode("utf-8", "replace"))
    spans: list[Span] = []
    at = 0
    for piece in pieces:
        end = min(at + len(piece), len(starts))
        first = starts[at] if at < len(starts) else len(text)
        spans.append((first, starts[end - 1] + 1 if end > at else first))
        at = end
    return spans


def _places(pieces: Sequence[Piece], messages: Sequence[Message]) -> list[tuple[int, int] | None]:
    """Return for each message the piece it stands in, and how far its text is moved there.

    Templates strip texts and join messages, but keep their order.
    """
    found: list[tuple[int, int] | None] = []
    number = at = 0
    for message in messages:
        stripped = message.text.strip()
        place = None
        for i in range(number, len(pieces)):
            if pieces[i].trusted:
                continue
            where = pieces[i].text.find(stripped, at if i == number else 0)
            if where >= 0:
                place = (i, where - message.text.index(stripped))
                number, at = i, where + len(stripped)
                break
        found.append(place)
    return found

"""The page *Map*: the chunks of a collection as points, near where they mean the same."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.manner import collections_of
from ragstack_apps.chat.notes import amount, fail
from ragstack_apps.chat.session import Page, Session
from ragstack_apps.chat.style import STEPS

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Map", "fr": "Carte"}, ":material/scatter_plot:", 60)

_METHODS = ("pca", "tsne")
_MOST_NAMED = 20  # groups that a legend names; the pointer tells the others
_HEIGHT_PX = 480
_CROSS = "#c1121f"  # the question: 5.9 : 1 on white, and shown by its form too


def page(session: Session) -> None:
    """Draw the choices and the map."""
    words = session.words
    st.title(PAGE.named(words.language))
    left, middle, right = st.columns(3)
    collection = left.selectbox(
        words("manner.collection"), collections_of(session) or ["default"], key="map-collection"
    )
    method = middle.selectbox(
        words("map.method"), _METHODS, format_func=lambda name: words(f"map.{name}")
    )
    colour = right.selectbox(
        words("map.colour"), ("title", "cluster"), format_func=lambda name: words(f"map.by_{name}")
    )
    question = st.text_input(words("map.question"), key="map-question").strip()
    try:
        found: Json = session.api.get(
            "map", collection=collection, method=method, question=question or None
        )
    except RagstackError as error:
        fail(error)
        return
    points: list[Json] = found.get("points") or []
    if not points:
        st.info(words("map.none"))
        return
    st.caption(words("map.count", n=amount(len(points))))
    spec = _spec(session, points, str(colour), found.get("question"))
    st.vega_lite_chart(spec, width="stretch", height=_HEIGHT_PX, key="map")
    with st.expander(words("inspect.table")):
        st.dataframe(points, hide_index=True, width="stretch")


def _spec(session: Session, points: list[Json], colour: str, question: Json | None) -> Json:
    words = session.words
    place: dict[str, Any] = {
        "x": {"field": "x", "type": "quantitative", "axis": None, "scale": {"zero": False}},
        "y": {"field": "y", "type": "quantitative", "axis": None, "scale": {"zero": False}},
    }
    values = [{**point, "group": str(point.get(colour))} for point in points]
    named = len({one["group"] for one in values}) <= _MOST_NAMED
    # Under the points, and as wide as a telephone: beside them it leaves them no room there.
    under = {"orient": "bottom", "columns": 2, "labelLimit": 140}
    legend = {"title": words(f"map.by_{colour}"), **under} if named else None
    layers: list[Json] = [
        {
            "data": {"values": values},
            "mark": {"type": "circle", "size": 70, "opacity": 0.8},
            "encoding": {
                **place,
                "color": {
                    "field": "group",
                    "type": "nominal",
                    "legend": legend,
                    "scale": {"range": list(STEPS)},
                },
                "tooltip": [
                    {"field": "title", "title": words("inspect.document")},
                    {"field": "chunk_id", "title": words("map.chunk")},
                ],
            },
        }
    ]
    if question:
        asked = {"x": question["x"], "y": question["y"], "label": words("map.asked")}
        layers += [
            {
                "data": {"values": [asked]},
                "mark": {
                    "type": "point",
                    "shape": "cross",
                    "size": 320,
                    "filled": True,
                    "color": _CROSS,
                },
                "encoding": place,
            },
            {
                "data": {"values": [asked]},
                "mark": {"type": "text", "dy": -16, "fontWeight": "bold", "color": _CROSS},
                "encoding": {**place, "text": {"field": "label"}},
            },
        ]
    return {"layer": layers}

"""Words of a language in, whether they carry meaning out: lists for the queries of a lexical index.

A question's own words (what, which, quel, comment) are in them: they say that it is a question, not
what about. Texts are indexed with all their words, so a query of nothing else is still answered.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["STOP_WORDS"]

_ENGLISH = """
a about above after again against all also am an and any are as at be because been before being
below between both but by can could did do does doing done down during each either few for from
further had has have having he her here hers herself him himself his how however i if in into is it
its itself just may me might more most must my myself neither no nor not now of off on once only or
other ought our ours ourselves out over own same shall she should so some such than that the their
theirs them themselves then there therefore these they this those through thus to too under until up
upon us very was we were what when where whether which while who whom whose why will with within
without would you your yours yourself yourselves
"""

_FRENCH = """
a afin ai ainsi alors après as au aucun aucune aussi autre autres aux auquel auxquels auxquelles
avaient avait avant avec avez avoir avons ayant c car ce ceci cela celle celles celui cependant ces
cet cette ceux chaque chez ci combien comme comment d dans de depuis des desquels desquelles dès
dois doit doivent donc dont du duquel elle elles en encore entre es est et étaient était étant etc
été être eu eux fait faire faut furent fut il ils j je jusque l la là laquelle le lequel les
lesquelles lesquels leur leurs lors lorsque lui m ma mais me même mêmes mes moi moins mon n ne ni
non nos notre nous on ont or ou où oui par parce pas pendant peu peut peuvent plus plusieurs pour
pourquoi pouvait près puis puisque qu quand que quel quelle quelles quels qui quoi quoique s sa sans
se selon sera serait seront ses si sien soi soient soit son sont sous suis sur t ta tandis te tel
telle telles tels tes toi ton tous tout toute toutes très tu un une vers voici voilà vos votre vous
y
"""

STOP_WORDS: Mapping[str, frozenset[str]] = {
    "en": frozenset(_ENGLISH.split()),
    "fr": frozenset(_FRENCH.split()),
}

"""The refusal of masks under which no row has two of many values together."""

from __future__ import annotations

from torch import Tensor

from ambientkit.maths.masks import APART, never_together


def told_apart(seen: Tensor, what: str) -> str:
    """The message on masks `seen` (B, *S) that keep too many pairs of values apart; empty where they do not. what: the
    values, in the plural."""
    share = never_together(seen)
    if share <= APART:
        return ""
    return (
        f"{share:.0%} of the pairs of {what} that only a part of the rows has are together in none of the {len(seen)} "
        "rows looked at, as under complementary masks: of such a pair the one is never asked for where the other is "
        f"seen, so that nothing shows how they go together. Give rows in which other {what} are missing, or set "
        "corruption.allow_unseen to true: what is made up there means little"
    )

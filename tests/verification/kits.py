"""The kits of wrong and right parts whose authors had not read a check when they wrote them."""

from __future__ import annotations

from tests.verification import (
    eighteenth_kit,
    eighth_kit,
    eleventh_kit,
    fifteenth_kit,
    fifth_kit,
    fourteenth_kit,
    fourth_kit,
    nineteenth_kit,
    ninth_kit,
    second_kit,
    seventeenth_kit,
    seventh_kit,
    sixteenth_kit,
    sixth_kit,
    tenth_kit,
    thirteenth_kit,
    twelfth_kit,
    twentieth_kit,
)
from tests.verification.second_kit import third

KITS = {
    "second": second_kit,
    "third": third,
    "fourth": fourth_kit,
    "fifth": fifth_kit,
    "sixth": sixth_kit,
    "seventh": seventh_kit,
    "eighth": eighth_kit,
    "ninth": ninth_kit,
    "tenth": tenth_kit,
    "eleventh": eleventh_kit,
    "twelfth": twelfth_kit,
    "thirteenth": thirteenth_kit,
    "fourteenth": fourteenth_kit,
    "fifteenth": fifteenth_kit,
    "sixteenth": sixteenth_kit,
    "seventeenth": seventeenth_kit,
    "eighteenth": eighteenth_kit,
    "nineteenth": nineteenth_kit,
    "twentieth": twentieth_kit,
}
"""Modules with `wrong_parts()`, `right_parts()`, `NOT_WRONG`, parts that proved not to be wrong, each with its reason,
and `LET_PASS`, wrong parts that the checks had let pass when the kit was written, by the check that rejects them now.
"""

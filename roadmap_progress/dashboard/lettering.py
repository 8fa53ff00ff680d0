"""Text for drawings, which do not break lines by themselves: about how wide it is, and where to break it."""

from __future__ import annotations

import re

_WIDTHS = {
    **dict.fromkeys("iljI.,:;|'!‑- ", 0.34),
    **dict.fromkeys("ftr()/", 0.42),
    **dict.fromkeys("csvxyzkLJ", 0.56),
    **dict.fromkeys("mMW@%&", 0.9),
}


def measure(words: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is; rather too wide than too narrow, for nobody knows which font there will be."""
    ems = sum(_WIDTHS.get(letter, 0.7 if letter.isupper() else 0.62) for letter in words)
    return ems * size * (1.1 if bold else 1)


def wrapped(words: str, size: float, width: float, *, lines: int, bold: bool = False) -> list[str]:
    """Lines that fit the width as far as can be told; what does not fit into so many lines ends in “…”."""
    found: list[str] = []
    for word in words.split():
        longer = f"{found[-1]} {word}" if found else word
        if found and measure(longer, size, bold=bold) <= width:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1] + "…"]
    return found


def plain(title: str) -> str:
    """A title without the marks around code."""
    return title.replace("`", "")


def short(title: str) -> str:
    """A title without what stands in brackets."""
    return re.sub(r"\s*\([^)]*\)", "", title).strip() or title

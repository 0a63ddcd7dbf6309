"""Text of tasks, daemons and providers, made safe for a person's terminal."""

from __future__ import annotations

#: The blanks of other scripts: Python counts them as not printable, and they do no harm.
_BLANKS = frozenset(
    "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)


def printable(text: str) -> str:
    r"""Return the text on one line, with each unsafe character as an escape sequence such as \x1b.

    An unsafe character could steer a terminal, or deceive. These are the control characters (C0,
    C1), the separators of lines and paragraphs, the marks that change the direction of the text or
    have no width, surrogates, and characters without a meaning in Unicode.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, in this form; newlines and tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def one_line(value: object, longest: int = 1000) -> str:
    """Return the text of any value on one printable line of at most `longest` characters.

    Blanks and newlines between words become one blank. A longer text is cut off, and ends in three
    dots.
    """
    text = str(value)
    # Cut before the split: a text may have a million characters.
    shown = printable(" ".join(text[:longest].split()))
    return shown if len(text) <= longest >= len(shown) else f"{shown[: longest - 3]}..."


def _shown(character: str) -> str:
    if character.isprintable() or character in _BLANKS:
        return character
    return character.encode("unicode_escape").decode("ascii")

"""Text from tasks, daemons and providers as a person may see it: it stays text, whatever is in it."""

from __future__ import annotations

#: The blanks of other scripts: Python counts them among what cannot be printed, and they do no harm.
_BLANKS = frozenset("\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")


def printable(text: str) -> str:
    r"""Return the text on one line, with each character that could steer a terminal, or deceive, as an escape such as \x1b.

    These are the control characters (C0, C1), the separators of lines and paragraphs, the marks that turn the direction of
    writing or have no width, halves of characters, and those that Unicode has given no meaning.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """Return the same of a text of several lines, such as a traceback: its newlines and tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def one_line(value: object, longest: int = 1000) -> str:
    """Return the text of any value on one printable line of at most `longest` characters.

    Blanks and newlines between words become one blank; what does not fit is cut off, and three dots say so.
    """
    text = str(value)
    shown = printable(" ".join(text[:longest].split()))  # cut before that: a text may have a million characters
    return shown if len(text) <= longest >= len(shown) else f"{shown[: longest - 3]}..."


def _shown(character: str) -> str:
    if character.isprintable() or character in _BLANKS:
        return character
    return character.encode("unicode_escape").decode("ascii")

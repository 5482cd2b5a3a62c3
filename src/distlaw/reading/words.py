"""A user's words in a message."""


def one_line(text: object, most: int = 300) -> str:
    r"""Text for a message: on one line, without characters that move the cursor, and not longer than `most`.

    >>> one_line("a\nb"), one_line("abcdefgh", 6)
    ('a b', 'abc...')
    """
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= most else line[: most - 3] + "..."

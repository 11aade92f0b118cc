"""Variables, quotes and escapes in the words of a Dockerfile, as BuildKit's shell lexer reads them.

`$v`, `${v}`, `${v:-w}`, `${v-w}`, `${v:+w}`, `${v+w}`, `${v:?w}`, `${v?w}`, `${v#p}`, `${v##p}`, `${v%p}`, `${v%%p}`, `${v/p/w}`,
`${v//p/w}`; `w` may hold variables itself. Each letter is read once, but for those of a value that a pattern is tried on.
"""

from collections.abc import Callable
from typing import Final

from rootless.build.dockerfile import shell_patterns
from rootless.build.dockerfile.errors import ExpansionError
from rootless.build.dockerfile.words import SPACES

Lookup = Callable[[str], str | None]

_SPACE_SET: Final = frozenset(SPACES)
_SPECIAL: Final = frozenset("@*#?-$!0")  # the shell's special parameters: one letter each
_DEEPEST: Final = 100  # ${a:-${b:-…}} inside one another


def expand(word: str, lookup: Lookup, escape: str = "\\") -> str:
    """Return `word` with its variables replaced and without quotes and escapes. Raises `ExpansionError`."""
    return Lexer(lookup, escape).run(word)[0]


def expand_words(word: str, lookup: Lookup, escape: str = "\\") -> list[str]:
    """Expand as `expand` does, then split at white space that is not quoted. Raises `ExpansionError`."""
    return Lexer(lookup, escape).run(word)[1]


def expand_document(text: str, lookup: Lookup) -> str:
    """Return a here-document with its variables replaced; only a backslash escapes there. Raises `ExpansionError`."""
    return Lexer(lookup, no_quotes=True).run(text)[0]


class _Words:
    """Collects a text's words: letters of quotes join, other white space divides."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.word: list[str] = []

    def add(self, text: str) -> None:
        for letter in text:
            if letter not in _SPACE_SET:
                self.word.append(letter)
            elif self.word:
                self.end()

    def add_raw(self, text: str) -> None:
        if text:
            self.word.append(text)

    def end(self) -> list[str]:
        if self.word:
            self.done.append("".join(self.word))
            self.word = []
        return self.done


class Lexer:
    """Reads one word after another; `raw_quotes` and `raw_escapes` keep those, `skip_unset` leaves unset variables as they are.

    With `no_quotes` quotes are letters like others, as in here-documents.
    """

    def __init__(
        self,
        lookup: Lookup,
        escape: str = "\\",
        *,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        skip_unset: bool = False,
        no_quotes: bool = False,
    ) -> None:
        self.lookup = lookup
        self.escape = escape
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.skip_unset = skip_unset
        self.quotes = "" if no_quotes else "'\""
        self.text = ""
        self.at = 0
        self.depth = 0

    def words(self, word: str) -> list[str]:
        """Return what `expand_words` returns."""
        return self.run(word)[1]

    def run(self, word: str) -> tuple[str, list[str]]:
        """Return the expanded text, and its words. Raises `ExpansionError`."""
        self.text, self.at, self.depth = word, 0, 0
        try:
            return self._until("", self.raw_escapes)
        except ExpansionError as error:
            shown = word if len(word) <= 200 else f"{word[:200]}…"
            raise ExpansionError(f'failed to process "{shown}": {error.message}') from None

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        return letter

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Read to the letter `stop` ("": to the end); return the text and its words."""
        result: list[str] = []
        words = _Words()
        before, self.raw_escapes = self.raw_escapes, raw_escapes
        try:
            while letter := self._peek():
                if letter == stop:
                    self.at += 1
                    return "".join(result), words.end()
                self._piece(letter, result, words)
        finally:
            self.raw_escapes = before
        if stop:
            raise ExpansionError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(result), words.end()

    def _piece(self, letter: str, result: list[str], words: _Words) -> None:
        """Read a quoted part, a variable, an escaped letter, or a letter."""
        if letter == "$":
            found = self._dollar()
            words.add(found)
        elif letter in self.quotes:
            found = self._single_quoted() if letter == "'" else self._double_quoted()
            words.add_raw(found)
        elif letter == "<":
            found = self._angles()
            words.add_raw(found)
        elif letter == self.escape:
            self.at += 1
            escaped = self._next()
            found = (letter if self.raw_escapes else "") + escaped
            words.add_raw(found)
        else:
            self.at += 1
            found = letter
            words.add(letter)
        result.append(found)

    def _angles(self) -> str:
        """Read `<`, or `<<` with the blanks after it, which belong to a here-document's word."""
        start = self.at
        self.at += 1
        if self._peek() == "<":
            self.at += 1
            while self._peek() and self._peek() in "\t\r ":
                self.at += 1
        return self.text[start : self.at]

    def _single_quoted(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            self.at = len(self.text)
            raise ExpansionError("unexpected end of statement while looking for matching single-quote")
        found = self.text[self.at + 1 : end]
        self.at = end + 1
        return f"'{found}'" if self.raw_quotes else found

    def _double_quoted(self) -> str:
        quote = '"' if self.raw_quotes else ""
        self.at += 1
        result: list[str] = [quote]
        while letter := self._peek():
            if letter == "$":
                result.append(self._dollar())
                continue
            self.at += 1
            if letter == '"':
                return "".join([*result, quote])
            if letter != self.escape:
                result.append(letter)
                continue
            escaped = self._peek()
            if self.raw_escapes:
                result.append(letter)
            if escaped and escaped in f'"${self.escape}':
                self.at += 1
                result.append(escaped)
            elif escaped:
                result.append(letter)
        raise ExpansionError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        """Read a variable from its `$`."""
        self.at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self.lookup(name)
            return f"${name}" if value is None and self.skip_unset else value or ""
        self.at += 1
        if not self._peek():
            raise ExpansionError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise ExpansionError("syntax error: bad substitution")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpansionError(f"variables are nested more than {_DEEPEST} deep")
        try:
            return self._braced(self._name())
        finally:
            self.depth -= 1

    def _braced(self, name: str) -> str:
        """Read the rest of `${name`."""
        operator = self._next()
        if operator == "}":
            value = self.lookup(name)
            return f"${{{name}}}" if value is None and self.skip_unset else value or ""
        if operator == "/":
            return self._replaced(name)
        if operator == ":":
            operator += self._next()
        if not operator or operator not in ("-", "+", "?", "#", "%", ":-", ":+", ":?"):
            raise ExpansionError(f"unsupported modifier ({operator}) in substitution")
        word = self._inner("}", operator in "#%", "}")
        value = self.lookup(name)
        if value is None and self.skip_unset:
            return f"${{{name}{operator}{word}}}"
        if operator in "#%":
            greedy = word.startswith(operator)
            trim = shell_patterns.without_prefix if operator == "#" else shell_patterns.without_suffix
            return trim(value or "", word[1:] if greedy else word, greedy)
        return _chosen(name, operator, value, word)

    def _replaced(self, name: str) -> str:
        """Read the rest of `${name/`: a pattern and what replaces it."""
        every = self._peek() == "/"
        self.at += every
        pattern = self._inner("/", True, "/")
        replacement = self._inner("}", True, "}")
        value = self.lookup(name)
        if value is None and self.skip_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return shell_patterns.replaced(value or "", pattern, replacement, every)

    def _inner(self, stop: str, raw_escapes: bool, missing: str) -> str:
        """Read the word inside braces up to `stop`."""
        try:
            return self._until(stop, raw_escapes)[0]
        except ExpansionError:
            if not self._peek():
                raise ExpansionError(f"syntax error: missing '{missing}'" + (" in ${}" if stop == "/" else "")) from None
            raise

    def _name(self) -> str:
        """Read a variable's name: letters, digits and `_`, or digits, or one special parameter; "" where there is none."""
        start = self.at
        first = self._peek()
        if first.isdigit():
            while self._peek().isdigit():
                self.at += 1
        elif first and first in _SPECIAL:
            self.at += 1
        else:
            while (letter := self._peek()) and (letter.isalpha() or letter.isdigit() or letter == "_"):
                self.at += 1
        return self.text[start : self.at]


def _chosen(name: str, operator: str, value: str | None, word: str) -> str:
    """Return the variable's value or the word, as `-`, `+` and `?` choose; with `:`, an empty value counts as none."""
    is_set = value is not None and (value != "" or ":" not in operator)
    if operator.endswith("-"):
        return (value or "") if is_set else word
    if operator.endswith("+"):
        return word if is_set else ""
    if is_set:
        return value or ""
    raise ExpansionError(f"{name}: {word or ('is not allowed to be unset' if value is None else 'is not allowed to be empty')}")

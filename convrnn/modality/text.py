"""Texts -> ids of characters or words, with the vocabulary learned from the training part. Knows no file, encoding or model.

There is no padding symbol: how long a row is, its length says. Id 0 is the unknown token. An empty text has no tokens, so it has length 0,
which every layer takes; no token is made up for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convrnn.core.errors import DataError, SpecError
from convrnn.core.language import joined, tr
from convrnn.core.spec import register
from convrnn.core.terms import part_named
from convrnn.modality import tokens as cut
from convrnn.modality.base import Examples, Modality

if TYPE_CHECKING:
    from convrnn.core.seq import Ids

UNKNOWN = 0
"""The id of every token that is not in the vocabulary."""

UNKNOWN_TOKEN = "<unk>"

# Of a corpus of any size, tokens seen once are a few in a hundred (mr_polarity 3.5); where they are more than this, all are kept.
_MOST_UNKNOWN = 0.1

# Fewer words a text than this are no sentence (a name, a DNA sequence): their characters say more.
_FEWEST_WORDS = 2.0


@register("text")
class Text(Modality):
    """Texts, of any lengths and scripts.

    Attributes:
        unit: `word` (see `tokens.words`), `character`, or `auto`: characters where at least half of the tokens of the training texts are
            characters of scripts written without spaces (Chinese, Japanese, Thai, ...), or where a text has fewer than two words (names,
            DNA); else words. `fit` puts what it chose in the place of `auto`.
        lower: whether upper and lower case are one; None: for words they are, for characters not.
        normal_form: Unicode normal form. `NFKC` by default: full-width letters, digits and marks of Chinese and Japanese typing
            become the plain ones, so that both spellings are one token.
        numbers: `keep` them, or `shape`: every digit becomes 0, so that numbers of one form share a token.
        min_count: tokens rarer than this in training are unknown. None: 2, so that the unknown token is trained by the tokens seen once;
            but 1 where these are more than a tenth of all tokens (a small corpus).
        max_size: the largest vocabulary, most frequent first; None: no bound.
        max_tokens: longer texts are cut after so many tokens; None: never.
        vocabulary: learned; tokens in order of (count in training, falling; code points). Token i has id i + 1.
        unspaced_share: learned with `auto`; the share of tokens that are characters of scripts written without spaces.

    Example:
        >>> text = Text("word", vocabulary=("a", "good", "film"))
        >>> text.encode("A good, GOOD film").tolist(), text.size
        ([1, 2, 0, 2, 3], 4)
    """

    choices = ("unit", "lower", "normal_form", "numbers", "min_count", "max_size", "max_tokens")

    unit: Literal["auto", "word", "character"] = field(default="auto", kw_only=False)
    lower: bool | None = None
    normal_form: Literal["NFKC", "NFC", "none"] = "NFKC"
    numbers: Literal["keep", "shape"] = "keep"
    min_count: Annotated[int, Field(ge=1)] | None = None
    max_size: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    vocabulary: tuple[str, ...] = ()
    unspaced_share: float | None = None

    def check(self) -> None:
        """No token stands twice, and what was learned is about words or about characters."""
        if len(set(self.vocabulary)) != len(self.vocabulary):
            twice = next(token for token, count in Counter(self.vocabulary).items() if count > 1)
            raise SpecError("text.vocabulary", tr("expected each token once, got {got!r} twice", got=twice))
        if self.vocabulary and self.unit == "auto":
            raise SpecError("text.unit", tr("expected 'word' or 'character' with a vocabulary, got 'auto'"))

    @property
    def fitted(self) -> bool:
        """See `Modality.fitted`."""
        return bool(self.vocabulary)

    @property
    def size(self) -> int:
        """How many ids there are, the unknown one included."""
        return len(self.vocabulary) + 1

    def shape(self) -> Ids:
        """`Ids(size)`."""
        from convrnn.core.seq import Ids  # here, because encoding itself needs no torch

        return Ids(self.size)

    def tokens(self, raw: Any, name: str = "input") -> list[str]:
        """The tokens of one text, before the vocabulary and before it is cut.

        Raises:
            DataError: it is not a text.
        """
        if not isinstance(raw, str):
            raise DataError(name, tr("expected a text, got {got!r:.40}", got=raw), tr("give text in this column"))
        text = cut.normal(raw, self.normal_form)
        text = text.lower() if self._lowers else text
        found = cut.words(text) if self.unit == "word" else cut.characters(text)
        return [cut.hide_digits(token) for token in found] if self.numbers == "shape" else found

    def encode(self, raw: Any, name: str = "input") -> NDArray[np.int64]:
        """One text -> ids int64 `[T]`. See `Modality.encode`."""
        self.require_fitted()
        ids, found = self._ids, self.tokens(raw, name)[: self.max_tokens]
        return np.fromiter((ids.get(token, UNKNOWN) for token in found), np.int64, len(found))

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens that ids stand for.

        Raises:
            DataError: an id that the vocabulary does not have.
        """
        known = (UNKNOWN_TOKEN, *self.vocabulary)
        found = [int(number) for number in ids]
        for number in found:
            if not 0 <= number < len(known):
                raise DataError(
                    "ids",
                    tr("expected numbers in 0..{count}, got {got}", count=len(known) - 1, got=number),
                    tr("decode with the vocabulary that encoded them"),
                )
        return [known[number] for number in found]

    def describe(self) -> str:
        """See `Modality.describe`."""
        self.require_fitted()
        words = self.unit == "word"
        why = ""
        if self.unspaced_share is not None:
            half = self.unspaced_share >= 0.5
            share = tr("{share:.0%} of the text is in a script without spaces", share=self.unspaced_share)
            why = tr(" (recognised: {why})", why=share if words or half else tr("a text has fewer than two words"))
        size = len(self.vocabulary)
        facts: list[str] = [
            tr("text by word{why}", why=why) if words else tr("text by character{why}", why=why),
            tr("vocabulary of {size:,} words and {unknown}", size=size, unknown=UNKNOWN_TOKEN)
            if words
            else tr("vocabulary of {size:,} characters and {unknown}", size=size, unknown=UNKNOWN_TOKEN),
        ]
        facts += [tr("lower case")] if self._lowers else []
        facts += [self.normal_form] if self.normal_form != "none" else []
        facts += [tr("every digit as 0")] if self.numbers == "shape" else []
        facts += [tr("cut after {count:,} tokens", count=self.max_tokens)] if self.max_tokens else []
        return joined(facts)

    def notes(self, examples: Examples) -> tuple[str, ...]:
        """Unknown tokens, texts that were cut and texts without any token. See `Modality.notes`."""
        self.require_fitted()
        total = unknown = longer = empty = 0
        for row, raw in enumerate(examples.inputs):
            found = self.tokens(raw, examples.names[row])
            kept = found[: self.max_tokens]
            total += len(kept)
            unknown += sum(token not in self._ids for token in kept)
            longer += len(found) > len(kept)
            empty += not found
        said = (
            [
                tr(
                    "tokens not in the vocabulary ({token}): {unknown:,} of {total:,} ({share:.1%})",
                    token=UNKNOWN_TOKEN,
                    unknown=unknown,
                    total=total,
                    share=unknown / total,
                )
            ]
            if unknown
            else []
        )
        said += [tr("texts cut after {most:,} tokens: {count:,}", most=self.max_tokens, count=longer)] if longer else []
        said += [tr("texts without any token: {count:,}", count=empty)] if empty else []
        return tuple(said)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.vocabulary, start=1)}

    @property
    def _lowers(self) -> bool:
        return self.unit == "word" if self.lower is None else self.lower

    def _learn(self, examples: Examples) -> Self:
        unit, share = (self.unit, None) if self.unit != "auto" else _choose(examples)
        bare = replace(self, unit=unit, vocabulary=(), unspaced_share=share)
        counts: Counter[str] = Counter()
        for row, raw in enumerate(examples.inputs):
            counts.update(bare.tokens(raw, examples.names[row])[: self.max_tokens])
        if not counts:
            raise DataError(
                tr("{part} part", part=part_named("train")),
                tr("expected texts, got none with a token in it"),
                tr("give rows that hold text"),
            )
        least = self.min_count or (2 if _share_seen_once(counts) <= _MOST_UNKNOWN else 1)
        kept = sorted((token for token, count in counts.items() if count >= least), key=lambda token: (-counts[token], token))
        if not kept:
            raise DataError(
                tr("{part} part", part=part_named("train")),
                tr("no token occurs {least} times, as min_count asks", least=least),
                tr("give min_count={most} or less", most=max(counts.values())),
            )
        return replace(bare, vocabulary=tuple(kept[: self.max_size]))


def _choose(examples: Examples) -> tuple[Literal["word", "character"], float]:
    """The unit that suits the texts, and the share of tokens that are characters of scripts without spaces."""
    found = alone = texts = 0
    for row, raw in enumerate(examples.inputs):
        number = len(Text("word").tokens(raw, examples.names[row]))
        found += number
        alone += cut.unspaced(raw)
        texts += number > 0
    share = alone / max(found, alone, 1)
    return ("word" if share < 0.5 and found >= _FEWEST_WORDS * texts else "character"), share


def _share_seen_once(counts: Counter[str]) -> float:
    return sum(count == 1 for count in counts.values()) / counts.total()

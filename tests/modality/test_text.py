"""Texts: which unit is chosen, which vocabulary is learned, what becomes of unknown, long and empty texts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from convrnn.core.errors import DataError, SpecError, UsageError
from convrnn.modality import Text
from convrnn.modality.text import UNKNOWN, UNKNOWN_TOKEN

ENGLISH = ["A good film, a really good film.", "Not a good film!", "The actors aren't good; the film is."]
CHINESE = ["酒店很好，服务不错", "房间太小了，WiFi 很慢", "不好", "很好很好！"]


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (ENGLISH, "word"),
        (CHINESE, "character"),
        (["ข้าวอร่อยมาก", "บริการไม่ดี"], "character"),
        (["とても良い映画でした", "ひどい"], "character"),
        (["아주 좋은 영화 였어요", "별로 재미 없어요"], "word"),  # Korean has spaces
        (["我用 the new MacBook Pro 写 a lot of Python code every single day"], "word"),  # a few characters among many words
        (["iPhone15手机屏幕很大，Very good"], "character"),
        (["acgtaacg", "ttgacgta"], "character"),
        (["Satoshi", "O'Neill"], "character"),
        (["good film", "", "", ""], "word"),
    ],
)
def test_the_unit_is_recognised(part: Any, texts: list[str], unit: str) -> None:
    modality = Text.fit(part(texts))
    assert modality.unit == unit and modality.unspaced_share is not None
    assert f"text by {unit} (recognised: " in modality.describe()


def test_the_description_says_why(part: Any) -> None:
    assert Text.fit(part(["很好", "不好"])).describe() == (
        "text by character (recognised: 100% of the text is in a script without spaces); vocabulary of 3 characters and <unk>; NFKC"
    )
    assert "a text has fewer than two words" in Text.fit(part(["acgt", "ttga"])).describe()
    chosen = Text.fit(part(ENGLISH), Text("word", max_tokens=5, numbers="shape", normal_form="none"))
    assert chosen.describe() == "text by word; vocabulary of 10 words and <unk>; lower case; every digit as 0; cut after 5 tokens"


def test_the_vocabulary_is_ordered_by_count_then_token_whatever_the_order_of_rows(part: Any) -> None:
    texts = ["b b a a c d", "c e"]
    modality = Text.fit(part(texts), Text("word", min_count=1))
    assert modality.vocabulary == ("a", "b", "c", "d", "e")
    assert Text.fit(part(texts[::-1]), Text("word", min_count=1)) == modality
    assert Text.fit(part(texts), Text("word", min_count=2)).vocabulary == ("a", "b", "c")
    assert Text.fit(part(texts), Text("word", min_count=1, max_size=2)).vocabulary == ("a", "b")


def test_tokens_seen_once_train_the_unknown_one_unless_they_are_many(part: Any) -> None:
    often = ["good film"] * 20
    assert Text.fit(part([*often, "rare"]), Text("word")).vocabulary == ("film", "good")
    assert Text.fit(part(["good film", "rare gem"]), Text("word")).vocabulary == ("film", "gem", "good", "rare")


def test_ids_and_tokens(part: Any) -> None:
    modality = Text.fit(part(ENGLISH), Text("word", min_count=1))
    ids = modality.encode("A GOOD movie isn't good")
    assert ids.dtype == np.int64 and ids.ndim == 1
    assert modality.decode(ids) == ["a", "good", UNKNOWN_TOKEN, "is", "n't", "good"]
    assert ids[2] == UNKNOWN == 0 and ids[[0, 1, 3, 4, 5]].min() > 0 and ids.max() < modality.shape().size == len(modality.vocabulary) + 1
    with pytest.raises(DataError, match=r"^ids: expected numbers in 0\.\."):
        modality.decode([modality.size])


def test_case_and_full_width_forms(part: Any) -> None:
    characters = Text.fit(part(["aAｂ１，", "aAb1,"]), Text("character"))  # noqa: RUF001
    assert characters.vocabulary == (",", "1", "A", "a", "b")
    assert Text.fit(part(["aA", "aA"]), Text("character", lower=True)).vocabulary == ("a",)
    assert Text.fit(part(["Good GOOD good"] * 2), Text("word", lower=False)).vocabulary == ("GOOD", "Good", "good")
    assert Text.fit(part(["ｂb", "ｂb"]), Text("character", normal_form="none")).size == 3  # noqa: RUF001


def test_numbers_may_share_a_token_by_their_form(part: Any) -> None:
    modality = Text.fit(part(["in 1984", "in 2001"]), Text("word", numbers="shape"))
    assert modality.vocabulary == ("0000", "in")


def test_mixed_text_by_words(part: Any) -> None:
    modality = Text.fit(part(CHINESE), Text("word", min_count=1))
    assert modality.tokens("WiFi很慢") == ["wifi", "很", "慢"]


def test_an_empty_text_has_length_0(part: Any) -> None:
    modality = Text.fit(part([*ENGLISH, ""]), Text("word"))
    for text in ("", "  \t"):
        assert modality.encode(text).shape == (0,) and modality.encode(text).dtype == np.int64


def test_long_texts_are_cut_only_on_request(part: Any) -> None:
    assert len(Text.fit(part(["好" * 5000])).encode("好" * 5000)) == 5000
    modality = Text.fit(part(["一二三四五", "一二三"]), Text(max_tokens=2))
    assert modality.vocabulary == ("一", "二")
    assert modality.encode("二一三四").tolist() == [2, 1]


def test_notes_count_what_the_owner_should_know(part: Any) -> None:
    modality = Text.fit(part(["一二", "一二"]), Text(max_tokens=3))
    said = modality.notes(part(["一一三二", "", "二一"]))
    assert said == (
        "tokens not in the vocabulary (<unk>): 1 of 5 (20.0%)",
        "texts cut after 3 tokens: 1",
        "texts without any token: 1",
    )
    assert modality.notes(part(["一"])) == ()


def test_all_rows(part: Any) -> None:
    modality = Text.fit(part(CHINESE))
    encoded = modality.encode_all(CHINESE)
    assert isinstance(encoded, list) and [len(ids) for ids in encoded] == [len(modality.tokens(text)) for text in CHINESE]
    assert isinstance(modality.encode_all(["很好", "不好"]), np.ndarray)
    with pytest.raises(DataError, match=r"^rows\.csv:3: expected a text, got 3\.5; give text in this column$"):
        modality.encode_examples(part(["很好", 3.5]))


def test_nothing_to_learn_from_is_refused(part: Any) -> None:
    for texts in ([], ["", " "]):
        with pytest.raises(DataError, match=r"training part: expected texts, got none"):
            Text.fit(part(texts), Text("word"))
    with pytest.raises(DataError, match=r"no token occurs 9 times, as min_count asks; give min_count=2 or less"):
        Text.fit(part(["a a b"]), Text("word", min_count=9))
    with pytest.raises(UsageError, match=r"^text: has learned nothing yet; use Text\.fit"):
        Text().encode("a")


@pytest.mark.parametrize("unit", ["auto", "word", "character"])
def test_a_fitted_record_is_its_stored_form(part: Any, unit: Any) -> None:
    # Tokens that YAML could take for something else.
    modality = Text.fit(part([*CHINESE, "true no 1e3 ~ null '\" : - # {} \\ 😀 \u2028 1984"]), Text(unit, min_count=1))
    for copy in (Text.from_json(modality.to_json()), Text.from_yaml(modality.to_yaml())):
        assert copy == modality
        assert copy.encode("很好 true 1e3").tolist() == modality.encode("很好 true 1e3").tolist()


def test_a_damaged_record_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^text\.vocabulary: expected each token once, got 'a' twice"):
        Text("word", vocabulary=("a", "b", "a"))
    with pytest.raises(SpecError, match=r"^text\.unit: expected 'word' or 'character' with a vocabulary, got 'auto'"):
        Text(vocabulary=("a",))


def test_encoding_loads_no_torch() -> None:
    code = "import sys, convrnn.modality as m; m.Text('word', vocabulary=('a',)).encode('a b'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

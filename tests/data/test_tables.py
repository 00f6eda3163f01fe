"""Tables as the world has them: delimiters, headers, layouts, targets, and every mistake in one line."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from convrnn.core.errors import ConvrnnError, DataError, UsageError
from convrnn.data.examples import Columns
from convrnn.data.sources import read, read_bytes, read_part
from convrnn.data.tables import delimiter_of, has_header

Put = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("a,b\n1,2\n", "", ","),
        ("a;b\n1,5;2,5\n", "", ";"),
        ("a\tb\n1, and\t2\n", "", "\t"),
        ("a|b\n1|2\n", "", "|"),
        ("1 2  3\n4 5 6\n", "", " "),
        ("hello\nworld\n", "", None),
        ("text\tlabel\na, b\tx\nc, d\ty\n", "a.tsv", "\t"),
    ],
)
def test_delimiters(text: str, name: str, expected: str | None) -> None:
    assert delimiter_of(text, name) == expected


@pytest.mark.parametrize(
    ("first", "body", "expected"),
    [
        (["text", "label"], [["good", "pos"], ["bad", "neg"]], True),
        (["内容", "标签"], [["好", "正"], ["坏", "负"]], True),
        (["a", "b"], [["1", "2"], ["3", "4"]], True),
        (["1", "0.5"], [["2", "0.1"]], False),
        (["pos", "good"], [["neg", "bad"], ["pos", "fine"], ["neg", "poor"], ["pos", "ok"]], False),
        (["kind", "words"], [["neg", "bad"], ["pos", "fine"], ["neg", "poor"], ["pos", "ok"]], True),
        (["label", "0", "1"], [["x", "0.5", "0.1"]], True),
        (["cat", "0.5"], [["dog", "0.1"], ["cat", "0.2"]], False),
        (["", "text", "label"], [["7", "good", "pos"], ["3", "bad", "neg"]], True),
        (["", "0", "1"], [["0", "0.5", "a"], ["1", "0.1", "b"]], True),
        (["", "0.2", "1"], [["0.3", "0.5", "a"], ["0.1", "0.1", "b"]], False),
        (["", "good", "pos"], [["x", "bad", "neg"], ["y", "fine", "pos"]], False),
    ],
)
def test_headers(first: list[str], body: list[list[str]], expected: bool) -> None:
    assert has_header(first, body) is expected


def test_wide_rows_end_early_and_miss_values(put: Put) -> None:
    source = read(put("w.csv", "label,t0,t1,t2\na,1,,3\nb,4,5,\na,6,NA,?\n"))
    train = source.train
    assert [array[:, 0].tolist() for array in train.inputs if not np.isnan(array).any()] == [[4.0, 5.0]]
    assert [len(array) for array in train.inputs] == [3, 2, 3] and train.inputs[0].dtype == np.float32
    assert train.targets == ["a", "b", "a"] and train.names == ["w.csv:2", "w.csv:3", "w.csv:4"] and train.target_name == "label"
    assert "w.csv: missing values: 3, in 2 of 3 series" in source.notes and "w.csv: lengths 2 to 3" in source.notes
    assert source.columns == Columns(("t0", "t1", "t2"), "label", layout="wide")


def test_ucr_text_has_the_label_first_and_nan_at_the_end(put: Put) -> None:
    source = read(put("u.tsv", "1.0e+00\t0.5\t0.25\tNaN\n2.0e+00\t0.5\t0.1\t0.2\n1.0e+00\t0.1\t0.2\t0.3\n2\t1\t2\tNaN\n"))
    assert source.train.targets == ["1", "2", "1", "2"] and [len(array) for array in source.train.inputs] == [2, 3, 3, 2]
    assert "u.tsv: target is 'column 1'" in source.notes and "u.tsv: no header, columns are called column 1 to column 4" in source.notes


def test_blocks_of_baydogan(put: Put) -> None:
    rows = [f"{case} {step} {case % 2 + 5} {case}.5 {step}" for case in (1, 2, 3) for step in range(1, case + 2)]
    source = read(put("B_TRAIN3.txt", "\n".join(rows)))
    assert source.train.inputs[0].tolist() == [[1.5, 1.0], [1.5, 2.0]]
    assert source.train.targets == ["6", "5", "6"] and source.train.names == ["B_TRAIN3.txt:1", "B_TRAIN3.txt:3", "B_TRAIN3.txt:6"]
    assert source.columns.layout == "long"


def test_long_rows_are_put_in_order_of_time(put: Put) -> None:
    source = read(put("l.csv", "id,time,v,w,label\na,0,1,2,x\na,1,3,4,x\nb,1,7,8,y\nb,0,5,6,y\nc,0,9,9,x\n"))
    assert [array.tolist() for array in source.train.inputs] == [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 9]]]
    assert source.train.channels == ("v", "w") and source.train.targets == ["x", "y", "x"]
    assert "l.csv: rows were put in order of 'time'" in source.notes


def test_a_class_may_be_called_none(put: Put) -> None:
    source = read(put("n.csv", "text,label\ngood film,pos\nwhat now,none\nso long,NA\n"))
    assert source.train.targets == ["pos", "none", "NA"]
    assert "n.csv: 'none' and 'NA' in 'label' count as labels; only empty cells are missing" in source.notes
    assert read_part(put("p.csv", "text,label\nwhat now,none\n"), source.columns, labelled=True).targets == ["none"]


def test_dates_put_rows_in_order(put: Put) -> None:
    text = "id,date,v,label\n" + "".join(f"a,2024-01-{day:02},{day},x\nb,2024-02-{day:02},{day},y\n" for day in (3, 5, 4, 1, 2))
    source = read(put("l.csv", text))
    assert [array[:, 0].tolist() for array in source.train.inputs] == [[1, 2, 3, 4, 5]] * 2
    assert source.columns.time == "date" and "l.csv: rows were put in order of 'date'" in source.notes
    assert read(put("m.csv", text.replace("date", "seen")), id="id", time="seen").train.inputs[0][:, 0].tolist() == [1, 2, 3, 4, 5]


def test_a_time_that_orders_nothing_is_said_and_if_named_an_error(put: Put) -> None:
    path = put("l.csv", "id,date,v,label\na,2024-01-02,1,x\na,3/4/2024,2,x\nb,2024-01-02,3,y\nb,2024-01-01,4,y\n")
    source = read(path)
    assert [array[:, 0].tolist() for array in source.train.inputs] == [[1, 2], [3, 4]] and source.columns.time is None
    assert any(
        "l.csv:3:date: expected a number or a date, got '3/4/2024'; rows keep the order of the file" in note for note in source.notes
    )
    with pytest.raises(DataError, match=r"l\.csv:3:date: expected a number or a date, got '3/4/2024'; write dates as 2024-12-31"):
        read(path, time="date")
    with pytest.raises(DataError, match=r"l\.csv:3:t: expected a number or a date, got ''"):
        read(put("l.csv", "id,t,v,label\na,2,1,x\na,,2,x\nb,1,3,y\n"), time="t")


def test_a_column_of_dates_is_no_input(put: Put) -> None:
    days, hours = [datetime.date(2024, 1, step) for step in (1, 2, 3, 4)], [datetime.time(step) for step in (1, 2, 3, 4)]
    for columns in ({"x": [[1.0, 2.0]] * 4}, {"words": ["so good", "so bad", "as good", "as bad"]}, {"a": [1.0] * 4, "b": [2.0] * 4}):
        for cells in (days, hours, list(map(str, days)), list(map(str, hours))):
            buffer = io.BytesIO()
            parquet.write_table(pa.table({"when": cells, **columns, "label": ["a", "b", "a", "b"]}), buffer)
            source = read(put("d.parquet", buffer.getvalue()))
            assert source.columns.inputs == tuple(columns) and "d.parquet: not used: 'when'" in source.notes


def test_readings_of_four_digits_are_numbers_though_one_is_missing(put: Put) -> None:
    """Air pressure in hPa looks like a year and a month."""
    source = read(put("p.csv", "id,hpa,label\na,1013.2,x\na,,x\nb,1012.5,y\nb,1009.12,y\n"))
    assert source.columns.inputs == ("hpa",)


def test_long_by_a_named_id_with_interleaved_rows(put: Put) -> None:
    source = read(put("l.csv", "machine,v,label\nm1,1,x\nm2,2,y\nm1,3,x\nm2,4,y\n"), id="machine")
    assert [array[:, 0].tolist() for array in source.train.inputs] == [[1, 3], [2, 4]]


def test_a_target_that_changes_within_a_series(put: Put) -> None:
    with pytest.raises(DataError, match=r"l\.csv:3:label: 'y' after 'x' in the same series"):
        read(put("l.csv", "id,time,v,label\na,0,1,x\na,1,3,y\nb,1,7,y\nb,0,5,y\n"))


def test_jsonl_cells(put: Put) -> None:
    lines = '{"x":[1,null,3],"z":[4,5,6],"label":"a"}\n\n{"x":[7],"z":[8],"label":"b"}\n'
    train = read(put("c.jsonl", lines)).train
    assert [array.shape for array in train.inputs] == [(3, 2), (1, 2)] and np.isnan(train.inputs[0][1, 0])
    assert train.channels == ("x", "z") and train.names == ["c.jsonl:1", "c.jsonl:3"]
    nested = read(put("n.json", '[{"x":[[1,2],[3,4]],"y":1.5},{"x":[[5,6]],"y":2.5}]')).train
    assert nested.inputs[0].tolist() == [[1, 2], [3, 4]] and nested.targets == [1.5, 2.5]


def test_parquet_and_arrow(put: Put) -> None:
    table = pa.table({"x": [[1.0, 2.0], [3.0, None, 5.0]], "label": ["a", "b"]})
    for name, save in (("p.parquet", parquet.write_table), ("f.feather", feather.write_feather)):
        buffer = io.BytesIO()
        save(table, buffer)
        train = read(put(name, buffer.getvalue())).train
        assert [len(array) for array in train.inputs] == [2, 3] and np.isnan(train.inputs[1][1, 0]) and train.targets == ["a", "b"]
    with pytest.raises(DataError, match="cannot be read"):
        read(put("bad.parquet", "nothing"))


@pytest.mark.parametrize(
    ("name", "text", "inputs", "targets"),
    [
        (
            "a.tsv",
            'text\tlabel\n"open\tneg\nhe said "hi"\tpos\n"all ""quoted"""\tpos\n',
            ['"open', 'he said "hi"', 'all "quoted"'],
            ["neg", "pos", "pos"],
        ),
        ("a.csv", '文本,标签\n很好，喜欢,好\n"不好,\n差",坏\n', ["很好，喜欢", "不好,\n差"], ["好", "坏"]),
        ("a.csv", "neg,poor film\npos,good film\nneg,bad\npos,ok\n", ["poor film", "good film", "bad", "ok"], ["neg", "pos", "neg", "pos"]),
        ("a.csv", "id,comment,score\n1,good,2.5\n2,bad,1.5\n", ["good", "bad"], ["2.5", "1.5"]),
    ],
)
def test_texts(put: Put, name: str, text: str, inputs: list[str], targets: list[str]) -> None:
    train = read(put(name, text)).train
    assert train.kind == "text" and train.inputs == inputs and train.targets == targets


def test_lines_after_a_quoted_line_end_keep_their_numbers(put: Put) -> None:
    assert read(put("a.csv", 'text,label\n"a,\nb",x\nc,y\n')).train.names == ["a.csv:2", "a.csv:4"]


def test_rows_as_long_as_they_like(put: Put) -> None:
    """Longer than the largest field of the csv module, as any row is where another delimiter is tried."""
    row = ",".join(["0.25"] * 30_000)
    assert delimiter_of(f"{row},a\n{row},b\n") == ","
    assert read(put("d.csv", f'text,label\n"{row}",a\n"b, c",b\n')).train.inputs[0] == row


def test_decimal_commas(put: Put) -> None:
    source = read(put("eu.csv", "a;b;label\n1,5;2;x\n3,25;-4,5;y\n"))
    assert [array[:, 0].tolist() for array in source.train.inputs] == [[1.5, 2], [3.25, -4.5]]
    assert "eu.csv: decimal commas are read as points" in source.notes


@pytest.mark.parametrize("title", ["", "Unnamed: 0"])
def test_an_index_as_pandas_writes_it_is_no_input(put: Put, title: str) -> None:
    source = read(put("p.csv", f"{title},a,b,label\n4,1,2,x\n0,3,4,y\n"))
    assert source.train.inputs[0][:, 0].tolist() == [1, 2] and source.columns.inputs == ("a", "b")
    assert "p.csv: the first column numbers the rows; it is left out" in source.notes
    assert read_part(put("q.csv", "a,b\n1,2\n"), source.columns).inputs[0][:, 0].tolist() == [1, 2]


def test_a_column_without_a_name_that_is_no_index(put: Put) -> None:
    assert read(put("p.csv", ",b,label\n1.5,2,x\n3.5,4,y\n")).columns.inputs == ("column 1", "b")


def test_groups(put: Put) -> None:
    path = put("g.csv", "a,b,who,label\n1,2,p,x\n3,4,q,y\n5,6,p,x\n")
    train = read(path, group="who").train
    assert train.groups == ["p", "q", "p"] and train.inputs[0].shape == (2, 1)


def test_pictures_named_in_a_table(put: Put, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    train = read(put("m.csv", "file,label\na.png,x\na.png,y\n")).train
    assert train.kind == "image" and train.inputs[0].shape == (3, 4, 1) and train.inputs[0][2, 3, 0] == 11
    with pytest.raises(DataError, match=r"m\.csv:3:file: expected a file beside the table, got 'b.png'"):
        read(put("m.csv", "file,label\na.png,x\nb.png,y\n"))


@pytest.mark.parametrize("gap", ["  ", "\t\t"])
def test_strands_are_the_text_beside_their_names(put: Put, gap: str) -> None:
    """As the sets of UCI have them: class, name, bases; a strand may come twice, N and R are bases that are not sure."""
    strands = ["acgtacgtac" + "ACGTNR"[row % 6] * (row + 1) for row in range(10)] + ["acgtacgtacA"]
    text = "".join(f"{'+-'[row % 2]},GENE{row},{gap}{strand}\n" for row, strand in enumerate(strands))
    source = read(put("promoters.data", text))
    assert source.train.inputs == strands and source.train.targets == list("+-+-+-+-+-+")
    assert source.columns.inputs == ("column 3",) and "not used: 'column 2'" in " ".join(source.notes)
    with pytest.raises(DataError, match="the text could be any of 'column 2', 'column 3'"):
        read(put("other.data", text.replace("NNNNN", "NE")))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "file is empty"),
        ("a,b,label\n", {}, "a header and no rows"),
        ("a,b,label\n1,2,x\n3,4,y\n", {"target": "lable"}, r"--target: no column is called 'lable'; did you mean 'label'"),
        ("a,b,label\n1,2,x\n3,4,y\n", {"inputs": ["zz"]}, "the columns are 'a', 'b', 'label'"),
        ("a,b,label\n1,2,x\n3,4,y\n", {"inputs": ["a", "label"], "target": "label"}, "--target: 'label' is given as input too"),
        ("a,b,label\n1,2,x\n3,abc,y\n5,6,x\n", {}, r"d\.csv:3:b: expected a number, got 'abc'"),
        ("a,b,label\n1,2,x\n3,4\n", {}, r"d\.csv:3: expected 3 cells as in line 1, got 2"),
        ("a,b,label\n1,2,x\n,NA,y\n3,4,x\n", {}, r"d\.csv:3: expected values, and all are missing"),
        ("a,b,label\n1,2,x\n3,4,\n", {}, r"d\.csv:3:label: expected a target"),
        ("a,b,label\n1,2,1.5\n3,4,NA\n", {}, r"d\.csv:3:label: expected a target, got 'NA'"),
        ("a,a,label\n1,2,x\n3,4,y\n", {}, "two columns are called 'a'"),
        ("a,label,class\n1,x,y\n2,z,w\n", {}, "could be any of 'label', 'class'; name it with --target"),
        ("comment,stars,score\ngood,1,2.5\nbad,2,1.5\n", {}, "could be any of 'comment', 'stars', 'score'"),
        ("a,b,c\n1,2,3\n4,5,6\n", {}, "name it with --target, for example --target 'c'"),
    ],
)
def test_mistakes(put: Put, text: str, options: dict[str, str], message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message) as caught:
        read(put("d.csv", text), **options)  # pyright: ignore[reportArgumentType]  # options of several types
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x":[1,2],"label":"a"}\n{oops\n', "d.jsonl:2: expected one JSON object a line"),
        ('{"x":[[1,2],[3]],"label":"a"}\n', "d.jsonl:1:x: expected numbers or equally long lists"),
        ('{"x":[1,2],"z":[1],"label":"a"}\n', "d.jsonl:1: expected lists of one length, got x 2, z 1"),
        ('{"x":[[1,2]],"label":"a"}\n{"x":[[1]],"label":"b"}\n', "d.jsonl:2: expected 2 channels"),
        ("3\n", "d.jsonl:1: expected a JSON object, got 3"),
        ("[" * 100_000, "d.jsonl:1: expected one JSON object a line: maximum recursion depth exceeded"),
        ('{"x":[' + "1" * 5000 + "]}\n", "d.jsonl:1: expected one JSON object a line: Exceeds the limit"),
    ],
)
def test_mistakes_in_jsonl(put: Put, text: str, message: str) -> None:
    with pytest.raises(ConvrnnError) as caught:
        read(put("d.jsonl", text))
    assert message in str(caught.value)


def test_a_file_to_predict_is_read_as_the_training_file_was(put: Put) -> None:
    columns = read(put("t.csv", "when,a,b,label\nq,1,2,x\nq,3,4,y\n")).columns
    again = Columns.from_json(columns.to_json())
    assert again == columns
    part = read_part(put("p.csv", "b,a,more\n2,1,9\n"), again)
    assert part.inputs[0][:, 0].tolist() == [1, 2] and part.targets is None
    assert read_part(put("q.csv", "a,b,label\n1,2,x\n"), again).targets == ["x"]
    with pytest.raises(DataError, match="no column is called 'label'"):
        read_part(put("p.csv", "a,b\n1,2\n"), again, labelled=True)


def test_the_encoding_that_was_given_counts_for_later_files_too(put: Put, tmp_path: Path) -> None:
    text = "label,text\na,這部電影\nb,房間很髒\n"
    big5 = put("t.csv", text.encode("big5"))
    source = read(big5, encoding="big5")
    again = Columns.from_json(source.columns.to_json())
    assert (
        read_part(big5, again).inputs == read_bytes("這部電影\n房間很髒\n".encode("big5"), columns=again).inputs == ["這部電影", "房間很髒"]
    )
    assert read_part(put("u.csv", text), replace(again, encoding="utf-8")).inputs == ["這部電影", "房間很髒"]
    put("c/a/1.txt", "這部電影".encode("big5"))
    put("c/b/1.txt", "房間很髒".encode("big5"))
    folders = read(tmp_path / "c", encoding="big5")
    assert read_part(tmp_path / "c", folders.columns).inputs == ["這部電影", "房間很髒"]
    assert Columns.from_json({"inputs": [], "labels": []}) == Columns()  # of a run that was written before it had one


def test_a_file_without_header_to_predict(put: Put) -> None:
    columns = read(put("u.csv", "1,0.5,0.25\n2,0.5,0.1\n1,0.1,0.2\n2,0.3,0.4\n")).columns
    without, with_labels = read_bytes(b"0.5,0.25\n0.75,0.5\n", columns=columns), read_bytes(b"2,0.5,0.25\n", columns=columns)
    assert without.inputs[1][:, 0].tolist() == [0.75, 0.5] and without.targets is None
    assert with_labels.inputs[0][:, 0].tolist() == [0.5, 0.25] and with_labels.targets == ["2"]


def test_texts_to_predict_need_no_table(put: Put) -> None:
    columns = read(put("t.csv", "text,label\ngood,x\nbad,y\n")).columns
    assert read_bytes("好，很好\nbad, really\n".encode(), columns=columns).inputs == ["好，很好", "bad, really"]
    assert read_bytes(b'{"text": "good"}\n', columns=columns).inputs == ["good"]
    assert read_part(put("p.csv", 'text\n"a, b"\nc\n'), columns).inputs == ["a, b", "c"]

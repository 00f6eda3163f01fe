"""CSV, TSV, white space, JSONL, Parquet, Arrow -> named columns of cells. Knows nothing of inputs, targets or series.

Cells of text files stay text, so that an error can show what stands there; JSONL, Parquet and Arrow give numbers, text and lists.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from typing import Any

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.data.opening import Content, lines

MISSING = frozenset({"", "nan", "na", "n/a", "?", "null", "none"})
"""Cells, in lower case, that stand for a missing value."""

KNOWN_TARGETS = frozenset(
    ("label", "labels", "target", "targets", "class", "y", "category", "类别", "标签", "目标", "分类", "類別", "標籤", "目標", "分類")
)
KNOWN_TEXTS = frozenset(
    (
        "text",
        "texts",
        "sentence",
        "review",
        "content",
        "comment",
        "question",
        "tweet",
        "message",
        "document",
        "文本",
        "内容",
        "句子",
        "评论",
        "评价",
        "正文",
        "文字",
        "內容",
        "評論",
        "評價",
    )
)
KNOWN_IDS = frozenset(
    (
        "id",
        "series",
        "series_id",
        "seriesid",
        "sequence",
        "sequence_id",
        "sample_id",
        "case",
        "case_id",
        "uid",
        "编号",
        "序列",
        "序号",
        "样本",
        "編號",
        "序號",
        "樣本",
    )
)
KNOWN_TIMES = frozenset(("time", "t", "timestamp", "date", "datetime", "step", "frame", "时间", "日期", "时刻", "時間", "時刻", "步"))
KNOWN_NAMES = KNOWN_TARGETS | KNOWN_TEXTS | KNOWN_IDS | KNOWN_TIMES

_SAMPLE = 200
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of cells.

    Attributes:
        name: of the file; errors begin with it.
        columns: names; `column 1`, `column 2` ... where the file has no header.
        cells: for each column one cell a row.
        lines: for each row its 1-based line (text) or row (Parquet).
        header: whether the file names its columns.
        notes: what to tell the user.
        folder: where the file lies, for cells that name other files; None: nowhere.

    Raises:
        DataError: two columns of one name.
    """

    name: str
    columns: tuple[str, ...]
    cells: tuple[Sequence[Any], ...]
    lines: Sequence[int]
    header: bool = True
    notes: tuple[str, ...] = ()
    folder: Traversable | None = None

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns):
            twice = Counter(self.columns).most_common(1)[0][0]
            raise DataError(self.name, tr("two columns are called {twice!r}", twice=twice), tr("rename one of them"))

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column."""
        return self.cells[self.columns.index(name)]

    def at(self, row: int, column: str | None = None) -> str:
        """`file:line` or `file:line:column`."""
        return f"{self.name}:{self.lines[row]}" + (f":{column}" if column is not None else "")


def is_missing(cell: Any) -> bool:
    """Whether a cell stands for a missing value."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING) or (isinstance(cell, float) and cell != cell)


def is_number(cell: Any) -> bool:
    """Whether a cell is a number; missing ones are not."""
    if isinstance(cell, int | float):
        return cell == cell
    if not isinstance(cell, str) or is_missing(cell):
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def delimiter_of(text: str, plain: str = "") -> str | None:
    """The character that parts the cells of the first lines: comma, semicolon, tab, bar, or a blank for white space; None: one cell a line.

    Args:
        text: of the file.
        plain: its name; `.tsv` and `.csv` settle ties.
    """
    head = [line for _, line in _first(text)]
    preferred = {"tsv": "\t", "tab": "\t", "csv": ","}.get(plain.rpartition(".")[2], "")
    best, best_score = None, (0.0, False, 0)
    for delimiter in ",;\t|":
        counts = Counter(len(row) for row in _csv(head, delimiter) if row)
        width, lines_so_wide = counts.most_common(1)[0] if counts else (0, 0)
        score = (round(lines_so_wide / max(len(head), 1), 1), delimiter == preferred, width)
        if width > 1 and score > best_score:
            best, best_score = delimiter, score
    widths = {len(line.split()) for line in head}
    if (
        best_score[0] < 1
        and len(widths) == 1
        and widths != {1}
        and all(is_number(cell) or is_missing(cell) for line in head for cell in line.split())
    ):
        return " "
    return best


def read_delimited(source: Content, text: str, delimiter: str | None, notes: tuple[str, ...] = ()) -> Table:
    """Reads rows of cells; the first row is the header if it looks like one, and it is said which.

    Raises:
        DataError: a row with more or fewer cells than the first, two columns of one name, or no rows.
    """
    numbered = list(_rows(text, delimiter))
    if not numbered:
        raise DataError(source.name, tr("the file is empty"), tr("give a file with data"))
    width = len(numbered[0][1])
    for number, row in numbered:
        if len(row) != width:
            remedy = tr("put quotes round cells that hold the delimiter, and fill up short rows with empty cells")
            raise DataError(
                f"{source.name}:{number}",
                tr("expected {wanted} cells as in line {numbered}, got {got}", wanted=width, numbered=numbered[0][0], got=len(row)),
                remedy,
            )
    first, body = [cell.strip() for cell in numbered[0][1]], numbered[1:]
    header = has_header(first, [row for _, row in body[:_SAMPLE]])
    if not header:
        body = numbered
    if not body:
        raise DataError(source.name, tr("a header and no rows"), tr("give a file with data"))
    columns = tuple(first) if header else tuple(f"column {place}" for place in range(1, width + 1))
    cells = tuple(zip(*(row for _, row in body), strict=True))
    said = () if header else (tr("{name}: no header, columns are called column 1 to column {width}", name=source.name, width=width),)
    if delimiter == ";" and any(_DECIMAL_COMMA.fullmatch(cell) for column in cells for cell in column[:_SAMPLE]):
        cells = tuple(tuple(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in column) for column in cells)
        said = (*said, tr("{name}: decimal commas are read as points", name=source.name))
    table = Table(source.name, columns, cells, [number for number, _ in body], header, (*notes, *said))
    return without_index(table) if header else table


def without_index(table: Table) -> Table:
    """A table without a first column that only numbers the rows: whole numbers, each once, and no name but the one that pandas gives.

    Any other first column without a name is called `column 1`.
    """
    title, *others = table.columns
    if title not in ("", "Unnamed: 0"):
        return table
    cells = [str(cell).strip() for cell in table.cells[0]]
    if not others or len(set(cells)) < len(cells) or not all(map(str.isdecimal, cells)):
        return replace(table, columns=(title or "column 1", *others))
    said = tr("{name}: the first column numbers the rows; it is left out", name=table.name)
    return replace(table, columns=tuple(others), cells=table.cells[1:], notes=(*table.notes, said))


def has_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns rather than being data.

    It does where a cell bears a well-known name such as label, text or 标签, where text stands over numbers, or where a cell stands over
    labels that it is not one of. The first cell may be empty, as over an index of pandas: over 0, 1, 2, ... it is a header, else the others
    tell.
    """
    if any(not cell for cell in first[1:]):
        return False
    if len(first) > 1 and not first[0]:
        index = bool(body) and [row[0] for row in body] == [str(row) for row in range(len(body))]
        return index or has_header(first[1:], [row[1:] for row in body])
    if not body:
        return any(cell.lower() in KNOWN_NAMES for cell in first)
    columns = list(zip(*body, strict=True)) if len({len(row) for row in body} | {len(first)}) == 1 else [tuple(row[0] for row in body)]
    pairs = list(zip(first, columns, strict=False))
    if any(cell.lower() in KNOWN_NAMES and cell not in below for cell, below in pairs):
        return True
    if all(map(is_number, first)) or any(cell in below and not is_number(cell) for cell, below in pairs):
        return False
    words = [below for cell, below in pairs if not is_number(cell) and not is_missing(cell)]
    if any(sum(map(is_number, below)) * 2 > len(below) for below in words):
        return True
    labels = any(len(set(below)) * 2 <= len(below) and not is_number(cell) for cell, below in pairs)
    return labels and len(first) > 1 and not any(map(is_number, first))


def read_jsonl(source: Content, text: str, notes: tuple[str, ...] = ()) -> Table:
    """Reads one JSON object a line, or one list of them; a bare list is a series, a bare string a text.

    Raises:
        DataError: a line that is no JSON, or neither object, list nor string.
    """
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, value in _json_values(source, text):
        if isinstance(value, list):
            value = {"values": value}
        elif isinstance(value, str):
            value = {"text": value}
        elif not isinstance(value, dict):
            raise DataError(
                f"{source.name}:{number}",
                tr("expected a JSON object, got {got!r}", got=value),
                tr('write rows as {{"text": ..., "label": ...}}'),
            )
        records.append(value)
        numbers.append(number)
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    if not columns:
        raise DataError(source.name, tr("no rows"), tr("give a file with data"))
    cells = tuple([record.get(column) for record in records] for column in columns)
    return Table(source.name, columns, cells, numbers, True, notes)


def _json_values(source: Content, text: str) -> Iterator[tuple[int, Any]]:
    if text.lstrip().startswith("[") and not source.plain.endswith(("jsonl", "ndjson")):
        try:
            yield from enumerate(json.loads(text), start=1)
            return
        except (ValueError, RecursionError) as error:
            where = f"{source.name}:{getattr(error, 'lineno', 1)}"
            raise DataError(where, tr("expected JSON: {why}", why=getattr(error, "msg", error)), tr("correct the file")) from error
    for number, line in lines(text):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, or nested too deeply
            problem = tr("expected one JSON object a line: {why}", why=getattr(error, "msg", error))
            raise DataError(f"{source.name}:{number}", problem, tr("correct the line")) from error


def read_arrow(source: Content) -> Table:
    """Reads Parquet, Feather or an Arrow stream.

    Raises:
        DataError: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow as pa
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise DataError(source.name, tr("this format needs pyarrow, which is not installed"), tr("pip install 'convrnn[train]'")) from error
    buffer = pa.BufferReader(source.data)
    try:
        if source.plain.endswith(("parquet", "pq")):
            table = parquet.read_table(buffer)
        elif source.data.startswith(b"ARROW1"):
            table = ipc.open_file(buffer).read_all()
        else:
            table = ipc.open_stream(buffer).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(source.name, tr("the file cannot be read ({error})", error=error), tr("write it again")) from error
    if not table.num_rows:
        raise DataError(source.name, tr("no rows"), tr("give a file with data"))
    cells = tuple(table.column(place).to_pylist() for place in range(table.num_columns))
    return Table(source.name, tuple(table.column_names), cells, range(1, table.num_rows + 1))


def _first(text: str) -> list[tuple[int, str]]:
    head = text[: 1 << 20]
    found: list[tuple[int, str]] = []
    for item in lines(head):
        found.append(item)
        if len(found) == _SAMPLE:
            break
    return found[:-1] if len(found) > 1 and len(head) < len(text) and len(found) < _SAMPLE else found


def _unquoted(text: str, delimiter: str) -> list[tuple[int, list[str]]] | None:
    """The rows if each line is one, whatever quotes stand in it; else None: quotes enclose delimiters or line ends.

    Texts parted by tabs are rarely quoted, and begin with a quotation mark that is closed nowhere often enough to swallow the next lines.
    """
    rows = [(number, line.split(delimiter)) for number, line in lines(text)]
    if len({len(row) for _, row in rows}) > 1:
        return None
    if '"' not in text:
        return rows
    opened = any(cell.startswith('"') and not _QUOTED.fullmatch(cell) for _, row in rows for cell in row)
    if opened and delimiter != "\t":
        return None
    return [(number, [cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell for cell in row]) for number, row in rows]


def _csv(text: Iterable[str], delimiter: str) -> Any:
    """A reader of cells of any length: a whole row is one where the delimiter is another."""
    csv.field_size_limit(2**31 - 1)  # the largest that every platform takes
    return csv.reader(text, delimiter=delimiter)


def _rows(text: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    if delimiter == " " or delimiter is None:
        for number, line in lines(text):
            yield number, line.split() if delimiter else [line]
        return
    plain = _unquoted(text, delimiter)
    if plain is not None:
        yield from plain
        return
    reader = _csv(io.StringIO(text, newline=""), delimiter)
    start = 1
    for row in reader:
        if any(cell.strip() for cell in row):
            yield start, row
        start = reader.line_num + 1

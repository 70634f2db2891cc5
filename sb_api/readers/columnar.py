"""Files with columns and types: Parquet, and Arrow IPC (also called Feather) as a file or as a stream.

Only the columns that are known fields are read. A date becomes its ISO 8601 text, a number that a float column holds
because some of its rows are null (as pandas writes them) a whole number again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from sb_api.errors import InvalidParameter, InvalidSettings, MalformedBody
from sb_api.readers.rows import LONGEST_ROW, SHOWN, TOO_LONG, Fields, Position, Row
from sb_api.text.pg_copy import INTEGER_COLUMNS

ColumnarFormat = Literal["parquet", "arrow"]
_PARQUET, _ARROW_FILE, _ARROW_STREAM = b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff"
PAGE = 2**20  # bytes of a column that are read at once
LARGEST_BATCH = 2**31  # bytes of a record batch; a damaged length would ask for more memory than there is


@dataclass(frozen=True, slots=True)
class Columns:
    """A file of columns, open: their names, how many rows it says that it has, and its record batches of at most so
    many rows, which can be read once."""

    names: tuple[str, ...]
    rows: int | None
    read: Callable[[int], Iterator[Any]]


def tell_columnar(start: bytes) -> ColumnarFormat | None:
    """The format of a file that begins so; none when it is none with columns and types."""
    if start.startswith(_PARQUET):
        return "parquet"
    return "arrow" if start.startswith((_ARROW_FILE[:6], _ARROW_STREAM)) else None


def import_pyarrow() -> Any:
    """The library. Raises InvalidSettings when it is not installed."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InvalidSettings("Parquet and Arrow need pyarrow: pip install 'sb_api[parquet]'.") from None
    return pyarrow


def open_parquet(stream: BinaryIO, name: str, fields: Fields) -> Columns:
    """A Parquet file, which is read from its end. Raises InvalidParameter for a pipe, MalformedBody when it is none."""
    import_pyarrow()
    import pyarrow.parquet as pq

    if not stream.seekable():
        raise InvalidParameter("Parquet is read from its end, which a pipe does not have; name a file.")
    stream.seek(0)
    if tell_columnar(stream.read(4)) != "parquet":
        raise MalformedBody(f"{name} is no Parquet file; one that is packed with gzip or the like has to be unpacked.")
    stream.seek(0)
    with _whole(name):
        file = pq.ParquetFile(stream, buffer_size=PAGE, pre_buffer=False, page_checksum_verification=True)
        found, rows = file.schema_arrow.names, file.metadata.num_rows
        names = _check_columns(file.schema_arrow, fields, name)

    def read(size: int) -> Iterator[Any]:
        with _whole(name):
            for batch in file.iter_batches(size, columns=list(names)):
                yield batch.rename_columns(list(names.values()))

    return Columns(fields.resolve(found), rows, read)


def open_arrow(blocks: Iterator[bytes], name: str, fields: Fields) -> Columns:
    """An Arrow IPC file or stream, read from its start to its end: the file is the stream with a table of contents.

    Raises MalformedBody when it is neither.
    """
    pa = import_pyarrow()
    source = _Blocks(blocks)
    is_file = source.peek(len(_ARROW_FILE)) == _ARROW_FILE
    if is_file:
        source.read(len(_ARROW_FILE))
    with _whole(name):
        reader = pa.ipc.open_stream(pa.PythonFile(source, "r"))
        found = reader.schema.names
        names = _check_columns(reader.schema, fields, name)

    def read(size: int) -> Iterator[Any]:
        with _whole(name):
            for batch in reader:
                chosen = batch.select(list(names)).rename_columns(list(names.values()))
                chosen.validate(full=True)  # a wrong offset would have the library read elsewhere in memory
                for start in range(0, chosen.num_rows, size):
                    yield chosen.slice(start, size)
            if is_file and not source.ends_with(_ARROW_FILE[:6]):
                raise MalformedBody(f"{name} is cut off: it lacks the end of an Arrow file.")

    return Columns(fields.resolve(found), None, read)


def read_columns(columns: Columns, size: int, skipped: int) -> Iterator[Row]:
    """The rows from the one after `skipped` on. Raises MalformedBody when the file cannot be read on."""
    number = 0
    for batch in columns.read(size):
        if number + batch.num_rows <= skipped:
            number += batch.num_rows
            continue
        long = any(column.nbytes > LONGEST_ROW // len(batch.columns) for column in batch.columns)
        for record in to_records(batch):
            number += 1
            if number <= skipped:
                continue
            if long and len(text := _as_text(record)) > LONGEST_ROW:
                yield Row(None, text[:SHOWN], number, Position(number), TOO_LONG)
            else:
                yield Row(record, b"", number, Position(number))


def to_records(batch: Any) -> list[dict[str, Any]]:
    """The n rows of a record batch as JSON has them, without what is null."""
    names = batch.schema.names
    values = [_to_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*values, strict=True)
    ]


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Raises MalformedBody for whatever the library says of a file that is damaged."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file cannot be read
        said = str(error).partition("\n")[0]
        raise MalformedBody(f"{name} is damaged and cannot be read: {said.rstrip('.')}.") from None


def find_columns(found: Sequence[str], fields: Fields, name: str) -> dict[str, str]:
    """Which of the columns of a file or a table are read, with the fields that they are. Raises MalformedBody when one
    that must be there is not, or one is there twice."""
    resolved = fields.resolve(found)
    if missing := fields.describe_missing(resolved):
        raise MalformedBody(f"{name} has {missing}")
    if twice := [column for column in resolved if column in fields.known and resolved.count(column) > 1]:
        raise MalformedBody(f"{name} has the column `{twice[0]}` twice.")
    return {column: meant for column, meant in zip(found, resolved, strict=True) if meant in fields.known}


def _check_columns(schema: Any, fields: Fields, name: str) -> dict[str, str]:
    """What `find_columns` finds. Raises MalformedBody also when one of these holds neither text, numbers nor dates."""
    names = find_columns(schema.names, fields, name)
    for column in names:
        kind = schema.field(column).type
        if not _is_plain(kind):
            raise MalformedBody(f"The column `{column}` of {name} holds {kind}, not text, numbers or dates.")
    return names


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    checks = (
        *(types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_date),
        *(types.is_timestamp, _is_text),
    )
    return any(check(kind) for check in checks)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(check(kind) for check in (*texts, types.is_binary, types.is_large_binary, types.is_binary_view))


def _to_values(name: str, column: Any) -> list[Any]:
    """The values of a column as JSON has them; what is null, or no number, is None."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_text(kind):
        # Parquet does not promise that its texts are UTF-8: those that are not are found when they become JSON.
        texts = column.cast(pa.large_binary()).to_pylist()
        return [None if text is None else text.decode("utf-8", "surrogateescape") for text in texts]
    if types.is_timestamp(kind):
        exact = pa.timestamp("us", "UTC" if kind.tz else None)
        return list(column.cast(exact, safe=False).cast(pa.string()).to_pylist())
    if types.is_date(kind):
        return list(column.cast(pa.string()).to_pylist())
    values: list[Any] = column.to_pylist()
    if types.is_floating(kind) or types.is_decimal(kind):
        whole = name in INTEGER_COLUMNS
        return [None if value is None or value != value else _as_number(value, whole) for value in values]
    return values


def _as_number(value: Any, whole: bool) -> Any:
    return int(value) if whole and value % 1 == 0 else float(value)


def _as_text(record: dict[str, Any]) -> bytes:
    return repr(record).encode("utf-8", "replace")


class _Blocks:
    """Blocks of bytes as the file that pyarrow reads from."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = bytearray()

    def peek(self, count: int) -> bytes:
        while len(self._rest) < count and (block := next(self._blocks, None)) is not None:
            self._rest += block
        return bytes(self._rest[:count])

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= LARGEST_BATCH:
            raise MalformedBody(f"A record batch of {count} bytes is larger than {LARGEST_BATCH}, or damaged.")
        taken = self.peek(count)
        del self._rest[: len(taken)]
        return taken

    def ends_with(self, end: bytes) -> bool:
        """Whether what is left does."""
        last = bytes(self._rest[-len(end) :])
        for block in self._blocks:
            last = (last + block)[-len(end) :]
        return last == end

    def close(self) -> None:
        pass

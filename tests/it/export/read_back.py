"""Reads an export with what people read it with: Python's csv and json, DuckDB and pyarrow. Whatever they find has to be the
same in CSV, JSON Lines and Parquet. Prints how many rows each list has."""

import csv
import datetime
import json
import pathlib
import sys

import duckdb
import pyarrow.parquet

folder = pathlib.Path(sys.argv[1])
duck = duckdb.connect()
duck.execute("SET TimeZone = 'UTC'")


def cell(value):
    """As CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "; ".join(value)
    return str(value)


def same(parquet, text):
    if isinstance(parquet, datetime.datetime):
        return parquet == datetime.datetime.fromisoformat(text)
    return cell(parquet) == text


def column_of(thing, name):
    """Where JSON has a column of the tables."""
    album = thing.get("album") or {}
    if name == "artists":
        return [artist["name"] for artist in thing.get("artists", [])]
    if name == "album_artists":
        return [artist["name"] for artist in album.get("artists", [])]
    if name in ("album", "album_id"):
        return album.get("name" if name == "album" else "id")
    if name == "release_date" and "release_date" not in thing:
        return album.get("release_date")
    return thing.get(name)


def json_same(parquet, value):
    if isinstance(parquet, datetime.datetime):
        return parquet == datetime.datetime.fromisoformat(value)
    return parquet == value


num_lists = 0
for path in sorted(folder.rglob("*.parquet")):
    with open(path.with_suffix(".csv"), newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file, strict=True))
    with open(path.with_suffix(".jsonl"), encoding="utf-8") as file:
        things = [json.loads(line) for line in file]
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == len(records) == len(things), (path, len(rows), len(records), len(things))
    for row, record, thing in zip(rows, records, things):
        assert list(row) == list(record), (path, list(row), list(record))
        for name, value in row.items():
            assert same(value, record[name]), (path, name, value, record[name])
            assert json_same(value, column_of(thing, name)), (path, name, value, thing)

    types = {name: kind for name, kind, *_ in duck.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()}
    [(num,)] = duck.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchall()
    assert num == len(rows), path
    for name, kind in types.items():
        assert kind in ("VARCHAR", "VARCHAR[]", "BIGINT", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"), (path, name, kind)
        shown = f'epoch_us("{name}")' if kind.startswith("TIMESTAMP") else f'"{name}"'
        found = duck.execute(f"SELECT {shown} FROM read_parquet(?)", [str(path)]).fetchall()
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        micros = datetime.timedelta(microseconds=1)
        expected = [(row[name] - epoch) // micros if isinstance(row[name], datetime.datetime) else row[name] for row in rows]
        assert [value for (value,) in found] == expected, (path, name)
    if things:
        jsonl = str(path.with_suffix(".jsonl"))
        listed = "SELECT count(*) FROM read_json(?, format = 'newline_delimited', sample_size = -1)"
        assert duck.execute(listed, [jsonl]).fetchall() == [(len(things),)], path
        column = "uri" if "uri" in things[0] else "name"
        texts = f"SELECT CAST({column} AS VARCHAR) FROM read_json(?, format = 'newline_delimited', sample_size = -1)"
        assert [text for (text,) in duck.execute(texts, [jsonl]).fetchall()] == [thing[column] for thing in things], path
    num_lists += 1
    print(path.relative_to(folder).with_suffix("").as_posix(), len(rows), sep="\t")
assert num_lists > 0

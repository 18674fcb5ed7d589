"""Reads one Iceberg table with DuckDB and with PyIceberg and prints what each saw.

The request is a JSON object on standard input:
  catalog  properties of PyIceberg's load_catalog
  table    NAMESPACE.TABLE
  sum      a column to add up, or
  columns  columns to list
The answer is a JSON object. Of columns: the rows, by DuckDB alone, since PyIceberg refuses
tables with equality deletes. Of a sum: per reader, a list of rows, one for each value of the
column kafka_partition: [partition, rows, different offsets, first offset, last offset, sum];
and the data files with their partition values, the branch's snapshots and the columns.
"""

import json
import sys

import duckdb
from pyiceberg.catalog import load_catalog


def with_duckdb(table, props, select, more):
    con = duckdb.connect()
    # The extensions are Python packages; nothing is downloaded.
    for extension in ("avro", "httpfs", "iceberg"):
        con.execute(f"LOAD '{extension_file(extension)}'")
    if "s3.endpoint" in props:
        con.execute(
            "CREATE SECRET (TYPE s3, KEY_ID ?, SECRET ?, ENDPOINT ?, URL_STYLE 'path', USE_SSL false, REGION ?)",
            [props["s3.access-key-id"], props["s3.secret-access-key"],
             props["s3.endpoint"].removeprefix("http://"), props["s3.region"]])
    return con.execute(f"SELECT {select} FROM iceberg_scan('{table.metadata_location}') {more}").fetchall()


def slices(column):
    return (f"kafka_partition, count(*), count(DISTINCT kafka_offset), min(kafka_offset), max(kafka_offset), sum({column})::BIGINT",
            "GROUP BY kafka_partition ORDER BY kafka_partition")


def extension_file(name):
    import importlib
    import pathlib

    folder = pathlib.Path(importlib.import_module(f"duckdb_extension_{name}").__file__).parent
    return next(folder.rglob(f"{name}.duckdb_extension"))


def with_pyiceberg(table, column):
    import pyarrow.compute as pc

    rows = table.scan(selected_fields=("kafka_partition", "kafka_offset", column)).to_arrow()
    answer = []
    for partition in sorted(pc.unique(rows["kafka_partition"]).to_pylist()):
        part = rows.filter(pc.equal(rows["kafka_partition"], partition))
        offsets = part["kafka_offset"]
        answer.append([partition, len(part), pc.count_distinct(offsets).as_py(), pc.min(offsets).as_py(),
                       pc.max(offsets).as_py(), pc.sum(part[column]).as_py()])
    return answer


def main():
    request = json.load(sys.stdin)
    props = request["catalog"]
    table = load_catalog("iceberg", **props).load_table(request["table"])
    if "columns" in request:
        columns = ", ".join(request["columns"])
        json.dump({"rows": with_duckdb(table, props, columns, "ORDER BY " + columns)}, sys.stdout)
        return
    column = request["sum"]
    json.dump({
        "duckdb": with_duckdb(table, props, *slices(column)),
        "pyiceberg": with_pyiceberg(table, column),
        "files": [task.file.file_path for task in table.scan().plan_files()],
        "partitioning": [f"{f.transform}({f.name})" for f in table.spec().fields],
        "snapshots": len(table.snapshots()),
        "columns": {f.name: str(f.field_type) for f in table.schema().fields},
    }, sys.stdout)


main()

"""Reads what `scripts/parquet_duckdb` wrote, and compares. Exits with 1 if anything differs."""

import json
import sys

import duckdb

folder, summary_file = sys.argv[1:]
ask = duckdb.connect().execute


def rows(what):
    """How many rows the table has, as both formats have it, and that they have the same."""
    csv, parquet = f"read_csv('{folder}/{what}.csv')", f"read_parquet('{folder}/{what}.parquet')"
    names = [row[0] for row in ask(f"describe select * from {csv}").fetchall()]
    columns = ", ".join(f'"{name}"::varchar' for name in names)
    exact = f"select {columns} from {{}}"
    figures = ask(
        f"select column_name from (describe select * from {parquet}) where column_type = 'DOUBLE'"
    ).fetchall()
    for (name,) in figures:
        # The text has three digits behind the point.
        exact = exact.replace(f'"{name}"::varchar', f'round("{name}", 3)::varchar')
    for one, other in [(csv, parquet), (parquet, csv)]:
        extra = ask(f"{exact.format(one)} except all {exact.format(other)}").fetchall()
        assert not extra, f"{what}: only in {one}: {extra[:3]}"
    return ask(f"select count(*) from {parquet}").fetchone()[0]


points = ask(
    f"select \"cluster.window\", label, ops_per_second, p99_ns from read_parquet('{folder}/results.parquet')"
    " order by 1, 2"
).fetchall()
assert {row[0] for row in points} == {"1", "8"}, points
assert all(row[2] > 0 and row[3] > 0 for row in points), points
assert rows("results") == len(points)

operations = rows("history")
with open(summary_file, encoding="utf-8") as file:
    checked = json.load(file)["results"][0]["verdict"]["operations"]
assert operations == checked, (operations, checked)
slow = ask(
    "select kind, count(*), quantile_cont(end_ns - start_ns, 0.5) / 1e3 as median_us"
    f" from read_parquet('{folder}/history.parquet') where end_ns is not null group by kind order by kind"
).fetchall()
assert {row[0] for row in slow} == {"get", "put"}, slow
print(f"results: {len(points)} rows; history: {operations} operations; CSV and Parquet say the same")
for kind, count, median in slow:
    print(f"  {kind}: {count}, median {median:.1f} us")

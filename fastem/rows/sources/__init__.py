"""One file for each kind of data; the only files that import pyarrow, dask or pyspark.

`open_rows` holds their table: a new kind is its file and a row there.
"""

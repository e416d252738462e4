"""One file for each kind of data; the only files that import pyarrow, dask, zarr or h5py."""

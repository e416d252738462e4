"""The command line, a file for each of its parts; :func:`fastem.__main__.main` runs it."""

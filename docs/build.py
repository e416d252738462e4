#!/usr/bin/env python3
"""Build the site into docs/build/html, with warnings as errors: pip install '.[docs]' && python docs/build.py

Offline: what is fetched by nobody else is fetched by nobody here. Further arguments go to sphinx-build.
"""

import os
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def main():
    call = [sys.executable, "-P", "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
    environment = {"OMP_WAIT_POLICY": "passive", "MPLBACKEND": "agg"} | os.environ
    sys.exit(subprocess.call([*call, *sys.argv[1:], str(DOCS), str(DOCS / "build" / "html")], env=environment))


if __name__ == "__main__":
    main()

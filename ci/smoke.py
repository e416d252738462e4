"""An installed wheel does what it should: every build that this CPU runs imports, fits, predicts, saves and loads.

usage: python ci/smoke.py     from anywhere; needs fastem alone, no checkout and no compiler
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_BUILD = """
import sys
import numpy as np
import fastem
from fastem.datasets import load_faithful
X = load_faithful().data
found = fastem.GaussianMixture(2, random_state=0, accelerate=None).fit(X)
found.save("model.npz")
again = fastem.load("model.npz")
assert np.array_equal(again.predict(X), found.predict(X)) and np.bincount(found.predict(X)).min() > 90
counts = fastem.PoissonMixture(2, random_state=0, accelerate=None).fit(np.random.default_rng(0).poisson(3, (500, 2)))
single = fastem.GaussianMixture(2, random_state=0, accelerate=None).fit(X.astype(np.float32))
assert abs(single.score(X) - found.score(X)) < 1e-3 and np.isfinite(counts.score(counts.sample(9)[0]))
print(f"{found.log_likelihood_:.9f}", end="")
"""
BUILDS = """
from fastem import kernels as k
print(*[n for n in (*k.INSTRUCTION_SETS, *(f"{k.REPRODUCIBLE}_{n}" for n in k.INSTRUCTION_SETS))
        if k.built(n) and k.supported(n.rpartition("_")[2])])
"""


def run(code, **environment):
    call = [sys.executable, "-P", "-c", code]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment).stdout


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for build in run(BUILDS).split():
            print(f"{build:24}{run(ONE_BUILD, FASTEM_INSTRUCTION_SET=build)}")
        command = [sys.executable, "-P", "-m", "fastem"]
        subprocess.run([*command, "versions"], check=True)
        subprocess.run([*command, "fit", "faithful", "--components", "2", "--save", "model.npz"], check=True)
        subprocess.run([*command, "predict", "model.npz", "faithful", "--output", "labels.csv"], check=True)
        assert Path("labels.csv").read_text().count("\n") >= 272
        os.chdir("/")


if __name__ == "__main__":
    main()

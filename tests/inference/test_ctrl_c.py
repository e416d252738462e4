"""One Ctrl-C ends what fits many mixtures at once, however long each fit still takes."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading, time
signal.alarm(100)
import numpy as np
import fastem
from fastem.inference import likelihood_ratio

signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(9000, 4))
endless = {"tol": 0, "max_iter": 10**9}

def bootstrap():
    model = fastem.GaussianMixture(3, random_state=0, max_iter=5).fit(X)
    fastem.standard_errors(model.set_params(**endless), X, "bootstrap", n_jobs=2)

def select():
    fastem.select(X, range(1, 4), ["VVV", "VVE", "VVI", "EEE"], n_jobs=2, random_state=0, **endless)

class EndlessDraws(likelihood_ratio.ModelSearch):
    def __init__(self, X, weight, pair, families, parameters, *rest):
        if threading.current_thread() is not threading.main_thread():
            parameters = parameters | endless
        super().__init__(X, weight, pair, families, parameters, *rest)

def likelihood_ratio_test():
    likelihood_ratio.ModelSearch = EndlessDraws
    fastem.likelihood_ratio_test(fastem.GaussianMixture(1), X[:500], n_jobs=2, random_state=0)

def interrupt():
    threads = threading.active_count()
    while threading.active_count() < threads + 2:
        time.sleep(0.01)
    time.sleep(0.3)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

sent = []
watcher = threading.Thread(target=interrupt)
watcher.start()
try:
    {work}()
except KeyboardInterrupt:
    print(time.monotonic() - sent[0], threading.active_count() - watcher.is_alive())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("work", ["select", "likelihood_ratio_test", "bootstrap"])
def test_ctrl_c_ends_running_fits(work, tmp_path):
    program = PROGRAM.replace("{work}", work)
    command = [sys.executable, "-P", "-W", "ignore", "-c", program]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    seconds, threads = found.stdout.split() or [found.stderr, 0]
    assert float(seconds) < 10  # some hundredths; these fits take hours
    assert threads == "1"

"""Commands, run in this process."""

import pytest

from fastem.__main__ import main


@pytest.fixture
def run(capsys):
    """Runs a command that must end with a code, 0 by default; returns what it printed."""

    def _run(*words, code=0):
        assert main([str(word) for word in words]) == code
        return capsys.readouterr().out

    return _run


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; returns what it said."""

    def _refused(*words):
        assert main([str(word) for word in words]) == 2
        return capsys.readouterr().err

    return _refused

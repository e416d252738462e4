"""Two revisions, each built by pip, in turn on one machine: is HEAD slower than BASE?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.contest import FASTEM, Session
from bench.problems import DENSE_PROBLEMS, PROBLEMS
from bench.report import Section, disagreements, medians, ratio, summarise, table

CHECKOUT = Path(__file__).resolve().parent.parent
COLUMNS = {
    "problem": ("problem", "s"),
    "BASE ms": ("BASE", ".2f"),
    "HEAD ms": ("HEAD", ".2f"),
    "HEAD/BASE": ("ratio", ".3f"),
    "difference ms": ("difference", "+.2f"),
    "verdict": ("verdict", "s"),
}


def run(session: Session, revisions: dict[str, str], relative: float, absolute: float) -> Section:
    """The problems by the revisions called BASE and HEAD; a complaint where HEAD is slower beyond both thresholds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rivals = [
            replace(FASTEM, name=name, environment={"PYTHONPATH": str(installed(revision, Path(folder, name)))})
            for name, revision in revisions.items()
        ]
        for problem in ((PROBLEMS | DENSE_PROBLEMS)[name] for name in session.names or PROBLEMS):
            turns = session.compete(problem, rivals, session.repeats)
            if len(turns) < 2:
                continue  # the session complains already
            session.complaints += disagreements(problem, summarise(problem, turns, session.machine))
            row = {
                "problem": problem.title,
                **medians(turns, "ms"),
                "ratio": ratio(turns, "HEAD", "BASE", "ms"),
                "difference": median(head["ms"] - base["ms"] for base, head in zip(turns["BASE"], turns["HEAD"])),
            }
            row["verdict"] = verdict(row["ratio"], row["difference"], relative, absolute)
            if row["verdict"] == "slower":
                session.complaints.append(f"{problem.title}: HEAD takes {row['ratio']:.2f} times as long as BASE")
            rows.append(row)
    names = ", ".join(f"{name} is {revision}" for name, revision in revisions.items())
    legend = f"{names}; thresholds {relative:.0%} and {absolute:g} ms, medians of paired turns."
    return Section("Two revisions", f"{table(rows, COLUMNS)}\n\n{legend}", rows)


def verdict(ratio: float, difference: float, relative: float, absolute: float) -> str:
    """Slower or faster only beyond both thresholds, ``relative`` as a share and ``absolute`` in milliseconds.

    Examples
    --------
    >>> verdict(1.2, 5.0, 0.05, 0.2), verdict(1.2, 0.1, 0.05, 0.2), verdict(1.01, 5.0, 0.05, 0.2)
    ('slower', 'same', 'same')
    >>> verdict(0.8, -5.0, 0.05, 0.2)
    'faster'
    """
    if abs(difference) <= absolute:
        return "same"
    return "slower" if ratio > 1 + relative else "faster" if ratio < 1 / (1 + relative) else "same"


def installed(revision: str, folder: Path) -> Path:
    """A folder into which pip installed a revision of this repository, with the numpy that is here already."""
    print(f"building {revision}", file=sys.stderr)
    source, target, archive = folder / "source", folder / "target", folder / "source.zip"
    folder.mkdir()
    subprocess.run(["git", "-C", CHECKOUT, "archive", f"--output={archive}", revision], check=True)
    shutil.unpack_archive(archive, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, source]
    subprocess.run(pip, check=True)
    return target

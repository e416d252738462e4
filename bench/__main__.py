"""fastem measured: ``python -m bench COMMAND`` from the checkout.

passes        iterations of EM beside scikit-learn, oneDAL and what the machine can do at best
scaling       an iteration against rows, columns and components
models        from data to model with default settings, beside scikit-learn
scoring       score_samples, predict, predict_proba and score, beside scikit-learn
small         import, tiny fit, one row
criteria      BIC, AIC, ICL and cross-validation on data with known classes
select        one to nine components of fourteen families, to the best
factors       factor analysis and probabilistic PCA, beside scikit-learn
bayesian      Bayesian mixtures: iterations beside Gaussian mixtures, fits beside scikit-learn
missing       iterations over rows with missing values, beside the complete rows
families      iterations of Poisson and other mixtures beside diagonal Gaussian ones
covariates    iterations with weights that depend on covariates, beside the plain ones and StepMix (extra `rivals`)
errors        iterations over rows with measurement errors, beside astroML (extra `rivals`), and between bounds
covariances   iterations of the fourteen covariance families beside full and diagonal ones
mixtures      mixtures of other families, beside StepMix and pomegranate (extra `rivals`)
spark         iterations of EM beside Spark MLlib (extra `spark`, and Java)
baseline      the kernels of each instruction set, beside scikit-learn
streams       iterations over files, chunks and Dask, and their memory (extras `arrow`, `dask`)
acceleration  passes of plain and accelerated EM
starts        where default fits end, beside scikit-learn, in many situations
gains         what fits say is left to gain, beside what they gain when they are run on; writes bench/GAINS.md
families_starts   the same for the other families, beside the best known
accuracy      digits of certified answers, of every library that is installed
all           all of these; writes bench/RESULTS.md and its plots
compare       two revisions of fastem, built and timed in turn: 1 if HEAD is slower than BASE

Every command ends with 1 if something failed, results disagree or a figure cannot be true.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    acceleration,
    accuracy,
    bayesian,
    calls,
    compare,
    covariances,
    covariates,
    criteria,
    errors,
    factors,
    families,
    gains,
    missing,
    mixtures,
    passes,
    scaling,
    selection,
    spark,
    starts,
    starts_of_families,
    streams,
)
from bench.contest import LIBRARIES, Session
from bench.machine import available_cores
from bench.problems import DENSE_PROBLEMS, PROBLEMS
from bench.report import Section

COMMANDS = {
    "passes": passes.run,
    "scaling": scaling.run,
    "models": calls.models,
    "scoring": calls.scoring,
    "small": calls.small,
    "select": selection.run,
    "factors": factors.run,
    "bayesian": bayesian.run,
    "missing": missing.run,
    "families": families.run,
    "gains": gains.run,
    "covariances": covariances.run,
    "covariates": covariates.run,
    "errors": errors.run,
    "mixtures": mixtures.run,
    "spark": spark.run,
    "baseline": passes.baseline,
    "streams": streams.run,
    "acceleration": acceleration.run,
    "starts": starts.run,
    "criteria": criteria.run,
    "families_starts": starts_of_families.run,
    "accuracy": accuracy.run,
}
LIMITED = ("passes", "scaling", "all")  # say how near to the machine's limits
NAMED = ("passes", "baseline", "compare")  # take names of problems
DRAWN = ("passes", "scaling")  # their figures are
RESULTS = Path(__file__).with_name("RESULTS.md")
KEPT = {"gains": RESULTS.with_name("GAINS.md")}  # commands whose report is kept apart


def main(argv: list[str] | None = None) -> int:
    """Run a command; 1 if there is a complaint."""
    # the installed fastem is measured, not the checkout's sources, which have no kernels
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != RESULTS.parent.parent.resolve()]
    options = arguments(argv)
    if options.command == "all" and importlib.util.find_spec("matplotlib") is None:
        sys.exit("bench all draws with matplotlib: pip install '.[bench]'")
    libraries = [] if options.command == "compare" else options.rivals
    session = Session.opened(libraries, options.names, options.repeats, options.quick, options.threads)
    if "fastem" in libraries and "fastem" not in session.rivals:
        sys.exit("Nothing to compare with: install fastem (pip install .)")
    if options.command == "compare":
        revisions = {"BASE": options.base, "HEAD": options.head}
        sections = [compare.run(session, revisions, options.relative, options.absolute)]
    else:
        wanted = [options.command]
        if options.command == "all":
            wanted = [name for name in COMMANDS if name not in options.without]
        sections = [COMMANDS[name](session) for name in wanted]
    if options.command in LIMITED:
        session.complaints += session.machine.doubts()
    text = report(session, sections)
    print(text)
    if options.command == "all":
        from bench import plots

        found = dict(zip(wanted, sections))
        drawn = plots.draw(RESULTS.parent, found["passes"].rows, found["scaling"].rows)
        pictures = "\n\n".join(f"![{caption}]({name})" for name, caption in drawn.items())
        RESULTS.write_text(f"{text}\n\n{pictures}\n", encoding="utf-8")
    elif options.command in KEPT and not options.quick:
        KEPT[options.command].write_text(f"{text}\n", encoding="utf-8")
    if options.json:
        document = {"machine": asdict(session.machine), "sections": [asdict(section) for section in sections]}
        options.json.write_text(json.dumps(document | {"complaints": session.complaints}, indent=1) + "\n")
    return 1 if session.complaints else 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (*COMMANDS, "all", "compare"):
        own = commands.add_parser(command)
        own.set_defaults(names=[])
        if command == "compare":
            own.add_argument("base", metavar="BASE", help="a git revision")
            own.add_argument("head", metavar="HEAD", help="another")
            own.add_argument("--relative", type=float, default=0.05, help="slower by more than this share (0.05) …")
            own.add_argument("--absolute", type=float, default=0.2, help="… and by more milliseconds (0.2)")
        else:
            own.add_argument("--rivals", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
        if command == "all":
            may_miss = [name for name in COMMANDS if name not in DRAWN]
            own.add_argument("--without", nargs="+", choices=may_miss, default=[], help="commands to leave out")
        if command in NAMED:
            names = ", ".join(PROBLEMS | DENSE_PROBLEMS)
            own.add_argument("names", nargs="*", metavar="NAME", help=f"among {names}")
        own.add_argument("--repeats", type=int, metavar="N", help="turns of each (3; 1 if --quick)")
        own.add_argument("--threads", type=int, metavar="N", default=available_cores())
        own.add_argument("--quick", action="store_true", help="less work, one turn: rough")
        own.add_argument("--json", type=Path, metavar="FILE", help="write the rows of the tables there as well")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in PROBLEMS | DENSE_PROBLEMS:
            parser.error(f"no problem is called {name!r}; there are {', '.join(PROBLEMS | DENSE_PROBLEMS)}")
    if options.repeats is None:
        options.repeats = 1 if options.quick else 3
    for option in ("repeats", "threads"):
        if getattr(options, option) < 1:
            parser.error(f"--{option} is {getattr(options, option)}; it must be at least 1")
    return options


def report(session: Session, sections: list[Section]) -> str:
    """Machine, versions, date, complaints and every section, as Markdown."""
    now = datetime.now(UTC)
    # without the file of --json: results name no path of a machine
    said = [word for before, word in zip(sys.argv, sys.argv[1:]) if "--json" not in (before, word)]
    head = [
        "# Results",
        f"{now:%Y-%m-%d %H:%M} UTC, by `python -m bench {' '.join(said)}`: "
        f"{session.repeats} turn(s), medians{', quick: rough' if session.quick else ''}.",
        session.machine.report().replace("\n", "  \n"),
    ]
    complaints = [f"!!! {complaint}" for complaint in session.complaints]
    return "\n\n".join(head + complaints + [f"## {section.title}\n\n{section.text}" for section in sections])


if __name__ == "__main__":
    sys.exit(main())

"""Iterations of EM from a given start: fastem beside its rivals, beside the machine, and build beside build."""

from __future__ import annotations

from dataclasses import replace

from bench.contest import FASTEM, LIBRARIES, SCIKIT_LEARN, Session, Turns, written
from bench.problems import DENSE_PROBLEMS, EXP_FLOPS, PROBLEMS, Problem
from bench.report import Section, disagreements, impossible, medians, ratio, summarise, table

ONE_THREAD = replace(FASTEM, name="fastem, one thread", n_threads=1)

RIVALS_TABLE = {
    "problem": ("problem", "s"),
    "library": ("rival", "s"),
    "ms/iteration": ("ms", ".2f"),
    "spread": ("spread", ".0%"),
    "× fastem": ("ratio", ".2f"),
    "mean log-likelihood": ("log_likelihood", ".9f"),
    "extra MB": ("extra_mb", ".1f"),
    "% of limit": ("limit", ".1%"),
}
MACHINE_TABLE = {
    "fastem": ("problem", "s"),
    "one thread ms": ("one_thread_ms", ".2f"),
    "all threads ms": ("ms", ".2f"),
    "speed-up": ("speed_up", ".2f"),
    "GFLOP/s": ("gflops", ".0f"),
    "% of FMA peak": ("of_peak", ".1%"),
    "GB/s": ("gbytes", ".2f"),
    "% of bandwidth": ("of_bandwidth", ".1%"),
}
PHASES = ("reading", "densities", "responsibilities", "sums")
PASS_TABLE = {
    "fastem, a pass alone": ("problem", "s"),
    "all threads ms": ("ms", ".2f"),
    "% of limit": ("limit", ".1%"),
    "% of the peak beside": ("beside", ".1%"),
    "one thread ms": ("one_thread_ms", ".2f"),
    "% of its peak beside": ("one_thread_beside", ".1%"),
    **{f"{phase} ms": (phase, ".2f") for phase in PHASES},
    **{f"{phase}: % of FMA peak": (f"{phase} share", ".1%") for phase in PHASES[1:]},
}
AIMS = {"full-d16": 0.6, "full-d64": 0.75, "full-d16-f32": 0.5, "diag-d39": 0.6}  # of the peak beside, by a pass alone
PASS_LEGEND = """\
A pass alone: the E-step over all rows, which is an iteration without its M-step, its gains and what is still to gain at
the end. Its phases by one thread, in the same process: reading and turning rows; densities, half of the count below;
responsibilities, an exp each; sums, the other half. The peak beside: what the loop of multiply-adds reaches right
before and after each pass, with as many threads: other work on the machine slows both, where the limit is of its best
moment. The median of the turns' shares."""
LEGEND = f"""\
ms/iteration: median over the turns. spread: (slowest turn - fastest turn) / median.
× fastem: median over the turns of the library's time over fastem's in the same turn.
extra MB: peak resident memory in the first fit minus that before it.
% of limit: the limit is the larger of flops / FMA peak and bytes of the data / read bandwidth;
flops per row and component: full d²+d², diag 4d+4d, tied and spherical 2d+2d, plus one exp,
counted as {EXP_FLOPS["float64"]} in float64 and {EXP_FLOPS["float32"]} in float32. GFLOP/s: of the same count without
the exp."""


def run(session: Session) -> Section:
    """The problems of the main table and the dense ones, each by every rival and by fastem on one thread."""
    libraries = list(session.rivals.values())
    one_thread = [ONE_THREAD] if "fastem" in session.rivals and session.machine.n_threads > 1 else []
    wanted = session.names or [*PROBLEMS, *DENSE_PROBLEMS]
    groups = []
    for problems in (PROBLEMS, DENSE_PROBLEMS):
        results = {}
        for problem in (problems[name] for name in wanted if name in problems):
            # What the dense problems show is fastem beside the machine: no need to wait for the slowest.
            rivals = libraries if problems is PROBLEMS else [r for r in libraries if r != SCIKIT_LEARN]
            results[problem] = session.compete(problem, rivals + one_thread, session.repeats)
            session.measure_again()
        groups.append(results)
    main, dense = (_rows(session, results) for results in groups)
    beside_rivals = [row for row in main if row["rival"] in LIBRARIES]
    beside_machine = [_use(session, problem, turns) for results in groups for problem, turns in results.items()]
    tables = [table(beside_rivals, RIVALS_TABLE)] if main else []
    if dense:
        tables.append(table([row for row in dense if row["rival"] in LIBRARIES], RIVALS_TABLE))
    tables.append(table([row for row in beside_machine if row], MACHINE_TABLE))
    if session.present(FASTEM):
        alone = [_alone(session, problem) for results in groups for problem in results]
        tables += [table(alone, PASS_TABLE), PASS_LEGEND]
    return Section("Iterations", "\n\n".join([*tables, LEGEND]), beside_rivals)


def _alone(session: Session, problem: Problem) -> dict:
    """A pass without the rest of an iteration, and its phases, beside what the machine can do."""
    with written(problem) as task:
        found = FASTEM.ask("phases", **task, n_threads=session.machine.n_threads)
    session.measure_again()
    row, machine = {"problem": problem.title} | found, session.machine
    if machine.peak_all is None:
        return row
    row["limit"] = machine.shortest_ms(problem) / row["ms"]
    half = problem.algebra_flops() / 2
    for phase, flops in zip(PHASES[1:], (half, problem.flops() - 2 * half, half)):
        row[f"{phase} share"] = flops / row[phase] / 1e6 / machine.peak_one[problem.dtype]
    aim = 0 if session.quick else AIMS.get(problem.name, 0)
    if row["beside"] < aim:
        session.complaints.append(f"{problem.title}: a pass at {row['beside']:.0%} of the peak beside, aim {aim:.0%}")
    return row


def _rows(session: Session, results: dict[Problem, Turns]) -> list[dict]:
    """Summaries under the limits as they stand now; complaints go to the session."""
    rows = []
    for problem, turns in results.items():
        new = summarise(problem, turns, session.machine)
        session.complaints += disagreements(problem, new)
        rows += new
    session.complaints += impossible(rows)
    return rows


def _use(session: Session, problem: Problem, turns: Turns) -> dict:
    """What fastem makes of the machine on one problem."""
    if not turns.get("fastem"):
        return {}
    machine, times = session.machine, medians(turns, "ms")
    row = {
        "problem": problem.title,
        "ms": times["fastem"],
        "one_thread_ms": times.get(ONE_THREAD.name),
        "speed_up": ratio(turns, ONE_THREAD.name, "fastem", "ms"),
        "gflops": problem.algebra_flops() / times["fastem"] / 1e6,
        "gbytes": problem.bytes() / times["fastem"] / 1e6,
    }
    if machine.peak_all is not None:
        row["of_peak"] = row["gflops"] / machine.peak_all[problem.dtype]
        row["of_bandwidth"] = row["gbytes"] / machine.bandwidth
    return row


def baseline(session: Session) -> Section:
    """fastem forced to each instruction set of this CPU, beside scikit-learn: does the worst still win?"""
    sets = FASTEM.ask("instruction_sets") if session.present(FASTEM) else []
    builds = [replace(FASTEM, name=name, environment={"FASTEM_INSTRUCTION_SET": name}) for name in reversed(sets)]
    rows = []
    for name in session.names or PROBLEMS:
        problem = (PROBLEMS | DENSE_PROBLEMS)[name]
        turns = session.compete(problem, [*builds, *session.present(SCIKIT_LEARN)], session.repeats, few=True)
        row = {"problem": problem.title} | medians(turns, "ms")
        session.complaints += disagreements(problem, summarise(problem, turns, session.machine))
        for build in sets:
            row[f"{build} ratio"] = ratio(turns, SCIKIT_LEARN.name, build, "ms")
            if row[f"{build} ratio"] is not None and row[f"{build} ratio"] <= 1:
                session.complaints.append(f"{problem.title}: {build} kernels do not beat scikit-learn")
        rows.append(row)
    columns = {"problem": ("problem", "s")}
    for build in reversed(sets):
        columns |= {f"{build} ms": (build, ".2f"), f"{build} ×": (f"{build} ratio", ".1f")}
    columns["scikit-learn ms"] = (SCIKIT_LEARN.name, ".1f")
    legend = "ms per iteration of fastem with the kernels of one instruction set; ×: scikit-learn's time over that."
    return Section("Instruction sets", f"{table(rows, columns)}\n\n{legend}", rows)

"""The site is whole: what it should speak of is there, and a page that draws shows what it has drawn."""

import sys
from pathlib import Path

import pytest
from matplotlib import pyplot

from fastem import plot
from fastem.check import LEAST
from fastem.datasets import load_certified
from fastem.families import ESTIMATORS

DOCS = Path(__file__).resolve().parent.parent / "docs"
EXAMPLES = sorted(DOCS.glob("examples/*/plot_*.py"))
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md")) if "build" not in path.parts}


@pytest.fixture(scope="module")
def run_pages():
    sys.path.insert(0, str(DOCS))
    try:
        import run_pages
    finally:
        sys.path.remove(str(DOCS))
    pyplot.switch_backend("agg")
    return run_pages


def test_every_picture_is_in_the_gallery():
    code = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    assert len(EXAMPLES) >= 15
    assert [name for name in plot.__all__ if f"plot.{name}(" not in code] == []


def test_every_estimator_has_its_mathematics():
    mathematics = "".join(text for path, text in PAGES.items() if path.parent.name == "mathematics")
    names = [*ESTIMATORS, "MixtureOfRegressions"]
    assert [name for name in names if f"`{name}" not in mathematics] == []


def test_every_estimator_is_on_the_page_of_families():
    page = PAGES[DOCS / "pages" / "families.md"]
    assert [name for name in ESTIMATORS if f"`{name}" not in page] == []


def test_every_page_is_in_the_table_of_contents():
    index = PAGES[DOCS / "index.md"]
    names = [str(path.relative_to(DOCS).with_suffix("")) for path in PAGES]
    assert [name for name in names if name not in index and not name.startswith("pages/")] == []


def rows_of_first_table(text):
    """Cells of its rows below the head."""
    lines = text[text.index("\n|") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_of_accuracy_says_what_was_measured_and_what_there_is():
    page, problems = PAGES[DOCS / "understand" / "accuracy.md"], load_certified()
    measured = rows_of_first_table((DOCS.parent / "bench" / "ACCURACY.md").read_text(encoding="utf-8"))
    said = rows_of_first_table(page)
    assert said == [
        [library, number, *(f"{median} ({least})" for least, median in zip(digits[::2], digits[1::2])), failed]
        for library, number, *digits, failed in measured
    ]
    assert said[0][1] == str(len(problems)) and f"`fastem.datasets.load_certified()` has {len(problems)} pro" in page
    assert [family for family in {problem.family for problem in problems} if f"`{family}`" not in page] == []
    (most, worst), average, high = LEAST["low"], *("{:g} and {:g}".format(*LEAST[k]) for k in ("average", "high"))
    assert f"{most:g} of the log-likelihood and {worst:g} of the worst parameter" in page
    assert f"(average: {average}, high: {high})" in page


def test_what_a_page_prints_and_draws_stands_below_the_code(run_pages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = run_pages.Program(tmp_path / "pictures", "pages/one")
    page.folder.mkdir()
    first = page.run("x = 1\nprint(x)\nfrom matplotlib import pyplot\npyplot.plot([x, 2])")
    assert "```text\n1\n```" in first and "](/pictures/pages-one-1.png)" in first
    assert page.run("x += 1") == ""  # the same names, and no picture twice
    assert "](/pictures/pages-one-2.gif)" in page.run("open('film.gif', 'w').close()")
    assert sorted(path.name for path in page.folder.iterdir()) == ["pages-one-1.png", "pages-one-2.gif"]


def test_pages_that_show_nothing_stay_as_they_are(run_pages, tmp_path):
    app = type("App", (), {"srcdir": tmp_path})
    source = ["```python\nraise ValueError\n```\n"]
    run_pages.run_page(app, "pages/one", source)
    assert source == ["```python\nraise ValueError\n```\n"] and not list(tmp_path.iterdir())
    source = ["```python\nfrom matplotlib import pyplot\nraise ValueError\n```\n"]
    with pytest.raises(ValueError):
        run_pages.run_page(app, "pages/one", source)


def test_the_readme_is_short():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150

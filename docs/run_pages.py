"""Pages that draw or print are run while the site is built: what a block of Python shows stands below it.

A page draws if its code imports fastem.plot or pyplot. The ```python blocks of a page are one program, from top to
bottom, as tests/test_readme.py runs them; films that it saves as GIF are pictures too. ```{code-block} is not run.
"""

import contextlib
import io
import re
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
SHOWS = re.compile(r"^\s*(from fastem import .*\bplot\b|from matplotlib import pyplot|print\()", re.MULTILINE)
FOLDER = "pictures"  # under docs/


def run_page(app, name, source):
    """Replace the text of a page by that with its output; a page that fails is an error of the build."""
    blocks = BLOCK.findall(source[0])
    if not SHOWS.search("".join(blocks)):
        return
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        program = Program(folder, name)
        source[0] = BLOCK.sub(lambda found: found[0] + program.run(found[1]), source[0])


class Program:
    """The blocks of a page, one after the other in the same names."""

    def __init__(self, folder, page):
        self.names, self.folder, self.page, self.n_pictures = {}, folder, page, 0

    def run(self, code) -> str:
        """Run a block; what it has printed and drawn, as Markdown."""
        from matplotlib import pyplot

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, self.page, "exec"), self.names)
        text = f"\n```text\n{printed.getvalue().rstrip()}\n```\n" if printed.getvalue() else ""
        films = sorted(Path().glob("*.gif"))
        figures = [] if films else [pyplot.figure(number) for number in pyplot.get_fignums()]
        for film in films:
            text += self.show(film.suffix, film.replace)
        for figure in figures:
            text += self.show(".png", lambda path, figure=figure: figure.savefig(path, dpi=110))
        pyplot.close("all")
        return text

    def show(self, suffix, write) -> str:
        self.n_pictures += 1
        name = f"{self.page.replace('/', '-')}-{self.n_pictures}{suffix}"
        write(self.folder / name)
        return f"\n![Picture of the code above](/{FOLDER}/{name})\n"


def setup(app):
    app.connect("source-read", run_page)
    return {"parallel_read_safe": True}

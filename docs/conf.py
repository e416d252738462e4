"""The site: Markdown and reStructuredText, docstrings by numpydoc, the gallery by sphinx-gallery. See build.py."""

import inspect
import sys
import warnings
from importlib import import_module, metadata
from pathlib import Path

import fastem

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))  # for run_pages

project = "fastem"
copyright = "the fastem developers"
version = release = metadata.version("fastem")
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "run_pages",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["build", "examples", "_templates", "sg_execution_times.rst", "gallery/sg_execution_times.rst"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_title = f"fastem {release}"
html_show_sourcelink = False
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
numpydoc_show_class_members = False  # each class has a page of its own, with all members on it
autodoc_typehints = "none"  # types stand in the docstrings
autodoc_default_options = {"inherited-members": True}
autosummary_generate = True
toc_object_entries = False
suppress_warnings = ["config.cache"]  # a sorting function in the configuration of the gallery
# Pictures of the gallery, on data that ships or comes from scikit-learn
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 5,
    "remove_config_comments": True,
    "nested_sections": False,
    "thumbnail_size": (400, 280),
    "matplotlib_animations": True,
    "within_subsection_order": "FileNameSortKey",
}

for expected in fastem.ConvergenceWarning, fastem.DegenerateComponentWarning:  # fits stopped early, pixels always white
    warnings.filterwarnings("ignore", category=expected)


# ---- the reference: every public name, from the modules themselves

MODULES = {
    "fastem.plot": "Pictures",
    "fastem.theory": "The theory, as numbers",
    "fastem.datasets": "Data",
    "fastem.online": "Rows that come in parts",
    "fastem.factor_analysis": "The models under factor analysis",
    "fastem.driver": "For authors of models: what the driver asks and returns",
    "fastem.rows": "For authors of models and of data sources",
    "fastem.models": "For authors of families",
}


def public_names(module):
    """What a module exports: __all__, or else the public functions and classes that it defines."""
    module = import_module(module)
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    own = vars(module).items()
    return [name for name, value in own if name[0] != "_" and getattr(value, "__module__", "") == module.__name__]


def sections():
    """(title, module, names) of the reference."""
    groups = {"Estimators": [], "Functions": [], "Results and other classes": [], "Errors and warnings": []}
    for name in sorted(public_names("fastem"), key=str.lower):
        value = getattr(fastem, name)
        if hasattr(value, "fit"):
            kind = "Estimators"
        elif not isinstance(value, type):
            kind = "Functions"
        else:
            kind = "Errors and warnings" if issubclass(value, Exception) else "Results and other classes"
        groups[kind].append(name)
    yield from ((title, "fastem", names) for title, names in groups.items())
    told = {id(getattr(fastem, name)) for name in public_names("fastem")}
    for module, title in MODULES.items():
        own = [name for name in public_names(module) if id(getattr(import_module(module), name)) not in told]
        yield title, module, own


def write_reference():
    """reference/index.rst, a table of names for each section, of which autosummary makes a page each."""
    text = "Reference\n=========\n\nEvery public name.\n"
    for title, module, names in sections():
        rows = "".join(f"   {name}\n" for name in names if not isinstance(getattr(import_module(module), name), tuple))
        text += f"\n{title}\n{'-' * len(title)}\n\n.. currentmodule:: {module}\n\n"
        text += f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{rows}"
    path = DOCS / "reference" / "index.rst"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


write_reference()

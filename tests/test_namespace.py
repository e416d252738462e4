"""What a user sees of the package after `import fastem`."""

import subprocess
import sys

import pytest

import fastem


@pytest.mark.parametrize("room", ["online", "plot", "theory"])
def test_a_room_is_there_after_the_import_and_not_imported_by_it(room):
    code = f"import sys, fastem; assert 'fastem.{room}' not in sys.modules; print(fastem.{room}.__name__)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.strip() == f"fastem.{room}"


def test_dir_shows_the_public_names_only():
    assert {name for name in dir(fastem) if not name.startswith("_")} == set(fastem.__all__)
    assert "__version__" in dir(fastem)
    assert all(hasattr(fastem, name) for name in dir(fastem))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fastem' has no attribute 'plots'"):
        fastem.plots  # noqa: B018

import subprocess
import sys

import pytest

import maskwright


def test_every_public_name_is_there_and_the_lists_agree():
    assert set(maskwright.__all__) == {*maskwright._HOME, "__version__"}
    for name in maskwright._HOME:
        assert getattr(maskwright, name).__name__ == name


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, maskwright; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = maskwright.nothing

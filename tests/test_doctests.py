"""Every example in a docstring gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import tessera

MODULES = [module.name for module in pkgutil.iter_modules(tessera.__path__, "tessera.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0

"""One set of versions: the pip lock, the conda environments and what is installed agree."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml

from tessera.digests import LIBRARY, SCRIPTS, imported_modules

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
ON_CONDA = {"pytorch": "torch"}
"""Names that differ between conda-forge and PyPI."""


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked():
    lines = (ROOT / "envs/requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): number for name, number in pins}


def pinned(environment):
    pins = yaml.safe_load(environment.read_text(encoding="utf-8"))["dependencies"]
    pairs = (pin.split("=") for pin in pins if not pin.startswith("python="))
    return {ON_CONDA.get(name, name): number for name, number in pairs}


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_conda_pins_are_those_of_the_lock(environment):
    lock = locked()
    assert {name: lock.get(name) for name in pinned(environment)} == pinned(environment)


def test_lock_holds_every_dependency_and_is_what_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lock = locked()
    assert set(wanted) <= set(lock)
    assert {name: version(name).split("+")[0] for name in wanted} == {n: lock[n] for n in wanted}


def third_party(script):
    """Distributions that a script and the modules it reaches import."""
    waiting, seen, names = [SCRIPTS / script], set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += [LIBRARY / f"{module}.py" for module in imported_modules(tree)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    ours = {"tessera", "snakemake", *sys.stdlib_module_names}
    found = packages_distributions()
    return {normalised(found[name][0]) for name in names - ours}


def rules():
    """Script and conda environment of every rule."""
    text = "\n".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    return re.findall(r'envs/(\w+)\.yaml".*?scripts/(\w+\.py)"', text, re.DOTALL)


@pytest.mark.parametrize(("environment", "script"), rules())
def test_environment_of_a_rule_holds_what_its_script_imports(environment, script):
    assert third_party(script) <= set(pinned(ROOT / f"envs/{environment}.yaml"))


def test_every_rule_of_the_workflow_has_an_environment():
    files = [path for path in (ROOT / "workflow/rules").glob("*.smk") if path.stem != "simulate"]
    assert len(rules()) == sum(len(re.findall(r"\n +script:", path.read_text())) for path in files)

"""Digests: content decides, time does not, and what has not changed is not read."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tessera import digests
from tessera.digests import DigestCache, changed_files, code_version, digest, file_digest
from tessera.problems import BadInput
from verification.records import digests as verification_digests


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def raw(tmp_path):
    """A raw file whose name has blanks."""
    path = tmp_path / "raw data" / "a b.tif"
    path.parent.mkdir()
    path.write_bytes(b"first")
    return path


@pytest.fixture
def known(tmp_path):
    """A function that asks a cache, opened anew, for the digest of a file."""
    return lambda path: DigestCache(tmp_path / "cache.tsv").of([str(path)])[str(path)]


def overwritten(path, data, mtime_ns):
    """The same inode with other bytes."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest("a", "b") != digest("ab")


def test_what_was_hashed_is_not_read_again(raw, known):
    """So a file that keeps size, time and inode keeps its digest: the price of not reading."""
    assert known(raw) == sha256(b"first")
    overwritten(raw, b"other", raw.stat().st_mtime_ns)
    assert known(raw) == sha256(b"first")
    assert file_digest(raw) == sha256(b"other")


def test_another_size_time_inode_or_path_is_read(raw, known):
    before = raw.stat().st_mtime_ns
    assert known(raw) == sha256(b"first")
    overwritten(raw, b"longer", before)
    assert known(raw) == sha256(b"longer")
    overwritten(raw, b"nearby", before + 1)
    assert known(raw) == sha256(b"nearby")
    copy = raw.with_name("copy")
    copy.write_bytes(b"copied")
    os.utime(copy, ns=(before + 1, before + 1))
    assert known(copy) == sha256(b"copied")
    copy.replace(raw)
    assert known(raw) == sha256(b"copied")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: b"\xff\x00" + text,
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"\t", b" "),
        lambda text: text.replace(sha256(b"first").encode(), b"torn"),
        lambda text: text + b"1\t2\t3\n",
    ],
)
def test_a_damaged_cache_is_as_good_as_none(raw, known, tmp_path, damage):
    cache = tmp_path / "cache.tsv"
    known(raw)
    good = cache.read_bytes()
    cache.write_bytes(damage(good))
    assert known(raw) == sha256(b"first")
    raw.with_name("new").write_bytes(b"new")
    assert known(raw.with_name("new")) == sha256(b"new")
    assert set(good.splitlines()) < set(cache.read_bytes().splitlines())


def test_many_files_are_hashed_each_to_its_own(tmp_path):
    paths = [tmp_path / f"{i}" for i in range(40)]
    for path in paths:
        path.write_text(path.name)
    of = DigestCache(tmp_path / "cache.tsv").of([str(path) for path in paths])
    assert of == {str(path): sha256(path.name.encode()) for path in paths}


def test_caches_that_are_saved_at_the_same_time_stay_whole(tmp_path):
    cache = tmp_path / "cache.tsv"
    for i in range(60):
        (tmp_path / f"{i}").write_text(f"{i}")

    def hashed(i):
        return DigestCache(cache).of([str(tmp_path / f"{i}")])

    with ThreadPoolExecutor(8) as pool:
        for i, of in enumerate(pool.map(hashed, range(60))):
            assert of == {str(tmp_path / f"{i}"): sha256(f"{i}".encode())}
    lines = cache.read_text().splitlines()
    assert len(lines) > 1
    assert {line.count("\t") for line in lines} == {4}
    assert len(list(tmp_path.glob("*.tsv"))) == 1


def test_changed_files_are_named(raw):
    rows = [{"micrograph": name, "path": str(raw)} for name in ("one", "two")]
    assert changed_files(rows, [sha256(b"first")] * 2) == []
    (problem,) = changed_files(rows, [sha256(b"first"), sha256(b"older")])
    assert (problem.micrograph, problem.path) == ("two", str(raw))
    raw.unlink()
    with pytest.raises(BadInput) as caught:
        changed_files(rows, [sha256(b"first")] * 2)
    assert [problem.micrograph for problem in caught.value.problems] == ["one", "two"]


SCRIPT = '''
"""Step."""
import numpy as np
from tessera.direct import value
from tessera import second


def main(x):
    """Do it."""
    return value(x) + 1  # one more
'''
FILES = {
    "scripts/step.py": SCRIPT,
    "lib/direct.py": "def value(x):\n    from tessera import indirect\n    indirect.value(x)\n",
    "lib/indirect.py": "import tessera.step\n\n\ndef value(x):\n    return x\n",
    "lib/second.py": "x = 1\n",
    "lib/step.py": "SAME_STEM = True\n",
    "lib/unrelated.py": "x = 1\n",
}


@pytest.fixture
def version(tmp_path, monkeypatch):
    """A function that writes a toy library, some of its files changed, and digests its script."""
    for folder, name in (("scripts", "SCRIPTS"), ("lib", "LIBRARY")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(digests, name, tmp_path / folder)

    def of(**changed):
        for name, text in FILES.items():
            (tmp_path / name).write_text(changed.get(name.replace("/", "_")[:-3], text))
        code_version.cache_clear()
        digests._parsed.cache_clear()
        return code_version("step.py")

    yield of
    code_version.cache_clear()
    digests._parsed.cache_clear()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Step."""', '"""Another text."""'),
        ('    """Do it."""\n', ""),
        ("  # one more", "\n\n    # what for?"),
        ("value(x) + 1", "value(\n        x,\n    ) + 1"),
    ],
)
def test_comments_docstrings_and_layout_are_not_seen(version, old, new):
    assert old in SCRIPT
    assert version(scripts_step=SCRIPT.replace(old, new)) == version()


@pytest.mark.parametrize(
    "name", ["scripts_step", "lib_direct", "lib_indirect", "lib_second", "lib_step"]
)
def test_a_change_is_seen_in_the_script_and_in_all_that_it_imports(version, name):
    text = {file.replace("/", "_")[:-3]: text for file, text in FILES.items()}[name]
    assert version(**{name: f"{text}y = 2\n"}) != version()


def test_a_change_of_what_is_not_imported_is_not_seen(version):
    assert version(lib_unrelated="x = 2\n") == version()


def test_a_change_of_what_only_names_types_is_not_seen(version):
    text = "if TYPE_CHECKING:\n    from tessera import unrelated\n"
    text += FILES["lib/second.py"]
    before = version(lib_second=text)
    assert version(lib_second=text, lib_unrelated="x = 2\n") == before
    run = text.replace("TYPE_CHECKING", "not TYPE_CHECKING")
    assert version(lib_second=run, lib_unrelated="x = 2\n") != version(lib_second=run)


def test_every_script_has_a_version_of_its_own():
    scripts = [path.name for path in digests.SCRIPTS.glob("*.py")]
    assert len({code_version(script) for script in scripts}) == len(scripts) > 0


# ------------------------------------------------------------------------------------- packages

PACKAGED = """
def main(x):
    from tessera.package import chosen
    return chosen
"""
PACKAGE = {
    "lib/package/__init__.py": "from tessera.package.base import A\n\nlazy = 'from a string'\n",
    "lib/package/base.py": "A = 1\n",
    "lib/package/chosen.py": "import tessera.package.deep.inner\n",
    "lib/package/other.py": "x = 1\n",
    "lib/package/deep/__init__.py": "",
    "lib/package/deep/inner.py": "x = 1\n",
}


@pytest.mark.parametrize(
    ("name", "is_seen"),
    [
        ("lib/package/__init__.py", True),
        ("lib/package/base.py", True),
        ("lib/package/chosen.py", True),
        ("lib/package/deep/__init__.py", True),
        ("lib/package/deep/inner.py", True),
        ("lib/package/other.py", False),
    ],
)
def test_modules_of_packages_are_seen_where_they_are_imported(tmp_path, version, name, is_seen):
    (tmp_path / "lib/package/deep").mkdir(parents=True)
    for path, text in PACKAGE.items():
        (tmp_path / path).write_text(text)
    before = version(scripts_step=PACKAGED)
    (tmp_path / name).write_text(f"{PACKAGE[name]}y = 2\n")
    assert (version(scripts_step=PACKAGED) != before) == is_seen


def test_every_reader_is_seen_by_the_scripts_that_read():
    """Readers are imported only when a file asks for them; their code counts all the same."""
    readers = {f"readers/{path.stem}" for path in (digests.LIBRARY / "readers").glob("*.py")}
    assert len(readers) > 10
    for script in ("ingest.py", "annotate.py"):
        seen, waiting = set(), [digests.SCRIPTS / script]
        while waiting:
            _, modules = digests._parsed(waiting.pop())
            waiting += [digests.LIBRARY / f"{module}.py" for module in set(modules) - seen]
            seen |= set(modules)
        assert readers <= seen, script


# -------------------------------------------------------------------------------------- folders


@pytest.fixture
def store(tmp_path):
    """A folder that stands for one raw file."""
    folder = tmp_path / "a.zarr"
    (folder / "c/0").mkdir(parents=True)
    (folder / ".zarray").write_text("{}")
    (folder / "c/0/1").write_bytes(b"chunk")
    return folder


def test_the_digest_of_a_folder_is_that_of_the_lines_of_sha256sum(store):
    lines = f"{sha256(b'{}')}  .zarray\n{sha256(b'chunk')}  c/0/1\n"
    assert file_digest(store) == sha256(lines.encode())


def test_verification_makes_the_same_digest_of_a_folder(store):
    (found,) = verification_digests([store], 1)
    assert found == (store, file_digest(store))


@pytest.mark.parametrize(
    "change",
    [
        lambda store: (store / "c/0/1").write_bytes(b"other"),
        lambda store: (store / "c/0/1").unlink(),
        lambda store: (store / "c/0/1").rename(store / "c/0/2"),
        lambda store: (store / "c/0/2").write_bytes(b""),
    ],
)
def test_a_chunk_that_changes_moves_joins_or_leaves_is_seen(store, known, change):
    before = known(store)
    assert before == known(store) == file_digest(store)
    change(store)
    assert known(store) == file_digest(store) != before


def test_a_folder_that_was_hashed_is_not_read_again(store, known, monkeypatch):
    before = known(store)
    monkeypatch.setattr(digests, "folder_digest", lambda folder: pytest.fail("was read"))
    assert known(store) == before

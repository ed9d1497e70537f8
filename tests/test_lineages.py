"""The book of lineages: what was written is found again, and damage costs no more than its line."""

import pytest

from builders import study_of
from tessera.lineages import LineageBook, record_of


@pytest.fixture
def book(tmp_path):
    return LineageBook(tmp_path / "kept" / "lineages.tsv")


def test_every_lineage_of_a_study_is_known_by_what_it_stands_for(book):
    study = study_of()
    book.keep(study)
    look_up = book.read()
    for product in study.products:
        assert look_up(study.lineage(*product)) == record_of(study, *product)


def test_what_was_never_kept_is_not_known(book):
    assert book.read()("0" * 64) is None


def test_the_same_study_adds_nothing_and_another_adds_what_is_new(book):
    book.keep(study_of())
    once = book.path.read_text()
    book.keep(study_of())
    assert book.path.read_text() == once
    other = study_of(sha256={"data/a_000.mask.tif": "other"})
    book.keep(other)
    look_up = book.read()
    assert book.path.read_text().startswith(once)
    for study in (study_of(), other):
        assert all(look_up(study.lineage(*product)) for product in study.products)


def test_a_line_that_was_cut_off_costs_itself_alone(book):
    first, second = study_of(), study_of(sha256={"data/a_000.mask.tif": "other"})
    book.keep(first)
    whole = book.path.read_text()
    book.path.write_text(whole[: len(whole) - 20])
    book.keep(second)
    look_up = book.read()
    assert all(look_up(second.lineage(*product)) for product in second.products)
    lost = [product for product in first.products if look_up(first.lineage(*product)) is None]
    assert len(lost) <= 1


def test_no_damage_is_taken_for_a_record(book):
    study = study_of()
    book.keep(study)
    book.path.write_bytes(book.path.read_bytes().replace(b'"code"', b'"c\xffde"'))
    assert book.read()(study.lineage("split")) is None

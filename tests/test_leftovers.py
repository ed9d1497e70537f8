"""Leftovers: what the workflow made and a study has no more, and nothing else."""

import pytest

from builders import annotated
from grown_studies import FIRST, SECOND, grown, study
from tessera.asides import paths_below, set_aside
from tessera.leftovers import FOLDERS, endangered, leftovers

UNLABELLED = annotated(("a", 2, {"mask": "", "cohort": "0"}))
# One path of each form, of the group n that joined in cohort 1.
OF_N = [
    "micrographs/n.tif",
    "micrographs/n.tsv",
    "normalised/n.tif",
    "normalised/n.tsv",
    "masks/n.tif",
    "masks/n.tsv",
    "tiles/n.parquet",
    "tiles/n.tif",
    "evaluation/n.parquet",
    "lineages/n.predict",
    "predictions/n/.snakemake_timestamp",
    "predictions/n/n_1000.mask.tif",
    "predictions/n/n_1000.probability.tif",
    "predictions/n/n_1000.entropy.tif",
]
OF_COHORT_1 = [
    "prospective/cohort-1/networks.tsv",
    "prospective/cohort-1/folds.tsv",
    "prospective/cohort-1/metrics.tsv",
    "prospective/cohort-1/lineages/study.summarise",
    "prospective/cohort-1/networks/seed-0/fold-2.pt",
    "prospective/cohort-1/networks/seed-0/fold-2.history.tsv",
    "prospective/cohort-1/networks/seed-0/fold-2.lineage",
    "prospective/cohort-1/evaluation/n.parquet",
    "prospective/cohort-1/lineages/n.prospect",
    "prospective/cohort-1/predictions/n/.snakemake_timestamp",
    "prospective/cohort-1/predictions/n/n_1000.mask.tif",
    "prospective/cohort-1/predictions/n/n_1000.probability.tif",
    "prospective/cohort-1/predictions/n/n_1000.entropy.tif",
]
OF_FIRST = [
    "micrographs/s.tif",
    "normalised/s.tif",
    "masks/t.tsv",
    "tiles/s.parquet",
    "evaluation/t.parquet",
    "predictions/a/a_002.mask.tif",
    "predictions/a+unlabelled/a_0000.entropy.tif",
    "networks/seed-0/fold-2.pt",
    "networks/seed-0/fold-2.lineage",
    "networks/seed-0/fold-0.history.tsv",
    "checkpoints/seed-0/fold-1.pt",
]
NOT_OURS = [
    "report.html",
    "metrics.tsv",
    "plan.1.yaml",
    "notes.txt",
    "micrographs/README.md",
    "micrographs/deep/n.tif",
    "masks/n.png",
    "predictions/n_1000.mask.tif",
    "predictions/n/n_1000.tif",
    "predictions/n/measured.xlsx",
    "networks/best.pt",
    "networks/seed-0/fold-2.onnx",
    "prospective/cohort-x/folds.tsv",
    "prospective/cohort-1/notes.md",
    "removed/1/masks/n.tif",
    "lineages/study.summarise",
    "logs/ingest/n.log",
]


def left(found, paths):
    return list(leftovers(found, paths))


@pytest.fixture(scope="module")
def whole():
    return grown(FIRST + UNLABELLED, SECOND)


def test_what_a_study_has_is_not_left_over(whole):
    assert left(whole, [*OF_FIRST, *OF_N, *OF_COHORT_1, *NOT_OURS]) == []


def test_what_rows_leave_behind_is_and_nothing_that_is_not_ours():
    found = study(FIRST, UNLABELLED)
    assert left(found, [*OF_FIRST, *NOT_OURS, *OF_N, *OF_COHORT_1]) == [*OF_N, *OF_COHORT_1]


def test_a_micrograph_that_leaves_its_shard(whole):
    cells = [row for row in FIRST if row["micrograph"] != "a_002"]
    mine = [path for path in OF_FIRST if "a_002" in path]
    assert len(mine) == 1
    assert left(study(cells, UNLABELLED, SECOND, kept=whole.kept.values()), OF_FIRST) == mine


def test_masks_that_are_taken_away_leave_what_was_learnt_from_them():
    cells = [row | {"mask": ""} if row["group"] == "t" else row for row in FIRST]
    paths = ["masks/t.tif", "micrographs/t.tif", "micrographs/t+unlabelled.tif", "masks/a.tif"]
    assert left(study(cells), paths) == ["masks/t.tif", "micrographs/t.tif"]


def test_folds_and_seeds_that_are_gone():
    paths = [
        "networks/seed-0/fold-2.pt",
        "networks/seed-1/fold-0.pt",
        "networks/seed-0/fold-all.pt",
    ]
    paths += ["predictions/a/a_000.mask.seed-0.tif", "predictions/a/a_000.mask.seed-1.tif"]
    assert left(study(FIRST), paths) == paths[1:]
    two = study(FIRST, split={"folds": 2}, train={"seeds": [0, 1]})
    assert left(two, paths) == ["networks/seed-0/fold-2.pt", "networks/seed-0/fold-all.pt"]


def test_kept_networks_stay_while_a_cohort_is_there_or_they_judge_another(whole):
    tables = [path for path in OF_COHORT_1 if path.endswith((".pt", "networks.tsv"))]
    kept = whole.kept.values()
    assert left(study(FIRST, SECOND, kept=kept), tables) == []
    # Cohort 1 has gone, but its networks are those that judge cohort 2.
    later = annotated(("m", 2, {"cohort": "2"}))
    assert left(study(FIRST, later, kept=kept), tables) == []
    assert left(study(FIRST, kept=kept), tables) == tables


def test_what_a_run_would_delete_is_in_a_folder_that_it_makes_anew():
    gone = ["predictions/a/x.mask.tif", "predictions/a/.snakemake_timestamp", "masks/x.tif"]
    gone += ["predictions/x/x.mask.tif", "prospective/cohort-1/predictions/n/x.mask.tif"]
    gone += ["prospective/cohort-1/predictions/x/x.mask.tif"]
    made = {
        "results/predictions/a",
        "results/prospective/cohort-1/predictions/n",
        "results/masks/b",
    }
    assert list(endangered(gone, made)) == [gone[0], gone[4]]
    assert list(endangered(gone, set())) == []


def test_files_set_aside_keep_their_tree_and_nothing_is_overwritten(tmp_path):
    def write(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(path)

    stays = ["masks/a.tif", "predictions/a/a.mask.tif", "notes.txt"]
    goes = ["masks/n.tif", "predictions/n/n.mask.tif", "predictions/n/n.entropy.tif"]
    write(*stays, *goes)
    assert list(paths_below(tmp_path, FOLDERS)) == sorted([*stays[:2], *goes])
    assert set_aside(tmp_path, goes, "removed") == tmp_path / "removed/1"
    for path in goes:
        assert (tmp_path / "removed/1" / path).read_text() == path
        assert not (tmp_path / path).exists()
    assert all((tmp_path / path).read_text() == path for path in stays)
    # An emptied folder goes, others and the folder of results itself do not.
    assert not (tmp_path / "predictions/n").exists()
    assert (tmp_path / "predictions/a").is_dir()
    write(goes[0])
    assert set_aside(tmp_path, goes[:1], "removed") == tmp_path / "removed/2"
    assert (tmp_path / "removed/1" / goes[0]).read_text() == goes[0]

"""The report: pictures keep what masks say, the page tells the truth and needs no other file."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import report
from builders import config
from tessera import panels
from tessera.classes import IGNORE
from tessera.conditions import CONDITION
from tessera.crops import COLUMNS
from tessera.figures import Row, dot_plot, loss_plot
from tessera.files import write_pages
from tessera.methods import used
from tessera.metrics import class_counts, confusion
from tessera.panels import error_codes, grey, nearest, panel_shape
from tessera.plans import OPEN, STATED
from tessera.quarantines import COLUMNS as QUARANTINED
from tessera.reports import worst_first
from tessera.summaries import summary
from tessera.wording import (
    area,
    calibration,
    decimals,
    normalisation,
    number,
    pixel_sizes,
    validation,
)

CLASSES = ["matrix", "a<b"]
SPLIT = {"method": "group-k-fold", "folds": 2, "group": "column"}
SPLIT |= {"duplicates": "stop", "overlaps": "stop"}
NORMALISE = {"pixel_size_nm": 5.0, "method": "z-score", "by": "micrograph"}
NORMALISE |= {"low_percentile": 0.5, "high_percentile": 99.5}
LEAKS = ["first", "first_group", "second", "second_group", "kind", "shared_percent"]
LEAKS += ["down_px", "right_px", "turn", "picture"]


def write_shard(folder, group, wrong_px, annotated=True, use="cv", fold="0", size_nm=0.5):
    """A shard of one micrograph, `wrong_px` columns of it mispredicted, and its counts."""
    name = group if annotated else f"{group}+unlabelled"
    (folder / "predictions" / name).mkdir(parents=True)
    random = np.random.default_rng(len(group))
    mask_true = np.zeros((60, 80), np.uint8)
    mask_true[:, 40:] = 1
    mask_pred = np.roll(mask_true, wrong_px, axis=1)
    mask_true[:5] = IGNORE
    page = random.normal(100, 5, (60, 80)).astype(np.uint16)
    paths = {
        "micrographs": folder / f"{name}.tif",
        "table": folder / f"{name}.tsv",
        "predictions": folder / "predictions" / name,
        "masks": folder / f"{name}.mask.tif" if annotated else None,
    }
    write_pages(paths["micrographs"], [(page, size_nm)], True)
    write_pages(paths["predictions"] / f"{group}-1.mask.tif", [(mask_pred, size_nm)], True)
    entropy = random.random((60, 80)).astype(np.float32)
    write_pages(paths["predictions"] / f"{group}-1.entropy.tif", [(entropy, size_nm)], True)
    row = {"micrograph": f"{group}-1", "page": 0, "rows": 60, "columns": 80}
    row |= {"pixel_size_nm": size_nm, **dict.fromkeys(COLUMNS, 0), **dict.fromkeys(CONDITION, 0)}
    row |= {"lowest": 80, "highest": 120}
    pd.DataFrame([row]).to_csv(paths["table"], sep="\t", index=False)
    placement = {"shard": name, "group": group, "annotated": annotated, "use": use, "fold": fold}
    counts = class_counts(confusion(mask_true, mask_pred, 2)).assign(micrograph=f"{group}-1")
    if annotated:
        write_pages(paths["masks"], [(mask_true, size_nm)], True)
    methods = [counts.assign(method=method) for method in ("network", "otsu-bright", "otsu-dark")]
    counts = pd.concat(methods).assign(group=group, use=use)
    counts["class"] = [CLASSES[code] for code in counts["code"]]
    paths = {key: path and str(path) for key, path in paths.items()}
    return report.Shard(placement, **paths), counts.drop(columns="code")


@pytest.fixture
def study(tmp_path):
    """Arguments of `report.main`: two folds, an unlabelled group, and one that only trains."""
    placed = [("g1", 4, "0"), ("g2", 12, "1")]
    written = [write_shard(tmp_path, group, wrong, fold=fold) for group, wrong, fold in placed]
    new, _ = write_shard(tmp_path, "new", 3, annotated=False, fold=None)
    folds = pd.DataFrame(
        [("g1", "cv", "0"), ("g2", "cv", "1"), ("sim", "train", "")],
        columns=["group", "use", "fold"],
    ).assign(micrographs=1, pixels=4800, tiles_used=4, **{f"share_{name}": 0.5 for name in CLASSES})
    histories = []
    for fold in "01":
        history = tmp_path / "seed-0" / f"fold-{fold}.history.tsv"
        history.parent.mkdir(exist_ok=True)
        steps = pd.DataFrame({"step": range(1, 301), "loss": np.linspace(2, 0.1, 300)})
        steps.assign(learning_rate=0.1).to_csv(history, sep="\t", index=False)
        histories.append(str(history))
    scores = summary([counts for _, counts in written], 0, 100)
    write_table(folds, tmp_path / "folds.tsv")
    write_table(pd.DataFrame(columns=LEAKS), tmp_path / "leaks.tsv")
    write_table(scores, tmp_path / "metrics.tsv")
    return {
        "audit": (str(tmp_path / "folds.tsv"), str(tmp_path / "leaks.tsv")),
        "metrics": str(tmp_path / "metrics.tsv"),
        "histories": histories,
        "shards": [*(shard for shard, _ in written), new],
        "settings": {
            "title": "A study of grains & pores",
            "panels": 10,
            "panel_px": 64,
            "classes": [[name, code] for code, name in enumerate(CLASSES)],
            "cohorts": [],
            "study": {
                "split": dict(SPLIT),
                "normalise": NORMALISE,
                "train": {"epochs": 2, "loss": {"dice": 1.0}},
            },
        },
        "output": str(tmp_path / "report.html"),
    }


def write_table(table, path):
    table.to_csv(path, sep="\t", index=False)


def written(arguments, **settings):
    arguments["settings"] |= settings
    report.main(**arguments)
    return Path(arguments["output"]).read_text(encoding="utf-8")


def test_errors_of_every_kind():
    true = np.array([[0, 1, 0], [1, 1, 2], [0, IGNORE, IGNORE]], np.uint8)
    pred = np.array([[0, 1, 1], [0, 2, 2], [2, 0, 1]], np.uint8)
    hit, fp, fn, other, out = range(5)
    assert error_codes(true, pred).tolist() == [[hit, hit, fp], [fn, other, hit], [fp, out, out]]


def test_overlay_colours():
    true = np.array([[0, 1, 0], [1, 1, 2], [0, IGNORE, IGNORE]], np.uint8)
    pred = np.array([[0, 1, 1], [0, 2, 2], [2, 0, 1]], np.uint8)
    shown = panels.labelled_panels(np.zeros((3, 3)), true, pred, 3, 3)
    errors, annotation = (opened(shown[name]) for name in ("errors", "annotation"))
    assert errors[0, 0, 3] == 0
    np.testing.assert_array_equal(errors[0, 2], panels.ERROR_COLOURS[panels.FALSE_POSITIVE])
    np.testing.assert_array_equal(errors[1, 0], panels.ERROR_COLOURS[panels.FALSE_NEGATIVE])
    np.testing.assert_array_equal(errors[1, 1], panels.ERROR_COLOURS[panels.CONFUSED])
    for overlay in (errors, annotation):
        assert overlay[2, 1].tolist() in panels.HATCH_COLOURS.tolist()
    assert annotation[0, 0, 3] == 0
    np.testing.assert_array_equal(annotation[1, 2], panels.class_colours(3)[2])


def opened(uri):
    picture = Image.open(BytesIO(b64decode(uri.partition(",")[2])))
    return np.asarray(picture.convert("RGBA"))


@pytest.mark.parametrize("shape", [(101, 64), (64, 640), (50, 50)])
def test_a_smaller_mask_holds_no_new_class(shape):
    mask = np.random.default_rng(0).choice([0, 3, IGNORE], shape).astype(np.uint8)
    small = nearest(mask, panel_shape(shape, 50))
    assert max(small.shape) == 50
    assert set(np.unique(small)) <= {0, 3, IGNORE}


def test_grey_uses_all_levels_and_survives_a_flat_page():
    assert np.unique(grey(np.arange(256.0).reshape(16, 16)))[[0, -1]].tolist() == [0, 255]
    assert np.unique(grey(np.full((4, 4), 7.0))).tolist() == [0]


def test_worst_first_and_without_score_last():
    ious = {"good": [0.9, 0.8], "bad": [0.9, 0.1], "none": [np.nan, np.nan], "half": [np.nan, 0.6]}
    rows = [
        {"level": "micrograph", "method": "network", "micrograph": name, "class": c, "iou": iou}
        for name, values in ious.items()
        for c, iou in zip("xy", values, strict=True)
    ]
    distractors = [rows[0] | {"class": "all", "iou": 0}, rows[0] | {"method": "otsu", "iou": 0}]
    assert worst_first(pd.DataFrame(rows + distractors)) == ["bad", "half", "good", "none"]


def test_the_page_needs_no_other_file(study):
    html = written(study)
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|\#)[^"'\s]""", html)
    assert not re.findall(r"https?://|@import|<link|<iframe", html)


def test_the_same_inputs_give_the_same_bytes(study):
    assert written(study) == written(study)


def test_what_is_in_quarantine_cannot_be_overlooked(study, tmp_path):
    refused = [
        ("new-2", "new", "", "", "image"),
        ("g1-2", "g1", "cv", "0", "mask"),
        ("gone-1", "gone", "cv", "2", "image"),
        ("gone-1", "gone", "cv", "2", "mask"),
    ]
    table = pd.DataFrame(refused, columns=["micrograph", "group", "use", "fold", "column"])
    table = table.assign(file="f.tif", file_sha256="", reason="<damaged>")
    write_table(table[QUARANTINED], tmp_path / "quarantine.tsv")
    study["settings"]["study"]["split"]["group"] = "none"
    html = written({**study, "quarantine": str(tmp_path / "quarantine.tsv")})
    loud = re.findall(r'class="loud"><strong>(.*?)</strong>', html)
    assert loud == [
        "The validation is NOT grouped.",  # nothing comes before that
        "3 micrographs left out, in quarantine: 2 labelled.",
        "Of 1 group nothing labelled is left: gone.",
        "Nothing is tested in fold 2: all that is held out there is in quarantine.",
    ]
    assert "<b>3</b><span>micrographs in quarantine</span>" in html
    section = html.partition('<section id="quarantine">')[2].partition("</section>")[0]
    shown = re.findall(r"<tr><td>([^<]*)</td>.*?>(image|mask)<", section)
    assert shown == [("gone-1", "image"), ("gone-1", "mask"), ("g1-2", "mask"), ("new-2", "image")]
    assert "&lt;damaged&gt;" in section
    write_table(table[QUARANTINED][:0], tmp_path / "quarantine.tsv")
    html = written({**study, "quarantine": str(tmp_path / "quarantine.tsv")})
    assert "in quarantine" not in html


def test_the_plan_is_shown_with_its_reasons_and_what_the_config_states_wins(study, tmp_path):
    plan = {
        "normalise": {"pixel_size_nm": "keep"},
        "tile": {"size_px": 64, "stride_px": 32},
        "train": {"channels": [4, 8], "batch": 4, "epochs": 2, "jitter_px": 16},
        "made": {step: {} for step in OPEN},
    }
    plan["train"] |= {"loss": {"dice": 1.0}, "class_weights": "none"}
    text = yaml.safe_dump(plan).replace(
        "  size_px:", "  # Small <structures>:\n  # small tiles.\n  size_px:"
    )
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    used = {**study["settings"]["study"], "tile": plan["tile"] | {"stride_px": 48}}
    html = written({**study, "plan": str(path)}, study=used)
    rows = {row[1]: row[2:] for row in cells_of(html, "plan")}
    assert rows["size px"] == ["64", "Small &lt;structures&gt;: small tiles."]
    assert rows["stride px"] == ["48", STATED]
    assert rows["epochs"] == ["2", "–"]
    assert 'id="plan"' not in written(study)


def cells_of(html, anchor):
    """Text of the cells of the first table after an anchor, row by row."""
    body = html.split(f'id="{anchor}"')[1].split("</table>")[0].split("<tbody>")[1]
    rows = re.findall(r"<tr>(.*?)</tr>", body)
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
        for row in rows
    ]


def test_names_are_escaped(study):
    html = written(study)
    assert "a&lt;b" in html
    assert "a<b" not in html
    assert "grains &amp; pores" in html


def test_the_first_line_states_the_grouping(study):
    assert "2 folds over 2 groups, none in two folds." in head(written(study))


def test_an_ungrouped_validation_is_said_loudly_and_first(study):
    study["settings"]["study"]["split"]["group"] = "none"
    html = head(written(study))
    assert html.index('<p class="loud"><strong>The validation is NOT grouped.') < html.index(
        "2 folds"
    )


def head(html):
    return html.partition("<nav")[0].partition("<h1>")[2]


def test_what_is_worth_knowing_of_micrographs_is_listed(study):
    assert 'id="noted"' not in written(study)
    path = next(shard.table for shard in study["shards"] if shard.placement["group"] == "g2")
    table = pd.read_csv(path, sep="\t")
    table[["crop_bottom_px", "highest", "highest_px", "dead_rows"]] = [14, 4095, 2400, 3]
    table.to_csv(path, sep="\t", index=False)
    section = written(study).partition('id="noted"')[2].partition("</section>")[0]
    assert "50 % of the pixels have the highest grey level, 4095; 3 of 60 rows are dead" in section
    assert "cut off: bottom 14 px" in section
    assert "g2-1" in section
    assert "g1-1" not in section


def test_allowed_leaks_are_said_loudly_and_listed(study):
    assert 'id="leaks"' not in written(study)
    row = (
        "g1-1",
        "g1",
        "g2-1",
        "g2",
        "overlap",
        41.5,
        -12,
        30.4,
        "",
        "results/leaks/g1-1--g2-1.png",
    )
    write_table(pd.DataFrame([row], columns=LEAKS), study["audit"][1])
    study["settings"]["study"]["split"]["overlaps"] = "allow"
    html = written(study)
    assert "show partly the same area were allowed" in head(html)
    listed = html.partition('id="leaks"')[2].partition("</section>")[0]
    assert "41.5 %" in listed
    assert "results/leaks/g1-1--g2-1.png" in listed


def test_what_only_trains_is_listed_and_what_is_unlabelled_is_measured(study):
    html = written(study)
    assert "Only trained on:</b> sim" in html
    assert "new-1" in html
    assert area(60 * 40 * 0.25) in html  # half of 60 x 80 pixels of 0.5 nm


def test_the_worst_micrograph_is_shown_and_the_others_are_counted(study):
    html = written(study, panels=1)
    assert 'id="m-g2-1"' in html
    assert 'id="m-g1-1"' not in html
    assert "the 1 best are left out" in html


def test_a_study_without_scores(study):
    study["shards"] = study["shards"][-1:]
    write_table(summary([], 0, 100), study["metrics"])
    html = written(study)
    assert "there are no scores" in html
    assert 'id="m-new-1"' in html


def test_a_study_that_predicts_nothing(study):
    study["shards"] = []
    write_table(summary([], 0, 100), study["metrics"])
    assert "there are no scores" in written(study)


def test_ids_that_look_like_numbers_or_like_nothing(study, tmp_path):
    scored = [write_shard(tmp_path / "odd", group, 2) for group in ("007", "NA")]
    study["shards"] = [shard for shard, _ in scored]
    write_table(summary([counts for _, counts in scored], 0, 100), study["metrics"])
    html = written(study)
    assert 'id="m-007-1"' in html
    assert "<td>NA</td>" in html


@pytest.mark.parametrize(
    ("groups", "split", "said", "loud"),
    [
        ([("a", "cv", "0"), ("b", "cv", "1")], {}, "2 folds over 2 groups", False),
        ([("a", "train", ""), ("b", "test", "")], {}, "One network, tested on held-out", False),
        ([("a", "train", "")], {}, "Nothing was held out", True),
        ([("a", "cv", "0"), ("b", "cv", "1")], {"group": "none"}, "is NOT grouped", True),
    ],
)
def test_validation_in_words(groups, split, said, loud):
    folds = pd.DataFrame(groups, columns=["group", "use", "fold"])
    is_loud, headline, _ = validation(folds, SPLIT | split, 1)[0]
    assert said in headline
    assert is_loud == loud


def test_a_group_in_two_folds_is_never_called_grouped():
    folds = pd.DataFrame([("a", "cv", "0"), ("a", "cv", "1")], columns=["group", "use", "fold"])
    with pytest.raises(ValueError, match="group a"):
        validation(folds, SPLIT, 1)


def test_numbers_in_words():
    assert decimals(0.12349) == "0.123"
    assert decimals(np.nan) == decimals(None) == "–"
    assert number(1234567) == "1\u202f234\u202f567"
    assert area(2.5e6) == "2.5\u202fµm²"
    assert area(np.nan) == "–"
    assert pixel_sizes(pd.Series([0.1, 0.25, np.nan])) == "0.1–0.25\u202fnm, unknown for 1"
    assert pixel_sizes(pd.Series([np.nan])) == "unknown"


def test_a_pixel_size_unlike_its_groups_is_told_loudly():
    names = [f"m{i}" for i in range(9)]
    found = pd.DataFrame({"micrograph": names, "group": "a", "pixel_size_nm": 2.0})
    assert calibration(found) == []
    found.loc[3, "pixel_size_nm"] = 2000.0
    ((loud, said, why),) = calibration(found)
    assert loud
    assert said == "Pixel sizes to look at: m3 (2000\u202fnm, its group 2)."
    assert "pixel_size_nm wins" in why
    many = pd.concat([found] * 7).assign(group=np.repeat(range(7), 9))
    assert calibration(many)[0][1].endswith(" and 2 more.")


def test_plots_of_missing_scores_and_of_many_groups():
    nothing = Row("a&b", np.nan, np.nan)
    plot = dot_plot([nothing], nothing, "x")
    assert "a&amp;b" in plot
    assert "nan" not in plot.replace("Dice nan, IoU nan", "")
    many = dot_plot([Row(f"g{i}", 0.5, 0.4) for i in range(300)], nothing, "x")
    assert ">g7</text>" not in many


def test_a_long_loss_curve_is_thinned():
    steps = np.arange(1.0, 5001)
    plot = loss_plot([(steps, 1 / steps)], [], "x")
    points = re.search(r'class="curve" points="([^"]+)"', plot)[1].split()
    assert len(points) == 200


def test_networks_that_did_not_start_from_random_weights_are_named(study):
    assert "<dd>random weights</dd>" in written(study)
    history = Path(study["histories"][1])
    table = pd.read_csv(history, sep="\t")
    kept = "results/prospective/cohort-1/networks/seed-0/fold-1.pt"
    write_table(table.assign(started_from=kept), history)
    html = written(study)
    assert "<code>results/prospective/cohort-1</code></dt><dd>seed 0, fold 1;" in html


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "clipped at percentiles 0.5 and 99.5 of its own pixels, and brought to mean 0"),
        ({"by": "group"}, "of its group's reference micrographs."),
        ({"method": "clahe"}, "equalised locally (CLAHE, regions of 0.125 of its sides, clip"),
        ({"method": "none"}, "from the range of their type"),
        ({"method": "none", "levels": [0, 4095]}, "from the range from 0 to 4095"),
        ({"flatten": "polynomial"}, "freed by subtraction from its illumination, a polynomial of"),
        ({"flatten": "gaussian"}, "itself under a Gaussian with a sigma of 0.25 of its shorter"),
    ],
)
def test_the_method_of_normalisation_is_told(keys, words):
    block = config()["normalise"]
    surface = {"surface": keys.pop("flatten", "none")}
    block |= {"flatten": block["flatten"] | surface, **keys}
    assert words in normalisation(used(block))

"""The crate's graph: each product made from what the manifest says, and no network shown its test.

An edge of the graph is a file that a job read. What a network has seen is every raw file that a
walk back from it reaches. Settings are no pixels: the walk does not pass the plan, the table of
folds and the calibration, which tell a training how, when and on what it runs. (The plan is made
from the annotated micrographs of the first cohort that are not for testing only.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from verification.network_records import record, shards_seen
from verification.records import READ_BY, Fault, Results, Unreadable, ids, read_table

SETTINGS_OF = {
    "normalise": {"plan.yaml"},
    "tile": {"plan.yaml"},
    "train": {"plan.yaml", "folds.tsv", "calibration.yaml"},
    "report": {"plan.yaml"},
}
"""What a rule takes settings from, and no pixel."""
MADE_ONCE = "plan"
SHA256 = "file_sha256"


def read_by(action: dict[str, Any]) -> list[str]:
    """Ids of the files and folders that a job read pixels or tables from."""
    rule = action["name"].split("/")[0]
    left_out = SETTINGS_OF.get(rule, set())
    return [id for id in ids(action.get("object")) if not id.startswith("#") and id not in left_out]


def actions_hold(results: Results) -> Iterator[Fault]:
    """Rule, inputs, params and code of every row are those of the job that made it."""
    made = {}
    for id, action in results.maker.items():
        for path in results.folders.get(unquote(id), [unquote(id)]):
            made[path] = action
    known: dict[str, tuple[str, str, str, str]] = {}
    for row in results.manifest.itertuples(index=False):
        if row.rule == "audit":
            continue
        if row.path not in made:
            yield row.path, "was made by no job of the crate"
            continue
        action = made[row.path]
        if action["name"] not in known:
            known[action["name"]] = _made_from(results, action)
        said = (row.rule, row.inputs, row.params, row.code)
        names = ("rule", "inputs", "params", "code")
        differing = [
            name
            for name, here, there in zip(names, said, known[action["name"]], strict=True)
            if here != there
        ]
        if differing:
            yield row.path, f"{' and '.join(differing)} differ between manifest and crate"


def _made_from(results: Results, action: dict[str, Any]) -> tuple[str, str, str, str]:
    tool = results.graph.get((ids(action.get("instrument")) or [""])[0], {})
    rule = action["name"].split("/")[0]
    if rule == MADE_ONCE:
        return rule, "", "", ""
    return rule, _inputs(results, action), _params(results, action), tool.get("version", "")


def _inputs(results: Results, action: dict[str, Any]) -> str:
    """Digest of lines as `sha256sum` writes them, one a file that the job read."""
    sha256: dict[str, str] = {}
    for id in read_by(action):
        entity = results.graph.get(id, {})
        if "identifier" in entity:
            sha256[entity["identifier"]] = str(entity.get("sha256"))
        else:
            paths = results.folders.get(unquote(id), [unquote(id)])
            sha256 |= {path: results.sha256.get(path, "missing") for path in paths}
    lines = (f"{sha256[name]}  {name}\n" for name in sorted(sha256))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _params(results: Results, action: dict[str, Any]) -> str:
    names = [id.removeprefix("#settings/") for id in ids(action.get("object")) if id[0] == "#"]
    try:
        settings = {name: results.settings(name) for name in names}
    except (KeyError, ValueError):
        return "unknown settings"
    text = json.dumps([settings], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Ancestry:
    """What each file of the graph was made from, back to the raw files.

    Parameters
    ----------
    results : Results
    through_networks : bool
        Whether what a network has learnt from is behind what it predicts.
    """

    def __init__(self, results: Results, through_networks: bool) -> None:
        self.results = results
        self.through_networks = through_networks
        self._raw: dict[str, frozenset[str]] = {}
        self._groups: dict[str, dict[str, str]] = {}

    def raw_of(self, id: str) -> frozenset[str]:
        """Ids of the raw files that an entity was made from, itself if it is one."""
        if id not in self._raw:
            if "identifier" in self.results.graph.get(id, {}):
                self._raw[id] = frozenset([id])
            else:
                self._raw[id] = frozenset()  # whatever is made from itself adds nothing
                self._raw[id] = frozenset().union(*map(self.raw_of, self._before(id)))
        return self._raw[id]

    def _before(self, id: str) -> list[str]:
        is_passed = self.through_networks or not is_network(id)
        return read_by(self.results.maker[id]) if is_passed and id in self.results.maker else []

    def groups_of(self, id: str) -> dict[str, str]:
        """Groups of those raw files, each with one of them."""
        if id not in self._groups:
            self._groups[id] = {
                self.results.graph[group].get("name", group): raw
                for raw in sorted(self.raw_of(id), reverse=True)  # the first is what is named
                for group in ids(self.results.graph[raw].get("about"))
            }
        return self._groups[id]


def groups_hold(results: Results) -> Iterator[Fault]:
    """What a file is said to be about is the group of the raw files behind it, and of the table."""
    ancestry = Ancestry(results, through_networks=False)
    for id, entity in results.graph.items():
        said = {results.graph[one].get("name") for one in ids(entity.get("about")) if one[0] == "#"}
        if said and "identifier" in entity:
            yield from _as_in_the_table(results, entity)
        elif said and said != set(ancestry.groups_of(id)):
            groups = " and ".join(sorted(ancestry.groups_of(id))) or "none"
            yield unquote(id), f"is about {' and '.join(said)}, but made from files of {groups}"


def _as_in_the_table(results: Results, entity: dict[str, Any]) -> Iterator[Fault]:
    name = entity["identifier"]
    if name not in results.raw.index:
        yield "study/raw.tsv", f"has no row for {name}, which the crate has"
        return
    row = results.raw.loc[name]
    groups = [results.graph[group].get("name") for group in ids(entity["about"])]
    if [row["sha256"], row["group"]] != [entity.get("sha256"), *groups]:
        yield "study/raw.tsv", f"{name} has another digest or group than in the crate"


def no_network_saw_its_test(results: Results) -> Iterator[Fault]:
    """No network behind a score has, through all ancestors, a raw file of what it is tested on."""
    ancestry = Ancestry(results, through_networks=True)
    for shard in results.shards_of("evaluate"):
        held_out = set(ancestry.groups_of(quote(f"masks/{shard}.tif")))
        for prediction, network in tests_of(results, shard):
            seen = ancestry.groups_of(network)
            for group in sorted(held_out & set(seen)):
                raw = results.graph[seen[group]]["identifier"]
                what = f"saw group {group} ({raw}), and is tested on it ({prediction})"
                yield unquote(network), what


def no_kept_network_saw_its_test(results: Results) -> Iterator[Fault]:
    """No network from before a cohort records that it learnt from a group that it is tested on."""
    ancestry = Ancestry(results, through_networks=False)
    for test in results.shards_of("prospect"):
        shard = test.split("/")[1]
        groups = set(ancestry.groups_of(quote(f"masks/{shard}.tif")))
        for network in filter(is_network, read_by(results.actions[f"prospect/{test}"])):
            path = unquote(network)
            for seen in shards_seen(results.folder / path):
                if seen.split("+")[0] in groups:
                    yield path, f"records that it learnt from {seen}, and is tested on {test}"


def tests_of(results: Results, shard: str) -> Iterator[tuple[str, str]]:
    """Each prediction that the scores of a shard are made from, with the id of each network."""
    for id in read_by(results.actions[f"evaluate/{shard}"]):
        if id.startswith("predictions/"):
            yield from ((unquote(id), one) for one in read_by(results.maker[id]) if is_network(one))


def is_network(id: str) -> bool:
    """Whether an entity is a network."""
    return id.endswith(".pt")


def trainings(results: Results) -> Iterator[tuple[dict[str, Any], str]]:
    """The action of each training, with the id of its network."""
    for name, action in results.actions.items():
        if name.startswith("train/"):
            yield action, next(filter(is_network, ids(action.get("result"))))


def folds_hold(results: Results) -> Iterator[Fault]:
    """Each group is held out by the fold that folds.tsv says, and learnt from by all others."""
    ancestry = Ancestry(results, through_networks=True)
    folds = read_table(results.folder, "folds.tsv")
    trained = folds[folds["use"] != "test"]
    for action, network in trainings(results):
        fold = action["name"].rpartition("/")[2]
        meant = set(trained.loc[trained["fold"] != fold, "group"])
        seen = set(ancestry.groups_of(network))
        for group in sorted(meant ^ seen):
            has = "has learnt" if group in seen else "has not learnt"
            yield "folds.tsv", f"group {group} does not fit: {unquote(network)} {has} from it"
    fold_of = dict(zip(folds["group"], folds["fold"], strict=True))
    for shard in results.shards_of("evaluate"):
        for group in ancestry.groups_of(quote(f"masks/{shard}.tif")):
            own = fold_of.get(group, "")
            for prediction, network in tests_of(results, shard):
                if own and f"/fold-{own}." not in network:
                    what = f"group {group} is in fold {own}, but {unquote(network)}"
                    yield "folds.tsv", f"{what} predicted {prediction}"


def networks_agree(results: Results) -> Iterator[Fault]:
    """What each network says of itself is what the graph says, and the lineage beside it."""
    for action, network in trainings(results):
        path, seed = unquote(network), action["name"].split("/")[1]
        read = (unquote(id) for id in read_by(action) if id.startswith("normalised/"))
        meant = sorted(one.removeprefix("normalised/").removesuffix(".tif") for one in read)
        try:
            seen, known = shards_seen(results.folder / path), record(results.folder / path)
        except Unreadable as error:
            yield path, error.args[1]
            continue
        if seen != meant:
            yield path, f"records that it learnt from {', '.join(seen)}; the crate says otherwise"
        if str(known.get("seed")) != seed:
            yield path, f"records seed {known.get('seed')}, and stands for seed {seed}"
        beside = (results.folder / path).with_suffix(".lineage")
        if beside.is_file() and beside.read_text(encoding="utf-8") != known.get("lineage"):
            yield path, f"records another lineage than {beside.name} beside it"


def all_are_scored(results: Results) -> Iterator[Fault]:
    """Every mask is scored, but for those that only train: no hard specimen is left out."""
    scored = set(results.shards_of("evaluate"))
    for shard in results.shards_of("annotate"):
        masks = read_table(results.folder, f"masks/{shard}.tsv")["micrograph"]
        uses = results.raw["use"].reindex("raw/mask/" + masks)
        tested = [name for name, use in zip(masks, uses, strict=True) if use != "train"]
        if tested and shard not in scored:
            yield f"masks/{shard}.tif", f"has masks to test on, of {tested[0]} first, and no score"


def _read_otherwise(results: Results, path: str, kind: str) -> Iterator[str]:
    """What does not hold of the raw files that a table says were read."""
    for row in read_table(results.folder, path).to_dict("records"):
        files = results.raw_of.get((kind, row["micrograph"]))
        if files is None:
            yield f"{row['micrograph']} is not in study/raw.tsv"
            continue
        read = {column: sha256 for column, sha256 in row.items() if _is_digest(column)}
        # The first channel has no name there; where it is the only file, all channels are of it.
        wanted = dict.fromkeys(read, files[""].sha256)
        wanted |= {f"{SHA256}.{channel}": of.sha256 for channel, of in files.items() if channel}
        for column in sorted(wanted):
            if read.get(column) != wanted[column]:
                channel = column.removeprefix(SHA256).removeprefix(".")
                of = f"{row['micrograph']} ({channel})" if channel else row["micrograph"]
                yield f"{of} was read from another file than study/raw.tsv says"


def _is_digest(column: str) -> bool:
    return column.partition(".")[0] == SHA256


def raw_files_agree(results: Results) -> Iterator[Fault]:
    """The raw files that were read are those of the table of raw files, and it is of the sheet."""
    for kind, (rule, folder) in READ_BY.items():
        for shard in results.shards_of(rule):
            path = f"{folder}/{shard}.tsv"
            yield from ((path, what) for what in _read_otherwise(results, path, kind))
    is_grouped = results.settings("split")["group"] == "column"
    for row in read_table(results.folder, "study/micrographs.tsv").to_dict("records"):
        meant = {"use": row.get("use", "").strip() or "cv"}
        meant |= {"group": row["group"].strip()} if is_grouped and "group" in row else {}
        for kind in READ_BY:  # stacks have none: their frames have other names
            for of in results.raw_of.get((kind, row["micrograph"].strip()), {}).values():
                for column, cell in meant.items():
                    if getattr(of, column) != cell:
                        what = f"{of.Index} is of another {column} than in the sheet"
                        yield "study/raw.tsv", what

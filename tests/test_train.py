"""The script of `train`: the same network from one process or two, whenever they are stopped."""

import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import train
from builders import config
from tessera.files import read_table, write_pages
from tessera.network_files import load_checkpoint, save_network
from tessera.networks import Architecture, build
from tessera.tiles import share_names
from tessera.training import Interrupted

CLASSES = [["background", 0], ["square", 255]]
# Of a weight, after ten epochs in fp32 on two processes rather than one.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards of two pages, the second page of the first without a tile in use."""
    folder, files = tmp_path_factory.mktemp("shards"), []
    for name in ("a", "b"):
        draw = np.random.default_rng(list(name.encode()))
        masks = [(draw.random((40, 48)) < 0.3).astype(np.uint8) for _ in range(2)]
        images = [(mask + draw.normal(size=mask.shape)).astype(np.float32) for mask in masks]
        paths = [str(folder / f"{name}.{kind}") for kind in ("tif", "mask.tif", "parquet")]
        write_pages(paths[0], ((image, 1.0) for image in images), compressed=False)
        write_pages(paths[1], ((mask, 1.0) for mask in masks), compressed=False)
        tiles = [(p, r, c, name == "b" or p == 1) for p in (0, 1) for r in (0, 8) for c in (0, 16)]
        table = pd.DataFrame(tiles, columns=["page", "row", "column", "used"])
        shares = dict(zip(share_names(2), (0.7, 0.3), strict=True))
        table.assign(**shares).to_parquet(paths[2])
        files.append(tuple(paths))
    return files


def recipe(epochs):
    keys = config()["train"] | {"channels": [4, 8], "batch": 4, "epochs": epochs, "jitter_px": 4}
    keys |= {"loss": {"cross_entropy": 1, "dice": 1}, "class_weights": "inverse"}
    keys |= {"size_px": 32, "classes": CLASSES, "inputs": None}
    return train.Recipe(**{name: keys[name] for name in train.Recipe.__dataclass_fields__})


def run(devices, predecessor=None):
    return train.Run(0, "0", "cpu", "fp32", 1, "digest", devices, predecessor=predecessor)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def signals():
    """The handlers of the test runner, which a training in this process replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train_in(folder, shards, devices, epochs=10, checkpoint_minutes=60.0, predecessor=None):
    outputs = [str(folder / name) for name in ("net.pt", "history.tsv", "lineage")]
    checkpoint = str(folder / "checkpoint.pt")
    asked = run(devices, predecessor)
    train.main(shards, recipe(epochs), asked, checkpoint, checkpoint_minutes, outputs)
    assert not Path(checkpoint).exists()
    assert Path(outputs[2]).read_text() == "digest"
    return torch.load(outputs[0], weights_only=True)


def test_two_processes_make_the_network_of_one(shards, tmp_path, threads, signals):
    one, two = (train_in(tmp_path / str(n), shards, n) for n in (1, 2))
    assert list(one["weights"]) == list(two["weights"])
    for name, weights in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weights, rtol=0, atol=TOLERANCE)
    assert (one["record"]["devices"], two["record"]["devices"]) == (1, 2)
    assert one["architecture"] == two["architecture"]
    histories = [pd.read_csv(tmp_path / str(n) / "history.tsv", sep="\t") for n in (1, 2)]
    pd.testing.assert_frame_equal(*histories, rtol=TOLERANCE)


def test_two_processes_stop_after_the_same_step_and_go_on_to_the_same_bits(shards, tmp_path):
    folder, epochs = tmp_path / "stopped", 40
    straight = train_in(tmp_path / "straight", shards, 2, epochs)

    def stop():
        until = time.monotonic() + 120
        while not (folder / "checkpoint.pt").is_file() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Interrupted, match="training stopped after step") as stopped:
        train_in(folder, shards, 2, epochs, checkpoint_minutes=1e-6)
    thread.join()
    belongs_to = train.digest(run(2).record())
    state = load_checkpoint(folder / "checkpoint.pt", belongs_to)
    assert f"step {state['next_step']} of" in str(stopped.value)
    train_in(folder, shards, 2, epochs)
    names = ("net.pt", "history.tsv")
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert straight["record"]["devices"] == 2


def test_a_warm_start_is_recorded_and_goes_on_to_the_same_bits(
    shards, tmp_path, threads, signals, monkeypatch
):
    def trained(name, **start):
        train_in(tmp_path / name, shards, 1, 3, **start)
        return (tmp_path / name / "net.pt").read_bytes()

    start = {"predecessor": str(tmp_path / "cold/net.pt")}
    cold, straight = trained("cold"), trained("warm", **start)
    assert straight != cold
    saved = torch.load(tmp_path / "warm/net.pt", weights_only=True)
    assert saved["record"]["predecessor"] == start["predecessor"]
    history = read_table(tmp_path / "warm/history.tsv")
    assert set(history["started_from"]) == {start["predecessor"]}
    with monkeypatch.context() as patched:
        asked = iter(range(100))
        patched.setattr(train, "stop_signal", lambda: lambda: next(asked) == 2)
        with pytest.raises(Interrupted):
            trained("stopped", **start)
    # What was kept of a warm start is not of a cold one, nor the other way round.
    record = train.digest(run(1).record())
    assert load_checkpoint(tmp_path / "stopped/checkpoint.pt", record) is None
    assert trained("stopped", **start) == straight


def test_a_warm_start_begins_with_the_other_weights(tmp_path):
    architecture = Architecture("unet", (4, 8), 1, 2)
    other = build(architecture, seed=7)
    save_network(tmp_path / "other.pt", other, {})
    begun = train.starting(architecture, run(1, str(tmp_path / "other.pt")))
    for name, weights in other.state_dict().items():
        torch.testing.assert_close(begun.state_dict()[name], weights, rtol=0, atol=0)
    wider = Architecture("unet", (8, 16), 1, 2)
    with pytest.raises(RuntimeError, match="size mismatch"):
        train.starting(wider, run(1, str(tmp_path / "other.pt")))


def test_an_error_of_a_process_is_that_of_the_training(shards, tmp_path):
    broken = dataclasses.replace(recipe(1), learning_rate=-1.0)
    outputs = [str(tmp_path / name) for name in ("net.pt", "history.tsv", "lineage")]
    with pytest.raises(RuntimeError, match=r"of 2: ValueError: .*a learning rate"):
        train.main(shards, broken, run(2), str(tmp_path / "c.pt"), 1.0, outputs)
    assert not list(tmp_path.iterdir())


def test_pages_without_a_tile_in_use_are_not_opened(shards):
    batches, shares = train.training_tiles(shards, recipe(1), seed=0)
    assert len(batches.pages) == 3
    assert len(batches.tiles) == 12
    assert shares.tolist() == pytest.approx([0.7, 0.3])
    pages = pd.concat([pd.read_parquet(table).query("used") for *_, table in shards])
    assert batches.tiles[:, 1:].tolist() == pages[["row", "column"]].to_numpy().tolist()
    assert set(batches.tiles[:, 0]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("device", "asked", "compiled"),
    [("cpu", "auto", False), ("cuda", "auto", True), ("cuda", False, False)],
)
def test_only_gpus_are_compiled_for(monkeypatch, threads, device, asked, compiled):
    class Fields(dict):
        __getattr__ = dict.__getitem__

    monkeypatch.setattr(train, "resolve_device", lambda wanted: device)
    monkeypatch.setattr(train, "resolve_precision", lambda wanted, device: wanted)
    monkeypatch.setattr(train, "prepare_process", lambda threads: None)
    keys = {"precision": "tf32", "compile": asked, "deterministic": False}
    found = train.run_here(
        Fields(seed="3", fold="1"),
        Fields(device="auto", cpus=5, devices=2),
        Fields(settings={"train": keys}, lineage="digest"),
        "before.pt",
    )
    assert found == train.Run(3, "1", device, "tf32", 2, "digest", 2, compiled, False, "before.pt")


def test_the_workflow_trains_on_as_many_devices_as_the_config_says(study):
    network = "results/networks/seed-0/fold-0.pt"
    (study.folder / network).unlink()
    study.configure(resources={"train": {"cpus": 2, "devices": 2}})
    study.run("--", network)
    record = torch.load(study.folder / network, weights_only=True)["record"]
    assert (record["devices"], record["threads"]) == (2, 1)
    study.configure(resources={"train": {"cpus": 2, "devices": 1}})
    assert "Nothing to be done" in study.run("-n", "--", network)

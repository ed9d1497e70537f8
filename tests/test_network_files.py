"""Networks on disk: the same weights come back, and nothing foreign or damaged is resumed."""

import numpy as np
import pytest
import torch

from tessera.network_files import load_checkpoint, load_network, save_checkpoint, save_network
from tessera.networks import Architecture, build, to_bytes

STATE = {"step": 7, "weights": {"a": torch.arange(5.0)}, "optimiser": [torch.ones(2), 0.5]}


@pytest.mark.parametrize("name", ["unet", "encoder-decoder"])
def test_a_network_predicts_the_same_after_a_round_trip(tmp_path, name):
    network = build(Architecture(name, (4, 6), 1, 3), seed=1)
    page = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    network.train()(page)  # moves the statistics of the norms
    save_network(tmp_path / "a.pt", network, {"seed": 1, "history": [0.5]})
    loaded = load_network(tmp_path / "a.pt")
    assert not loaded.training
    assert loaded.architecture == network.architecture
    torch.testing.assert_close(loaded(page), network.eval()(page), rtol=0, atol=0)


def test_the_same_network_makes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_network(
            tmp_path / f"{name}.pt", build(Architecture("unet", (4, 6), 1, 2), 0), {"n": 1}
        )
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, "digest", STATE)
    return path


def test_a_checkpoint_comes_back(checkpoint):
    state = load_checkpoint(checkpoint, "digest")
    assert state["step"] == 7
    torch.testing.assert_close(state["weights"], STATE["weights"])
    torch.testing.assert_close(state["optimiser"], STATE["optimiser"])


def test_a_checkpoint_of_another_training_is_none(checkpoint):
    assert load_checkpoint(checkpoint, "other digest") is None
    assert load_checkpoint(checkpoint.with_name("missing"), "digest") is None


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_none(checkpoint, share):
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    assert load_checkpoint(checkpoint, "digest") is None


@pytest.mark.parametrize("content", [b"text", b"PK\x03\x04 no archive", b"\x80\x02", b"\0" * 99])
def test_what_is_no_checkpoint_is_none(checkpoint, content):
    checkpoint.write_bytes(content)
    assert load_checkpoint(checkpoint, "digest") is None


@pytest.mark.parametrize("content", [[1, 2], {"state": {}}, {"belongs_to": "digest"}, 3])
def test_another_content_is_none(checkpoint, content):
    checkpoint.write_bytes(to_bytes(content))
    assert load_checkpoint(checkpoint, "digest") is None


def test_a_damaged_byte_is_noticed_or_harmless(checkpoint):
    """Whatever byte is hit: none, or the very state that was saved."""
    whole = checkpoint.read_bytes()
    for position in np.random.default_rng(0).permutation(len(whole))[:400]:
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        checkpoint.write_bytes(bytes(damaged))
        state = load_checkpoint(checkpoint, "digest")
        assert state is None or to_bytes(state) == to_bytes(STATE)


def test_a_checkpoint_that_would_run_code_is_none(checkpoint, tmp_path):
    class Harm:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "harm",))

    torch.save({"belongs_to": "digest", "state": Harm()}, checkpoint)
    assert load_checkpoint(checkpoint, "digest") is None
    assert not (tmp_path / "harm").exists()

"""Budgets: what is estimated is what is used, and more memory never makes smaller cores."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tessera.budgets import (
    LARGEST_CORE_PX,
    Demand,
    core_within,
    demand,
    peak_bytes_per_px,
)
from tessera.folding import ready
from tessera.networks import Architecture, build
from tessera.streams import TILE_PX

needs = st.builds(
    Demand,
    st.floats(0, 1e8),
    st.floats(1, 5000),
    st.floats(1, 500),
    st.integers(0, 300),
    st.just(8),
)


@given(needs, st.integers(400, 50_000), st.integers(0, 20_000))
def test_more_memory_never_makes_smaller_cores(needed, mem_mb, more):
    try:
        core_px = core_within(mem_mb, needed)
    except ValueError:
        assert needed.mb(TILE_PX) > mem_mb
        return
    assert core_px % TILE_PX == 0
    assert needed.mb(core_px) <= mem_mb
    assert core_px <= core_within(mem_mb + more, needed) <= LARGEST_CORE_PX
    wider = core_px + TILE_PX
    assert core_px == LARGEST_CORE_PX or needed.mb(wider) > mem_mb


def test_too_little_memory_is_an_error_that_says_how_much_would_do():
    needed = Demand(0, 1000, 100, 48, 8)
    with pytest.raises(ValueError, match=r"predict\.mem_mb: 10 is too little") as told:
        core_within(10, needed)
    enough = int(str(told.value).split("needs ")[1].split()[0]) + 1
    assert core_within(enough, needed) == TILE_PX


@pytest.mark.parametrize(
    ("layers", "channels"),
    [
        ([nn.Conv2d(1, 4, 1), nn.ReLU()], 1 + 4 + 4),
        ([nn.Conv2d(1, 4, 1), nn.ReLU(inplace=True)], 1 + 4),
        # The input of a chain stays with whoever called it; a layer's own goes once it is used.
        ([nn.Conv2d(1, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 2, 1)], 1 + 4 + 8),
        ([nn.Conv2d(1, 8, 1), nn.MaxPool2d(2), nn.ConvTranspose2d(8, 2, 2, stride=2)], 1 + 8 + 2),
    ],
)
def test_what_a_network_holds_is_counted(layers, channels):
    network = nn.Sequential(*layers)
    assert peak_bytes_per_px(network) == 4 * channels
    assert peak_bytes_per_px(network.bfloat16()) == 2 * channels


def network_of(*channels, n_inputs=1, precision="fp32"):
    network = build(Architecture("unet", channels, n_inputs, 3), seed=0).eval()
    return ready(network, "cpu", precision)


def test_the_demand_follows_from_the_architecture_and_the_precision():
    small, large = demand([[network_of(4, 8)]]), demand([[network_of(8, 16)]])
    assert small.per_window_px < large.per_window_px < 2.01 * small.per_window_px
    halved = demand([[network_of(8, 16, precision="bf16")]])
    assert halved.per_window_px == large.per_window_px / 2
    five = demand([[network_of(8, 16)] * 5])
    assert five.networks == pytest.approx(5 * large.networks)
    assert five.per_window_px == large.per_window_px
    assert demand([[network_of(8, 16)]] * 5).per_core_px > five.per_core_px
    # The weights decide it, not their values, nor anything outside.
    torch.manual_seed(1)
    assert demand([[network_of(8, 16)]]) == large


MEASURED = """
import sys, torch
from tessera.budgets import Demand, demand, keep_or_give_back
keep_or_give_back(400, Demand(0, 1000, 100, 48, 8), 128)
from tessera.folding import ready
from tessera.networks import Architecture, build
torch.set_num_threads(1)
network = ready(build(Architecture("unet", (32, 64), 1, 3), 0).eval(), "cpu", sys.argv[1])
def held(key):
    text = open("/proc/self/status").read()
    return int(text.split(key + ":")[1].split()[0]) * 1024
with torch.inference_mode():
    dtype = next(network.parameters()).dtype
    images = torch.zeros(1, 1, 512, 512, dtype=dtype)
    network(images[..., :64, :64])
    before = held("VmRSS")
    network(images)
print((held("VmHWM") - before) / 512**2 / demand([[network]]).per_window_px)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_estimated_is_what_a_window_takes(precision):
    library = str(Path(__file__).parents[1] / "workflow/lib")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, precision],
        env={"PYTHONPATH": library, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.8 < float(done.stdout) < 1.1

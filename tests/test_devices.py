"""Devices: what is asked for is what is used, and a GPU is made to repeat itself."""

import pytest
import torch

from tessera.devices import reproducible, resolve_device, resolve_precision


def test_devices_resolve_to_what_is_there(monkeypatch):
    for present in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert resolve_device("auto") == ("cuda" if present else "cpu")
        assert resolve_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="cuda is asked for, but"):
        resolve_device("cuda")
    with pytest.raises(ValueError, match="'gpu' is none of"):
        resolve_device("gpu")


def test_precision_is_bf16_only_where_it_is_native(monkeypatch):
    for capabilities, expected in (({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert resolve_precision("auto", "cpu") == expected
        assert resolve_precision("fp32", "cpu") == "fp32"
        assert resolve_precision("bf16", "cpu") == "bf16"
    with pytest.raises(ValueError, match="'fp16' is none of"):
        resolve_precision("fp16", "cpu")


def test_a_gpu_is_made_reproducible_and_left_as_it_was(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.backends.cudnn.allow_tf32
    with reproducible(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.allow_tf32 == before

"""Devices: what is asked for is what is used, each by one job, and a GPU repeats itself."""

import multiprocessing
import os
import re
import signal
import stat
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tessera import devices
from tessera.devices import (
    held,
    keep_freed_memory,
    lock_folder,
    own_gpus,
    processor_name,
    reproducible,
    resolve_device,
    resolve_precision,
    use_threads,
)

GPUS = ["GPU-a", "GPU-b", "GPU-c"]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


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


def test_processors_that_multiply_otherwise_have_other_names(monkeypatch):
    kinds = {"amx_bf16": True, "avx512_bf16": True}, {"avx512_bf16": True}, {"amx_bf16": False}
    names = set()
    for found in kinds:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        names.add(processor_name("cpu"))
    vectors = torch.backends.cpu.get_cpu_capability()
    assert names == {vectors, f"{vectors} avx512_bf16", f"{vectors} avx512_bf16 amx_bf16"}


def test_tf32_is_for_gpus():
    assert resolve_precision("tf32", "cuda") == "tf32"
    with pytest.raises(ValueError, match="tf32 is arithmetic of GPUs, not of cpu"):
        resolve_precision("tf32", "cpu")


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


def test_a_gpu_may_be_let_loose(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with reproducible(torch.device("cuda"), deterministic=False, tf32=True):
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.deterministic
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cuda.matmul.allow_tf32


def test_each_takes_the_first_that_is_free(tmp_path):
    with ExitStack() as jobs:
        taken = [jobs.enter_context(held(GPUS, n, tmp_path)) for n in (1, 2)]
        assert taken == [[0], [1, 2]]
    with held(GPUS, 3, tmp_path) as taken:
        assert taken == [0, 1, 2]


def test_the_name_decides_not_the_place(tmp_path):
    """As under CUDA_VISIBLE_DEVICES, where each job counts from 0."""
    with held(["GPU-a"], 1, tmp_path), held(["GPU-b", "GPU-a"], 1, tmp_path) as taken:
        assert taken == [0]
    with held(["GPU-a"], 1, tmp_path), held(["GPU-a", "GPU-b"], 1, tmp_path) as taken:
        assert taken == [1]


def test_more_than_there_are_is_refused(tmp_path):
    for n in (0, 4):
        with pytest.raises(ValueError, match=f"{n} are asked for, this job sees 3"):
            held(GPUS, n, tmp_path).__enter__()


def job(folder, n, queue, rounds):
    """Take GPUs again and again; tell which, and whether anyone else had them."""
    for _ in range(rounds):
        with held(GPUS, n, folder) as taken:
            alone = True
            for index in taken:
                try:
                    (folder / f"{index}.in-use").touch(exist_ok=False)
                except FileExistsError:
                    alone = False
            queue.put((taken, alone))
            for index in taken:
                (folder / f"{index}.in-use").unlink(missing_ok=True)


@needs_fork
def test_many_processes_share_without_meeting_and_without_deadlock(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "SECONDS_A_TRY", 0.005)
    context = multiprocessing.get_context("fork")
    queue, sizes = context.Queue(), (1, 1, 2, 2, 3)
    jobs = [context.Process(target=job, args=(tmp_path, n, queue, 5)) for n in sizes]
    for each in jobs:
        each.start()
    seen = [queue.get(timeout=120) for _ in range(5 * len(jobs))]
    for each in jobs:
        each.join()
    assert all(alone for _, alone in seen)
    assert sorted(len(taken) for taken, _ in seen) == sorted(5 * sizes)


def hold_until_killed(folder, queue):
    with held(GPUS, 3, folder) as taken:
        queue.put(taken)
        signal.pause()


@needs_fork
def test_who_is_killed_lets_go_and_who_waits_says_so(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    holder = context.Process(target=hold_until_killed, args=(tmp_path, queue))
    holder.start()
    assert queue.get(timeout=60) == [0, 1, 2]

    def kill_holder(seconds):
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()  # the system lets go of one lock after the other

    with pytest.MonkeyPatch.context() as patch, caplog.at_level("INFO", "tessera"):
        patch.setattr(devices.time, "sleep", kill_holder)
        with held(GPUS, 1, tmp_path) as taken:
            assert taken == [0]
    assert "waiting until 1 of 3 devices are free" in caplog.messages


def test_on_a_cpu_nothing_is_held():
    with own_gpus("cpu", 2) as taken:
        assert taken == []


def test_on_cuda_the_first_that_is_held_becomes_the_current_one(tmp_path, monkeypatch):
    current = []
    monkeypatch.setattr(devices, "lock_folder", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=GPUS[index])
    )
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    with own_gpus("cuda") as first, own_gpus("cuda", 2) as others:
        assert (first, others) == ([0], [1, 2])
    assert current == [0, 1]


def test_locks_are_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    with held(GPUS, 1, lock_folder()):
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="counts page faults by getrusage")  # noqa: PTH112
def test_freed_memory_is_kept():
    """In a process of its own: what it sets cannot be taken back."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    counter = context.Process(target=count_faults, args=(queue,))
    counter.start()
    before, after = queue.get(timeout=60)
    counter.join()
    assert after < before / 10


def count_faults(queue):
    import resource

    def faults():
        first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(64 * 2**20, dtype=torch.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first

    torch.set_num_threads(1)
    before = faults()
    keep_freed_memory()
    faults()
    queue.put((before, faults()))


class Calls(TorchDispatchMode):
    """Counts what PyTorch computes, by name and type of number."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        dtypes = {value.dtype for value in args if isinstance(value, torch.Tensor)}
        self.counts.update((function.overloadpacket.__name__, dtype) for dtype in dtypes)
        return function(*args, **(kwargs or {}))


def test_functions_of_mkl_are_called_by_one_thread_before_several_compute():
    header = Path(torch.__file__).parent / "include/ATen/cpu/vml.h"
    names = re.findall(r"^IMPLEMENT_VML_MKL\((\w+)", header.read_text(), re.MULTILINE)
    assert {"exp", "log", "sqrt"} <= set(names)
    with Calls() as calls:
        use_threads(torch.get_num_threads())
    assert calls.counts == {(n, t): 1 for n in names for t in (torch.float32, torch.float64)}

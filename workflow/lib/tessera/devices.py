"""Where and in which precision networks run, whose turn it is, what makes a GPU repeat itself.

Several jobs on one machine share its GPUs: each takes the first that no other job of the same user
holds, and waits if all are held. A GPU is held by a lock on a file, which the system lets go when
the process ends, however it ends.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from tessera.logs import LOG

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "tf32")
# Names of native bf16 arithmetic in processors; without it bf16 is emulated, and slow.
CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
# What PyTorch lets the vector mathematics of MKL compute (ATen/cpu/vml.h).
VECTOR_FUNCTIONS = ("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "log", "log10")
VECTOR_FUNCTIONS += ("log2", "sin", "sqrt", "tan", "tanh", "trunc")
SECONDS_A_TRY = 0.2
# Of mallopt(3): how many blocks are mapped by themselves, from which size on, and free memory above
# which some is returned.
M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -4, -3, -1


def use_threads(n: int) -> None:
    """Let PyTorch compute on n threads of the processor; to be called before anything is computed.

    A function of MKL's vector mathematics chooses its code when it is first called. Where two
    threads do that at once, one of them can be served, this once, by code that is right to four
    digits only (PyTorch issue 188792). So each is called here, by one thread.
    """
    torch.set_num_threads(n)
    for number in (torch.zeros(1), torch.zeros(1, dtype=torch.float64)):
        for name in VECTOR_FUNCTIONS:
            getattr(torch, name)(number)


@contextmanager
def reproducible(
    device: torch.device, deterministic: bool = True, tf32: bool = False
) -> Iterator[None]:
    """Make a GPU compute the same bits each time, inside the block.

    A CPU does so anyway, once `use_threads` was called.

    Parameters
    ----------
    device : torch.device
    deterministic : bool
        False lets a GPU take whatever algorithm is fastest, in whatever order it sums.
    tf32 : bool
        Multiply fp32 numbers with ten bits of mantissa, on GPUs that can.
    """
    if device.type != "cuda":
        yield
        return
    # cuBLAS reads it when first used; without it PyTorch refuses deterministic products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    products, memory = torch.backends.cuda.matmul, torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), products.allow_tf32
    filling = memory.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(deterministic)
        # It guards against reading what was never written, at the cost of writing all twice.
        memory.fill_uninitialized_memory = False
        products.allow_tf32 = tf32
        # Said in full: left out, `enabled` would be False.
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=tf32
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        products.allow_tf32, memory.fill_uninitialized_memory = before[1], filling


def resolve_device(wanted: str) -> str:
    """Return 'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'; ValueError if CUDA is not there."""
    if wanted not in DEVICES:
        raise ValueError(f"device: {wanted!r} is none of {', '.join(DEVICES)}")
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ValueError(
            f"device: cuda is asked for, but PyTorch {torch.__version__} finds no GPU here; "
            "say auto or cpu, or run where there is one"
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def resolve_precision(wanted: str, device: str) -> str:
    """Return 'fp32', 'bf16' or 'tf32'; 'auto' takes bf16 only where the device has it natively."""
    if wanted not in PRECISIONS:
        raise ValueError(f"precision: {wanted!r} is none of {', '.join(PRECISIONS)}")
    cuda = torch.device(device).type == "cuda"
    if wanted == "tf32" and not cuda:
        raise ValueError(f"precision: tf32 is arithmetic of GPUs, not of {device}; say fp32 there")
    if wanted != "auto":
        return wanted
    native = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else _cpu_bf16()
    return "bf16" if native else "fp32"


def _cpu_bf16() -> list[str]:
    capabilities = torch.cpu.get_capabilities()
    return [name for name in CPU_BF16 if capabilities.get(name)]


def processor_name(device: str) -> str:
    """What computes there, as far as it decides the bits: the GPU, or instructions of the CPU.

    Processors of the same vectors multiply bf16 in units of their own, which sum in another order:
    'AVX512 avx512_bf16' and 'AVX512 avx512_bf16 amx_bf16' are two.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return " ".join([torch.backends.cpu.get_cpu_capability(), *_cpu_bf16()])


@contextmanager
def own_gpus(device: str, n: int = 1) -> Iterator[list[int]]:
    """Hold n GPUs that no other job of this user holds; wait until there are as many.

    Parameters
    ----------
    device : {'cpu', 'cuda'}
        On the CPU there is nothing to hold.
    n : int

    Yields
    ------
    list of int
        Which of the GPUs that this process sees; the first is made its current one, so that
        'cuda' means it. GPUs hidden by CUDA_VISIBLE_DEVICES are left alone.

    Raises
    ------
    ValueError
        If the process sees fewer than n.
    """
    if torch.device(device).type != "cuda":
        yield []
        return
    count = torch.cuda.device_count()
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    with held(names, n, lock_folder()) as indices:
        torch.cuda.set_device(indices[0])
        yield indices


@contextmanager
def held(names: Sequence[str], n: int, folder: Path) -> Iterator[list[int]]:
    """Hold n of the named things, the first that are free; wait until there are as many.

    Parameters
    ----------
    names : sequence of str
        The same name is the same thing, for all processes that use the same folder.
    n : int
    folder : Path
        Of the locks.

    Yields
    ------
    list of int
        Their places among the names, ascending.

    Raises
    ------
    ValueError
        If there are fewer names than n.

    Notes
    -----
    Whoever waits holds nothing, so that no two can wait for each other; and among those that see
    the same names one alone tries, so that many small jobs cannot keep out a large one.
    """
    if not 1 <= n <= len(names):
        raise ValueError(f"devices: {n} are asked for, this job sees {len(names)}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{_file_name(name)}.lock") for name in names]
    turn = FileLock(folder / f"turn-{_file_name(*sorted(names))}.lock")
    with ExitStack() as taken:
        with turn:
            told = False
            while len(free := _first_free(locks, n)) < n:
                if not told:
                    LOG.info("waiting until %d of %d devices are free", n, len(names))
                told = True
                time.sleep(SECONDS_A_TRY)
        for index in free:
            taken.callback(locks[index].release)
        yield free


def _first_free(locks: Sequence[FileLock], n: int) -> list[int]:
    """Take the first n that are free and return their places; none if they are fewer."""
    taken: list[int] = []
    for index, lock in enumerate(locks):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        taken.append(index)
        if len(taken) == n:
            return taken
    for index in taken:
        locks[index].release()
    return []


def _file_name(*names: str) -> str:
    return sha256("\n".join(names).encode()).hexdigest()[:16]


def lock_folder() -> Path:
    """The folder of this user's locks, on a disk of this machine."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"tessera-{user}"


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees; nothing where the C library is not glibc's.

    Else every large tensor is mapped anew at each step of a training, and the system clears each
    of its pages first. Memory is returned when the process ends.
    """
    _set_allocator(M_MMAP_MAX, 0)
    _set_allocator(M_TRIM_THRESHOLD, -1)  # never


def prepare_process(threads: int) -> None:
    """Set what holds for a whole process that trains, on so many threads."""
    use_threads(threads)
    keep_freed_memory()


def return_freed_memory(block_bytes: int) -> None:
    """Let this process return every freed block of so many bytes or more; only with glibc."""
    _set_allocator(M_MMAP_THRESHOLD, block_bytes)


def _set_allocator(option: int, value: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(option, value)

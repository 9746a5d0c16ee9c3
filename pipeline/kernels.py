"""Which kernels compute, and on which device: both are chosen here, once for a process.

One choice of kernels for every x86-64 processor that has AVX2. Torch, MKL, oneDNN, OpenBLAS and
NumPy each look at the processor and take the widest instructions that it has. Sums then run in
another order, and the last digits differ from one processor to the next. What the environment says
is overruled: a variable of somebody's shell decides no figure. `docs/training.md` says what was
measured, and what is not promised.

The device trains and attacks networks. Random numbers are drawn on the processor whichever it is,
and what is stored lies there: a GPU does the same work, and differs by rounding. Proofs, private
training and whatever is no network of ours compute on the processor.
"""

import os
import platform
import sys
from pathlib import Path

from pipeline.files import BadInput

KERNELS = {
    "MKL_CBWR": "AVX2",  # matrix products and factorisations of torch
    "ATEN_CPU_CAPABILITY": "avx2",  # its other operations
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products and factorisations of NumPy and SciPy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's other operations
}
NEEDED = {"avx2", "fma"}
CPU_INFO = Path("/proc/cpuinfo")
CPU, CUDA = "cpu", "cuda"
_chosen = [CPU]


def fix_kernels() -> None:
    """Sets the environment for this process and those that it starts; before torch and NumPy.

    On a processor without AVX2 it sets nothing and says so on standard error. Other processors than
    x86-64, and systems that do not tell what a processor has, are left as they are.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not CPU_INFO.exists():
        return
    if lacking := NEEDED - features(CPU_INFO):
        print(
            f"note: this processor lacks {' and '.join(sorted(lacking))}: the last digits of "
            "figures will differ from those of other processors",
            file=sys.stderr,
        )
        return
    os.environ.update(KERNELS)


def features(cpu_info: Path) -> set[str]:
    """What Linux says that the first processor has."""
    with cpu_info.open(encoding="utf-8") as lines:
        flags = next((line for line in lines if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())


def use_device(name: str) -> None:
    """Chooses for this process: `auto` is the GPU where torch finds one; or `cpu`, or `cuda`.

    Raises:
        BadInput: there is no GPU, or this torch is built without CUDA.
    """
    import torch

    found = torch.cuda.is_available()
    if name == CUDA and not found:
        why = "torch finds no GPU" if torch.version.cuda else "this torch is built without CUDA"
        raise BadInput(f"device: cuda, but {why}; take auto or cpu")
    _chosen[0] = CUDA if found and name != CPU else CPU
    if _chosen[0] == CUDA:  # so that the same run gives the same bytes, on many streams too
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False  # or convolutions round as coarsely as 10 bits


def chosen_device() -> str:
    """`cpu` or `cuda`; the processor where nobody chose."""
    return _chosen[0]

"""Which kernels compute: one choice for every x86-64 processor that has AVX2, made here.

Torch, MKL, oneDNN, OpenBLAS and NumPy each look at the processor and take the widest instructions
that it has. Sums then run in another order, and the last digits differ from one processor to the
next. What the environment says is overruled: a variable of somebody's shell decides no figure.
`docs/training.md` says what was measured, and what is not promised.
"""

import os
import platform
import sys
from pathlib import Path

KERNELS = {
    "MKL_CBWR": "AVX2",  # matrix products and factorisations of torch
    "ATEN_CPU_CAPABILITY": "avx2",  # its other operations
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products and factorisations of NumPy and SciPy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's other operations
}
NEEDED = {"avx2", "fma"}
CPU_INFO = Path("/proc/cpuinfo")


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

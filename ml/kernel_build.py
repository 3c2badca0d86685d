"""How the C kernels become the extension module ``ml._kernels`` (cffi, API mode: calls release the GIL).

``setup.py`` names `ffi` as a cffi module, so an ordinary ``pip install .[ml]`` compiles it. In a source checkout,
``python setup.py build_ext --inplace`` does.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

SOURCES = ("exact.c", "pool.c", "dispatch.c", "isa_baseline.c", "isa_avx2.c", "isa_avx512.c")
FLAGS = (
    "-std=c11",
    "-O3",
    # A contracted a*b+c rounds once where the definition rounds twice.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    # A buffer holds floats in one node of a plan and integers in the next.
    "-fno-strict-aliasing",
    # The vector types never cross a translation unit, so their calling convention does not matter.
    "-Wno-psabi",
)
FOLDER = Path("ml/csrc")
"""Relative to the folder of setup.py, as setuptools demands."""


def declarations(header: str) -> str:
    """The part of solvent.h that Python sees: the operator numbers, the instruction record and the public functions."""
    sizes = dict(re.findall(r"#define (SOLVENT_\w+) (\d+)", header))
    enum = re.search(r"enum solvent_op \{.*?\};", header, re.DOTALL)
    record = re.search(r"struct solvent_instruction \{.*?\};", header, re.DOTALL)
    if enum is None or record is None:
        raise ValueError("solvent.h lacks the operator enum or the instruction record")
    body = record.group()
    for name, size in sizes.items():
        body = body.replace(f"[{name}]", f"[{size}]")
    return enum.group() + body + PUBLIC


PUBLIC = """
struct solvent_pool;
struct solvent_pool *solvent_pool_open(int threads);
void solvent_pool_close(struct solvent_pool *pool);
int solvent_fpu_fault(void);
const char *solvent_instruction_set(int index);
int solvent_run(struct solvent_pool *pool, int instruction_set, const struct solvent_instruction *plan, int64_t first,
                int64_t last, uint32_t step);
float solvent_exp_exact(float x);
float solvent_log_exact(float x);
"""

ffi = FFI()
ffi.cdef(declarations((Path(__file__).parent / "csrc" / "solvent.h").read_text(encoding="utf-8")))
ffi.set_source(
    "ml._kernels",
    '#include "solvent.h"',
    sources=[str(FOLDER / name) for name in SOURCES],
    depends=[str(FOLDER / name) for name in ("solvent.h", "kernels.h", "vectors.h", "gemm.h", "transcendental.h",
                                            "elementwise.h", "rows.h", "approximations.h", "map.h", "places.h",
                                            "normal.h", "convolution.h")],
    include_dirs=[str(FOLDER)],
    extra_compile_args=list(FLAGS),
    extra_link_args=["-pthread"],
    libraries=["m"],
    optional=True,
)  # fmt: skip

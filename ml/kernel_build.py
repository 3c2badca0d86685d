"""How the C kernels become the extension module ``ml._kernels`` (cffi, API mode: calls release the GIL).

``setup.py`` names `build` as a cffi module, so an ordinary ``pip install .[ml]`` compiles it. In a source checkout,
`REBUILD` does. The `fingerprint` of the sources is compiled in, so that ``ml.kernels`` can tell a build of others.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

REBUILD = "python setup.py build_ext --inplace"
"""Compiles the kernels of a source checkout, in its folder."""
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
const char *solvent_sources(void);
const char *solvent_instruction_set(int index);
int solvent_run(struct solvent_pool *pool, int instruction_set, const struct solvent_instruction *plan, int64_t first,
                int64_t last, uint32_t step);
float solvent_exp_exact(float x);
float solvent_log_exact(float x);
"""


def fingerprint(folder: Path) -> str:
    """A digest of everything that decides what is compiled from the sources in a folder; "" where there are none."""
    files = sorted(folder.glob("*.[ch]"))
    state = blake2b("\0".join(FLAGS).encode(), digest_size=16)
    for path in files:
        content = path.read_bytes()
        state.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return state.hexdigest() if files else ""


def build() -> Any:
    """The extension as a `cffi.FFI`, which setuptools compiles. (Any: only a build needs cffi.)"""
    from cffi import FFI

    folder = Path(__file__).parent / "csrc"
    ffi = FFI()
    ffi.cdef(declarations((folder / "solvent.h").read_text(encoding="utf-8")))
    ffi.set_source(
        "ml._kernels",
        '#include "solvent.h"',
        sources=[str(FOLDER / name) for name in SOURCES],
        depends=["ml/kernel_build.py", *sorted(str(FOLDER / path.name) for path in folder.glob("*.h"))],
        include_dirs=[str(FOLDER)],
        define_macros=[("SOLVENT_SOURCES", f'"{fingerprint(folder)}"')],
        extra_compile_args=list(FLAGS),
        extra_link_args=["-pthread"],
        libraries=["m"],
        optional=True,
    )
    return ffi

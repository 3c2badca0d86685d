"""Compiles ``kernels.cu`` at run time by NVRTC, NVIDIA's compiler as a library (the wheel of the extra ``cuda``).

::

    SolventError
    └── CudaCompilerError    the library is not there, or refuses the source
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

from runtime.errors import SolventError

FOLDERS = (Path(__file__).parent, Path(__file__).parent.parent / "csrc")
"""Where the source is: of the kernels, and of what they share with the CPU's."""
FLAGS = (
    "--std=c++17",
    "--device-as-default-execution-space",
    # A contracted a*b+c rounds once where the definition rounds twice; the products ask for __fmaf_rn by name.
    "--fmad=false",
    # Subnormals are kept, division and square root are those of IEEE-754.
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
)
NEWEST = 90
"""The newest architecture that the tests compile for. A newer card gets PTX, which its driver finishes."""

STDINT = """
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define INT32_MAX 2147483647
#define INT32_MIN (-INT32_MAX - 1)
#ifndef __SIZEOF_POINTER__
#define __SIZEOF_POINTER__ 8
#endif
"""
"""NVRTC brings no C headers, and does not tell what every other compiler does of its targets."""

_NVRTC = """
typedef struct _nvrtcProgram *nvrtcProgram;
const char *nvrtcGetErrorString(int result);
int nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int count,
                       const char *const *headers, const char *const *names);
int nvrtcDestroyProgram(nvrtcProgram *program);
int nvrtcCompileProgram(nvrtcProgram program, int count, const char *const *options);
int nvrtcGetProgramLogSize(nvrtcProgram program, size_t *size);
int nvrtcGetProgramLog(nvrtcProgram program, char *log);
int nvrtcGetPTXSize(nvrtcProgram program, size_t *size);
int nvrtcGetPTX(nvrtcProgram program, char *code);
int nvrtcGetCUBINSize(nvrtcProgram program, size_t *size);
int nvrtcGetCUBIN(nvrtcProgram program, char *code);
"""


class CudaCompilerError(SolventError):
    """NVRTC is missing, or refuses the source; the message says which."""


def source(name: str) -> str:
    """One file of the kernels' source."""
    path = next((folder / name for folder in FOLDERS if (folder / name).is_file()), None)
    if path is None:
        raise CudaCompilerError(f"{name} is not installed beside {FOLDERS[0]}")
    return path.read_text(encoding="utf-8")


def headers() -> dict[str, str]:
    """Everything that ``kernels.cu`` may include, by name."""
    files = [*FOLDERS[0].glob("*.cuh"), *FOLDERS[1].glob("*.h")]
    return {"stdint.h": STDINT, **{path.name: path.read_text(encoding="utf-8") for path in sorted(files)}}


@cache
def _library() -> tuple[Any, Any]:
    ffi: Any = FFI()
    ffi.cdef(_NVRTC)
    for name in _candidates():
        try:
            return ffi, ffi.dlopen(name)
        except OSError:
            continue
    raise CudaCompilerError("NVRTC is not installed: run `pip install 'solvent[cuda]'` (or nvidia-cuda-nvrtc-cu12)")


def _candidates() -> list[str]:
    """The wheel's library first, then what the system's linker knows."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        found = None
    folders = list(found.submodule_search_locations or ()) if found else []
    wheels = [str(path) for folder in folders for path in sorted(Path(folder, "lib").glob("libnvrtc.so.*"))]
    return [*wheels, "libnvrtc.so.12", "libnvrtc.so"]


def is_available() -> bool:
    """Whether NVRTC can be loaded here."""
    try:
        _library()
    except CudaCompilerError:
        return False
    return True


def compile_kernels(architecture: int, binary: bool) -> bytes:
    """All kernels for compute capability ``architecture`` (80 is 8.0): a cubin, or PTX. Raises `CudaCompilerError`."""
    ffi, lib = _library()
    given = headers()
    texts = [ffi.new("char[]", text.encode()) for text in given.values()]
    names = [ffi.new("char[]", name.encode()) for name in given]
    program = ffi.new("nvrtcProgram *")
    main = ffi.new("char[]", source("kernels.cu").encode())
    arrays = ffi.new("const char *[]", texts), ffi.new("const char *[]", names)
    _check(ffi, lib, lib.nvrtcCreateProgram(program, main, b"kernels.cu", len(texts), *arrays))
    try:
        options = (*FLAGS, f"--gpu-architecture={'sm' if binary else 'compute'}_{architecture}")
        words = [ffi.new("char[]", option.encode()) for option in options]
        if lib.nvrtcCompileProgram(program[0], len(words), ffi.new("const char *[]", words)):
            log = _read(ffi, lib, program[0], lib.nvrtcGetProgramLogSize, lib.nvrtcGetProgramLog)
            raise CudaCompilerError(f"NVRTC refuses the kernels for {options[-1]}: {log.decode(errors='replace')}")
        if binary:
            return _read(ffi, lib, program[0], lib.nvrtcGetCUBINSize, lib.nvrtcGetCUBIN)
        return _read(ffi, lib, program[0], lib.nvrtcGetPTXSize, lib.nvrtcGetPTX).rstrip(b"\0")
    finally:
        lib.nvrtcDestroyProgram(program)


def _read(ffi: Any, lib: Any, program: Any, get_size: Any, get: Any) -> bytes:
    size = ffi.new("size_t *")
    _check(ffi, lib, get_size(program, size))
    room = ffi.new("char[]", size[0])
    _check(ffi, lib, get(program, room))
    return bytes(ffi.buffer(room, size[0]))


def _check(ffi: Any, lib: Any, result: int) -> None:
    if result:
        raise CudaCompilerError(f"NVRTC: {ffi.string(lib.nvrtcGetErrorString(result)).decode()}")

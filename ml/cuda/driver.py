"""A graphics card through the CUDA driver, ``libcuda.so.1``, which comes with the card's own driver.

::

    SolventError
    └── CudaError    no driver, no card, or the driver reports a failure
"""

from __future__ import annotations

from typing import Any

from cffi import FFI

from ml.cuda.compiler import NEWEST, compile_kernels
from ml.cuda.launches import Launch
from runtime.errors import SolventError

_DRIVER = """
typedef int CUdevice;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef unsigned long long CUdeviceptr;
int cuGetErrorString(int result, const char **text);
int cuInit(unsigned int flags);
int cuDeviceGet(CUdevice *device, int number);
int cuDeviceGetName(char *name, int size, CUdevice device);
int cuDeviceGetAttribute(int *value, int attribute, CUdevice device);
int cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device);
int cuCtxSetCurrent(CUcontext context);
int cuModuleLoadData(CUmodule *module, const void *image);
int cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name);
int cuMemAlloc_v2(CUdeviceptr *address, size_t size);
int cuMemFree_v2(CUdeviceptr address);
int cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t count);
int cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size);
int cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size);
int cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                   unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared, void *stream,
                   void **parameters, void **extra);
"""
LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""Attributes of a device: its compute capability."""
OLDEST = 70


class CudaError(SolventError):
    """The CUDA driver is missing, or reports a failure; the message says which."""


def _driver() -> tuple[Any, Any]:
    ffi = FFI()
    ffi.cdef(_DRIVER)
    try:
        return ffi, ffi.dlopen(LIBRARY)
    except OSError:
        raise CudaError(f"no CUDA device: {LIBRARY}, which NVIDIA's driver installs, is not there") from None


class CudaDevice:
    """One graphics card. Mutable: it owns a context and loaded kernels. Whatever it is asked for happens in order."""

    def __init__(self, number: int = 0) -> None:
        self._ffi, self._lib = _driver()
        self._check(self._lib.cuInit(0), "no CUDA device")
        device = self._ffi.new("CUdevice *")
        self._check(self._lib.cuDeviceGet(device, number), f"no CUDA device {number}")
        name = self._ffi.new("char[256]")
        self._check(self._lib.cuDeviceGetName(name, 256, device[0]))
        capability = 10 * self._attribute(device[0], _MAJOR) + self._attribute(device[0], _MINOR)
        self.name = f"cuda {self._ffi.string(name).decode()} sm_{capability}"
        if capability < OLDEST:
            raise CudaError(f"{self.name}: kernels need compute capability {OLDEST / 10} or newer")
        self._context = self._ffi.new("CUcontext *")
        self._check(self._lib.cuDevicePrimaryCtxRetain(self._context, device[0]))
        self._enter()
        known = capability <= NEWEST
        image = compile_kernels(capability if known else NEWEST, binary=known)
        self._module = self._ffi.new("CUmodule *")
        self._check(
            self._lib.cuModuleLoadData(self._module, self._ffi.new("char[]", image))
        )  # text ends in a zero byte
        self._functions: dict[str, Any] = {}

    def allocate(self, size: int) -> int:
        """The address of so many zeroed bytes."""
        self._enter()
        address = self._ffi.new("CUdeviceptr *")
        self._check(self._lib.cuMemAlloc_v2(address, size), f"no {size:,} bytes of the card's memory")
        self._check(self._lib.cuMemsetD8_v2(address[0], 0, size))
        return int(address[0])

    def free(self, address: int) -> None:
        self._enter()
        self._check(self._lib.cuMemFree_v2(address))

    def upload(self, address: int, data: memoryview) -> None:
        self._enter()
        self._check(self._lib.cuMemcpyHtoD_v2(address, self._ffi.from_buffer(data), data.nbytes))

    def download(self, address: int, into: memoryview) -> None:
        """Copy out what is there once everything launched before is done."""
        self._enter()
        self._check(self._lib.cuMemcpyDtoH_v2(self._ffi.from_buffer(into), address, into.nbytes))

    def launch(self, launch: Launch, record: Any, step: int) -> None:
        self._enter()
        number = self._ffi.new("unsigned int *", step)
        # The driver copies the parameters before the call returns.
        parameters = self._ffi.new("void *[]", [self._ffi.cast("void *", record), number])
        grid = (launch.blocks, 1, 1, launch.threads, 1, 1)
        null = self._ffi.NULL
        result = self._lib.cuLaunchKernel(self._function(launch.kernel), *grid, 0, null, parameters, null)
        self._check(result, launch.kernel)

    def _function(self, kernel: str) -> Any:
        if kernel not in self._functions:
            found = self._ffi.new("CUfunction *")
            self._check(self._lib.cuModuleGetFunction(found, self._module[0], kernel.encode()), kernel)
            self._functions[kernel] = found[0]
        return self._functions[kernel]

    def _enter(self) -> None:
        """Make the card's context the calling thread's: a driver keeps one for each thread."""
        self._check(self._lib.cuCtxSetCurrent(self._context[0]))

    def _attribute(self, device: Any, number: int) -> int:
        value = self._ffi.new("int *")
        self._check(self._lib.cuDeviceGetAttribute(value, number, device))
        return int(value[0])

    def _check(self, result: int, what: str = "CUDA") -> None:
        if result:
            text = self._ffi.new("const char **")
            known = self._lib.cuGetErrorString(result, text) == 0 and text[0] != self._ffi.NULL
            raise CudaError(f"{what}: {self._ffi.string(text[0]).decode() if known else f'error {result}'}")

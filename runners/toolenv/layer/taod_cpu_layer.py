"""taod's CPU compatibility layer: lets tools that insist on a GPU run on the CPU, for trials and tests.

In an environment installed with `--cpu`, a `.pth` file imports this module at each start of Python. It changes nothing
until the tool imports the libraries named in `_HOOKS`:

- Lightning's Trainer gets the CPU as accelerator, one device, and 32-bit precision;
- PyTorch uses the CPU for the device "cuda"; compiled operators that cannot be loaded are skipped;
- DALI's pipelines use the CPU, and PyTorch's own attention replaces that of xFormers;
- packages that can only be built for a GPU or MPI are replaced by stand-ins with one process and no device.

Python 3.8 and newer; standard library only.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types

_CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "taod_cpu_layer.json")
_FACTORIES = (
    "arange",
    "as_tensor",
    "empty",
    "eye",
    "full",
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
)
_NOTHING = ("empty_cache", "manual_seed", "manual_seed_all", "reset_peak_memory_stats", "set_device", "synchronize")


def note(text):
    """Write one line to the run's log."""
    print("taod CPU layer: " + text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------ after an import


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a hook with a module right after its execution."""

    def __init__(self, hooks):
        self._hooks = hooks
        self._searching = set()

    def find_spec(self, name, path=None, target=None):
        hook = self._hooks.get(name)
        if hook is None or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, hook)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, inner, hook):
        self._inner = inner
        self._hook = hook

    def create_module(self, spec):
        return self._inner.create_module(spec)

    def exec_module(self, module):
        # The module keeps its own loader, through which resources are read.
        module.__loader__ = module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._hook(module)


# ------------------------------------------------------------------ PyTorch


def _torch(torch):
    """Redirect PyTorch's CUDA devices to the CPU."""

    def on_cpu(value):
        if isinstance(value, str) and value.startswith("cuda"):
            return "cpu"
        if isinstance(value, torch.device) and value.type == "cuda":
            return torch.device("cpu")
        return value

    def redirected(function):
        def call(*args, **kwargs):
            return function(*map(on_cpu, args), **{name: on_cpu(value) for name, value in kwargs.items()})

        call.__name__, call.__doc__ = getattr(function, "__name__", "call"), function.__doc__
        return call

    def keyword_redirected(function):
        def call(*args, **kwargs):
            if "device" in kwargs:
                kwargs["device"] = on_cpu(kwargs["device"])
            return function(*args, **kwargs)

        call.__name__, call.__doc__ = getattr(function, "__name__", "call"), function.__doc__
        return call

    for name in _NOTHING:
        setattr(torch.cuda, name, lambda *args, **kwargs: None)
    torch.cuda.current_device = lambda: 0
    for kind in (torch.Tensor, torch.nn.Module):
        kind.to = redirected(kind.to)
        kind.cuda = lambda self, *args, **kwargs: self
    for name in _FACTORIES:
        setattr(torch, name, keyword_redirected(getattr(torch, name)))

    load = torch.load

    def load_on_cpu(file, map_location=None, *args, **kwargs):
        return load(file, "cpu", *args, **kwargs)

    torch.load = load_on_cpu

    load_library = torch.ops.load_library

    def load_if_possible(path):
        try:
            load_library(path)
        except OSError as error:
            cause = str(error.__cause__ or error).strip().split("\n")[0]
            note("without the operators of {}: {}".format(os.path.basename(str(path)), cause[:160]))

    torch.ops.load_library = load_if_possible


def _distributed(distributed):
    """Make process groups use a CPU backend."""
    init = distributed.init_process_group

    def init_process_group(backend=None, *args, **kwargs):
        return init("gloo", *args, **kwargs)

    distributed.init_process_group = init_process_group


# ------------------------------------------------------------------ Lightning


def _lightning(lightning):
    """Make the Trainer use the CPU."""
    trainer = lightning.Trainer
    init = trainer.__init__
    old = int(lightning.__version__.split(".")[0]) < 2

    def __init__(self, *args, **kwargs):
        kwargs["accelerator"], kwargs["devices"] = "cpu", 1
        kwargs.pop("sync_batchnorm", None)
        if old:
            for name in ("gpus", "replace_sampler_ddp", "strategy"):
                kwargs.pop(name, None)
        if str(kwargs.get("precision", "32")).startswith("16"):
            kwargs["precision"] = 32 if old else "32-true"
        note("Trainer on the CPU, one process, 32-bit precision")
        init(self, *args, **kwargs)
        device = getattr(self.strategy, "_root_device", None)
        if device is not None:  # A GPU has a number, which tools compare.
            self.strategy._root_device = type(device)(device.type, 0)

    trainer.__init__ = __init__


def _device_mixin(module):
    """Redirect the `cuda` method of Lightning 1's modules to the CPU."""
    module._DeviceDtypeModuleMixin.cuda = lambda self, *args, **kwargs: self


def _mmcv(module):
    """Replace MMCV's data-parallel wrapper by one without a device."""
    wrapper = module.MMDistributedDataParallel
    init = wrapper.__init__

    def __init__(self, wrapped, *args, **kwargs):
        kwargs["device_ids"] = None
        init(self, wrapped, *args, **kwargs)
        self.device_ids = [-1]

    def to_kwargs(self, inputs, kwargs, device_id):
        from mmcv.parallel.scatter_gather import scatter_kwargs

        return scatter_kwargs(inputs, kwargs, [-1], dim=self.dim)

    wrapper.__init__, wrapper.to_kwargs = __init__, to_kwargs


def _operators(module):
    """Skip operators that cannot be loaded and that the tool loads without a check."""
    module.load_ops = lambda *args, **kwargs: None


# ------------------------------------------------------------------ DALI


def _dali(dali):
    """Make pipelines use the CPU, and decode images there."""
    define, decode = dali.pipeline_def, dali.fn.image_decoder

    def pipeline_def(*args, **kwargs):
        kwargs["device_id"] = None
        return define(*args, **kwargs)

    def image_decoder(*args, **kwargs):
        kwargs["device"] = "cpu"
        return decode(*args, **kwargs)

    dali.pipeline_def, dali.fn.image_decoder = pipeline_def, image_decoder


# ------------------------------------------------------------------ xFormers


def _attention(ops):
    """Compute attention with PyTorch, because the operators of xFormers are for GPUs."""

    def memory_efficient_attention(query, key, value, attn_bias=None, p=0.0, scale=None, **unused):
        from torch.nn.functional import scaled_dot_product_attention

        heads = query.ndim == 4  # (batch, length, heads, width); without heads (batch, length, width)
        given = [each.transpose(1, 2) if heads else each for each in (query, key, value)]
        if hasattr(attn_bias, "materialize"):
            shape = (*given[0].shape[:-1], given[1].shape[-2])
            attn_bias = attn_bias.materialize(shape, dtype=query.dtype, device=query.device)
        found = scaled_dot_product_attention(*given, attn_mask=attn_bias, dropout_p=p, scale=scale)
        return found.transpose(1, 2) if heads else found

    ops.memory_efficient_attention = memory_efficient_attention


_HOOKS = {
    "torch": _torch,
    "torch.distributed": _distributed,
    "pytorch_lightning": _lightning,
    "lightning_lite.utilities.device_dtype_mixin": _device_mixin,
    "mmcv.parallel.distributed": _mmcv,
    "nvidia.dali": _dali,
    "xformers.ops": _attention,
}


# ------------------------------------------------------------------ stand-ins for packages


class _StandInClass(type):
    """Stand-in for classes and values of an absent package: they can be named, inherited from and passed, but not
    used."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(cls.__module__, cls.__qualname__ + "." + name)

    def __int__(cls):
        return 0


def _stand_in(package, name):
    def fail(self, attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        root = package.partition(".")[0]
        raise RuntimeError("{}.{} cannot be used: {} is not installed in this environment".format(package, name, root))

    space = {"__module__": package, "__qualname__": name, "__getattr__": fail}
    space["__init__"] = lambda self, *args, **kwargs: None
    return _StandInClass(name.rsplit(".", 1)[-1], (), space)


class _StandInModule(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = _VALUES.get(self.__name__.partition(".")[0], {}).get(name)
        if value is None:
            value = _stand_in(self.__name__, name)
        elif isinstance(value, _Made):
            value = value.make()
        setattr(self, name, value)
        return value


class _Made:
    """A value created on its first use."""

    def __init__(self, make):
        self.make = make


def _same(value=None, *args, **kwargs):
    return value


def _quiet_callback():
    """A Keras callback of distributed training that does nothing, since there is only one process."""
    from tensorflow.keras.callbacks import Callback

    class OneProcess(Callback):
        def __init__(self, *args, **kwargs):
            super().__init__()

    return OneProcess


class _OneProcess:
    """MPI's communicator with a single process."""

    rank, size = 0, 1

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 1

    def barrier(self):
        return None

    Barrier = barrier

    def bcast(self, value, root=0):
        return value

    def gather(self, value, root=0):
        return [value]

    def allgather(self, value):
        return [value]

    def allreduce(self, value, op=None):
        return value


class _Mpi:
    COMM_WORLD = _OneProcess()
    SUM = MAX = MIN = None


class _Context:
    """PyCUDA's context of a device: it becomes the current one and stops being it, and nothing is computed in it."""

    @staticmethod
    def push():
        return None

    pop = detach = push


class _Device:
    @staticmethod
    def retain_primary_context():
        return _Context


_VALUES = {
    "horovod": {
        "callbacks": _Made(lambda: importlib.import_module("horovod.callbacks")),
        "init": lambda *args, **kwargs: None,
        "shutdown": lambda *args, **kwargs: None,
        "is_initialized": lambda: True,
        "rank": lambda: 0,
        "local_rank": lambda: 0,
        "size": lambda: 1,
        "local_size": lambda: 1,
        "allreduce": _same,
        "allgather": _same,
        "allgather_object": lambda value, *args, **kwargs: [value],
        "broadcast": _same,
        "broadcast_object": _same,
        "broadcast_variables": lambda *args, **kwargs: None,
        "join": lambda *args, **kwargs: 0,
        "DistributedOptimizer": _same,
        "DistributedGradientTape": _same,
        "BroadcastGlobalVariablesCallback": _Made(_quiet_callback),
        "MetricAverageCallback": _Made(_quiet_callback),
        "LearningRateWarmupCallback": _Made(_quiet_callback),
    },
    "mpi4py": {"MPI": _Mpi},
    "pycuda": {"device": _Device},
    "tensorrt": {"__version__": "0"},
}


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins; comes after all other finders, so that installed packages take precedence."""

    def __init__(self, packages):
        self._packages = frozenset(packages)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _StandInModule(spec.name)

    def exec_module(self, module):
        module.__path__ = []
        module.__version__ = "0"


def install():
    """Activate the layer in this process."""
    try:
        with open(_CONFIG, encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError):
        config = {}
    if config.get("cpu", True):
        hooks = dict(_HOOKS)
        hooks.update(dict.fromkeys(config.get("operators", ()), _operators))
        sys.meta_path.insert(0, _AfterImport(hooks))
    if config.get("modules"):
        sys.meta_path.append(_StandIns(config["modules"]))

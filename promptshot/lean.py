"""A start in half of the processor time: transformers without what only training needs, garbage that is not looked
for while everything is new, and threads that soon sleep where they wait.

For a process of our own, the command line; a library must not decide for others what is there.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TELLING = "transformers.utils.import_utils"  # says which packages are there
ABSENT = ("is_scipy_available", "is_torch_distributed_available")  # for losses of detectors; for models in shards
LISTING = "fetch__all__"  # reads of all of its 1,700 files which names they have, line by line
COMPILER = "torch._dynamo"
WAITING, BRIEFLY = "OMP_WAIT_POLICY", ("GOMP_SPINCOUNT", "1000")  # GNU, as if there were more threads than processors
OBJECTS = 500_000  # more than torch, transformers and a small model bring, of which next to nothing is garbage
WRAPPER = f"{COMPILER}._trace_wrapped_higher_order_op"
SHAPES = "torch.fx.experimental.symbolic_shapes"  # brings an algebra system, to tell that true is true


def start() -> None:
    """From now on a model takes less to load; nothing changes where transformers has been loaded already."""
    if not any(name in sys.modules for name in (TELLING, COMPILER)):
        sys.meta_path.insert(0, _Finder())
        _collect_later()
        if WAITING not in os.environ:  # threads that wait are not to turn round and round where others have work
            os.environ.setdefault(*BRIEFLY)


def _collect_later() -> None:
    """Look for garbage when there are many objects, from then on as ever, and not when the process ends."""
    usual = gc.get_threshold()

    def looked(phase: str, _: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(looked)
            gc.set_threshold(*usual)

    gc.callbacks.append(looked)
    gc.set_threshold(OBJECTS, *usual[1:])
    atexit.register(gc.freeze)


class _Finder(MetaPathFinder):
    """Waits for the module that says what is there, and is gone once it is asked for."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != TELLING:
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        if found and found.loader:
            found.loader = _Less(found.loader)
        return found


class _Less(Loader):
    """Loads the module that says what is there, and lets it say less."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        for name in filter(module.__dict__.__contains__, ABSENT):
            setattr(module, name, _no)
        if LISTING in vars(module):
            setattr(module, LISTING, _of_the_end(getattr(module, LISTING)))
        for stand_in in (_Compiler(COMPILER), _Wrapper(WRAPPER), _Shapes(SHAPES)):
            sys.modules.setdefault(stand_in.__name__, stand_in)


def _of_the_end(listing: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The same, for the text from the last line that such a list begins in: nothing before it counts."""
    return lambda text: listing(text[text.rfind("\n__all__") + 1 :])


def _no() -> bool:
    return False


class _StandIn(ModuleType):
    """In the place of a module until somebody wants more of it than there is here."""

    group: tuple[str, ...] = ()  # what goes with it, when the real one comes
    package = ""  # the attribute by which modules within it are found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != self.package:  # whoever looks through all modules
            raise AttributeError(name)
        return getattr(self.real(), name)

    @classmethod
    def real(cls) -> Any:
        """The module itself, from now on for everybody."""
        for name in cls.group:
            if isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]
        return importlib.import_module(cls.group[-1])


class _Compiler(_StandIn):
    """The decorators with which code speaks to a compiler; nothing is compiled."""

    group, package = (WRAPPER, COMPILER), "__path__"

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
        """The function, or a decorator that gives it back."""
        return function or (lambda decorated: decorated)

    allow_in_graph = assume_constant_result = disable


class _Wrapper(_StandIn):
    """What masks made by functions need, when it comes to that."""

    group = (COMPILER, WRAPPER)

    class TransformGetItemToIndex:
        def __new__(cls) -> Any:
            """The real one."""
            return _Wrapper.real().TransformGetItemToIndex()


class _Shapes(_StandIn):
    """What is known of sizes that stand for any number, where all are numbers."""

    group = (SHAPES,)

    @staticmethod
    def expect_true(said: Any, skip: int = 0) -> bool:
        """The truth of what is known; of what is not, whatever the real one makes of it."""
        known: bool = said if isinstance(said, bool) else _Shapes.real().expect_true(said, skip + 1)
        return known

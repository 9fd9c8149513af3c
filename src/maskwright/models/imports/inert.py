"""Stand-ins for what a pickled checkpoint names: they do nothing, and a call of anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from maskwright.core.errors import InputError

GETATTR = "builtins.getattr"
PARTIAL = "functools.partial"
"""How modules keep what they make their layers with; answered by an object that calls nothing."""


class Refused(Exception):
    """A checkpoint would call something when it is opened; its text names what."""


class Inert(type):
    """The class of a stand-in: calling it gives an object without a state, or is refused."""

    name: str
    callable_: bool

    def __call__(cls, *given: Any) -> Any:
        """Be called by the unpickler, for REDUCE."""
        fetching = cls.name == GETATTR and bool(given) and isinstance(given[0], Inert) and given[0].callable_
        if not (cls.callable_ or fetching):
            raise Refused(cls.name)
        return _blank(cls)


class Still(metaclass=Inert):
    """An object of a class that is not imported; its state is kept, if that is a mapping."""

    name = ""
    callable_ = True
    state: dict[str, Any]

    def __new__(cls, *given: Any) -> Any:
        """Be made by the unpickler, for NEWOBJ; what it gets is dropped, or refused."""
        if given and not cls.callable_:
            raise Refused(cls.name)
        return _blank(cls)

    def __repr__(self) -> str:
        return type(self).name

    def __setstate__(self, state: Any) -> None:
        """Keep a mapping, drop all else."""
        self.state = state if isinstance(state, dict) else {}


def _blank(kind: Any) -> Any:
    return object.__new__(kind)


def stand_ins(names: Iterable[str]) -> list[tuple[Any, str]]:
    """Return a stand-in for each name, as torch.serialization.safe_globals takes them.

    What trainers put beside weights (arrays, buffers of a log, settings) may be made by a call, which makes nothing.
    Classes of modules may be made without one. A name from elsewhere, such as os, has no stand-in.

    Args:
        names: full names, e.g. mmengine.logging.history_buffer.HistoryBuffer.

    Raises:
        Refused: a name is from a module that no checkpoint needs.
    """
    found: list[tuple[Any, str]] = []
    for name in names:
        if name not in (GETATTR, PARTIAL) and (name.partition(".")[0] in NEVER or name.startswith(CODE)):
            raise Refused(name)
        bases = {"name": name, "callable_": any(re.fullmatch(pattern, name) for pattern in DATA)}
        found.append((Inert("Inert", (Still,), bases), name))
    return found


def refusal(name: str, where: object) -> InputError:
    """Say that a checkpoint would call something."""
    return InputError(
        f"refused: opening it would call {name}, and weights need no such thing",
        where=str(where),
        fix="take it from a source you trust, as a .safetensors file or a plain state dict",
    )


DATA = (
    r"mmengine\.(logging|config|runner)\..*|mmcv\.(utils|runner)\..*|addict\..*",
    r"numpy\.(_?core\.multiarray\.(scalar|_reconstruct|_frombuffer)|_?core\.numeric\._frombuffer|ndarray|dtype|dtypes\.\w+)",
    r"pathlib\.\w*Path|datetime\.(datetime|date|timedelta)|argparse\.Namespace|(omegaconf|yacs)\..*|functools\.partial|timm\.layers\.format\.Format",
)
"""Patterns of what trainers put beside weights: a call of such a name is answered by an inert object."""
CODE = tuple(f"torch.{part}" for part in ("hub", "utils", "jit", "package", "load", "serialization", "ops", "classes"))
"""Parts of torch that load or run things."""
_NEVER = """
    __builtin__ _io _pickle _posixsubprocess _socket ast asyncio atexit bdb builtins cProfile cloudpickle
    code codeop commands copyreg ctypes dill distutils doctest ensurepip fileinput ftplib functools gc getpass glob
    http imp importlib inspect io joblib linecache logging marshal mmap multiprocessing nt operator os pdb pickle
    pip pkgutil platform poplib posix posixpath profile pty pydoc requests runpy setuptools shelve shutil signal
    site smtplib socket socketserver sqlite3 ssl subprocess sys sysconfig telnetlib tempfile threading timeit trace
    types typing unittest urllib urllib2 uuid venv webbrowser winreg xmlrpc zipapp zipfile zipimport
"""
NEVER = frozenset(_NEVER.split())
"""Top packages whose names in a checkpoint are refused outright. Nothing of any package runs in either case: the list
only decides what is said."""

"""The environment variables that the program reads: what each means, what it may be, what is wrong with it.

Whoever needs one asks here, as in ``ENGINE.value()``, which refuses text that means nothing. :func:`check` says before
any work begins what is wrong with all of them, and with the machine they are meant for.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fcn_core.errors import SettingInvalid

T = TypeVar("T")

_PREFIX = "FCN_"
MODEL_NAMES = ("efficientnet-lite2", "efficientnet-lite0", "resnet50")
ENGINES = ("auto", "openvino", "tensorflow")
LOG_STYLES = ("json", "text", "off")
MOST_MEGAPIXELS = 89  # above it Pillow warns of a bomb, on its own
MOST_UPLOAD_MB = 1024  # so many pixels, uncompressed, of four channels of 16 bits are 680
LEAST_MEMORY_MB = 160  # a command that runs the smallest model over the smallest scale takes 158
_MOST_MEMORY_MB = 2**24  # 16 TB: whoever writes more counts bytes

#: Read by the project's own tests, in environments where the program runs too.
FOR_TESTS = frozenset(
    ("FCN_SHARED", "FCN_TEST_CACHE_DIR", "FCN_REQUIRE_BROWSER", "FCN_REQUIRE_NGINX", "FCN_FUZZ_EXAMPLES")
)


def _nothing_wrong(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable. Where it is not set, or blank, the default holds.

    Attributes
    ----------
    name : str
    meaning, default_words : str
        For the README.
    expected : str
        What a value is, to stand behind "Expected".
    default : object
    read : callable
        Text to value. Its ValueError may say in words, which begin with a comma, why the text is none.
    examine : callable
        What is wrong with a value on this machine, in such words; "" where nothing is.
    """

    name: str
    meaning: str
    default_words: str
    expected: str
    default: T
    read: Callable[[str], T]
    examine: Callable[[T], str] = _nothing_wrong

    def given(self, environ: Mapping[str, str] = os.environ) -> bool:
        """Whether it is set, to whatever."""
        return bool(environ.get(self.name, "").strip())

    def value(self, environ: Mapping[str, str] = os.environ) -> T:
        """What it is set to.

        Raises
        ------
        SettingInvalid
            To something that means nothing.
        """
        if not self.given(environ):
            return self.default
        try:
            return self.read(environ[self.name])
        except ValueError as error:
            raise SettingInvalid(self._refusal(environ, str(error))) from error

    def fault(self, environ: Mapping[str, str] = os.environ) -> str:
        """What is wrong with it, in one line; "" where nothing is."""
        if not self.given(environ):
            return ""
        try:
            why = self.examine(self.value(environ))
        except SettingInvalid as error:
            return str(error)
        return self._refusal(environ, why) if why else ""

    def _refusal(self, environ: Mapping[str, str], why: str) -> str:
        text = environ[self.name]
        shown = repr(text if len(text) <= 80 else f"{text[:79]}…")
        return f"{self.name} is {shown}{why}. Expected {self.expected}. Correct it or remove it."


def check(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Say what is wrong with the settings.

    Returns
    -------
    tuple of str
        One line a fault: the name, what was received, what was expected, what to do. Empty where all is well.
    """
    known = [setting.name for setting in SETTINGS]
    faults = [setting.fault(environ) for setting in SETTINGS]
    if not any(faults) and MEMORY_MB.given(environ) and MAX_UPLOAD_MB.given(environ):
        most = max(1, (MEMORY_MB.value(environ) or 0) // 4)  # two files are there while two arrive
        if MAX_UPLOAD_MB.value(environ) > most:
            faults.append(
                f"FCN_MAX_UPLOAD_MB is {environ['FCN_MAX_UPLOAD_MB']!r} with FCN_MEMORY_MB={environ['FCN_MEMORY_MB']}. "
                f"Expected at most a quarter of that, {most}. Correct one of them."
            )
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known and name not in FOR_TESTS:
            tails = [each.removeprefix(_PREFIX) for each in known]  # all are alike before
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), tails, 1)
            expected = f"{_PREFIX}{near[0]}" if near else f"one of {', '.join(known)}"
            faults.append(
                f"{name[:60]!r} is no setting of this program. Expected {expected}. Correct the name or remove it."
            )
    return tuple(filter(None, faults))


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return read


def _any_of(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _whole(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.strip()
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 12 and 1 <= int(digits) <= most):
            raise ValueError
        return int(digits)

    return read


def _megapixels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-6 <= value <= MOST_MEGAPIXELS:
        raise ValueError
    return value


def _switch(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError
    return text.strip() == "1"


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(", and where that home folder is, is not known here") from error


def _wrong_engine(engine: str) -> str:
    there = engine == "auto" or importlib.util.find_spec(engine) is not None
    return "" if there else ", which is not installed"


def _wrong_memory(megabytes: int | None) -> str:
    enough = megabytes is None or megabytes >= LEAST_MEMORY_MB
    return "" if enough else ", in which no model runs"


def _wrong_cache(folder: Path | None) -> str:
    """Where graphs are ready, they serve from a folder that cannot be written, too."""
    if folder is None:
        return ""
    failed = "made"
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.is_symlink() or path.exists())
        if not nearest.is_dir():
            return f", and {str(nearest)!r} is no folder"
        failed = "written" if nearest == folder else "made"
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return "" if _holds_graphs(folder) else f", which cannot be {failed} ({error.strerror})"


def _holds_graphs(folder: Path) -> bool:
    try:
        return any(folder.glob("graphs/*/meta.json"))
    except OSError:  # its name is too long, or it may not be looked into
        return False


def _wrong_weights(path: Path | None) -> str:
    """A weights file itself is taken as well as its folder."""
    if path is None:
        return ""
    try:
        (os.scandir(path) if path.is_dir() else path.open("rb")).close()
    except FileNotFoundError:
        return ", which is not there"
    except OSError as error:
        return f", which cannot be read ({error.strerror})"
    return ""


MODEL = Setting(
    "FCN_MODEL", "the model where none is named", f"`{MODEL_NAMES[0]}`",
    _any_of(MODEL_NAMES), MODEL_NAMES[0], _one_of(MODEL_NAMES),
)  # fmt: skip
ENGINE = Setting(
    "FCN_ENGINE", "`auto`, `openvino` or `tensorflow`",
    "`auto`: OpenVINO where it works, else TensorFlow where its 0.7 to 0.9 GB fit",
    _any_of(ENGINES), ENGINES[0], _one_of(ENGINES), _wrong_engine,
)  # fmt: skip
CACHE_DIR: Setting[Path | None] = Setting(
    "FCN_CACHE_DIR", "folder of exported graphs and downloaded weights",
    "the user's cache folder; without a home, a temporary one",
    "the whole path of a folder that can be written, or made", None, _folder, _wrong_cache,
)  # fmt: skip
WEIGHTS_DIR: Setting[Path | None] = Setting(
    "FCN_WEIGHTS_DIR", "folder of weight files you bring", "none",
    "the whole path of a folder that can be read", None, _folder, _wrong_weights,
)  # fmt: skip
MEMORY_MB: Setting[int | None] = Setting(
    "FCN_MEMORY_MB",
    f"memory the program may use, at least {LEAST_MEMORY_MB}; it bounds [the largest picture](docs/pictures.md), too",
    "what the container or machine has",
    f"a whole number of megabytes from {LEAST_MEMORY_MB} to {_MOST_MEMORY_MB}, for example 690",
    None, _whole(_MOST_MEMORY_MB), _wrong_memory,
)  # fmt: skip
MAX_UPLOAD_MB = Setting(
    "FCN_MAX_UPLOAD_MB", "largest picture file", "25",
    f"a whole number of megabytes from 1 to {MOST_UPLOAD_MB}, for example 25", 25, _whole(MOST_UPLOAD_MB),
)  # fmt: skip
MAX_MEGAPIXELS = Setting(
    "FCN_MAX_MEGAPIXELS",
    "largest picture, known before it is decoded; [fewer](docs/pictures.md) where memory or a format asks for it", "64",
    f"a number above 0 and at most {MOST_MEGAPIXELS}, for example 64", 64.0, _megapixels,
)  # fmt: skip
ALLOW_URLS = Setting(
    "FCN_ALLOW_URLS", "`0`: the page fetches no picture by its address; `1`: it does", "`1`",
    "0 or 1", True, _switch,
)  # fmt: skip
LOG: Setting[str | None] = Setting(
    "FCN_LOG",
    "`json`, `text` or `off`: one record an analysis, without the picture, its name, or what was looked for",
    "`text` in the app, `off` on the command line",
    _any_of(LOG_STYLES), None, _one_of(LOG_STYLES),
)  # fmt: skip

SETTINGS: tuple[Setting[Any], ...] = (
    MODEL, ENGINE, CACHE_DIR, WEIGHTS_DIR, MEMORY_MB, MAX_UPLOAD_MB, MAX_MEGAPIXELS, ALLOW_URLS, LOG,
)  # fmt: skip

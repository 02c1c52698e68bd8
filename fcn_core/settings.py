"""The environment variables that the program reads: their meaning, their values, and their checks.

All code reads them here, as in ``ENGINE.value()``, which refuses an invalid value. :func:`check` reports all problems,
including those of this machine, before any work begins.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fcn_core.errors import SettingInvalid

T = TypeVar("T")

_PREFIX = "FCN_"
MODEL_NAMES = ("efficientnet-lite2", "efficientnet-lite0", "resnet50")
APPLICATION_NAMES = (
    "vgg16", "vgg19", "resnet101", "resnet152", "resnet50v2", "resnet101v2", "resnet152v2", "xception", "inceptionv3",
    "inceptionresnetv2", "mobilenet", "mobilenetv2", "mobilenetv3small", "mobilenetv3large", "densenet121",
    "densenet169", "densenet201", "nasnetmobile", "nasnetlarge", "efficientnetb0", "efficientnetb1", "efficientnetb2",
    "efficientnetb3", "efficientnetb4", "efficientnetb5", "efficientnetb6", "efficientnetb7", "efficientnetv2b0",
    "efficientnetv2b1", "efficientnetv2b2", "efficientnetv2b3", "efficientnetv2s", "efficientnetv2m", "efficientnetv2l",
    "convnexttiny", "convnextsmall", "convnextbase", "convnextlarge", "convnextxlarge",
)  # fmt: skip
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
ENGINES = ("auto", "openvino", "tensorflow")
LOG_STYLES = ("json", "text", "off")
MOST_MEGAPIXELS = 89  # above this, Pillow itself warns of a decompression bomb
MOST_UPLOAD_MB = 1024  # 89 megapixels of four uncompressed 16-bit channels are 680
LEAST_MEMORY_MB = 160  # the command with the smallest model and the smallest scale needs 158
_MOST_MEMORY_MB = 2**24  # 16 TB: a larger number is probably meant in bytes

#: Read by the project's tests, which can share an environment with the program.
FOR_TESTS = frozenset(
    ("FCN_SHARED", "FCN_TEST_CACHE_DIR", "FCN_REQUIRE_BROWSER", "FCN_REQUIRE_NGINX", "FCN_FUZZ_EXAMPLES")
)


def _nothing_wrong(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable. If it is not set, or blank, the default is used.

    Attributes
    ----------
    name : str
        Name of the variable.
    meaning, default_words : str
        Description and default in `docs/settings.md`.
    expected : str
        Description of valid values in messages.
    default : object
        Value if the variable is not set.
    read : callable
        Converts text to a value. The message of its ValueError, if any, begins with a comma and continues the
        sentence about the received value.
    examine : callable
        Returns what is wrong with a value on this machine, in the same form; "" if nothing is.
    """

    name: str
    meaning: str
    default_words: str
    expected: str
    default: T
    read: Callable[[str], T]
    examine: Callable[[T], str] = _nothing_wrong

    def given(self, environ: Mapping[str, str] = os.environ) -> bool:
        """Return whether the variable is set, to any value."""
        return bool(environ.get(self.name, "").strip())

    def value(self, environ: Mapping[str, str] = os.environ) -> T:
        """Return the value.

        Raises
        ------
        SettingInvalid
            The text is not a valid value.
        """
        if not self.given(environ):
            return self.default
        try:
            return self.read(environ[self.name])
        except ValueError as error:
            raise SettingInvalid(self._refusal(environ, str(error))) from error

    def problem(self, environ: Mapping[str, str] = os.environ) -> str:
        """Return what is wrong with the value, also on this machine, in one line; "" if nothing is."""
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
        return f"Expected {self.expected} in {self.name}. Received {shown}{why}. Correct it or remove it."


def check(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what is wrong with the settings.

    Returns
    -------
    tuple of str
        One line per problem: what was expected in which variable, what was received, what to do. Empty if there is
        none.
    """
    known = [setting.name for setting in SETTINGS]
    problems = [setting.problem(environ) for setting in SETTINGS]
    if not any(problems) and MEMORY_MB.given(environ) and MAX_UPLOAD_MB.given(environ):
        most = max(1, (MEMORY_MB.value(environ) or 0) // 4)  # two files are in memory while two more arrive
        if MAX_UPLOAD_MB.value(environ) > most:
            problems.append(
                f"Expected at most {most} in FCN_MAX_UPLOAD_MB, a quarter of FCN_MEMORY_MB={environ['FCN_MEMORY_MB']}. "
                f"Received {environ['FCN_MAX_UPLOAD_MB']!r}. Correct one of them."
            )
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known and name not in FOR_TESTS:
            tails = [each.removeprefix(_PREFIX) for each in known]  # the common prefix would make all similar
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), tails, 1)
            expected = f"{_PREFIX}{near[0]}" if near else f"one of {', '.join(known)}"
            problems.append(
                f"Expected {expected}. Received {name[:60]!r}, which is not a setting of this program. Correct "
                "the name or remove it."
            )
    return tuple(filter(None, problems))


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return read


def _some_of(words: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Read a list with commas between; "all" is all words. The order is that of the words."""

    def read(text: str) -> tuple[str, ...]:
        listed = {word.strip().lower() for word in text.split(",")} - {""}
        unknown = listed - {*words, "all"}
        if unknown or not listed:
            raise ValueError(f", with {min(unknown)[:40]!r}" if unknown else "")
        return words if "all" in listed else tuple(word for word in words if word in listed)

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
        raise ValueError(", whose home folder is unknown") from error


def _wrong_engine(engine: str) -> str:
    installed = engine == "auto" or importlib.util.find_spec(engine) is not None
    return "" if installed else ", which is not installed"


def _wrong_memory(megabytes: int | None) -> str:
    enough = megabytes is None or megabytes >= LEAST_MEMORY_MB
    return "" if enough else ", which is too little for any model"


def _wrong_cache(folder: Path | None) -> str:
    """A folder that holds exported graphs need not be writable."""
    if folder is None:
        return ""
    failed = "created"
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.is_symlink() or path.exists())
        if not nearest.is_dir():
            return f", and {str(nearest)!r} is not a folder"
        failed = "written" if nearest == folder else "created"
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return "" if _holds_graphs(folder) else f", which cannot be {failed} ({error.strerror})"


def _holds_graphs(folder: Path) -> bool:
    try:
        return any(folder.glob("graphs/*/meta.json"))
    except OSError:  # the name is too long, or the folder is not readable
        return False


def _wrong_weights(path: Path | None) -> str:
    """The path of a weights file is accepted, too."""
    if path is None:
        return ""
    try:
        (os.scandir(path) if path.is_dir() else path.open("rb")).close()
    except FileNotFoundError:
        return ", which does not exist"
    except OSError as error:
        return f", which cannot be read ({error.strerror})"
    return ""


def models_in_folder() -> dict[str, Path]:
    """Return the Keras files in the folder ``FCN_MODELS_DIR`` by the names of their models."""
    folder = MODELS_DIR.value()
    found: dict[str, Path] = {}
    with suppress(OSError):
        for path in sorted(folder.iterdir()) if folder is not None else ():
            if path.suffix.lower() in MODEL_SUFFIXES and path.is_file():
                found.setdefault(name_of_file(path), path)
    return found


def name_of_file(path: Path) -> str:
    """Return the name of the model in a file."""
    return _NOT_IN_A_NAME.sub("-", path.stem.lower()).strip("-.") or "model"


def _model(text: str) -> str:
    word = text.strip().lower()
    if word not in (*MODEL_NAMES, *APPLICATION_NAMES) and word not in models_in_folder():
        raise ValueError
    return word


MODEL = Setting(
    "FCN_MODEL", "model that is used if none is named, also one of `FCN_MODELS_DIR`", f"`{MODEL_NAMES[0]}`",
    f"{', '.join(MODEL_NAMES)}, a classifier of keras.applications or a model of FCN_MODELS_DIR", MODEL_NAMES[0],
    _model,
)  # fmt: skip
MODELS: Setting[tuple[str, ...]] = Setting(
    "FCN_MODELS",
    "models that the pages offer, with commas between, or `all`: [what that costs a server](docs/deploy.md)",
    f"`{','.join(MODEL_NAMES)}`",
    "names of models with commas between, or all,", MODEL_NAMES, _some_of((*MODEL_NAMES, *APPLICATION_NAMES)),
)  # fmt: skip
ENGINE = Setting(
    "FCN_ENGINE", "`auto`, `openvino` or `tensorflow`",
    "`auto`: OpenVINO if it works, else TensorFlow if its 0.7 to 0.9 GB fit into memory",
    _any_of(ENGINES), ENGINES[0], _one_of(ENGINES), _wrong_engine,
)  # fmt: skip
CACHE_DIR: Setting[Path | None] = Setting(
    "FCN_CACHE_DIR", "folder of exported graphs and downloaded weights",
    "the user's cache folder; a temporary folder if there is no home",
    "the path of a folder that is writable or can be created", None, _folder, _wrong_cache,
)  # fmt: skip
WEIGHTS_DIR: Setting[Path | None] = Setting(
    "FCN_WEIGHTS_DIR", "folder of weight files that you provide", "none",
    "the path of a readable folder", None, _folder, _wrong_weights,
)  # fmt: skip
MODELS_DIR: Setting[Path | None] = Setting(
    "FCN_MODELS_DIR",
    "folder of [Keras models of your own](docs/models.md#your-own-model), with their labels: for the pages, the "
    "library and the command line",
    "none", "the path of a readable folder", None, _folder, _wrong_weights,
)  # fmt: skip
MEMORY_MB: Setting[int | None] = Setting(
    "FCN_MEMORY_MB",
    f"megabytes of memory that the program may use, at least {LEAST_MEMORY_MB}; they also limit "
    "[the largest picture](docs/pictures.md)",
    "the memory of the container or machine",
    f"a whole number of megabytes from {LEAST_MEMORY_MB} to {_MOST_MEMORY_MB}, for example 690",
    None, _whole(_MOST_MEMORY_MB), _wrong_memory,
)  # fmt: skip
MAX_UPLOAD_MB = Setting(
    "FCN_MAX_UPLOAD_MB", "largest picture file, in megabytes", "25",
    f"a whole number of megabytes from 1 to {MOST_UPLOAD_MB}, for example 25", 25, _whole(MOST_UPLOAD_MB),
)  # fmt: skip
MAX_MEGAPIXELS = Setting(
    "FCN_MAX_MEGAPIXELS",
    "largest picture, in megapixels, checked before decoding; [fewer](docs/pictures.md) if memory or the format "
    "requires it",
    "64",
    f"a number above 0 and at most {MOST_MEGAPIXELS}, for example 64", 64.0, _megapixels,
)  # fmt: skip
ALLOW_URLS = Setting(
    "FCN_ALLOW_URLS", "whether the page fetches pictures from web addresses: `0` no, `1` yes", "`1`",
    "0 or 1", True, _switch,
)  # fmt: skip
ALLOW_REMOVE = Setting(
    "FCN_ALLOW_REMOVE", "whether visitors of the Models page may remove models from the disk: `0` no, `1` yes", "`0`",
    "0 or 1", False, _switch,
)  # fmt: skip
ALLOW_EXPORT = Setting(
    "FCN_ALLOW_EXPORT",
    "whether visitors of the Models page may export networks: `0` no, `1` yes, also those of `FCN_MODELS_DIR`",
    "`1`, without your own models",
    "0 or 1", True, _switch,
)  # fmt: skip
ALLOW_MODELS = Setting(
    "FCN_ALLOW_MODELS",
    "whether visitors of the Models page may add Keras models to `FCN_MODELS_DIR`: `0` no, `1` yes", "`0`",
    "0 or 1", False, _switch,
)  # fmt: skip
ALLOW_ROOMS = Setting(
    "FCN_ALLOW_ROOMS",
    "whether visitors of the Learn page may open rooms in which a class predicts together: `0` no, `1` yes", "`1`",
    "0 or 1", True, _switch,
)  # fmt: skip
LOG: Setting[str | None] = Setting(
    "FCN_LOG",
    "`json`, `text` or `off`: one log record per analysis (`batch`: per picture), without the picture, its name or "
    "the synset",
    "`text` in the app, `off` on the command line",
    _any_of(LOG_STYLES), None, _one_of(LOG_STYLES),
)  # fmt: skip

SETTINGS: tuple[Setting[Any], ...] = (
    MODEL, MODELS, ENGINE, CACHE_DIR, WEIGHTS_DIR, MODELS_DIR, MEMORY_MB, MAX_UPLOAD_MB, MAX_MEGAPIXELS, ALLOW_URLS,
    ALLOW_REMOVE, ALLOW_EXPORT, ALLOW_MODELS, ALLOW_ROOMS, LOG,
)  # fmt: skip

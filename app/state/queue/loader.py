"""Models as the queue sees them: which are loaded, how long loading took, and whether it succeeded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from app.state.queue.jobs import ModelKey
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.errors import FcnError


@dataclass(frozen=True)
class Health:
    """Whether the app's default model can be used, and the reason in words."""

    ready: bool
    reason: str


class Loader:
    """Loads models and remembers how that ended.

    Parameters
    ----------
    load : callable
        Returns the predictor of a model; may take long, may raise.
    loaded : callable, optional
        Returns the loaded models, first the one that is evicted next. By default every model loaded here stays loaded.
    """

    def __init__(
        self, load: Callable[[ModelKey], Predictor], loaded: Callable[[], Sequence[ModelKey]] | None = None
    ) -> None:
        self._load = load
        self._here: list[ModelKey] = []
        self.loaded = loaded or self._here.copy
        self.infos: dict[ModelKey, ModelInfo] = {}
        self._failures: dict[ModelKey, str | None] = {}  # None: it was loaded

    def predictor(self, model: ModelKey, download: Future[Any] | None) -> tuple[Predictor, float | None]:
        """Load a model.

        Parameters
        ----------
        model : ModelKey
        download : Future or None
            The download of its weights, if there was one.

        Returns
        -------
        Predictor
        float or None
            Seconds that loading took; None if the model was loaded already.
        """
        was_loaded, started = model in self.loaded(), time.monotonic()
        try:
            if download is not None:
                download.result()
            predictor = self._load(model)
        except Exception as error:
            self.failed(model, error)
            raise
        self.infos[model], self._failures[model] = predictor.info, None
        if model not in self._here:
            self._here.append(model)
        return predictor, None if was_loaded else time.monotonic() - started

    def failed(self, model: ModelKey, error: Exception) -> None:
        """Record that a model could not be loaded, or failed in its first use."""
        internal = f"An internal error occurred ({type(error).__name__}); see the log."
        self._failures[model] = str(error) if isinstance(error, FcnError) else internal

    def health(self, model: ModelKey) -> Health:
        """Return whether a model can be used: from its first load until a failure."""
        if model not in self._failures:
            return Health(False, f"{model.name} is being loaded.")
        failure = self._failures[model]
        if failure is None:
            return Health(True, f"{model.name} is loaded.")
        return Health(False, f"{model.name} cannot be used. {failure}")

"""Models as the queue sees them: which are loaded, what they are, how long loading took, and whether it succeeded."""

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
    """Whether the app's default model can be used, and in words why or why not."""

    ready: bool
    reason: str


class Loader:
    """Gives predictors.

    Parameters
    ----------
    load : callable
        Gives the predictor of a model; may take long, may raise.
    loaded : callable, optional
        Gives the models that are loaded, the one that will leave first at the beginning. By default those that were
        loaded here stay.
    """

    def __init__(
        self, load: Callable[[ModelKey], Predictor], loaded: Callable[[], Sequence[ModelKey]] | None = None
    ) -> None:
        self._load = load
        self._here: list[ModelKey] = []
        self.loaded = loaded or self._here.copy
        self.infos: dict[ModelKey, ModelInfo] = {}
        self._failures: dict[ModelKey, str | None] = {}  # None: it was loaded

    def predictor(self, model: ModelKey, fetching: Future[Any] | None) -> tuple[Predictor, float | None]:
        """Give a model, and the seconds that loading it took; None where it was there.

        Parameters
        ----------
        model : ModelKey
        fetching : Future or None
            What it needs, which had to be fetched first.
        """
        there, started = model in self.loaded(), time.monotonic()
        try:
            if fetching is not None:
                fetching.result()
            predictor = self._load(model)
        except Exception as error:
            self.failed(model, error)
            raise
        self.infos[model], self._failures[model] = predictor.info, None
        if model not in self._here:
            self._here.append(model)
        return predictor, None if there else time.monotonic() - started

    def failed(self, model: ModelKey, error: Exception) -> None:
        """Note that a model could not be loaded, or not be used once it was."""
        ours = f"The program made a mistake ({type(error).__name__}); see the log."
        self._failures[model] = str(error) if isinstance(error, FcnError) else ours

    def health(self, model: ModelKey) -> Health:
        """Whether a model can be used: from its first load on, until one fails."""
        if model not in self._failures:
            return Health(False, f"{model.name} is being loaded.")
        failure = self._failures[model]
        if failure is None:
            return Health(True, f"{model.name} is loaded.")
        return Health(False, f"{model.name} cannot be used. {failure}")

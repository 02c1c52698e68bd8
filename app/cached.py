"""What the app keeps between reruns and users: the only home of ``st.cache_*`` and of model locks."""

from __future__ import annotations

import logging
import threading

import streamlit as st

from app.jobs import ClassMapCache, ModelKey, Queue
from fcn_core import resources
from fcn_core.engines import Predictor, load_model
from fcn_core.synsets import Ontology

logger = logging.getLogger(__name__)

_CACHE_SHARE = 0.12  # of the memory budget, for class maps
_CACHE_LIMIT = 512 * 2**20


class _Models:
    """Loaded predictors; in a small container only the last one stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[ModelKey, Predictor] = {}

    def __call__(self, key: ModelKey) -> Predictor:
        """Load a model, or give the one that is loaded; called in the queue's thread."""
        with self._lock:
            if key not in self._loaded:
                keep = 0 if resources.budget_mb() < 1500 else 2
                while len(self._loaded) > keep:
                    self._loaded.pop(next(iter(self._loaded)))
                    resources.trim()
                self._loaded[key] = load_model(key.name, key.engine, output_stride=key.output_stride)
            return self._loaded[key]

    def peek(self, key: ModelKey) -> Predictor | None:
        """The predictor if it is loaded already."""
        return self._loaded.get(key)


@st.cache_resource(show_spinner=False)
def models() -> _Models:
    """The models, shared by all users."""
    return _Models()


@st.cache_resource(show_spinner=False)
def queue() -> Queue:
    """The queue of analyses, shared by all users."""
    size = min(int(resources.budget_mb() * _CACHE_SHARE) * 2**20, _CACHE_LIMIT)
    return Queue(models(), ClassMapCache(size))


@st.cache_resource(show_spinner=False)
def ontology() -> Ontology:
    """The shipped hierarchy of synsets."""
    return Ontology.load()


def predictor(key: ModelKey) -> Predictor | None:
    """A model that is loaded, or None while it is not; never waits."""
    return models().peek(key)

"""Structured log: one record an analysis, on standard error.

``FCN_LOG`` chooses: ``json`` (one object a line), ``text``, or ``off``. A record says which model ran at which
scales, how long, and what it took; never the picture, its name or what was looked for. Of a fault of the
program it keeps the kind and the place, not the message, which may quote a file's name.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from fcn_core import settings

if TYPE_CHECKING:
    from fcn_core.engines.base import ModelInfo
    from fcn_core.pipeline import Analysis

logger = logging.getLogger(__name__)


def configure(default: str = "off", stream: TextIO | None = None) -> str:
    """Set the log up as ``FCN_LOG`` asks; calling it again replaces what was set up.

    Parameters
    ----------
    default : {"json", "text", "off"}
        Where ``FCN_LOG`` is not set.
    stream : text stream, optional
        Standard error by default.

    Returns
    -------
    str
        The style in force.

    Raises
    ------
    SettingInvalid
        ``FCN_LOG`` is something else.
    """
    style = settings.LOG.value() or default
    for name in ("fcn_core", "app"):
        owner = logging.getLogger(name)
        for handler in [h for h in owner.handlers if isinstance(h.formatter, _Formatter)]:
            owner.removeHandler(handler)
        owner.propagate = style == "off"
        owner.setLevel(logging.NOTSET if style == "off" else logging.INFO)
        if style != "off":
            handler = logging.StreamHandler(stream or sys.stderr)
            handler.setFormatter(_Formatter(style))
            owner.addHandler(handler)
    return style


def log_analysis(analysis: Analysis, *, cache_hit: bool) -> None:
    """Record an analysis.

    Parameters
    ----------
    analysis : Analysis
    cache_hit : bool
        Whether its class maps were there already, so that no network ran.
    """
    log_run(
        analysis.model,
        scales=list(analysis.class_maps),
        seconds=analysis.seconds,
        peak_rss_mb=analysis.peak_rss_mb,
        cache_hit=cache_hit,
        fit=analysis.fit,
        map=analysis.kind,
    )


def log_run(
    model: ModelInfo,
    *,
    scales: list[str],
    seconds: float,
    peak_rss_mb: float,
    cache_hit: bool,
    **choices: str,
) -> None:
    """Record what a model did; `choices` are settings that tell nothing of the picture."""
    fields = {
        "model": model.name,
        "weights": model.weights,
        "engine": model.engine,
        "output_stride": model.output_stride,
        **choices,
        "scales": scales,
        "seconds": round(seconds, 3),
        "peak_rss_mb": round(peak_rss_mb, 1),
        "cache_hit": cache_hit,
    }
    logger.info("analysis", extra={"fields": fields})


class _Formatter(logging.Formatter):
    def __init__(self, style: str) -> None:
        super().__init__()
        self._json = style == "json"

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, place = record.exc_info
            fields["fault"] = kind.__name__
            fields["stack"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(place)]
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level, event = record.levelname.lower(), record.getMessage()
        if self._json:
            return json.dumps({"time": time, "level": level, "event": event, **fields})
        shown = (f"{k}={','.join(map(str, v)) if isinstance(v, list) else str(v)}" for k, v in fields.items())
        return " ".join([time, level, event.replace("\n", " "), *shown])

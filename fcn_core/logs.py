"""A structured log on standard error: one record per analysis.

``FCN_LOG`` chooses the style: ``json`` (one object per line), ``text``, or ``off``. A record holds the model, the
scales, the time and the memory, but never the picture, its name or the synset. The record of an internal error holds
its type and stack, but not its message, which could quote the name of a file.
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
    """Configure the log as ``FCN_LOG`` says; a second call replaces the configuration.

    Parameters
    ----------
    default : {"json", "text", "off"}
        Style if ``FCN_LOG`` is not set.
    stream : text stream, optional
        Default: standard error.

    Returns
    -------
    str
        The style.

    Raises
    ------
    SettingInvalid
        ``FCN_LOG`` is not a style.
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
    """Log an analysis.

    Parameters
    ----------
    analysis : Analysis
    cache_hit : bool
        Whether its class maps were cached, so that no network ran.
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
    """Log the run of a model; `choices` are settings that reveal nothing about the picture."""
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

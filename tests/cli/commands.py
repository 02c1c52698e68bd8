"""Arguments that several tests give to commands, and what they expect of an error and of the log."""

MODEL = ("--model", "efficientnet-lite0")
SMALL = (*MODEL, "--scales", "64x96")
RANDOM = ("--model", "resnet50", "--weights", "none", "--scales", "64x96")  # other tests have prepared it
# The fields of a log record of an analysis.
RECORD = {"time", "level", "event", "model", "weights", "engine", "output_stride", "fit", "map", "scales"}
RECORD |= {"seconds", "peak_rss_mb", "cache_hit"}


def one_line(err: str) -> str:
    assert err.startswith("fcn_core: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err

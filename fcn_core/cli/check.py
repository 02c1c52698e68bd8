"""``fcn --check``: test the installation on a sample picture."""

from __future__ import annotations

import argparse

from fcn_core.cli.arguments import load_predictor

_CATS = range(281, 286)  # the class ids of the five domestic cats


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--check``, which needs no command; without it a command is required."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="test the installation: the model must recognise a sample picture",
    )
    parser.set_defaults(run=lambda options: _run() if options.check else parser.error("COMMAND is missing"))


def _run() -> int:
    import skimage.data

    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import Scale
    from fcn_core.pipeline import compute_class_maps
    from fcn_core.system.installed import missing_engines

    model = load_predictor(None, None, "imagenet", 32)
    cat = image_from_array(skimage.data.chelsea(), "chelsea")
    (class_map,) = compute_class_maps(cat, model, [Scale(cat.height, cat.width)]).values()
    best = int(class_map.logits.mean(axis=(0, 1)).argmax())
    good = best in _CATS
    print(
        f"{model.info.title} on {model.info.engine}: the sample picture of a cat is class {best}, "
        f"{'a domestic cat, as it should be' if good else 'expected one of 281 to 285, the domestic cats'}."
    )
    for title, reason in missing_engines().items():
        print(f"{title} (optional): {reason}")
    return 0 if good else 1

"""The script that makes the asset of synsets, and compares it with the ILSVRC devkit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from fcn_core.synsets.ontology import ASSET, Ontology
from tests.places import ROOT

SHARED = Path(os.environ.get("FCN_SHARED", ROOT.parent / "shared"))
DEVKIT = SHARED / "reference" / "meta_clsloc.mat"
DATA_NOUN = Path("/usr/share/wordnet/data.noun")


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, ROOT / "scripts" / "make_synsets.py", *arguments]
    return subprocess.run([str(each) for each in script], check=False, capture_output=True, text=True)


def write_devkit(path: Path, changed: dict[str, str] | None = None) -> None:
    """Write the shipped synsets as the devkit has them: the classes first, ids from 1, children by id."""
    synsets = list(Ontology.load())
    ids = {synset.wnid: i for i, synset in enumerate(synsets, start=1)}
    fields = ("ILSVRC2014_ID", "WNID", "words", "gloss", "num_children", "children")
    cells = np.zeros((1, len(synsets)), [(name, object) for name in fields])
    for place, synset in enumerate(synsets):
        children = np.array([[ids[child] for child in synset.children]], np.uint16)
        gloss = (changed or {}).get(synset.wnid, synset.gloss)
        words = ", ".join(synset.words)
        cells[0, place] = (ids[synset.wnid], synset.wnid, words, gloss, len(synset.children), children)
    savemat(path, {"synsets": cells}, do_compression=True)


@pytest.mark.skipif(not DATA_NOUN.exists(), reason="WordNet 3.0 is not installed")
def test_the_script_makes_the_same_asset_again(tmp_path: Path) -> None:
    made = tmp_path / "synsets.json"
    assert run_script("--data-noun", DATA_NOUN, "--out", made).returncode == 0
    assert made.read_bytes() == ASSET.read_bytes()


def test_the_script_compares_the_asset_with_a_devkit(tmp_path: Path) -> None:
    devkit = tmp_path / "meta_clsloc.mat"
    write_devkit(devkit)
    same = run_script("--compare", devkit)
    assert (same.returncode, same.stderr) == (0, "")
    assert "the same 1860 synsets" in same.stdout
    write_devkit(devkit, {"n02084071": "another gloss"})
    different = run_script("--compare", devkit)
    assert different.returncode == 2
    assert "1 differ: ['n02084071']" in different.stderr


@pytest.mark.skipif(not DEVKIT.exists(), reason="the devkit's meta_clsloc.mat is not at hand")
def test_the_asset_has_the_synsets_of_the_devkit() -> None:
    assert "the same 1860 synsets" in run_script("--compare", DEVKIT).stdout

    ontology = Ontology.load()
    cells = loadmat(DEVKIT)["synsets"][0]
    children = {c["ILSVRC2014_ID"].item(): [int(i) for i in c["children"].ravel()] for c in cells}
    wnids = {c["ILSVRC2014_ID"].item(): c["WNID"].item() for c in cells}
    assert sorted(wnids[i] for i in range(1, 1001)) == list(ontology.classes)

    def depth_first_search(identity: int) -> list[int]:
        """The notebook's search."""
        return [identity, *(i for child in children[identity] for i in depth_first_search(child))]

    for identity, wnid in wnids.items():
        found = [ontology[wnids[i]].class_id for i in depth_first_search(identity)]
        assert sorted(i for i in found if i is not None) == sorted(ontology.naive_class_ids(wnid))

"""The texts by which a user chooses a synset from a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.records import classes_in_words


@lru_cache(maxsize=8)
def picker_labels(ontology: Ontology) -> Mapping[str, str]:
    """Return the entries of a synset picker, synsets with most classes first.

    Synsets with the same classes have the same heatmap, so only one of them is listed (see `Ontology.collapse`).
    Every label is unique: synsets that share a name are told apart by their main parent, as in
    "crane (wading bird)", and by their wnid where that is not enough.

    Returns
    -------
    mapping of str to str
        Label by wnid, such as "dog · 118 classes".
    """
    wnids = sorted(
        {ontology.collapse(synset.wnid) for synset in ontology},
        key=lambda w: (-ontology.count(w), ontology[w].name.casefold(), w),
    )
    same_name = Counter(ontology[wnid].name.casefold() for wnid in wnids)
    labels = {}
    for wnid in wnids:
        name = ontology[wnid].name
        if same_name[name.casefold()] > 1:
            name += f" ({ontology[ontology[wnid].parents[0]].name})"
        labels[wnid] = f"{name} · {classes_in_words(ontology.count(wnid))}"
    same_label = Counter(labels.values())
    unique = {w: f"{label} · {w}" if same_label[label] > 1 else label for w, label in labels.items()}
    return MappingProxyType(unique)  # shared by all callers

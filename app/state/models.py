"""The models that pages offer: what their classes are called, and how the queue knows them."""

from __future__ import annotations

from app.state.queue.jobs import ModelKey
from fcn_core.errors import FcnError
from fcn_core.networks.zoo import model_spec, offered
from fcn_core.synsets.ontology import Ontology


def is_offered(name: str) -> bool:
    """Return whether the pages offer a model."""
    return any(spec.name == name for spec in offered())


def default_name() -> str:
    """Return the model with which pages begin: that of ``FCN_MODEL``, or the first if the pages cannot offer that."""
    name, names = model_spec().name, [spec.name for spec in offered()]
    return name if name in names or not names else names[0]


def ontology_of(name: str) -> Ontology:
    """Return the hierarchy above a model's classes: ImageNet's, but for a model of one's own."""
    given = model_spec(name).given
    return given.ontology if given is not None and given.ontology is not None else Ontology.load()


def key_of(name: str, output_stride: int = 32) -> ModelKey:
    """Return how the queue knows a model; one of one's own whose file or labels have changed is another model."""
    return ModelKey(name, output_stride=output_stride, digest=digest_of(name))


def digest_of(name: str) -> str:
    """Return the digest of a model of one's own, of its file and its labels; "" for the others."""
    given = model_spec(name).given
    return given.digest if given is not None else ""


def first_synsets(ontology: Ontology) -> tuple[str, str]:
    """Return two synsets to begin with: dog and cat, or two classes of one's own; the same twice if there is one."""
    words = ("dog", "cat") if ontology.is_imagenet else (ontology.classes[0], ontology.classes[-1])
    first, second = (ontology.collapse(ontology.find(word).wnid) for word in words)
    return first, second


def kept(wnid: str, known: Ontology | None, name: str) -> str:
    """Return a synset in the hierarchy of a model whose labels may be others than when it was chosen; "" if it is lost.

    Parameters
    ----------
    wnid : str
    known : Ontology or None
        The hierarchy in which it was chosen; None where that is not known.
    name : str
        Of the model.
    """
    other = ontology_of(name)
    if known is None:
        return wnid if wnid in Ontology.load() and wnid in other else ""
    return translated(wnid, known, other)


def named(word: str, ontology: Ontology) -> str:
    """Return the synset of a hierarchy that one of ImageNet's words means; "" if there is none."""
    shipped = Ontology.load()
    return translated(shipped.collapse(shipped.find(word).wnid), shipped, ontology)


def translated(wnid: str, known: Ontology, other: Ontology) -> str:
    """Return the synset of another hierarchy that a synset is: by its wnid or its words; "" if there is none.

    Numbers of classes without wnids mean something else in each hierarchy.
    """
    if known is other or not wnid:
        return wnid
    synset = known[wnid]
    texts = synset.words if wnid.startswith("class-") else (wnid, *synset.words)
    for text in texts:
        try:
            return other.collapse(other.find(text).wnid)
        except FcnError:
            continue
    return ""

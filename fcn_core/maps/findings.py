"""Findings: what is in a picture, each thing once, at the level of the hierarchy that is worth saying."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcn_core.errors import ScaleError
from fcn_core.maps.heatmap import Float64
from fcn_core.maps.presence import ClassMaps, ReadOut, presences
from fcn_core.maps.taught import taught_synsets
from fcn_core.synsets.ontology import Ontology, Synset

_CANDIDATES = 30  # classes with the highest peaks, which are considered together with what is above them
_MOST_CLASSES = 130  # a broader synset, such as animal or artifact, is not worth saying
# Kinds that people call things by: said before a narrower or a broader one.
_EVERYDAY = frozenset(
    {
        "n01482330",  # shark
        "n01503061",  # bird
        "n01629276",  # salamander
        "n01639765",  # frog
        "n01661091",  # reptile
        "n01662784",  # turtle
        "n01674464",  # lizard
        "n01726692",  # snake
        "n01772222",  # spider
        "n01816887",  # parrot
        "n01846331",  # duck
        "n01976957",  # crab
        "n01982650",  # lobster
        "n02062744",  # whale
        "n02084071",  # dog
        "n02114100",  # wolf
        "n02118333",  # fox
        "n02121620",  # cat
        "n02131653",  # bear
        "n02159955",  # insect
        "n02274259",  # butterfly
        "n02324045",  # rabbit
        "n02484322",  # monkey
        "n02503517",  # elephant
        "n02512053",  # fish
        "n02686568",  # aircraft
        "n02773037",  # bag
        "n02778669",  # ball
        "n02834778",  # bicycle
        "n02858304",  # boat
        "n02876657",  # bottle
        "n02880940",  # bowl
        "n02883344",  # box
        "n02898711",  # bridge
        "n02913152",  # building
        "n02924116",  # bus
        "n02942699",  # camera
        "n02958343",  # car
        "n03001627",  # chair
        "n03046257",  # clock
        "n03051540",  # clothing
        "n03082979",  # computer
        "n03327234",  # fence
        "n03405725",  # furniture
        "n03467517",  # guitar
        "n03467984",  # gun
        "n03497657",  # hat
        "n03623556",  # knife
        "n03800933",  # musical instrument
        "n03928116",  # piano
        "n04194289",  # ship
        "n04199027",  # shoe
        "n04202417",  # shop
        "n04379243",  # table
        "n04401088",  # telephone
        "n04451818",  # tool
        "n04490091",  # truck
        "n04524313",  # vehicle
        "n07555863",  # food
        "n07679356",  # bread
        "n07695965",  # sandwich
        "n07707451",  # vegetable
        "n09359803",  # mountain
        "n11669921",  # flower
        "n12992868",  # fungus
        "n13134947",  # fruit
    }
)
# Synsets that say too little or that nobody would call a thing by.
_VAGUE = frozenset(
    {
        "n00002137",  # abstraction
        "n00007347",  # causal agent
        "n00019128",  # natural object
        "n00019613",  # substance
        "n00020090",  # substance
        "n00020827",  # matter
        "n00033020",  # communication
        "n01317541",  # domestic animal
        "n01661818",  # diapsid
        "n01767661",  # arthropod
        "n01871265",  # tusker
        "n01905661",  # invertebrate
        "n01909422",  # coelenterate
        "n01914163",  # anthozoan
        "n01976146",  # decapod crustacean
        "n02083346",  # canine
        "n02134971",  # viverrine
        "n02316707",  # echinoderm
        "n02323902",  # leporid
        "n02394477",  # even-toed ungulate
        "n02401031",  # bovid
        "n02441326",  # musteline mammal
        "n02453611",  # edentate
        "n02507649",  # procyonid
        "n02740764",  # armor plate
        "n02756098",  # attire
        "n02796623",  # barrier
        "n02895606",  # breathing device
        "n02954938",  # cap
        "n02955065",  # cap
        "n03050026",  # cloth covering
        "n03076708",  # commodity
        "n03078287",  # communication system
        "n03093574",  # consumer goods
        "n03094503",  # container, which vehicles are, too
        "n03096960",  # control
        "n03100490",  # conveyance
        "n03122748",  # covering
        "n03125870",  # craft
        "n03163973",  # data input device
        "n03183080",  # device
        "n03265032",  # edge tool
        "n03274561",  # electro-acoustic transducer
        "n03277771",  # electronic device
        "n03294048",  # equipment
        "n03297735",  # establishment
        "n03323703",  # fastener
        "n03339643",  # filter
        "n03366823",  # floor cover
        "n03391770",  # framework
        "n03405265",  # furnishing
        "n03414162",  # game equipment
        "n03419014",  # garment
        "n03430959",  # gear
        "n03510583",  # heavier-than-air craft
        "n03546340",  # housing
        "n03563967",  # implement
        "n03574816",  # instrument
        "n03666917",  # lighter-than-air craft
        "n03699975",  # machine
        "n03709206",  # magnifier
        "n03733925",  # measuring instrument
        "n03736970",  # mechanical device
        "n03738472",  # mechanism
        "n03748162",  # mercantile establishment
        "n03795580",  # movable barrier
        "n03863923",  # overgarment
        "n03916720",  # peripheral
        "n03932670",  # piece of cloth
        "n04014297",  # protective covering
        "n04015204",  # protective garment
        "n04069276",  # reflector
        "n04081844",  # restraint
        "n04170037",  # self-propelled vehicle
        "n04187061",  # sheath
        "n04188643",  # sheet
        "n04191943",  # shelter
        "n04263760",  # source of illumination
        "n04296261",  # staff
        "n04317420",  # stick
        "n04341686",  # structure
        "n04359589",  # support
        "n04361095",  # supporting structure
        "n04377057",  # system
        "n04447443",  # toiletry
        "n04453910",  # top
        "n04474466",  # trap
        "n04531098",  # vessel: a container
        "n04571292",  # weight
        "n04580493",  # white goods
        "n07556970",  # course
        "n07566340",  # foodstuff
        "n07566863",  # starches
        "n07570720",  # nutriment
        "n07705711",  # produce
        "n09193705",  # alp
        "n09287968",  # geological formation
        "n09366317",  # natural elevation
        "n09409512",  # ridge
        "n13133613",  # ear
    }
)
# How people name a class of their own model for what is none of the others.
_NOTHING = re.compile(r"(?:background|nothing|none|other|others|unknown|not\b.*)$", re.IGNORECASE)
WORTH_SAYING = 0.7  # presence from which something is listed: nearly nine of ten are then right
_AS_SURE = 0.85  # share of the presence of the surest synset above, from which a narrower one is said
_SAME_PLACE = 0.5  # cosine of two maps from which both are one thing
_PARTLY = 0.25  # the same for two kinds of one everyday thing; different things of one kind stay below 0.12
_MOST_CELLS = 6000  # larger grids are skipped: they change little and need 4 kB per cell


@dataclass(frozen=True)
class Finding:
    """A synset that is probably in a picture.

    Attributes
    ----------
    synset : Synset
    presence : float
        Probability that it is there, 0 to 1; see :func:`fcn_core.presence`.
    """

    synset: Synset
    presence: float


def findings(
    class_maps: ClassMaps,
    ontology: Ontology | None = None,
    *,
    limit: int = 6,
    least: float = WORTH_SAYING,
    read_out: ReadOut | None = None,
) -> tuple[Finding, ...]:
    """Return what is in the picture, most certain first.

    Parameters
    ----------
    class_maps : mapping to ClassMap, or sequence of ClassMap
        One or more scales, as :func:`fcn_core.compute_class_maps` returns them. The coarse scale alone is enough.
    ontology : Ontology, optional
        That of the class maps by default.
    limit : int
        Largest number of findings.
    least : float
        Presence from which something is listed.
    read_out : ReadOut, optional
        Other weights of the presence, for measurements.

    Returns
    -------
    tuple of Finding

    Raises
    ------
    ScaleError
        There is no class map.

    Notes
    -----
    Candidates are the classes with the highest peaks, and the synsets above them of at most 130 classes, without
    vague ones such as "matter". A class is named itself if it is nearly as sure as the surest synset above it.
    Otherwise its everyday kind is named if that is (snake, dog, car, vehicle ...), otherwise the narrowest synset
    that is. A candidate is skipped if it shares classes with a surer finding, or lies in the same cells as one:
    what the network calls "sorrel" and "dog" at one place is one animal. Two kinds of one everyday thing that lie
    partly in the same cells are that thing: an Indian and an African elephant are elephants. Taught synsets are
    candidates whatever the peaks are, unless a narrower one is named; what is in their cells, such as a jersey, is
    named as well.
    """
    scales = list(class_maps.values()) if isinstance(class_maps, Mapping) else list(class_maps)
    if not scales:
        raise ScaleError("Expected at least one scale. Received none. Choose for example 400x640.")
    ontology = ontology or scales[0].outputs.ontology
    usable = [m for m in scales if m.grid[0] * m.grid[1] <= _MOST_CELLS] or scales[:1]
    cells = [m.probabilities.reshape(-1, m.logits.shape[-1]) for m in usable]
    peaks = np.mean([each.max(axis=0) for each in cells], axis=0)
    chains = [_chain(class_id, ontology) for class_id in np.argsort(-peaks)[:_CANDIDATES].tolist()]
    taught = taught_synsets(ontology)
    wnids = list(dict.fromkeys([*(wnid for chain in chains for wnid in chain), *taught]))
    groups = [ontology.class_ids(wnid) for wnid in wnids]
    sure = dict(zip(wnids, presences(usable, groups, read_out).tolist(), strict=True))
    named = dict.fromkeys(_level(chain, sure) for chain in chains if chain)
    for broad in taught:
        kinds = [wnid for wnid in named if broad in ontology.ancestors(wnid) and sure[wnid] >= least]
        named = {wnid: None for wnid in named if wnid != broad} | ({} if kinds else {broad: None})
    found: dict[str, list[Float64]] = {}  # and the places of each
    for wnid in sorted(named, key=lambda w: -sure[w]):
        if sure[wnid] < least:
            break
        places = [] if wnid in taught else [_place(each, ontology.class_ids(wnid)) for each in cells]
        near = {other: _together(places, theirs) for other, theirs in found.items()}
        if any(_overlap(wnid, other, ontology) or near[other] > _SAME_PLACE for other in near):
            continue
        shared = [_everyday_kind(wnid, other, ontology) for other in near if near[other] > _PARTLY]
        if kind := next(filter(None, shared), None):
            wnid, places = kind, [_place(each, ontology.class_ids(kind)) for each in cells]
            found = {w: theirs for w, theirs in found.items() if not _overlap(w, kind, ontology)}
        found[wnid] = places
    listed = sorted(found, key=lambda w: -sure[w])[:limit]
    return tuple(Finding(ontology[wnid], sure[wnid]) for wnid in listed)


def _overlap(wnid: str, other: str, ontology: Ontology) -> bool:
    """Return whether two synsets have classes in common."""
    return not set(ontology.class_ids(wnid)).isdisjoint(ontology.class_ids(other))


def _everyday_kind(wnid: str, other: str, ontology: Ontology) -> str | None:
    """Return the narrowest everyday kind that includes two synsets: elephant for the Indian and the African one."""
    above, theirs = ({ontology.collapse(a) for a in ontology.ancestors(w)} for w in (wnid, other))
    kinds = [w for w in above & theirs & _EVERYDAY if ontology.count(w) <= _MOST_CLASSES]
    return min(kinds, key=ontology.count, default=None)


def _chain(class_id: int, ontology: Ontology) -> tuple[str, ...]:
    """Return the class and what is above it, in the order of `_level`; each set of classes once."""
    wnids = dict.fromkeys(
        ontology.collapse(w)
        for w in (ontology.classes[class_id], *ontology.ancestors(ontology.classes[class_id]))
        if _is_worth_saying(ontology.collapse(w), ontology)
    )
    # Everyday kinds first: "cat" rather than "domestic cat", "dog" rather than "working dog", "snake" than "reptile".
    return tuple(
        sorted(wnids, key=lambda w: (ontology[w].class_id is None, w not in _EVERYDAY, ontology.count(w)))
    )


def _is_worth_saying(wnid: str, ontology: Ontology) -> bool:
    """Return whether a synset is a thing, neither too broad nor a class for everything else ("background")."""
    if ontology.count(wnid) > min(_MOST_CLASSES, max(len(ontology.classes) - 1, 1)) or wnid in _VAGUE:
        return False
    return ontology.is_imagenet or not _NOTHING.match(ontology[wnid].name)


def _level(chain: Sequence[str], sure: Mapping[str, float]) -> str:
    """Return the first synset of a chain that is nearly as sure as the surest."""
    most = max(sure[wnid] for wnid in chain)
    return next(wnid for wnid in chain if sure[wnid] >= _AS_SURE * most)


def _place(cells: npt.NDArray[np.float32], class_ids: Sequence[int]) -> Float64:
    """Return a synset's map as a vector of length 1, (cells,)."""
    values = cells[:, class_ids].sum(axis=1, dtype=np.float64)
    length = float(np.linalg.norm(values))
    return np.asarray(values / max(length, 1e-12), np.float64)


def _together(places: Sequence[Float64], others: Sequence[Float64]) -> float:
    """Return how much two synsets lie in the same cells, 0 to 1, as a mean over the scales; 0 without places."""
    if not (places and others):
        return 0.0
    return float(np.mean([a @ b for a, b in zip(places, others, strict=True)]))

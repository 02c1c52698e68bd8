"""Many pictures: what is asked of them, which there are, and what was found in each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import streamlit as st

from app.state import address, caches, models
from app.state.address import one_of
from app.state.choices import Choices
from app.state.picture_files import StoredFile
from app.state.pictures import Picture, open_picture
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.queue.jobs import Job, JobKey, job_key
from app.state.selection import FITS, MAPS, Selection, default
from app.state.session import session_id
from app.state.shared_queue import queue
from app.state.view import View
from fcn_core.batch.inputs import Source
from fcn_core.batch.many import Question
from fcn_core.batch.picture_files import thumbnail
from fcn_core.batch.rows import Row, rows_of
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, plan_scales
from fcn_core.pipeline import MapOptions
from fcn_core.render import encode
from fcn_core.synsets.ontology import Ontology

logger = logging.getLogger(__name__)

MOST_PICTURES = 50
MOST_SYNSETS = 8
MOST_WORD = 100  # characters of one in an address
ORDERS = ("As added", "Name", "Presence", "Area")
KINDS = ("All", "Found", "Not found", "Not opened")
_AHEAD = 2  # pictures of a session with the queue: while one is read out, the network has the next
_CARRIED = ("model", "scales", "fit", "map")
# One picture of all sessions is decoded at a time: the memory that is kept free beside a network is enough for one.
_decoding = threading.Lock()


@dataclass(frozen=True)
class Asked:
    """All choices on the page.

    Attributes
    ----------
    synsets : tuple of str
        Wnids in the model's hierarchy; empty: whatever is in the pictures.
    order, kind, find : str
        How the table is sorted, which pictures it shows, and which word it shows the pictures of.
    """

    synsets: Annotated[tuple[str, ...], address.words(MOST_SYNSETS, MOST_WORD)] = ()
    model: Annotated[str, address.model()] = "efficientnet-lite2"
    scales: Annotated[tuple[Scale, ...], address.scales()] = NOTEBOOK_SCALES[:3]
    fit: Annotated[str, one_of(*FITS)] = "Aspect"
    map: Annotated[str, one_of(*MAPS)] = "Probability"
    order: Annotated[str, one_of(*ORDERS)] = "As added"
    kind: Annotated[str, one_of(*KINDS)] = "All"
    find: Annotated[str, address.text()] = ""

    @property
    def ontology(self) -> Ontology:
        """The hierarchy above the model's classes."""
        return models.ontology_of(self.model)

    @property
    def selection(self) -> Selection:
        """How Explore would look at a picture."""
        return Selection(
            picture="", synset=self.synsets[0] if len(self.synsets) == 1 else "", model=self.model,
            scales=self.scales, fit=self.fit, map=self.map,
        )  # fmt: skip

    @property
    def work(self) -> tuple[object, ...]:
        """What the rows depend on."""
        return self.synsets, self.selection.model_key, self.scales, self.fit, self.map


def plain() -> Asked:
    """Return the choices of an address without parameters."""
    return Asked(model=default().model)


def read(query: Mapping[str, str]) -> tuple[Asked, tuple[str, ...]]:
    """Read the parameters of an address; see :func:`app.state.address.read`."""
    asked, ignored = address.read(plain(), query)
    wnids, unknown = address.wnids_of(asked.synsets, asked.ontology)
    return replace(asked, synsets=wnids), ignored + tuple(
        address.shortened("synsets", word) for word in unknown
    )


def write(asked: Asked) -> dict[str, str]:
    """Write the choices as parameters of an address, without defaults."""
    words = tuple(address.synset_text(wnid, asked.ontology) for wnid in asked.synsets)
    return address.write(replace(asked, synsets=words), plain())


@dataclass(eq=False)
class Entry:
    """A picture of the page.

    Attributes
    ----------
    id, name : str
        Of its file.
    file : StoredFile
    work : tuple
        What was asked for when it was looked at.
    picture : Picture or None
        While the queue has it.
    job : Job or None
    rows : list of Row
        What was found, as in the table of ``fcn batch``; empty before.
    thumbnail : bytes
        WebP, with what was found marked on it; empty before.
    error : str
        Why it could not be looked at.
    """

    id: str
    name: str
    file: StoredFile
    work: tuple[object, ...] = ()
    picture: Picture | None = None
    job: Job | None = None
    rows: list[Row] = field(default_factory=list)
    thumbnail: bytes = b""
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return bool(self.rows or self.error)

    @property
    def found(self) -> list[Row]:
        """What is in the picture, most certain first."""
        return sorted((row for row in self.rows if row["present"]), key=lambda row: -row["presence"])

    @property
    def area(self) -> float:
        """Share of the picture that the first thing in it covers."""
        first = next(iter(self.found), None)
        return first["area"] / (first["width"] * first["height"]) if first is not None else 0.0


@dataclass(eq=False)
class ManyPage:
    """What the page remembers.

    Attributes
    ----------
    choices : Choices
    entries : dict
        Pictures by the ids of their files, in the order in which they were added.
    gone : frozenset of str
        Ids of files that the user has removed from the table, or that were gone before they could be read.
    lost : int
        Files that were deleted before they could be looked at, because the server has no room for all.
    too_many : int
        Files above the most that the page takes.
    uploader : int
        Serial number of the uploader: a new number makes a new one.
    stopped : bool
    opening : str
        Id of the picture to open on Explore.
    """

    choices: Choices[Asked] = field(default_factory=lambda: Choices(plain(), read, write, prefix="many-"))
    entries: dict[str, Entry] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    lost: int = 0
    too_many: int = 0
    uploader: int = 0
    stopped: bool = False
    opening: str = ""

    @property
    def waiting(self) -> list[Entry]:
        """Pictures that are not looked at yet, in their order."""
        return [entry for entry in self.entries.values() if not entry.finished]

    @property
    def done(self) -> int:
        """Number of pictures that are looked at, or cannot be."""
        return len(self.entries) - len(self.waiting)

    def clear(self) -> None:
        """Forget all pictures, and delete their files."""
        for entry in self.entries.values():
            entry.file.delete()
        self.entries.clear()
        self.gone, self.lost, self.too_many, self.stopped, self.opening = frozenset(), 0, 0, False, ""
        self.uploader += 1


def many() -> ManyPage:
    """Return the record of this session's page."""
    page: ManyPage | None = st.session_state.get("many")
    if page is None:
        page = st.session_state["many"] = ManyPage()
    return page


def kept(asked: Asked) -> Asked:
    """Return the choices without a model that is no longer offered, and without synsets that it does not know."""
    model = asked.model if models.is_offered(asked.model) else models.default_name()
    ontology = models.ontology_of(model)
    known = Ontology.load() if model != asked.model else ontology
    synsets = tuple(wnid for wnid in asked.synsets if wnid in ontology and wnid in known)
    same = (model, synsets) == (asked.model, asked.synsets)
    return asked if same else replace(asked, model=model, synsets=synsets)


def carried(asked: Asked, chosen: Selection) -> Asked:
    """Return the choices with the model and the scales of Explore; synsets that the model never learned are dropped."""
    taken = {name: getattr(chosen, name) for name in _CARRIED if getattr(chosen, name)}
    there = (models.translated(wnid, asked.ontology, chosen.ontology) for wnid in asked.synsets)
    return replace(asked, **taken, synsets=tuple(dict.fromkeys(filter(None, there))))


def begin(page: ManyPage) -> None:
    """Begin anew with pictures that were looked at with other choices; call it before `advance`."""
    work = page.choices.now.work
    for entry in list(page.entries.values()):
        if entry.work != work:
            page.entries[entry.id] = Entry(entry.id, entry.name, entry.file, work)


def advance(page: ManyPage) -> None:
    """Give the next pictures to the queue, and read out what is ready, one picture a call.

    One picture after another: whoever else uses the server waits for a single picture only.
    """
    asked = page.choices.now
    ahead = page.waiting[:_AHEAD]
    queue().leave_others([key for entry in ahead if (key := _key(entry)) is not None], session=session_id())
    news = False
    for entry in ahead:
        try:
            news = _advance(entry, asked, read_out=not news) or news
        except FcnError as error:
            news = _fail(entry, str(error))
        except Exception:
            logger.exception("A picture of many could not be looked at")
            news = _fail(entry, INTERNAL_ERROR)


def leave() -> None:
    """Tell the queue that nothing is wanted any more."""
    queue().leave_others((), session=session_id())


def _key(entry: Entry) -> JobKey | None:
    return entry.job.key if entry.job is not None else None


def _fail(entry: Entry, why: str) -> bool:
    entry.error, entry.picture, entry.job = why, None, None
    return True


def _advance(entry: Entry, asked: Asked, read_out: bool) -> bool:
    """Do what a picture needs next; return whether it is finished by that.

    Raises
    ------
    FcnError
        It cannot be opened or looked at.
    """
    chosen = asked.selection
    if entry.picture is None:
        if not _decoding.acquire(blocking=False):
            return False  # somebody else's picture is being decoded; the next look tries again
        try:
            entry.picture = open_picture(entry.file, entry.name, limits=caches.limits())
        finally:
            _decoding.release()
    picture = entry.picture
    plans = tuple(plan_scales(picture.height, picture.width, chosen.scales, chosen.fitting))
    picture.check(plans)
    job, key = entry.job, job_key(picture, chosen.model_key, plans)
    if job is None or job.state == "cancelled" or job.key != key:
        try:
            job = entry.job = queue().submit(
                picture, chosen.model_key, chosen.scales, chosen.fitting, session=session_id()
            )
        except FcnError:  # too much work waits; the next look asks again
            return False
    queue().keep_alive(job, session=session_id())
    look = queue().look(job)
    if look.state == "failed":
        return _fail(entry, look.error or INTERNAL_ERROR)
    view = View.of(job, picture) if look.finished else None
    if not read_out or view is None or not view.complete:
        if look.finished and view is None:
            entry.job = None  # its class maps were evicted: ask for them again
        return False
    _read_out(entry, asked, view)
    return True


def _read_out(entry: Entry, asked: Asked, view: View) -> None:
    synsets = tuple(view.ontology[wnid] for wnid in asked.synsets)
    options = MapOptions(asked.selection.kind, asked.selection.fitting)
    question = Question(synsets, not synsets, options, view.info)
    result = question.answer(entry.name, view.picture.working, view.class_maps)
    entry.rows = rows_of(Source(entry.name), result, view.info)
    entry.thumbnail = encode(thumbnail(result), "webp", 80)
    entry.picture = entry.job = None


def shown(page: ManyPage) -> Sequence[Entry]:
    """Return the pictures of the table, filtered and sorted."""
    asked = page.choices.now
    kinds: dict[str, Any] = {
        "All": lambda _: True,
        "Found": lambda entry: bool(entry.found),
        "Not found": lambda entry: bool(entry.rows) and not entry.found,
        "Not opened": lambda entry: bool(entry.error),
    }
    word = asked.find.strip().casefold()
    entries = [
        entry
        for entry in page.entries.values()
        if kinds[asked.kind](entry)
        and (
            not word
            or any(word in name.casefold() for name in (entry.name, *(r["synset"] for r in entry.found)))
        )
    ]
    orders: dict[str, Any] = {
        "Name": lambda entry: (entry.name.casefold(), entry.name),
        "Presence": lambda entry: -max((row["presence"] or 0.0 for row in entry.rows), default=-1.0),
        "Area": lambda entry: -entry.area if entry.rows else 1.0,
    }
    return sorted(entries, key=orders[asked.order]) if asked.order in orders else entries

"""What a session remembers between runs: the list of all keys of ``st.session_state``, and how they are read.

Streamlit keeps the values of widgets in the same dictionary as the app's own state. :data:`STATE` names the app's own
keys, :data:`WIDGETS` those of widgets. A test fails on a key that is in neither list.

What the user chose is one record a page, which its address and its widgets follow: see `app/state/choices.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import streamlit as st

from app.state import address, comparison, models
from app.state import selection as explored
from app.state.choices import Choices
from app.state.comparison import Comparison
from app.state.pictures import Picture, Refusal
from app.state.queue.jobs import Job, JobKey
from app.state.samples import SAMPLES
from app.state.selection import Selection
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale
from fcn_core.networks.zoo import model_spec
from fcn_core.synsets.ontology import Ontology

#: The app's own keys, and what they hold.
STATE: Mapping[str, str] = {
    "session": "random name by which the queue knows the session",
    "visit": "the page of this run, and how many pages have been visited",
    "explore": "ExplorePage",
    "compare": "ComparePage",
    "many": "ManyPage, of app/state/many.py",
    "synset": "wnid on Explore, for its picker",
    "compare-synset": "first wnid on Compare, for its picker",
    "compare-other": "second wnid on Compare, for its picker",
    "many-synset": "empty: the field of the page Many takes one word after another",
    "model-jobs": "jobs of the Models page, by model",
    "model-export": "the last Export that the session has asked for",
    "export-refused": "model whose export was refused, and why",
    "model-added": "what the Models page says once after a model was added",
    "model-removed": "what the Models page says once after a removal",
    "*-shown": "of a synset picker: the wnid it shows, and its serial number",
    "*-asked": "of a synset picker: a word it could not find, and suggestions",
    "lesson_*": "state and widgets of the lesson",
}

#: Keys of widgets, as patterns.
WIDGETS = (
    *(pattern for f in fields(Selection) for pattern in (f.name, f"{f.name}-*")),  # by `Choices.widget`
    *("upload*", "camera", "link", "link-*"),
    *("scale-*", "weight-*", "new-scale", "stage", "png"),
    *("seen", "seen-*", "*-step-*", "*-pick-*", "*-sense-*"),
    *("stop", "export-*", "ask-again", "picture-again", "everything", "job-again", "side-again-*"),
    "compare-*",
    "many-*",
    *("add-model", "model-file", "model-labels", "prepare-*", "remove-*", "find-model", "lesson-*"),
    *("format-*", "make-*", "stop-export-*"),
)


@dataclass(eq=False)
class ExplorePage:
    """What the Explore page remembers.

    Attributes
    ----------
    choices : Choices
        What the user chose.
    found : (Ontology, str) or None
        What the picture shows: the wnid that is shown while the user has not chosen one, in its hierarchy.
    doubted : bool
        Whether the picture has changed since the synset was chosen: it stays if the picture shows it.
    picture : Picture or None
        The last picture that could be opened.
    uploaded : Picture or None
        The last one that was uploaded or taken.
    refused : Refusal or None
        The picture that the user chose last, if it could not be opened.
    problem : str
        A message to show once.
    link : str
        The address of a picture that the user typed last.
    taken : set of str
        Ids of the files in the uploader and the camera that have been opened.
    uploader : int
        Serial number of the uploader: a new number makes a new one.
    job : Job or None
        What the page has asked for.
    shown : (Job, Picture) or None
        The last complete result.
    stopped : JobKey or None
        The job that the user stopped.
    failed : (JobKey, str) or None
        The job that failed, and why.
    scale_problem : str
        A message to show once.
    vocabulary : Ontology or None
        The hierarchy of the chosen synset in the last run: the labels of a model of one's own may change.
    """

    choices: Choices[Selection] = field(
        default_factory=lambda: Choices(explored.default(), explored.read, explored.write)
    )
    found: tuple[Ontology, str] | None = None
    doubted: bool = False
    picture: Picture | None = None
    uploaded: Picture | None = None
    refused: Refusal | None = None
    problem: str = ""
    link: str = ""
    taken: frozenset[str] = frozenset()
    uploader: int = 0
    scale_problem: str = ""
    job: Job | None = None
    shown: tuple[Job, Picture] | None = None
    stopped: JobKey | None = None
    failed: tuple[JobKey, str] | None = None
    vocabulary: Ontology | None = None

    def suggest_threshold(self) -> None:
        """Return to the suggested threshold."""
        self.choices.choose(threshold=None)

    def forget_job(self) -> None:
        """Forget how the last job ended, so that it is asked for again."""
        self.job = self.stopped = self.failed = None

    @property
    def picture_gone(self) -> bool:
        """Whether the user asks for an uploaded picture that this session does not have."""
        return not self.choices.now.picture and self.uploaded is None

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Scales on offer, coarse first."""
        return address.coarse_first({*NOTEBOOK_SCALES, *self.choices.now.scales})


@dataclass(eq=False)
class ComparePage:
    """What the Compare page remembers.

    Attributes
    ----------
    choices : Choices
        What the user chose.
    failed : dict
        Jobs that failed, by key.
    """

    choices: Choices[Comparison] = field(
        default_factory=lambda: Choices(
            comparison.plain(), comparison.read, comparison.write, prefix="compare-"
        )
    )
    failed: dict[JobKey, Job] = field(default_factory=dict)


def explore() -> ExplorePage:
    """Return the record of this session's Explore page."""
    page: ExplorePage | None = st.session_state.get("explore")
    if page is None:
        page = st.session_state["explore"] = ExplorePage()
    return page


def compare() -> ComparePage:
    """Return the record of this session's Compare page."""
    page: ComparePage | None = st.session_state.get("compare")
    if page is None:
        page = st.session_state["compare"] = ComparePage()
    return page


def session_id() -> str:
    """Return the random name of this session, by which the queue knows who asks for a job."""
    name: str = st.session_state.setdefault("session", secrets.token_hex(8))
    return name


def start() -> tuple[str, ...]:
    """Read the address if it is news; call it at the top of a run of Explore.

    Returns
    -------
    tuple of str
        Invalid parameters of the address.
    """
    page = explore()
    _keep_up(page)
    ignored = page.choices.arrive()
    page.vocabulary = page.choices.now.ontology
    if ignored is None:
        return ()
    page.doubted, page.refused = False, None
    picture = page.choices.now.picture
    page.link = "" if picture in SAMPLES else picture
    return ignored


def _keep_up(page: ExplorePage) -> None:
    """Follow the folder of models: one may be gone, or have other labels."""
    now = page.choices.now
    model = now.model if models.is_offered(now.model) else models.default_name()
    if model != now.model:
        page.problem = f"The model {now.model} is no longer there. The page uses {model_spec(model).title}."
    if model != now.model or (page.vocabulary is not None and page.vocabulary is not now.ontology):
        synset = models.kept(now.synset, page.vocabulary, model)
        page.choices.choose(model=model, synset=synset, threshold=None)


def selection() -> Selection:
    """Return what Explore shows: what the user chose, with the synset that the picture shows if none was chosen."""
    page = explore()
    chosen = page.choices.now
    if chosen.synset:
        return chosen
    ontology = chosen.ontology
    found = page.found is not None and page.found[0] is ontology and page.found[1]
    return replace(chosen, synset=found or models.first_synsets(ontology)[0])


def publish() -> None:
    """Write what the user chose into the address of Explore."""
    explore().choices.publish()


def choose_synset(wnid: str) -> None:
    """Show another synset on Explore, as the user asks."""
    page = explore()
    if wnid not in page.choices.now.ontology:  # from a page of the model that was chosen before
        return
    page.choices.choose(synset=wnid, threshold=None)
    page.doubted = False


def choose_everything() -> None:
    """Show everything that is found on Explore, as at first."""
    page = explore()
    page.choices.choose(synset="", threshold=None)
    page.doubted = False


def choose_model(name: str) -> None:
    """Run another model on Explore; a synset that it never learned is no longer asked for."""
    page = explore()
    before, other = page.choices.now, models.ontology_of(name)
    wnid = models.translated(before.synset, before.ontology, other)
    page.choices.choose(model=name)
    page.vocabulary = other
    if before.ontology is other:
        return
    page.choices.choose(synset=wnid, threshold=None)
    page.doubted = False
    if before.synset and not wnid:
        page.problem = (
            f"{model_spec(name).title} never learned {before.ontology[before.synset].name}. The page shows what it "
            "finds instead."
        )


def open_picture(picture: Picture, asked: Selection) -> None:
    """Show a picture that another page has opened on Explore, and what was asked there."""
    page = explore()
    page.uploaded = picture
    page.choices.choose(
        model=asked.model, scales=asked.scales, fit=asked.fit, map=asked.map, synset=asked.synset, weights=()
    )
    choose_picture("")
    page.doubted = False  # it was asked of this very picture


def choose_picture(name: str) -> None:
    """Show another picture on Explore: a sample, a URL, or "" for the uploaded one.

    A synset that the user chose stays for now; :func:`app.explore.header.adapt_synset` decides when the picture has
    been looked at.
    """
    page = explore()
    page.choices.choose(picture=name, threshold=None, row=None, column=None)
    page.doubted = bool(page.choices.now.synset)
    page.refused = None

"""What can go wrong through a user's doing.

    FcnError
    ├── ImageError            bytes that are no picture, or a picture beyond the limits
    ├── ScaleError            a scale that cannot be read, or a pyramid without one
    ├── SynsetError
    │   ├── UnknownSynset     no synset has this wnid or word
    │   ├── AmbiguousSynset   several senses of the word; the message lists them
    │   └── HierarchyInvalid  a file of synsets that is not what it should be
    ├── ModelError
    │   ├── UnknownModel      no such name in the zoo
    │   ├── WeightsUnavailable   not on this machine and not to be had now (exit status 3)
    │   ├── WeightsInvalid    a file that is not what it should be
    │   ├── ConversionError   a classifier whose head is not pooling + Dense
    │   └── EngineError       the engine is missing or failed on this machine
    ├── StorageError          no folder takes what must be written
    ├── MemoryBudgetError     no plan fits into the memory the app may use
    ├── FetchError            a picture's address that is refused or does not answer
    ├── DatasetError          an evaluation index that cannot be read
    ├── SettingInvalid        an environment variable that is not what it should be
    ├── OutputError           standard output that cannot be written
    └── Cancelled             the user stopped it

Every message says what was received, what was expected and what to do. Anything that is not an
``FcnError`` is a fault of the program.
"""


class FcnError(Exception):
    """Base of everything a user can cause and mend."""


class ImageError(FcnError):
    """Bytes that are no picture, or a picture beyond the limits."""


class ScaleError(FcnError):
    """A scale that cannot be read, or a pyramid without one."""


class SynsetError(FcnError):
    """A synset, or a hierarchy of them, that cannot be had from what was given."""


class UnknownSynset(SynsetError):
    """No synset has this wnid or word."""


class AmbiguousSynset(SynsetError):
    """Several senses of a word; the message lists them."""


class HierarchyInvalid(SynsetError):
    """A file of synsets that is not what it should be."""


class ModelError(FcnError):
    """A model that cannot be had, read, converted or run."""


class UnknownModel(ModelError):
    """No model of this name in the zoo."""


class WeightsUnavailable(ModelError):
    """Weights are neither on this machine nor to be had now."""


class WeightsInvalid(ModelError):
    """A weights file that is not what it should be."""


class ConversionError(ModelError):
    """A classifier whose head is not global average pooling and Dense."""


class EngineError(ModelError):
    """An inference engine that is missing or failed on this machine."""


class StorageError(FcnError):
    """What must be written can be written nowhere: disks are full, read-only or closed to this user."""


class MemoryBudgetError(FcnError):
    """No plan fits into the memory the app may use."""


class FetchError(FcnError):
    """An address that is refused, does not answer, or answers with something else."""


class DatasetError(FcnError):
    """An evaluation index or one of its files cannot be read."""


class SettingInvalid(FcnError):
    """An environment variable that is not what it should be."""


class OutputError(FcnError):
    """Standard output cannot be written."""


class Cancelled(FcnError):
    """The user stopped the analysis."""

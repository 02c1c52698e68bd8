"""The errors that a user can cause.

    FcnError
    ├── ImageError            a file that is not a picture, or a picture beyond the limits
    ├── ScaleError            an invalid scale, or no scale
    ├── SynsetError
    │   ├── UnknownSynset     no synset has this wnid or word
    │   ├── AmbiguousSynset   the word has several senses; the message lists them
    │   └── HierarchyInvalid  synsets that do not form a hierarchy
    ├── ModelError
    │   ├── UnknownModel      no model has this name
    │   ├── WeightsUnavailable   weights not found locally that cannot be downloaded (exit status 3)
    │   ├── WeightsInvalid    a damaged or wrong weights file
    │   ├── ConversionError   a classifier that cannot be converted, or a model file that is refused
    │   ├── LabelsInvalid     labels that cannot be read, or do not fit the model
    │   └── EngineError       the engine is not installed, or failed
    ├── StorageError          no folder is writable or has enough space
    ├── MemoryBudgetError     the work does not fit into the memory budget
    ├── FetchError            a web address that is refused or does not answer
    ├── DatasetError          an evaluation index, or one of its files, that cannot be read
    ├── SettingInvalid        an invalid environment variable
    ├── OutputError           standard output or the output folder cannot be written
    └── Cancelled             the user stopped the analysis

Every message says what was expected, what was received, and what to do, in this order. Any other exception is an
internal error of the program.
"""


class FcnError(Exception):
    """Base class of the errors that a user can cause and correct."""


class ImageError(FcnError):
    """A file is not a picture, or the picture is beyond the limits."""


class ScaleError(FcnError):
    """A scale is invalid, or there is none."""


class SynsetError(FcnError):
    """Base class of the errors of synsets."""


class UnknownSynset(SynsetError):
    """No synset has this wnid or word."""


class AmbiguousSynset(SynsetError):
    """A word has several senses; the message lists them."""


class HierarchyInvalid(SynsetError):
    """Synsets do not form a hierarchy."""


class ModelError(FcnError):
    """Base class of the errors of models."""


class UnknownModel(ModelError):
    """No model has this name."""


class WeightsUnavailable(ModelError):
    """Weights were not found locally and cannot be downloaded."""


class WeightsInvalid(ModelError):
    """A weights file is damaged or wrong."""


class LabelsInvalid(ModelError):
    """The labels of a model's classes cannot be read, or do not fit the model."""


class ConversionError(ModelError):
    """A classifier cannot be converted, such as one without pooling and a dense layer; or its file is refused."""


class EngineError(ModelError):
    """An inference engine is not installed, or failed."""


class StorageError(FcnError):
    """No folder is writable or has enough space."""


class MemoryBudgetError(FcnError):
    """The work does not fit into the memory budget."""


class FetchError(FcnError):
    """A web address is refused, does not answer, or answers with something else than a picture."""


class DatasetError(FcnError):
    """An evaluation index, or one of its files, cannot be read."""


class SettingInvalid(FcnError):
    """An environment variable has an invalid value."""


class OutputError(FcnError):
    """Standard output or the output folder cannot be written."""


class Cancelled(FcnError):
    """The user stopped the analysis."""

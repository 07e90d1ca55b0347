"""What can go wrong with data sets and weights files, each said in one sentence."""


class ModelError(Exception):
    """The base class of every error that `model` raises on purpose."""


class DatasetError(ModelError, ValueError):
    """A data set is missing, damaged or not what its name says."""


class WeightsError(ModelError, ValueError):
    """A weights file is missing, damaged or not one of ours."""


class ReportError(ModelError, ValueError):
    """A report on a network is damaged."""


class CheckpointError(ModelError, ValueError):
    """A training on disk is damaged, or is another one than is to go on."""


class PresetError(ModelError, KeyError):
    """A preset was asked for by a name that does not exist."""

    def __str__(self) -> str:
        # KeyError would print the sentence in quotation marks.
        return str(self.args[0])

"""The errors of data sets, weights files and trainings; each message is one sentence."""


class ModelError(Exception):
    """The base class of every error that `model` raises on purpose."""


class DatasetError(ModelError, ValueError):
    """A data set is missing, damaged or not what its name says."""


class WeightsError(ModelError, ValueError):
    """A weights file is missing, damaged or not one of ours."""


class ReportError(ModelError, ValueError):
    """An evaluation report is damaged."""


class CheckpointError(ModelError, ValueError):
    """A checkpoint is damaged, or one of another training."""


class PresetError(ModelError, KeyError):
    """There is no preset of this name, or it cannot do what is asked."""

    def __str__(self) -> str:
        # KeyError would print the sentence in quotation marks.
        return str(self.args[0])

"""What can go wrong with the device, each a sentence with the value and the next step.

Every error has one base class and a builtin parent, so that a caller can catch either.
"""


class ApplianceError(Exception):
    """The base class of every error that `appliance` raises on purpose."""


class SettingsError(ApplianceError, ValueError):
    """A setting is unknown or out of range."""


class CameraError(ApplianceError, OSError):
    """There is no camera, it is busy, or it stopped giving frames."""


class PictureError(ApplianceError, ValueError):
    """A file, an upload or an array is not a picture that can be read."""


class PinError(ApplianceError, OSError):
    """The LEDs or the button cannot be driven on this machine."""


class MqttError(ApplianceError, OSError):
    """The MQTT broker is not there or refuses, or the library for it is missing."""


class FetchError(ApplianceError, OSError):
    """The data set could not be downloaded."""


class ServeError(ApplianceError, OSError):
    """The page cannot be served at this address."""


class StateError(ApplianceError, OSError):
    """The state directory or a file in it cannot be used."""


class ClosedError(StateError):
    """A file was let go of, as the appliance ends, while something of it was being told."""


class PowerError(ApplianceError, RuntimeError):
    """The machine cannot be restarted or switched off from here."""


class VaultError(ApplianceError, ValueError):
    """A network is unknown or damaged, or there is none to go back to."""


class TrainingError(ApplianceError, RuntimeError):
    """A training cannot be started or stopped now."""


class TrainingRefused(TrainingError):
    """There is nothing to learn from, or another training runs: none begins."""


class CaptureError(ApplianceError, ValueError):
    """A capture, or a file of captures, is not what it must be."""


class NoCaptureError(ApplianceError, LookupError):
    """There is no capture of this number."""


class BackupError(ApplianceError, ValueError):
    """A file is not a whole backup that this appliance can restore."""

"""What training does to utterances before it learns from them, typed."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from asrbench.experiment.spec_base import Impossible, Share, Spec

Decibels = Annotated[float, Field(ge=-100, le=100)]


def _several(value: Any) -> Any:
    """One folder may stand without a list around it; JSON's lists are tuples here."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _check_range(key: str, bounds: tuple[float, float]) -> None:
    if bounds[0] > bounds[1]:
        raise Impossible(key, f"found {list(bounds)}, allowed: the lower bound first")


class _Drawn(Spec):
    folders: Annotated[tuple[str, ...], BeforeValidator(_several)]
    """Folders whose audio files, at any depth, are drawn from, each file as likely."""
    probability: Share = 0.5
    """Share of the utterances it is done to."""

    @model_validator(mode="after")
    def _some_folder(self) -> "_Drawn":
        if not self.folders:
            raise Impossible("folders", "found [], allowed: one folder or more")
        if not all(self.folders):
            raise Impossible("folders", f"found {list(self.folders)}, allowed: names of folders")
        return self


class RoomSpec(_Drawn):
    """Impulse responses; the first channel counts, and the level stays what it was."""


class NoiseSpec(_Drawn):
    """Sounds of any length; the first channel counts."""

    snr_db: tuple[Decibels, Decibels] = (5.0, 20.0)
    """Range of the utterance's mean power over the noise's, in decibels, drawn uniformly."""

    @model_validator(mode="after")
    def _rising(self) -> "NoiseSpec":
        _check_range("snr_db", self.snr_db)
        return self


class AugmentSpec(Spec):
    """Done in this order: speed, room, noise, gain; then masks, over the features."""

    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = (1.0,)
    """Speed factors drawn from, each as likely; 1.1 is a tenth faster. Pitch follows speed."""
    rooms: RoomSpec | None = None
    """Impulse responses of rooms that utterances are convolved with."""
    noise: NoiseSpec | None = None
    """Sounds that are mixed into utterances."""
    gain_db: tuple[Decibels, Decibels] = (0.0, 0.0)
    """Range of the change in level, in decibels, drawn uniformly; too loud is clipped."""
    frequency_masks: Annotated[int, Field(ge=0)] = 2
    """SpecAugment: number of masks over feature bins."""
    frequency_width: Annotated[int, Field(ge=0)] = 15
    """SpecAugment: greatest width of one, in feature bins."""
    time_masks: Annotated[int, Field(ge=0)] = 2
    """SpecAugment: number of masks over frames."""
    time_width: Annotated[int, Field(ge=0)] = 40
    """SpecAugment: greatest width of one, in frames."""
    time_share: Share = 0.15
    """SpecAugment: greatest width of one, as a share of the utterance."""

    @model_validator(mode="after")
    def _some_speed(self) -> "AugmentSpec":
        if not self.speeds:
            raise Impossible("speeds", "found [], allowed: one factor or more, [1.0] for none")
        _check_range("gain_db", self.gain_db)
        return self

    @property
    def folders(self) -> dict[str, tuple[str, ...]]:
        """Those that sounds are drawn from, by the key they stand under: `noise`, `rooms`."""
        drawn = {"noise": self.noise, "rooms": self.rooms}
        return {key: spec.folders for key, spec in drawn.items() if spec is not None}

"""The typed spec of the augmentation of training utterances."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from asrbench.experiment.spec_base import Impossible, Share, Spec

Decibels = Annotated[float, Field(ge=-100, le=100)]
Masks = Annotated[int, Field(ge=0, le=1000)]


def _several(value: Any) -> Any:
    """Returns one folder, which needs no list around it, or a list of folders as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _check_range(key: str, bounds: tuple[float, float]) -> None:
    if bounds[0] > bounds[1]:
        raise Impossible(key, f"found {list(bounds)}, allowed: the lower bound first")


class _Drawn(Spec):
    folders: Annotated[
        tuple[str, ...], BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...])
    ]
    """Folders of audio files, searched at any depth; each file is equally likely."""
    probability: Share = 0.5
    """Share of the utterances that are augmented."""

    @model_validator(mode="after")
    def _some_folder(self) -> "_Drawn":
        if not self.folders:
            raise Impossible("folders", "found [], allowed: one folder or more")
        if not all(self.folders):
            raise Impossible("folders", f"found {list(self.folders)}, allowed: names of folders")
        return self


class RoomSpec(_Drawn):
    """Room impulse responses, of which the first channel is used; the loudness is kept."""


class NoiseSpec(_Drawn):
    """Noise recordings of any length, of which the first channel is used."""

    snr_db: tuple[Decibels, Decibels] = (5.0, 20.0)
    """Range of the signal-to-noise ratio (mean powers), in decibels, drawn uniformly."""

    @model_validator(mode="after")
    def _rising(self) -> "NoiseSpec":
        _check_range("snr_db", self.snr_db)
        return self


class AugmentSpec(Spec):
    """The augmentations, in the order of their use: speed, room, noise, gain, then masks."""

    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = (1.0,)
    """Speed factors, each equally likely; 1.1 is 10 % faster, and the pitch changes too."""
    rooms: RoomSpec | None = None
    """Room impulse responses with which utterances are convolved."""
    noise: NoiseSpec | None = None
    """Noise that is mixed into utterances."""
    gain_db: tuple[Decibels, Decibels] = (0.0, 0.0)
    """Range of the gain, in decibels, drawn uniformly; samples beyond full scale are clipped."""
    frequency_masks: Masks = 2
    """SpecAugment: number of frequency masks."""
    frequency_width: Annotated[int, Field(ge=0)] = 15
    """SpecAugment: greatest width of a frequency mask, in feature bins."""
    time_masks: Masks = 2
    """SpecAugment: number of time masks."""
    time_width: Annotated[int, Field(ge=0)] = 40
    """SpecAugment: greatest width of a time mask, in frames."""
    time_share: Share = 0.15
    """SpecAugment: greatest width of a time mask, as a share of the utterance."""

    @model_validator(mode="after")
    def _some_speed(self) -> "AugmentSpec":
        if not self.speeds:
            raise Impossible("speeds", "found [], allowed: one factor or more, [1.0] for none")
        _check_range("gain_db", self.gain_db)
        return self

    @property
    def folders(self) -> dict[str, tuple[str, ...]]:
        """The folders of sounds, by the key of their section: `noise`, `rooms`."""
        drawn = {"noise": self.noise, "rooms": self.rooms}
        return {key: spec.folders for key, spec in drawn.items() if spec is not None}
